#pragma once

#include <cstddef>
#include <cstdint>

#include "vicinal/core/control.hpp"
#include "vicinal/index/graph.hpp"
#include "vicinal/index/graph_search.hpp"
#include "vicinal/index/passing_slots.hpp"

namespace vicinal {

/// What a filtered walk may do before it is given up for a scan of what passes.
struct FilteredWalkLimits {
  std::uint64_t work = 0;       ///< distances and lists read, together
  std::size_t two_hop_cap = 0;  ///< of two_hop_walk(): passing neighbours that are enough for a hop
};

/// Best-first over all nodes, of which only those that pass are kept: until the nearest node left is behind the worst of `scratch.pool`, full
/// of what passes. Before, the pool holds the nodes to begin at, and `scratch.visited` is reset; afterwards the pool holds the
/// nearest met that pass. False when it was given up.
[[nodiscard]] bool post_filter_walk(const Graph::Level& level, const Scorer& score,
                                    const PassingSlots& passing, std::size_t ef,
                                    const FilteredWalkLimits& limits, const SearchControl& control,
                                    SearchScratch& scratch, WalkWork& work);

/// Best-first among the nodes that pass alone, where those that are two links apart count as neighbours if what is between does not pass (ACORN: Patel
/// et al., SIGMOD 2024, with the second links looked up rather than stored). Nothing else is scored but the nodes to begin at. As above; begins
/// at `seeds`, slots that pass, too.
[[nodiscard]] bool two_hop_walk(const Graph::Level& level, const Scorer& score, const PassingSlots& passing,
                                std::span<const std::uint32_t> seeds, std::size_t ef,
                                const FilteredWalkLimits& limits, const SearchControl& control,
                                SearchScratch& scratch, WalkWork& work);

}  // namespace vicinal
