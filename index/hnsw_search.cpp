#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "vicinal/core/prefetch.hpp"
#include "vicinal/core/random.hpp"
#include "vicinal/index/hnsw_state.hpp"
#include "vicinal/index/ranking.hpp"
#include "vicinal/index/row_walk.hpp"
#include "vicinal/index/turns.hpp"

namespace vicinal {
namespace {

constexpr std::uint32_t nobody = 0xFFFF'FFFF;
constexpr std::size_t scan_block = 256;
constexpr double distances_per_hop =
    16;  // fresh neighbours a hop scores, in the mean; sizes the choice of strategy only
constexpr std::size_t selectivity_probes = 512;

// Of searches over rows of neighbours.
constexpr std::size_t queries_a_task = 64;  // at most
constexpr double pool_share = 2.0;          // of ef, the pool of an adaptive search
// Deviations of the estimates by which the nearest of what is left must be behind the k-th found.
double margin_of(double ef) { return std::max(0.0, std::log2(ef / 16)); }

// Rows a bitmap lets pass.
std::size_t count_passing(const Filter::Bitmap& bitmap, std::size_t size) {
  std::size_t count = 0;
  const std::size_t words = std::min(bitmap.words.size(), (size + 63) / 64);
  for (std::size_t w = 0; w < words; ++w) {
    std::uint64_t word = bitmap.words[w];
    if (w == size / 64) word &= (std::uint64_t{1} << size % 64) - 1;
    count += static_cast<std::size_t>(std::popcount(word));
  }
  return count;
}

double share_passing(const Filter& filter, std::size_t size) {
  if (const auto* bitmap = filter.as_bitmap())
    return static_cast<double>(count_passing(*bitmap, size)) / static_cast<double>(size);
  if (const auto* set = filter.as_id_set()) {
    const auto [first, last] =
        std::pair(std::lower_bound(set->ids.begin(), set->ids.end(), Id{0}),
                  std::lower_bound(set->ids.begin(), set->ids.end(), static_cast<Id>(size)));
    return static_cast<double>(last - first) / static_cast<double>(size);
  }
  RandomStream random(0, 0);
  std::size_t passed = 0;
  for (std::size_t i = 0; i < selectivity_probes; ++i)
    passed += filter(static_cast<Id>(random.next_below(size))) ? 1 : 0;
  return static_cast<double>(passed) / static_cast<double>(selectivity_probes);
}

}  // namespace

// Walking finds a passing row every 1 / passing candidates, so the pool must be that much wider; scanning costs every passing row.
Hnsw::FilterPlan Hnsw::plan_filter(const Filter& filter, std::size_t width) const {
  if (filter.passes_all()) return {};
  const double passing = share_passing(filter, size());
  const double walk = distances_per_hop * static_cast<double>(width) / std::max(passing, 1e-9);
  return {passing * static_cast<double>(size()) <= walk, passing};
}

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
  FilterPlan plan;
  double width = 0;  // of the pool, or the hops of a RowWalk
  float margin = 0;  // of RowWalk

  [[nodiscard]] std::size_t k() const { return out.k(); }
};

