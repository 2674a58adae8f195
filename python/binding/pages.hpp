#pragma once

#include <atomic>
#include <memory>

#include "vicinal/index/pages.hpp"
#include "vicinal/index/range_search.hpp"
#include "search.hpp"

/// Searches whose number of results is not known beforehand.
namespace vicinal::python {

/// What Python iterates over: the pages of one query, of which it keeps all alive.
class PageIterator {
 public:
  template <class Searched>
  PageIterator(const Searched& index, nanobind::handle query, nanobind::handle k,
               std::optional<double> recall, nanobind::handle effort, nanobind::handle filter)
      : rule_(filter, index.size(), has_own_ids(index)),
        k_(whole_number(k, "k", 1, always_possible_k)),
        dim_work_(work_bound(index, 1, 0)) {
    const BorrowedRows rows(query, "query", true);
    if (rows.view().rows() != 1)
      throw InvalidArgument(fmt::format("{} queries, expected one vector", rows.view().rows()));
    const IndexSearchOptions options{optional_number(effort, "effort", most_effort), recall};
    SearchControl control;
    // Of a function, a sample is asked at once.
    run_search(rule_, 0, control, [&] { pages_ = index.pages(rows.view()[0], k_, options, rule_.filter()); });
  }

  /// The next page; what raises StopIteration after the last.
  nanobind::object next();

 private:
  PythonFilter rule_;
  std::size_t k_;
  double dim_work_;
  std::unique_ptr<Pages> pages_;
  std::size_t given_ = 0;
  std::atomic_flag busy_;
};

/// What a range search found; Python sees the arrays as views that keep this object alive.
struct RangeHits {
  RangeNeighbors neighbors;
  SearchStats stats;
};

template <class Searched>
std::unique_ptr<PageIterator> search_iter(const Searched& index, nanobind::handle query, nanobind::handle k,
                                          std::optional<double> recall, nanobind::handle effort,
                                          nanobind::handle filter) {
  return std::make_unique<PageIterator>(index, query, k, recall, effort, filter);
}

template <class Searched>
nanobind::object search_range(const Searched& index, nanobind::handle queries, double radius,
                              std::optional<double> recall, nanobind::handle effort, nanobind::handle filter,
                              nanobind::handle threads, std::optional<double> timeout,
                              nanobind::handle max_distances) {
  const BorrowedRows rows(queries, "queries", true);
  RangeHits hits;
  SearchControl control;
  control.stats = &hits.stats;
  control.max_distances = budget_of(max_distances);
  control.deadline = deadline_after(timeout);
  const IndexSearchOptions options{optional_number(effort, "effort", most_effort), recall};
  PythonFilter rule(filter, index.size(), has_own_ids(index));
  control.filter = rule.filter();
  const std::size_t pool = optional_number(threads, "threads", most_threads);
  const std::size_t count = rows.view().rows();
  if (count > 1) control.executor = executor(pool);
  // How much there is to find nobody knows, so this can take long.
  run_search(rule, 2 * short_work, control, [&] {
    hits.neighbors = index.search_range(rows.view(), static_cast<float>(radius), options, control);
  });
  return nanobind::cast(std::move(hits));
}

void bind_pages(nanobind::module_& module);

inline constexpr const char* search_iter_documentation =
    R"(The nearest of one query, page by page: an iterator of Hits with k results each, until there are no more.

A graph goes on where it stopped, so that a further page costs about what its results cost. Every item that the filter passes comes
once. As in any approximate search a page may hold something nearer than the page before it.

Parameters
----------
query : (dim,) float32
k : int
    Results a page.
recall, effort, filter
    As for search; recall is that of the first page.)";

inline constexpr const char* search_range_documentation =
    R"(Everything at distance `radius` or nearer, of every query: as many results as there are.

Distances are those that searches report, smaller is closer: squared for l2, 1 - cosine for cosine, and for ip the negative inner product, so
that products of at least 0.7 are at radius -0.7. Memory grows with what is found.

Parameters
----------
queries : (n, dim) or (dim,) float32
radius : float
recall, effort, filter, threads, timeout, max_distances
    As for search.

Returns
-------
RangeHits)";

}  // namespace vicinal::python
