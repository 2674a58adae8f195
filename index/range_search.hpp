#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "vicinal/core/control.hpp"
#include "vicinal/core/matrix_view.hpp"
#include "vicinal/core/neighbors.hpp"
#include "vicinal/index/pages.hpp"

namespace vicinal {

/// What a range search found: query q has entries [offsets[q], offsets[q + 1]), ascending by (distance, id).
struct RangeNeighbors {
  std::vector<std::size_t> offsets{0};  ///< queries + 1
  std::vector<Id> ids;
  std::vector<float> distances;

  [[nodiscard]] std::size_t size() const { return offsets.size() - 1; }  ///< queries
};

/// Everything at distance `radius` or nearer, by pages until one ends farther away: so what is at the border is found as well as by a search
/// for the same number of results at the same effort. Distances, and so the radius, are those that searches report: of an inner product its
/// negative. The budget of `control` is each query's; what a deadline ends gives what was found so far. `open` gives the pages of a query, and is
/// called from the threads of `control`, whose filter is not looked at. Throws InvalidArgument for a radius that is NaN.
RangeNeighbors search_range(
    const std::function<std::unique_ptr<Pages>(std::span<const float> query, std::size_t page)>& open,
    MatrixView<const float> queries, float radius, const SearchControl& control);

/// The same of anything with pages, by the filter of `control`.
template <class Searched, class Options>
RangeNeighbors search_range_of(const Searched& searched, MatrixView<const float> queries, float radius,
                               const Options& options, const SearchControl& control) {
  const auto open = [&](std::span<const float> query, std::size_t page) {
    return searched.pages(query, page, options, control.filter);
  };
  return search_range(open, queries, radius, control);
}

}  // namespace vicinal
