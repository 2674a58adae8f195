#pragma once

#include <algorithm>
#include <cstdint>

#include "vicinal/index/live_state.hpp"

/// graph_search.hpp's walks over lists that a writer may be changing. Not installed.
namespace vicinal {

/// From `entry` to the nearest node that greedy steps on `level` lead to. `entry_distance` goes in and out.
template <class Score>
std::uint32_t live_descent(const LiveState& state, std::size_t level, const Score& score, std::uint32_t entry,
                           float& entry_distance, SearchScratch& scratch, WalkWork& work) {
  const std::size_t degree = state.degree(level);
  for (;;) {
    const std::uint32_t* const list = state.list(entry, level);
    std::uint32_t* const block = scratch.block.data();
    std::size_t count = 0;
    for (; count < degree; ++count) {
      block[count] = load_link(list + count);
      if (block[count] == Graph::no_slot) break;
    }
    score(block, count, scratch.distances.data());
    work.distances += count;
    ++work.hops;
    std::uint32_t nearest = entry;
    for (std::size_t i = 0; i < count; ++i) {
      const float distance = scratch.distances[i];
      if (distance < entry_distance || (distance == entry_distance && block[i] < nearest)) {
        entry_distance = distance;
        nearest = block[i];
      }
    }
    if (nearest == entry) return entry;
    entry = nearest;
  }
}

/// Best-first search on `level` with a pool as wide as it was reset to; `scratch.pool` and `scratch.visited` (for `bound` slots) must be reset,
/// and every starting node inserted in both. Nodes in slots from `bound` on are passed over.
template <class Score>
void live_best_first(const LiveState& state, std::size_t level, const Score& score, SearchScratch& scratch,
                     std::uint32_t bound, const WalkLimits& limits, WalkWork& work) {
  CandidatePool& pool = scratch.pool;
  std::uint32_t* const block = scratch.block.data();
  float* const distances = scratch.distances.data();
  const std::size_t degree = state.degree(level);
  std::uint64_t hops = 0;
  while (pool.has_unexpanded()) {
    const std::uint32_t* const list = state.list(pool.expand_next(), level);
    std::size_t fresh = 0;
    for (std::size_t i = 0; i < degree; ++i) {
      const std::uint32_t slot = load_link(list + i);
      if (slot >= bound) {
        if (slot == Graph::no_slot) break;
        continue;
      }
      block[fresh] = slot;
      fresh += scratch.visited.insert(slot) ? 1 : 0;
    }
    for (std::size_t i = 0; i < std::min<std::size_t>(fresh, 4); ++i) score.ask_for(block[i]);
    if (pool.has_unexpanded()) prefetch(state.list(pool.peek_next(), level), degree * sizeof(std::uint32_t));
    score(block, fresh, distances);
    for (std::size_t i = 0; i < fresh; ++i) {
      if (distances[i] < pool.worst()) pool.insert(distances[i], block[i]);
    }
    work.distances += fresh;
    ++work.hops;
    if (work.distances >= limits.max_distances) {
      if (pool.has_unexpanded()) work.stop = StopReason::budget;
      return;
    }
    if (++hops % hops_between_polls == 0 && limits.control != nullptr && limits.control->must_stop()) {
      work.stop = limits.control->stop_reason();
      return;
    }
  }
}

}  // namespace vicinal
