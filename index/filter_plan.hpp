#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>

#include "vicinal/index/hnsw.hpp"
#include "vicinal/index/passing_slots.hpp"

namespace vicinal {

/// How the queries of a call with a filter are answered.
struct FilterPlan {
  FilterStrategy strategy = FilterStrategy::post_filter;
  std::size_t width = 0;  ///< passing candidates that a walk keeps
  bool bits = false;      ///< worth a bit a slot
  /// Distances and lists, or hops over fused rows, after which a walk is given up for a scan.
  std::uint64_t most_work = std::numeric_limits<std::uint64_t>::max();
  std::size_t two_hop_cap = 0;  ///< passing neighbours that are enough for a hop
};

/// What costs depend on.
struct GraphShape {
  std::size_t degree = 0;        ///< places of a list on level 0
  double links = 0;              ///< of a node there, in the mean
  std::size_t record_bytes = 0;  ///< of the codes that are scored
  bool fused = false;
};
struct FilteredSearch {
  std::size_t k = 0;
  std::size_t ef = 0;
  std::size_t queries = 0;
  FilterStrategy wanted = FilterStrategy::automatic;
};

/// The cheapest of the three ways at about the recall that `ef` has without a filter, by a model of what each costs: of the numbers given alone, so
/// that the same search is answered in the same way on every machine. A walk that costs as much as a scan, and twice what was expected of
/// it, is given up. Not when the way is the caller's wish. Not installed.
FilterPlan plan_filter(const PassingSlots& passing, const GraphShape& shape, const FilteredSearch& search);

/// Of a search for SearchStats::strategy; null without a filter.
std::string describe(const FilterPlan* plan, bool fused, std::size_t ef);

}  // namespace vicinal
