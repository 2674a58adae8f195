#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "vicinal/core/prefetch.hpp"
#include "vicinal/index/filter_plan.hpp"
#include "vicinal/index/filtered_walk.hpp"
#include "vicinal/index/hnsw_state.hpp"
#include "vicinal/index/ranking.hpp"
#include "vicinal/index/row_walk.hpp"
#include "vicinal/index/turns.hpp"

namespace vicinal {
namespace {

constexpr std::uint32_t nobody = 0xFFFF'FFFF;
constexpr std::size_t rows_asked_about =
    1000;  // by a query whose filter is a predicate, or more: many queries had better ask about all, once

// Of searches over rows of neighbours.
constexpr std::size_t queries_a_task = 64;  // at most
constexpr std::size_t pool_share = 2;       // of ef, the hops of an adaptive search
// Deviations of the estimates by which the nearest of what is left must be behind the k-th found.
double margin_of(double ef) { return std::max(0.0, std::log2(ef / 16)); }

}  // namespace

void Hnsw::search(const VectorBatch& queries, NeighborsView out, const Params& params,
                  const SearchControl& control) const {
  search_without(queries, {}, out, params, control);
}

// What the queries of one call share.
struct Hnsw::Call {
  const VectorBatch& queries;
  std::span<const std::uint32_t> absent_slots;  // empty, or one a query
  const NeighborsView& out;
  const SearchControl& control;
  const PassingSlots& passing;
  FilterPlan plan;
  std::span<const std::uint32_t> seeds;  // of a walk in two hops
  std::size_t ef = 0;
  std::uint64_t hops = 0;  // of RowWalk, at most
  float margin = 0;        // of RowWalk

  [[nodiscard]] std::size_t k() const { return out.k(); }
  [[nodiscard]] bool filtered() const { return passing.kind() != PassingSlots::Kind::all; }
  [[nodiscard]] bool scans() const { return plan.strategy == FilterStrategy::scan; }
};

// A query under way.
struct Hnsw::Lane {
  std::optional<ScratchPool::Lease> scratch;
  std::size_t query = 0;
  WalkWork work;
  std::optional<RowWalk> walk;  // of fused rows
  bool whole = true;            // a walk came to its end

