#include "vicinal/index/live_builder.hpp"

#include <algorithm>

#include "vicinal/index/live_walk.hpp"

namespace vicinal {
namespace {

constexpr std::size_t first_batch =
    256;  // nodes that find each other by brute force, before there is a graph
constexpr std::size_t largest_batch = 512;
constexpr std::size_t batch_share = 32;  // a batch is at most this part of the nodes before it
constexpr std::size_t smallest_batch = 64;
constexpr std::size_t peers_at_once = 64;
constexpr std::uint32_t none = Graph::no_slot;

}  // namespace

// Of the pool of a search for neighbours. Retired nodes take places in it and are no neighbours.
std::size_t LiveBuilder::width() const {
  const std::size_t live = std::max<std::size_t>(1, state_.live.load(std::memory_order_relaxed));
  const std::size_t retired = state_.retired.load(std::memory_order_relaxed);
  const std::size_t ef = state_.options.ef_construction;
  return ef + std::min(3 * ef, ef * retired / live);
}

void LiveBuilder::link(std::span<const std::uint32_t> fresh) {
  std::size_t present =
      state_.live.load(std::memory_order_relaxed) + state_.retired.load(std::memory_order_relaxed);
  for (std::size_t done = 0; done < fresh.size();) {
    const std::size_t most =
        present == 0 ? first_batch : std::clamp(present / batch_share, smallest_batch, largest_batch);
    const std::size_t count = std::min(most, fresh.size() - done);
    link_batch(fresh.subspan(done, count));
    done += count;
    present += count;
    control_.report("linking", done, fresh.size());
    control_.throw_if_stopped();
  }
}

void LiveBuilder::link_batch(std::span<const std::uint32_t> batch) {
  std::size_t top = 0;
  for (const std::uint32_t slot : batch) top = std::max<std::size_t>(top, state_.levels[slot]);
  if (chosen_.size() < top + 1) chosen_.resize(top + 1);
  for (std::size_t l = 0; l <= top; ++l) {
    if (chosen_[l].size() < batch.size()) chosen_[l].resize(batch.size());
  }
  control_.executor.for_each(batch.size(), [&](std::size_t index, std::size_t worker) {
    link_node(index, batch, state_.workers[worker]);
  });
  for (std::size_t l = 0; l <= top; ++l) link_back(l, batch);
  state_.workers.front().orphans.insert(state_.workers.front().orphans.end(), batch.begin(), batch.end());
  adopt_orphans();
  state_.unchecked += batch.size();
  const LiveEntry entry = state_.load_entry();
  if (entry.slot != none && entry.level >= top) return;
  const auto highest =
      std::ranges::find_if(batch, [&](std::uint32_t slot) { return state_.levels[slot] == top; });
  state_.store_entry({*highest, static_cast<std::uint32_t>(top)});
}

// Searches the graph as it was before the batch, and the batch by brute force, on every level of a node.
void LiveBuilder::link_node(std::size_t index, std::span<const std::uint32_t> batch, LiveWorker& worker) {
  const std::uint32_t slot = batch[index];
  const BuildSpace space = state_.space();
  SearchScratch& scratch = worker.search;
  space.prepare(slot, scratch.query);
  const SpaceScorer score{&space, &scratch.query, slot};
  const LiveEntry top = state_.load_entry();
  const std::uint32_t bound = state_.used.load(std::memory_order_relaxed);
  WalkWork work;
  std::uint32_t entry = top.slot;
  float distance = 0;
  if (entry != none) {
    score(&entry, 1, &distance);
    for (std::size_t l = top.level; l > state_.levels[slot]; --l)
      entry = live_descent(state_, l, score, entry, distance, scratch, work);
  }
  for (std::size_t l = state_.levels[slot] + std::size_t{1}; l-- > 0;) {
    scratch.pool.reset(width());
    if (entry != none && l <= top.level) {
      scratch.visited.reset(std::bit_ceil(bound));
      scratch.visited.insert(entry);
      scratch.pool.insert(distance, entry);
      live_best_first(state_, l, score, scratch, bound, {}, work);
      entry = scratch.pool.slot(0);
      distance = scratch.pool.distance(0);
    }
    add_peers(slot, l, batch, worker);
    take_candidates(slot, worker);
    if (worker.candidates.empty()) add_all(slot, l, worker);
    worker.selection.select(space, worker.candidates, state_.degree(l), state_.options.alpha);
    chosen_[l][index].assign(worker.candidates.begin(), worker.candidates.end());
    write(slot, l, worker.candidates, worker);
  }
}

void LiveBuilder::add_peers(std::uint32_t slot, std::size_t level, std::span<const std::uint32_t> batch,
                            LiveWorker& worker) const {
  std::uint32_t block[peers_at_once];
  for (std::size_t peer = 0; peer < batch.size();) {
    std::size_t count = 0;
    for (; peer < batch.size() && count < peers_at_once; ++peer) {
      if (batch[peer] != slot && state_.levels[batch[peer]] >= level) block[count++] = batch[peer];
    }
    offer(slot, std::span(block).first(count), worker);
  }
}

// Puts those of up to `peers_at_once` slots into the pool that are near enough to `slot`, whose record is the worker's query.
void LiveBuilder::offer(std::uint32_t slot, std::span<const std::uint32_t> others, LiveWorker& worker) const {
  CandidatePool& pool = worker.search.pool;
  float distances[peers_at_once];
  state_.space().score(worker.search.query, slot, others.data(), others.size(), distances);
  for (std::size_t i = 0; i < others.size(); ++i) {
    if (distances[i] < pool.worst()) pool.insert(distances[i], others[i]);
  }
}

// What the pool holds and is not retired. A node that is linked already finds itself.
void LiveBuilder::take_candidates(std::uint32_t slot, LiveWorker& worker) const {
  const CandidatePool& pool = worker.search.pool;
  worker.candidates.clear();
  for (std::size_t i = 0; i < pool.size(); ++i) {
    if (pool.slot(i) != slot && !state_.is_retired(pool.slot(i)))
      worker.candidates.push_back({pool.distance(i), pool.slot(i)});
  }
}

// Where a search met retired nodes only: the nearest of all others on a level.
void LiveBuilder::add_all(std::uint32_t slot, std::size_t level, LiveWorker& worker) const {
  worker.search.pool.reset(state_.options.ef_construction);
  std::uint32_t block[peers_at_once];
  std::size_t count = 0;
  for (std::uint32_t other = 0; other < state_.used.load(std::memory_order_relaxed); ++other) {
    // Not those of this change that are not linked yet.
    if (state_.levels[other] < level || !state_.is_settled(other)) continue;
    block[count++] = other;
    if (count < peers_at_once) continue;
    offer(slot, block, worker);
    count = 0;
  }
  offer(slot, std::span(block).first(count), worker);
  take_candidates(slot, worker);
}

void LiveBuilder::write(std::uint32_t slot, std::size_t level, std::span<const Candidate> chosen,
                        LiveWorker& worker) const {
  std::uint32_t* const list = state_.list(slot, level);
  const std::size_t degree = state_.degree(level);
  if (level == 0) {
    for (const Candidate& to : chosen) add_to_in_degree(to.slot, 1);
    for (std::size_t i = 0; i < degree && list[i] != none; ++i) {
      if (add_to_in_degree(list[i], -1U) == 0) worker.orphans.push_back(list[i]);
    }
  }
  for (std::size_t i = 0; i < degree; ++i) store_link(list + i, i < chosen.size() ? chosen[i].slot : none);
}

void LiveBuilder::append(std::uint32_t to, std::uint32_t* place, std::size_t level) const {
  if (level == 0) add_to_in_degree(to, 1);
  store_link(place, to);
}

void LiveBuilder::link_back(std::size_t level, std::span<const std::uint32_t> batch) {
  back_.clear();
  for (std::size_t index = 0; index < batch.size(); ++index) {
    if (state_.levels[batch[index]] < level) continue;
    for (const Candidate& to : chosen_[level][index]) back_.push_back({to.slot, to.distance, batch[index]});
  }
  std::sort(back_.begin(), back_.end());
  targets_.clear();
  for (std::size_t i = 0; i < back_.size(); ++i) {
    if (i == 0 || back_[i].target != back_[i - 1].target) targets_.push_back(i);
  }
  targets_.push_back(back_.size());
  control_.executor.for_each(targets_.size() - 1, [&](std::size_t task, std::size_t worker) {
    merge(std::span(back_).subspan(targets_[task], targets_[task + 1] - targets_[task]), level,
          state_.workers[worker]);
  });
}

// What lost its last link finds another: from one that it leads to.
void LiveBuilder::adopt_orphans() {
  std::vector<std::uint32_t> orphans;
  for (LiveWorker& worker : state_.workers) {
    orphans.insert(orphans.end(), worker.orphans.begin(), worker.orphans.end());
    worker.orphans.clear();
  }
  std::ranges::sort(orphans);
  orphans.erase(std::unique(orphans.begin(), orphans.end()), orphans.end());
  for (const std::uint32_t slot : orphans) {
    if (state_.in_degrees[slot] == 0 && !state_.is_retired(slot)) adopt(slot, state_.workers.front());
  }
}

// The nearest with a free place takes it, or the nearest in place of a link to what others lead to as well.
void LiveBuilder::adopt(std::uint32_t slot, LiveWorker& worker) const {
  const std::size_t degree = state_.degree(0);
  const std::uint32_t* const own = state_.list(slot, 0);
  worker.slots.assign(own, std::find(own, own + degree, none));
  score_all(slot, worker);
  for (const Candidate& near : worker.candidates) {
    std::uint32_t* const list = state_.list(near.slot, 0);
    std::uint32_t* const free = std::find(list, list + degree, none);
    if (free == list + degree) continue;
    append(slot, free, 0);
    return;
  }
  for (const Candidate& near : worker.candidates) {
    std::uint32_t* const list = state_.list(near.slot, 0);
    for (std::size_t i = degree; i-- > 0;) {
      if (state_.in_degrees[list[i]] < 2) continue;
      add_to_in_degree(list[i], -1U);
      append(slot, list + i, 0);
      return;
    }
  }
}

void LiveBuilder::merge(std::span<const BackLink> links, std::size_t level, LiveWorker& worker) const {
  const std::uint32_t target = links.front().target;
  const std::size_t degree = state_.degree(level);
  std::uint32_t* const list = state_.list(target, level);
  std::size_t count = 0;
  while (count < degree && list[count] != none) ++count;
  std::vector<std::uint32_t>& slots = worker.slots;
  slots.assign(list, list + count);
  for (const BackLink& link : links) {
    if (std::find(list, list + count, link.source) == list + count) slots.push_back(link.source);
  }
  if (slots.size() <= degree) {
    for (std::size_t i = count; i < slots.size(); ++i) append(slots[i], list + i, level);
    return;
  }
  score_all(target, worker);
  worker.selection.select(state_.space(), worker.candidates, with_slack(degree), state_.options.alpha);
  write(target, level, worker.candidates, worker);
}

// The slots of the worker as candidates of `slot`, ascending; without those that are retired, if there are others.
void LiveBuilder::score_all(std::uint32_t slot, LiveWorker& worker) const {
  std::vector<std::uint32_t>& slots = worker.slots;
  std::erase_if(slots, [&](std::uint32_t other) { return state_.is_retired(other); });
  const BuildSpace space = state_.space();
  SearchScratch& scratch = worker.search;
  if (scratch.distances.size() < slots.size()) scratch.distances.resize(slots.size());
  space.prepare(slot, scratch.query);
  space.score(scratch.query, slot, slots.data(), slots.size(), scratch.distances.data());
  worker.candidates.clear();
  for (std::size_t i = 0; i < slots.size(); ++i)
    worker.candidates.push_back({scratch.distances[i], slots[i]});
  std::sort(worker.candidates.begin(), worker.candidates.end());
}

}  // namespace vicinal
