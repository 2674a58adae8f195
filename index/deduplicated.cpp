#include "vicinal/index/deduplicated.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "vicinal/index/search_without.hpp"

namespace vicinal {
namespace {

// Classes held at one time, which bounds the memory of a large batch with a large k.
constexpr std::size_t most_found = std::size_t{1} << 22;

}  // namespace

// The rule for classes that follows from one for rows. Kept where the search is, since filters own nothing.
struct Deduplicated::ClassFilter {
  ClassFilter(const DuplicateClasses& classes, const Filter& rows) {
    if (rows.passes_all()) return;
    if (const Filter::IdSet* set = rows.as_id_set()) {
      for (const Id row : set->ids) {
        if (row >= 0 && static_cast<std::uint64_t>(row) < classes.rows())
          passing.push_back(classes.class_of(static_cast<std::uint32_t>(row)));
      }
      std::ranges::sort(passing);
      passing.erase(std::unique(passing.begin(), passing.end()), passing.end());
      filter = Filter::id_set(passing);
      return;
    }
    filter = Filter::predicate([&classes, &rows](Id number) {
      const auto which = static_cast<std::uint32_t>(number);
      if (rows(classes.first_row(which))) return true;
      return std::ranges::any_of(classes.further_rows(which), [&](std::uint32_t row) { return rows(row); });
    });
  }

  std::vector<Id> passing;
  Filter filter;
};

Deduplicated::Deduplicated(AnyRetriever inner, DuplicateClasses classes)
    : inner_(std::move(inner)), classes_(std::move(classes)) {
  if (inner_.size() != classes_.classes()) {
    throw InvalidArgument(fmt::format("the inner retriever has {} items, expected one of each of {} classes",
                                      inner_.size(), classes_.classes()));
  }
}

// The classes of one query as rows, k at most. Classes at one distance are one group, whose rows come in order.
void Deduplicated::write_rows(const Neighbors& found, std::size_t from, NeighborsView out, std::size_t to,
                              const Filter& filter, std::vector<Id>& group) const {
  std::size_t written = 0;
  const std::size_t count = found.counts()[from];
  for (std::size_t begin = 0, end = 0; begin < count && written < out.k(); begin = end) {
    const float distance = found.distances()[from][begin];
    group.clear();
    for (end = begin; end < count && found.distances()[from][end] == distance; ++end) {
      const auto number = static_cast<std::uint32_t>(found.ids()[from][end]);
      std::size_t of_class = 0;  // More than k of a class are never needed.
      const auto add = [&](std::uint32_t row) {
        if (of_class == out.k() || !(filter.passes_all() || filter(row))) return;
        group.push_back(row);
        ++of_class;
      };
      add(classes_.first_row(number));
      for (const std::uint32_t row : classes_.further_rows(number)) {
        if (of_class == out.k()) break;
        add(row);
      }
    }
    std::ranges::sort(group);
    for (std::size_t i = 0; i < group.size() && written < out.k(); ++i, ++written) {
      out.ids[to][written] = group[i];
      out.distances[to][written] = distance;
    }
  }
  std::ranges::fill(out.ids[to].subspan(written), no_id);
  std::ranges::fill(out.distances[to].subspan(written), no_distance);
  out.counts[to] = static_cast<std::uint32_t>(written);
}

// k classes hold the k nearest rows: each has a row, and of classes at one distance those with the first rows come first. Not so under
// a filter, where a class's first row may not pass: then a search whose last class is as near as the last row needed looks
// further, unless it is approximate anyway.
void Deduplicated::search(const VectorBatch& queries, NeighborsView out, const Params& params,
                          const SearchControl& control) const {
  const std::size_t k = std::min(out.k(), classes_.classes());
  const std::size_t block = std::max<std::size_t>(1, most_found / k);
  const ClassFilter filter(classes_, control.filter);
  const bool exact = !has_graph(inner_);
  SearchStats work;
  SearchControl inner_control = control;
  inner_control.filter = filter.filter;
  inner_control.stats = control.stats == nullptr ? nullptr : &work;
  std::vector<Id> scratch;
  for (std::size_t first = 0; first < queries.size(); first += block) {
    const std::size_t count = std::min(block, queries.size() - first);
    Neighbors found(count, k);
    inner_.search(queries.rows.rows_from(first, count), found.view(), params.inner, inner_control);
    for (std::size_t q = 0; q < count; ++q) {
      write_rows(found, q, out, first + q, control.filter, scratch);
      if (control.filter.passes_all() || !exact) continue;
      std::size_t asked = k;
      std::size_t got = found.counts()[q];
      float last = got == 0 ? 0.0F : found.distances()[q][got - 1];
      while (got == asked && asked < classes_.classes() && out.counts[first + q] == out.k() &&
             out.distances[first + q].back() == last) {
        asked = std::min(2 * asked, classes_.classes());
        Neighbors more(1, asked);
        inner_.search(queries.rows.rows_from(first + q, 1), more.view(), params.inner, inner_control);
        write_rows(more, 0, out, first + q, control.filter, scratch);
        got = more.counts()[0];
        last = got == 0 ? 0.0F : more.distances()[0][got - 1];
      }
    }
  }
  if (control.stats != nullptr) {
    work.queries = queries.size();
    control.stats->add_work(work);
    control.stats->strategy = fmt::format("dedup({} of {}) > {}", classes_.classes(), size(), work.strategy);
  }
}

}  // namespace vicinal