// A query under way.
struct Hnsw::Lane {
  std::optional<ScratchPool::Lease> scratch;
  std::size_t query = 0;
  WalkWork work;
  std::optional<RowWalk> walk;  // of fused rows

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
    std::vector<std::uint32_t> slot_of_row(size());
    for (std::uint32_t slot = 0; slot < size(); ++slot) slot_of_row[state.row_of_slot[slot]] = slot;
    for (std::size_t i = 0; i < absent.size(); ++i) absent_slots[i] = slot_of_row[absent[i]];
  }
  Call call{queries, absent_slots, out, control, plan_filter(control.filter, ef)};
  const bool adaptive = !state.rows.empty() && params.adaptive;
  // The pool is widened so that it holds about as many rows that pass as it would of all.
  const double width =
      static_cast<double>(ef) * (adaptive ? pool_share : 1.0) / std::max(call.plan.passing, 1e-9);
  call.width = std::min(static_cast<double>(size()), std::ceil(width));
  call.margin = adaptive ? static_cast<float>(margin_of(static_cast<double>(ef)))
                         : std::numeric_limits<float>::infinity();
  // Every thread has a like share of a small batch.
  const std::size_t share =
      (queries.size() + control.executor.concurrency() - 1) / control.executor.concurrency();
  const bool walks_rows = !state.rows.empty() && !call.plan.scan;
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
  const char* const layout = state.rows.empty() ? "" : "fused, ";
  control.stats->strategy =
      call.plan.scan ? "hnsw(scan of what passes)" : "hnsw(" + (layout + ("ef=" + std::to_string(ef))) + ")";
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
  scratch.absent = call.absent_slots.empty() ? nobody : call.absent_slots[query];
  const std::span<const float> vector = call.queries.rows[query];
  state.codes.codec().prepare_query(vector, scratch.query);
  const std::size_t places = std::max(state.graph.level(0).degree, scan_block);
  if (scratch.block.size() < places) {
    scratch.block.resize(places);
    scratch.distances.resize(places);
  }
  if (call.plan.scan) return;
  const Scorer score = scorer(scratch);
  enter(score, scratch, static_cast<std::size_t>(call.width), lane.work);
  if (state.rows.empty()) {
    scratch.visited.reset(size());
    if (scratch.absent != nobody) scratch.visited.insert(scratch.absent);
    for (std::size_t i = 0; i < scratch.pool.size(); ++i) scratch.visited.insert(scratch.pool.slot(i));
    best_first(state.graph.level(0), score, scratch, {call.control.max_distances, &call.control}, lane.work);
    return;
  }
  state.rows.prepare_query(vector, scratch.fused);
  scratch.top.reset(call.k());
  lane.walk.emplace(state.rows, state.row_of_slot.span(), score, scratch,
                    RowWalk::Limits{static_cast<std::uint64_t>(call.width), call.margin, queue}, call.control,
                    lane.work);
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
  } else if (!call.plan.scan) {
    const CandidatePool& pool = scratch.pool;
    for (std::size_t i = 0; i < pool.size(); ++i) {
      if (found.size() >= k && pool.distance(i) > found.back().distance) break;
      const Id row = state.row_of_slot[pool.slot(i)];
      if (call.control.filter(row)) found.push_back({pool.distance(i), row});
    }
  }
  // Estimates of values near the end of floats' range may lead nowhere.
  const std::size_t present = size() - (scratch.absent == nobody ? 0 : 1);
  const bool incomplete = found.size() < std::min(k, present) && lane.work.stop == StopReason::complete &&
                          (fused || !call.control.filter.passes_all());
  if (call.plan.scan || incomplete) {
    found.clear();
    scan_passing(scorer(scratch), scratch, k, call.control, lane.work);
  }
  write_ranked(found, call.out, lane.query);
  SearchStats own;
  own.queries = 1;
  own.distances = lane.work.distances;
  own.hops = lane.work.hops;
  own.stop = lane.work.stop;
  const std::size_t row_bytes =
      fused ? state.rows.row_bytes() : state.graph.level(0).degree * sizeof(std::uint32_t);
  own.bytes = own.distances * state.codes.bytes_per_vector() + own.hops * row_bytes;
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

// Exact over the rows that pass.
void Hnsw::scan_passing(const Scorer& score, SearchScratch& scratch, std::size_t k,
                        const SearchControl& control, WalkWork& work) const {
  TopK& top = scratch.top;
  top.reset(k);
  std::size_t count = 0;
  const auto flush = [&] {
    score(scratch.block.data(), count, scratch.distances.data());
    work.distances += count;
    for (std::size_t i = 0; i < count; ++i) {
      if (scratch.distances[i] <= top.worst())
        top.add(scratch.distances[i], state_->row_of_slot[scratch.block[i]]);
    }
    count = 0;
  };
  for (std::uint32_t slot = 0; slot < size(); ++slot) {
    const std::uint32_t row = state_->row_of_slot[slot];
    if (slot == scratch.absent || !control.filter(row)) continue;
    scratch.block[count++] = slot;
    if (count < scan_block) continue;
    flush();
    if (work.distances >= control.max_distances) work.stop = StopReason::budget;
    if (control.must_stop()) work.stop = control.stop_reason();
    if (work.stop != StopReason::complete) break;
  }
  if (work.stop == StopReason::complete) flush();
  const std::span<Ranked> nearest = top.found();
  scratch.found.assign(nearest.begin(), nearest.end());
}

}  // namespace vicinal