  // Does some of what is left of the search; false when that is nothing.
  bool step() {
    if (!walk.has_value() || walk->done()) return false;
    walk->hop();
    return true;
  }
};

void Hnsw::search_without(const VectorBatch& queries, std::span<const std::uint32_t> absent,
                          NeighborsView out, const Params& params, const SearchControl& control) const {
  const State& state = *state_;
  const std::size_t ef = std::min(std::max(params.ef, out.k()), size());
  std::vector<std::uint32_t> absent_slots(absent.size());
  if (!absent.empty()) {
    const std::span<const std::uint32_t> slot_of_row = state.slot_of_row();
    for (std::size_t i = 0; i < absent.size(); ++i) absent_slots[i] = slot_of_row[absent[i]];
  }
  PassingSlots passing(control.filter, state.row_of_slot.span(), [&state] { return state.slot_of_row(); });
  Call call{queries, absent_slots, out, control, passing, {}, {}};
  call.ef = ef;
  if (call.filtered()) {
    if (passing.kind() == PassingSlots::Kind::predicate && queries.size() * rows_asked_about >= size())
      passing.make_bits(control);
    call.plan = plan_filter(passing,
                            {.degree = state.graph.level(0).degree,
                             .links = state.mean_links(),
                             .record_bytes = state.codes.bytes_per_vector(),
                             .fused = !state.rows.empty()},
                            {out.k(), ef, queries.size(), params.filter_strategy});
    if (call.plan.bits) passing.make_bits(control);
    if (call.plan.strategy == FilterStrategy::two_hop) call.seeds = passing.seeds();
  }
  const bool adaptive = !state.rows.empty() && params.adaptive;
  call.hops = std::min(size(), adaptive ? pool_share * ef : ef);
  call.margin = adaptive ? static_cast<float>(margin_of(static_cast<double>(ef)))
                         : std::numeric_limits<float>::infinity();
  // Every thread has a like share of a small batch.
  const std::size_t share =
      (queries.size() + control.executor.concurrency() - 1) / control.executor.concurrency();
  const bool walks_rows = !state.rows.empty() && call.plan.strategy == FilterStrategy::post_filter;
  const std::size_t a_task = !walks_rows ? 1 : std::clamp<std::size_t>(share, 1, queries_a_task);
  std::mutex stats_mutex;
  control.executor.for_each((queries.size() + a_task - 1) / a_task, [&](std::size_t task, std::size_t) {
    SearchStats work;
    search_some(call, task * a_task, std::min(queries.size(), (task + 1) * a_task), work);
    if (control.stats == nullptr) return;
    const std::lock_guard lock(stats_mutex);
    control.stats->add_work(work);
  });
  if (control.stats == nullptr) return;
  control.stats->strategy = describe(call.filtered() ? &call.plan : nullptr, !state.rows.empty(), ef);
}

// Queries `begin` to `end`, some of them in turns.
void Hnsw::search_some(const Call& call, std::size_t begin, std::size_t end, SearchStats& work) const {
  std::array<Lane, searches_in_turns> lanes;
  const auto begin_one = [&](Lane& lane, std::size_t job, LineQueue* queue) {
    if (!call.control.must_stop()) {
      if (!lane.scratch) lane.scratch.emplace(state_->scratch.borrow());
      begin_query(call, begin + job, queue, lane);
      return true;
    }
    SearchStats none;
    none.queries = 1;
    none.stop = call.control.stop_reason();
    work.add_work(none);
    return false;
  };
  in_turns(std::span<Lane>(lanes), end - begin, begin_one,
           [&](Lane& lane) { finish_query(call, lane, work); });
}

Scorer Hnsw::scorer(const SearchScratch& scratch) const {
  const CodeStore& codes = state_->codes;
  return {&codes.codec(), codes.records(), codes.factors(), &scratch.query};
}

// All of a query but its hops over fused rows, which are left to its lane, and what comes after them.
void Hnsw::begin_query(const Call& call, std::size_t query, LineQueue* queue, Lane& lane) const {
  const State& state = *state_;
  SearchScratch& scratch = **lane.scratch;
  lane.query = query;
  lane.work = {};
  lane.walk.reset();
  lane.whole = true;
  scratch.absent = call.absent_slots.empty() ? nobody : call.absent_slots[query];
  const std::span<const float> vector = call.queries.rows[query];
  state.codes.codec().prepare_query(vector, scratch.query);
  const std::size_t places =
      std::max(call.plan.two_hop_cap + 2 * state.graph.level(0).degree, State::scan_block);
  if (scratch.block.size() < places) {
    scratch.block.resize(places);
    scratch.distances.resize(places);
  }
  if (call.scans()) return;
  const Scorer score = scorer(scratch);
  const bool walks_rows = !state.rows.empty() && call.plan.strategy == FilterStrategy::post_filter;
  enter(score, scratch, call.filtered() ? State::starts : walks_rows ? call.hops : call.ef, lane.work);
  if (!walks_rows) {
    scratch.visited.reset(size());
    if (scratch.absent != nobody) scratch.visited.insert(scratch.absent);
    if (call.filtered()) return walk_filtered(call, score, lane);
    for (std::size_t i = 0; i < scratch.pool.size(); ++i) scratch.visited.insert(scratch.pool.slot(i));
    best_first(state.graph.level(0), score, scratch, {call.control.max_distances, &call.control}, lane.work);
    return;
  }
  state.rows.prepare_query(vector, scratch.fused);
  scratch.top.reset(call.k());
  lane.walk.emplace(state.rows, state.row_of_slot.span(), score, scratch,
                    RowWalk::Limits{.hops = call.hops,
                                    .margin = call.margin,
                                    .queue = queue,
                                    .passing = call.filtered() ? &call.passing : nullptr,
                                    .most_hops = call.plan.most_work},
                    call.control, lane.work);
}

void Hnsw::finish_query(const Call& call, Lane& lane, SearchStats& stats) const {
  const State& state = *state_;
  SearchScratch& scratch = **lane.scratch;
  const std::size_t k = call.k();
  const bool fused = lane.walk.has_value();
  std::vector<Ranked>& found = scratch.found;
  found.clear();
  if (fused) {
    lane.work = lane.walk->work();
    const std::span<Ranked> nearest = scratch.top.found();
    found.assign(nearest.begin(), nearest.end());
    lane.whole = !lane.walk->gave_up();
  } else if (!call.scans()) {
    const CandidatePool& pool = scratch.pool;
    for (std::size_t i = 0; i < pool.size(); ++i) {
      if (found.size() >= k && pool.distance(i) > found.back().distance) break;
      found.push_back({pool.distance(i), state.row_of_slot[pool.slot(i)]});
    }
  }
  // A filter never leaks: what is returned is checked against it itself.
  const auto verify = [&] {
    if (call.filtered()) std::erase_if(found, [&](const Ranked& r) { return !call.control.filter(r.id); });
  };
  verify();
  // Estimates of values near the end of floats' range may lead nowhere.
  const std::size_t present = size() - (scratch.absent == nobody ? 0 : 1);
  const bool incomplete = lane.work.stop == StopReason::complete && (fused || call.filtered()) &&
                          (!lane.whole || found.size() < std::min(k, present));
  if (call.scans() || incomplete) {
    found.clear();
    scan_passing(scorer(scratch), scratch, call, lane.work);
    verify();
  }
  write_ranked(found, call.out, lane.query);
  SearchStats own;
  own.queries = 1;
  own.distances = lane.work.distances;
  own.hops = lane.work.hops;
  own.stop = lane.work.stop;
  const std::size_t row_bytes =
      fused ? state.rows.row_bytes() : state.graph.level(0).degree * sizeof(std::uint32_t);
  own.bytes = own.distances * state.codes.bytes_per_vector() + own.hops * row_bytes +
              lane.work.lists * state.graph.level(0).degree * sizeof(std::uint32_t);
  stats.add_work(own);
}

// Empties the pool and puts the root into it, and the node on level 0 that greedy steps lead to from there. Every node can be reached from the
// root, not from any other: with the root in the pool a search wide enough finds all.
void Hnsw::enter(const Scorer& score, SearchScratch& scratch, std::size_t width, WalkWork& work) const {
  scratch.pool.reset(width);
  const std::uint32_t root = scratch.absent == 0 ? 1 : 0;
  if (root >= size()) return;
  std::uint32_t entry = root;
  float distance = 0;
  score(&entry, 1, &distance);
  work.distances = 1;
  scratch.pool.insert(distance, entry);
  const Graph& graph = state_->graph;
  for (std::size_t l = graph.levels(); l-- > 1;) {
    // A level that holds the absent node is skipped: greedy steps know no visited set, and would end on it.
    if (entry < graph.level(l).size && scratch.absent >= graph.level(l).size)
      entry = greedy_descent(graph.level(l), score, entry, distance, scratch, work);
  }
  if (entry != root) scratch.pool.insert(distance, entry);
}

// Leaves in the pool what passes and is near; lane.whole says whether that is to be believed.
void Hnsw::walk_filtered(const Call& call, const Scorer& score, Lane& lane) const {
  SearchScratch& scratch = **lane.scratch;
  const Graph::Level& level = state_->graph.level(0);
  const FilteredWalkLimits limits{call.plan.most_work, call.plan.two_hop_cap};
  if (call.plan.strategy == FilterStrategy::post_filter) {
    lane.whole = post_filter_walk(level, score, call.passing, call.plan.width, limits, call.control, scratch,
                                  lane.work);
    return;
  }
  lane.whole = two_hop_walk(level, score, call.passing, call.seeds, call.plan.width, limits, call.control,
                            scratch, lane.work);
  const auto most = call.passing.is_counted() ? static_cast<std::size_t>(call.passing.count()) : size();
  // What passes need not hang together: a pool that was not filled may have missed another part.
  if (scratch.pool.size() < std::min(call.plan.width, most)) lane.whole = false;
}

// Exact over the rows that pass.
void Hnsw::scan_passing(const Scorer& score, SearchScratch& scratch, const Call& call, WalkWork& work) const {
  const SearchControl& control = call.control;
  TopK& top = scratch.top;
  top.reset(call.k());
  const std::span<const std::uint32_t> slots = call.passing.list(control);
  float* const distances = scratch.distances.data();
  for (std::size_t begin = 0; begin < slots.size(); begin += State::scan_block) {
    if (work.distances >= control.max_distances) work.stop = StopReason::budget;
    if (control.must_stop()) work.stop = control.stop_reason();
    if (work.stop != StopReason::complete) break;
    const std::size_t count = std::min(State::scan_block, slots.size() - begin);
    score(slots.data() + begin, count, distances);
    work.distances += count;
    for (std::size_t i = 0; i < count; ++i) {
      if (distances[i] <= top.worst() && slots[begin + i] != scratch.absent)
        top.add(distances[i], state_->row_of_slot[slots[begin + i]]);
    }
  }
  if (control.must_stop() && work.stop == StopReason::complete) work.stop = control.stop_reason();
  const std::span<Ranked> nearest = top.found();
  scratch.found.assign(nearest.begin(), nearest.end());
}

}  // namespace vicinal
