#include "vicinal/index/any_retriever.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace vicinal {
namespace {

void require_shape(NeighborsView out, std::size_t queries) {
  if (out.k() == 0) throw InvalidArgument("k is 0, expected at least 1");
  if (out.ids.rows() != queries || out.distances.rows() != queries || out.counts.size() != queries) {
    throw InvalidArgument(
        fmt::format("results have {} rows of ids, {} of distances and {} counts, expected {}: one a query",
                    out.ids.rows(), out.distances.rows(), out.counts.size(), queries));
  }
  if (out.distances.cols() != out.k()) {
    throw InvalidArgument(fmt::format("results have {} columns of ids and {} of distances, expected as many",
                                      out.k(), out.distances.cols()));
  }
}

void clear(NeighborsView out) {
  for (std::size_t i = 0; i < out.size(); ++i) {
    std::ranges::fill(out.ids[i], no_id);
    std::ranges::fill(out.distances[i], no_distance);
  }
  std::ranges::fill(out.counts, 0U);
}

}  // namespace

void AnyRetriever::search(const VectorBatch& queries, NeighborsView out, const SearchOptions& options,
                          const SearchControl& control) const {
  if (!has_value()) throw InvalidArgument("the retriever is empty: nothing was built or opened");
  validate_batch(queries, dim(), "queries");
  if (queries.multi_vector() && !self_->takes_multi_vector()) {
    throw InvalidArgument(
        fmt::format("queries are of several vectors each, \"{}\" takes one vector a query", kind()));
  }
  require_shape(out, queries.size());
  clear(out);
  self_->search(queries, out, options, control);
}

Neighbors AnyRetriever::search(const VectorBatch& queries, std::size_t k, const SearchOptions& options,
                               const SearchControl& control) const {
  Neighbors out(queries.size(), k);
  search(queries, out.view(), options, control);
  return out;
}

std::unique_ptr<Pages> AnyRetriever::pages(std::span<const float> query, std::size_t page,
                                           const SearchOptions& options, const Filter& filter) const {
  if (!has_value()) throw InvalidArgument("the retriever is empty: nothing was built or opened");
  validate_batch(MatrixView<const float>(query.data(), 1, query.size()), dim(), "query");
  if (page == 0) throw InvalidArgument("the page is 0, expected at least 1");
  if (std::unique_ptr<Pages> own = self_->pages(query, page, options, filter)) return own;
  return search_repeatedly(*this, query, options, filter);
}

void AnyRetriever::throw_wrong_params(std::string_view kind, const SearchOptions& options) {
  if (options.effort != 0) {
    throw InvalidArgument(fmt::format(
        "search of \"{}\" was given both params and effort {}, expected one of them", kind, options.effort));
  }
  throw InvalidArgument(fmt::format("search of \"{}\" was given the params of another retriever", kind));
}

}  // namespace vicinal
