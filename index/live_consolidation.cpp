// What a LiveHnsw does about what was removed: FreshDiskANN's consolidation (Singh et al., 2021), in steps.
#include <algorithm>

#include "vicinal/index/live_builder.hpp"
#include "vicinal/index/live_walk.hpp"

namespace vicinal {
namespace {

// A pass begins when this many are retired, or this part of what is live, and is over after as many more changes divided by its pace.
constexpr std::size_t few_retired = 16;
constexpr std::size_t retired_share = 8;
constexpr std::size_t pace = 2;
// Reads every list of level 0, so that it must not be done often.
constexpr std::size_t unchecked_share = 16;
constexpr std::size_t nodes_at_once = 2048;
constexpr std::size_t nodes_a_task = 64;
constexpr std::size_t most_candidates = 2;  // of a mended list, as a multiple of its places
constexpr int most_rounds = 4;
constexpr std::uint32_t none = Graph::no_slot;

}  // namespace

void LiveBuilder::look_after(std::size_t items) {
  const std::size_t live = state_.live.load(std::memory_order_relaxed);
  if (live == 0) {
    consolidate(static_cast<std::size_t>(-1));
    return;
  }
  if (state_.unchecked >= live / unchecked_share + 1) reconnect();
  const Consolidation& pass = state_.pass;
  if (pass.slots.empty() && state_.newly_retired.size() < std::max(few_retired, live / retired_share)) return;
  const std::size_t nodes = pass.slots.empty() ? state_.used.load(std::memory_order_relaxed) : pass.end;
  const std::size_t doomed = pass.slots.empty() ? state_.newly_retired.size() : pass.slots.size();
  consolidate(items * (pace * nodes / doomed + 1));
}

bool LiveBuilder::consolidate(std::size_t nodes) {
  while (true) {
    if (state_.pass.slots.empty()) {
      if (state_.newly_retired.empty()) {
        if (state_.unchecked != 0 && nodes != 0) reconnect();
        return true;
      }
      begin_pass();
    }
    Consolidation& pass = state_.pass;
    while (pass.cursor < pass.end && nodes > 0) {
      const auto end = static_cast<std::uint32_t>(
          pass.cursor + std::min<std::size_t>({nodes, nodes_at_once, pass.end - pass.cursor}));
      nodes -= end - pass.cursor;
      repair_some(pass.cursor, end);
      pass.cursor = end;
      control_.report("consolidating", pass.cursor, pass.end);
    }
    if (pass.cursor < pass.end) return false;
    end_pass();
  }
}

void LiveBuilder::begin_pass() {
  Consolidation& pass = state_.pass;
  const std::uint32_t end = state_.used.load(std::memory_order_relaxed);
  pass.doomed.assign(end, 0);
  for (const std::uint32_t slot : state_.newly_retired) pass.doomed[slot] = 1;
  pass.cursor = 0;
  pass.end = end;
  pass.slots = std::move(state_.newly_retired);
  state_.newly_retired.clear();
}

// New lists are made of old ones first and written then, so that they do not depend on the number of threads.
void LiveBuilder::repair_some(std::uint32_t begin, std::uint32_t end) {
  const std::size_t tasks = (end - begin + nodes_a_task - 1) / nodes_a_task;
  std::vector<std::vector<NewList>> results(tasks);
  control_.executor.for_each(tasks, [&](std::size_t task, std::size_t thread) {
    LiveWorker& worker = state_.workers[thread];
    const auto last =
        static_cast<std::uint32_t>(std::min<std::size_t>(end, begin + (task + 1) * nodes_a_task));
    for (auto slot = static_cast<std::uint32_t>(begin + task * nodes_a_task); slot < last; ++slot) {
      if (doomed(slot)) continue;
      for (std::uint32_t l = 0; l <= state_.levels[slot]; ++l) {
        if (repaired_list(slot, l, worker)) results[task].push_back({slot, l, worker.candidates});
      }
    }
  });
  for (const std::vector<NewList>& lists : results) {
    for (const NewList& list : lists) write(list.slot, list.level, list.chosen, state_.workers.front());
  }
  adopt_orphans();
}

// Makes the candidates of the worker what the list of a node is to be. False when it leads to nothing that is doomed.
bool LiveBuilder::repaired_list(std::uint32_t slot, std::size_t level, LiveWorker& worker) const {
  const std::uint32_t* const list = state_.list(slot, level);
  const std::size_t degree = state_.degree(level);
  std::size_t count = 0;
  bool concerned = false;
  for (; count < degree && list[count] != none; ++count) concerned = concerned || doomed(list[count]);
  if (!concerned) return false;
  std::vector<std::uint32_t>& slots = worker.slots;
  slots.clear();
  for (std::size_t i = 0; i < count; ++i) {
    if (!doomed(list[i])) slots.push_back(list[i]);
  }
  // In place of a doomed neighbour, those that it leads to.
  for (std::size_t i = 0; i < count && slots.size() < most_candidates * degree; ++i) {
    if (!doomed(list[i])) continue;
    const std::uint32_t* const next = state_.list(list[i], level);
    for (std::size_t j = 0; j < degree && next[j] != none; ++j) {
      if (next[j] != slot && !doomed(next[j]) &&
          std::find(slots.begin(), slots.end(), next[j]) == slots.end())
        slots.push_back(next[j]);
    }
  }
  score_all(slot, worker);
  if (worker.candidates.empty()) seek(slot, level, worker);
  worker.selection.select(state_.space(), worker.candidates, with_slack(degree), state_.options.alpha);
  return true;
}

// Candidates for a node that has lost all its neighbours.
void LiveBuilder::seek(std::uint32_t slot, std::size_t level, LiveWorker& worker) const {
  SearchScratch& scratch = worker.search;
  const BuildSpace space = state_.space();
  space.prepare(slot, scratch.query);
  const SpaceScorer score{&space, &scratch.query, slot};
  const LiveEntry top = state_.load_entry();
  scratch.pool.reset(width());
  if (top.slot != none && level <= top.level) {
    const std::uint32_t bound = state_.used.load(std::memory_order_relaxed);
    WalkWork work;
    std::uint32_t entry = top.slot;
    float distance = 0;
    score(&entry, 1, &distance);
    for (std::size_t l = top.level; l > level; --l)
      entry = live_descent(state_, l, score, entry, distance, scratch, work);
    scratch.visited.reset(std::bit_ceil(bound));
    scratch.visited.insert(entry);
    scratch.pool.insert(distance, entry);
    live_best_first(state_, level, score, scratch, bound, {}, work);
  }
  take_candidates(slot, worker);
  if (worker.candidates.empty()) add_all(slot, level, worker);
}

void LiveBuilder::end_pass() {
  Consolidation& pass = state_.pass;
  const LiveEntry entry = state_.load_entry();
  if (entry.slot == none || doomed(entry.slot)) choose_entry();
  reconnect();
  // Nothing leads to them now but what searches under way have at hand.
  for (const std::uint32_t slot : pass.slots) {
    for (std::size_t l = 0; l <= state_.levels[slot]; ++l) write(slot, l, {}, state_.workers.front());
  }
  adopt_orphans();
  Limbo& waiting = state_.limbo.emplace_back();
  waiting.epoch = state_.epochs.now();
  waiting.slots = std::move(pass.slots);
  state_.retired.fetch_sub(waiting.slots.size(), std::memory_order_relaxed);
  pass = {};
}

void LiveBuilder::choose_entry() const {
  LiveEntry best;
  for (std::uint32_t slot = 0; slot < state_.used.load(std::memory_order_relaxed); ++slot) {
    if (!state_.is_settled(slot)) continue;
    if (best.slot == none || state_.levels[slot] > best.level) best = {slot, state_.levels[slot]};
  }
  state_.store_entry(best);
}

// Links what no path leads to any more from the nearest node with a free place, or in place of its farthest link, which the next round looks
// after. Reads every list of level 0: the one part of a consolidation that is no bounded step.
void LiveBuilder::reconnect() {
  const std::uint32_t end = state_.used.load(std::memory_order_relaxed);
  const LiveEntry entry = state_.load_entry();
  state_.unchecked = 0;
  if (entry.slot == none) return;
  std::vector<std::uint8_t> reached;
  std::vector<std::uint32_t> frontier;
  LiveWorker& worker = state_.workers.front();
  for (int round = 0; round < most_rounds; ++round) {
    reached.assign(end, 0);
    const auto spread = [&](std::uint32_t from) {
      reached[from] = 1;
      frontier.assign(1, from);
      while (!frontier.empty()) {
        const std::uint32_t* const list = state_.list(frontier.back(), 0);
        frontier.pop_back();
        for (std::size_t i = 0; i < state_.degree(0) && list[i] != none; ++i) {
          if (reached[list[i]] != 0) continue;
          reached[list[i]] = 1;
          frontier.push_back(list[i]);
        }
      }
    };
    spread(entry.slot);
    bool replaced = false;
    for (std::uint32_t slot = 0; slot < end; ++slot) {
      if (reached[slot] != 0 || !state_.is_settled(slot)) continue;
      seek(slot, 0, worker);
      const auto free_place = [&](std::uint32_t from) {
        std::uint32_t* const list = state_.list(from, 0);
        return std::find(list, list + state_.degree(0), none) - list;
      };
      auto from = std::ranges::find_if(worker.candidates, [&](const Candidate& near) {
        return reached[near.slot] != 0 &&
               free_place(near.slot) < static_cast<std::ptrdiff_t>(state_.degree(0));
      });
      std::ptrdiff_t place = 0;
      if (from != worker.candidates.end()) {
        place = free_place(from->slot);
      } else {
        from = std::ranges::find_if(worker.candidates,
                                    [&](const Candidate& near) { return reached[near.slot] != 0; });
        if (from == worker.candidates.end()) continue;
        place = static_cast<std::ptrdiff_t>(state_.degree(0)) - 1;
        replaced = true;
      }
      std::uint32_t* const link = state_.list(from->slot, 0) + place;
      if (*link != none) add_to_in_degree(*link, -1U);
      append(slot, link, 0);
      spread(slot);
    }
    if (!replaced) return;
  }
}

}  // namespace vicinal
