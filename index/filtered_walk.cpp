#include "vicinal/index/filtered_walk.hpp"

#include <algorithm>
#include <array>
#include <span>

#include "vicinal/core/prefetch.hpp"

namespace vicinal {
namespace {

struct Start {
  float distance;
  std::uint32_t slot;
};
using Starts = std::array<Start, 2>;  // as Hnsw::enter() gives

// Takes the nodes to begin at out of the pool, which is emptied, and marks them.
std::span<const Start> take_starts(SearchScratch& scratch, std::size_t ef, Starts& starts) {
  const std::size_t count = std::min(scratch.pool.size(), starts.size());
  for (std::size_t i = 0; i < count; ++i) {
    starts[i] = {scratch.pool.distance(i), scratch.pool.slot(i)};
    scratch.visited.insert(starts[i].slot);
  }
  scratch.pool.reset(ef);
  return std::span(starts).first(count);
}

// Whether a walk may go on: within its limits and not told to stop.
bool may_go_on(const FilteredWalkLimits& limits, const SearchControl& control, bool more, WalkWork& work) {
  ++work.hops;
  if (work.distances >= control.max_distances && more) work.stop = StopReason::budget;
  if (work.hops % hops_between_polls == 0 && control.must_stop()) work.stop = control.stop_reason();
  return work.stop == StopReason::complete && work.distances + work.lists < limits.work;
}

void score_block(const Scorer& score, const SearchScratch& scratch, std::size_t count, float* distances) {
  for (std::size_t i = 0; i < std::min<std::size_t>(count, 4); ++i) score.ask_for(scratch.block[i]);
  score(scratch.block.data(), count, distances);
}

template <class Test>
bool walk_all(const Graph::Level& level, const Scorer& score, const Test& passes, std::size_t ef,
              const FilteredWalkLimits& limits, const SearchControl& control, SearchScratch& scratch,
              WalkWork& work) {
  CandidatePool& pool = scratch.pool;
  Frontier& frontier = scratch.frontier;
  std::uint32_t* const block = scratch.block.data();
  float* const distances = scratch.distances.data();
  frontier.clear();
  Starts starts;
  for (const Start& start : take_starts(scratch, ef, starts)) {
    frontier.push(start.distance, start.slot);
    if (passes(start.slot)) pool.insert(start.distance, start.slot);
  }
  while (!frontier.empty() && frontier.distance() <= pool.worst()) {
    const std::uint32_t* const list = level.list(frontier.slot());
    frontier.pop();
    const std::size_t fresh = take_fresh(list, level.degree, scratch.visited, block);
    if (!frontier.empty()) prefetch(level.list(frontier.slot()), level.degree * sizeof(std::uint32_t));
    score_block(score, scratch, fresh, distances);
    work.distances += fresh;
    for (std::size_t i = 0; i < fresh; ++i) {
      if (distances[i] >= pool.worst()) continue;
      frontier.push(distances[i], block[i]);
      if (passes(block[i])) pool.insert(distances[i], block[i]);
    }
    if (!may_go_on(limits, control, !frontier.empty(), work)) return work.stop != StopReason::complete;
  }
  return true;
}

template <class Test>
bool walk_two_hops(const Graph::Level& level, const Scorer& score, const Test& passes,
                   std::span<const std::uint32_t> seeds, std::size_t ef, const FilteredWalkLimits& limits,
                   const SearchControl& control, SearchScratch& scratch, WalkWork& work) {
  CandidatePool& pool = scratch.pool;
  VisitedSet& visited = scratch.visited;
  std::uint32_t* const block = scratch.block.data();
  float* const distances = scratch.distances.data();
  const std::size_t list_bytes = level.degree * sizeof(std::uint32_t);
  // Puts the slots of a list that pass at the end of the block, and drops what was met before. Two loops, so that neither branches.
  const auto gather = [&](const std::uint32_t* list, std::size_t count) {
    std::size_t end = count;
    for (std::size_t i = 0; i < level.degree && list[i] != Graph::no_slot; ++i) {
      block[end] = list[i];
      end += passes(list[i]) ? 1 : 0;
    }
    for (std::size_t i = count; i < end; ++i) {
      block[count] = block[i];
      count += visited.insert(block[i]) ? 1 : 0;
    }
    return count;
  };
  const auto expand = [&](std::uint32_t slot) {
    const std::uint32_t* const list = level.list(slot);
    std::size_t count = gather(list, 0);
    scratch.between.clear();
    for (std::size_t i = 0; i < level.degree && list[i] != Graph::no_slot; ++i) {
      if (!passes(list[i])) scratch.between.push_back(list[i]);
    }
    const std::span<const std::uint32_t> between(scratch.between);
    constexpr std::size_t ahead = 4;
    for (std::size_t i = 0; i < std::min(ahead, between.size()); ++i)
      prefetch(level.list(between[i]), list_bytes);
    for (std::size_t i = 0; i < between.size() && count < limits.two_hop_cap; ++i) {
      if (i + ahead < between.size()) prefetch(level.list(between[i + ahead]), list_bytes);
      if (!visited.insert(between[i])) continue;  // Looked behind before.
      count = gather(level.list(between[i]), count);
      ++work.lists;
    }
    score_block(score, scratch, count, distances);
    work.distances += count;
    for (std::size_t i = 0; i < count; ++i) {
      if (distances[i] < pool.worst()) pool.insert(distances[i], block[i]);
    }
  };

  Starts starts;
  const std::span<const Start> begin = take_starts(scratch, ef, starts);
  for (const Start& start : begin) {
    if (passes(start.slot)) pool.insert(start.distance, start.slot);
  }
  std::size_t count = 0;
  for (const std::uint32_t seed : seeds) {
    block[count] = seed;
    count += visited.insert(seed) ? 1 : 0;
  }
  score_block(score, scratch, count, distances);
  work.distances += count;
  for (std::size_t i = 0; i < count; ++i) {
    if (distances[i] < pool.worst()) pool.insert(distances[i], block[i]);
  }
  for (const Start& start : begin) {
    if (!passes(start.slot)) expand(start.slot);
  }
  while (pool.has_unexpanded()) {
    expand(pool.expand_next());
    if (pool.has_unexpanded()) prefetch(level.list(pool.peek_next()), list_bytes);
    if (!may_go_on(limits, control, pool.has_unexpanded(), work)) return work.stop != StopReason::complete;
  }
  return true;
}

}  // namespace

bool post_filter_walk(const Graph::Level& level, const Scorer& score, const PassingSlots& passing,
                      std::size_t ef, const FilteredWalkLimits& limits, const SearchControl& control,
                      SearchScratch& scratch, WalkWork& work) {
  bool whole = true;
  passing.with_test(
      [&](const auto& test) { whole = walk_all(level, score, test, ef, limits, control, scratch, work); });
  return whole;
}

bool two_hop_walk(const Graph::Level& level, const Scorer& score, const PassingSlots& passing,
                  std::span<const std::uint32_t> seeds, std::size_t ef, const FilteredWalkLimits& limits,
                  const SearchControl& control, SearchScratch& scratch, WalkWork& work) {
  bool whole = true;
  passing.with_test([&](const auto& test) {
    whole = walk_two_hops(level, score, test, seeds, ef, limits, control, scratch, work);
  });
  return whole;
}

}  // namespace vicinal
