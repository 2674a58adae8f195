#include "vicinal/index/graph_search.hpp"

#include <algorithm>

#include "vicinal/core/prefetch.hpp"

namespace vicinal {
ScratchPool::Lease ScratchPool::borrow() {
  {
    const std::lock_guard lock(mutex_);
    if (!free_.empty()) {
      std::unique_ptr<SearchScratch> scratch = std::move(free_.back());
      free_.pop_back();
      return {*this, std::move(scratch)};
    }
    free_.reserve(free_.capacity() + 1);  // so that giving back cannot fail
  }
  return {*this, std::make_unique<SearchScratch>()};
}

void ScratchPool::give_back(std::unique_ptr<SearchScratch> scratch) noexcept {
  const std::lock_guard lock(mutex_);
  if (free_.size() < free_.capacity()) free_.push_back(std::move(scratch));
}

template <class Score>
std::uint32_t greedy_descent(const Graph::Level& level, const Score& score, std::uint32_t entry,
                             float& entry_distance, SearchScratch& scratch, WalkWork& work) noexcept {
  for (;;) {
    const std::uint32_t* list = level.list(entry);
    const std::size_t count = level.count(entry);
    if (count == 0) return entry;
    for (std::size_t i = 0; i < std::min<std::size_t>(count, 4); ++i) score.ask_for(list[i]);
    score(list, count, scratch.distances.data());
    work.distances += count;
    ++work.hops;
    std::uint32_t nearest = entry;
    for (std::size_t i = 0; i < count; ++i) {
      const float distance = scratch.distances[i];
      if (distance < entry_distance || (distance == entry_distance && list[i] < nearest)) {
        entry_distance = distance;
        nearest = list[i];
      }
    }
    if (nearest == entry) return entry;
    entry = nearest;
  }
}

template <class Score>
void best_first(const Graph::Level& level, const Score& score, SearchScratch& scratch,
                const WalkLimits& limits, WalkWork& work) noexcept {
  CandidatePool& pool = scratch.pool;
  std::uint32_t* const block = scratch.block.data();
  float* const distances = scratch.distances.data();
  std::uint64_t hops = 0;
  while (pool.has_unexpanded()) {
    const std::uint32_t* list = level.list(pool.expand_next());
    const std::size_t fresh = take_fresh(list, level.degree, scratch.visited, block);
    for (std::size_t i = 0; i < std::min<std::size_t>(fresh, 4); ++i) {
      score.ask_for(block[i]);
    }
    if (pool.has_unexpanded()) prefetch(level.list(pool.peek_next()), level.degree * sizeof(std::uint32_t));
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

template std::uint32_t greedy_descent(const Graph::Level&, const Scorer&, std::uint32_t, float&,
                                      SearchScratch&, WalkWork&) noexcept;
template std::uint32_t greedy_descent(const Graph::Level&, const SpaceScorer&, std::uint32_t, float&,
                                      SearchScratch&, WalkWork&) noexcept;
template void best_first(const Graph::Level&, const Scorer&, SearchScratch&, const WalkLimits&,
                         WalkWork&) noexcept;
template void best_first(const Graph::Level&, const SpaceScorer&, SearchScratch&, const WalkLimits&,
                         WalkWork&) noexcept;

}  // namespace vicinal
