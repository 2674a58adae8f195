#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <mutex>
#include <utility>
#include <vector>

#include "vicinal/core/prefetch.hpp"
#include "vicinal/core/random.hpp"
#include "vicinal/index/hnsw_state.hpp"
#include "vicinal/index/ranking.hpp"

namespace vicinal {
namespace {

constexpr std::uint32_t nobody = 0xFFFF'FFFF;
constexpr std::size_t scan_block = 256;
constexpr double distances_per_hop =
    16;  // fresh neighbours a hop scores, in the mean; sizes the choice of strategy only
constexpr std::size_t selectivity_probes = 512;

// Of searches over rows of neighbours.
constexpr std::uint64_t fewest_samples = 4;  // before the error of estimates is believed
constexpr double pool_share = 2.0;           // of ef, the pool of an adaptive search
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

void Hnsw::search_without(const VectorBatch& queries, std::span<const std::uint32_t> absent,
                          NeighborsView out, const Params& params, const SearchControl& control) const {
  const State& state = *state_;
  const std::size_t k = out.k();
  const std::size_t width = std::min(std::max(params.ef, k), size());
  const FilterPlan plan = plan_filter(control.filter, width);
  Params used = params;
  used.ef = width;
  std::vector<std::uint32_t> absent_slot(absent.size());
  if (!absent.empty()) {
    std::vector<std::uint32_t> slot_of_row(size());
    for (std::uint32_t slot = 0; slot < size(); ++slot) slot_of_row[state.row_of_slot[slot]] = slot;
    for (std::size_t i = 0; i < absent.size(); ++i) absent_slot[i] = slot_of_row[absent[i]];
  }
  std::mutex stats_mutex;
  control.executor.for_each(queries.size(), [&](std::size_t query, std::size_t) {
    SearchStats work;
    work.queries = 1;
    if (control.must_stop()) {
      work.stop = control.stop_reason();
    } else {
      const ScratchPool::Lease scratch = state.scratch.borrow();
      scratch->absent = absent.empty() ? nobody : absent_slot[query];
      search_one(*scratch, queries.rows[query], out, query, used, plan, control, work);
    }
    if (control.stats != nullptr) {
      const std::lock_guard lock(stats_mutex);
      control.stats->add_work(work);
    }
  });
  if (control.stats != nullptr) {
    const char* const layout = state.rows.empty() ? "" : "fused, ";
    control.stats->strategy =
        plan.scan ? "hnsw(scan of what passes)" : "hnsw(" + (layout + ("ef=" + std::to_string(width))) + ")";
  }
}

void Hnsw::search_one(SearchScratch& scratch, std::span<const float> vector, const NeighborsView& out,
                      std::size_t query, const Params& params, const FilterPlan& plan,
                      const SearchControl& control, SearchStats& work) const {
  const State& state = *state_;
  const std::size_t k = out.k();
  state.codes.codec().prepare_query(vector, scratch.query);
  const Scorer score{&state.codes.codec(), state.codes.records(), state.codes.factors(), &scratch.query};
  const std::size_t places = state.graph.level(0).degree;
  if (scratch.block.size() < std::max(places, scan_block)) {
    scratch.block.resize(std::max(places, scan_block));
    scratch.distances.resize(std::max(places, scan_block));
  }
  std::vector<Ranked>& found = scratch.found;
  found.clear();

  // The pool is widened so that it holds about as many rows that pass as it would of all.
  const auto widened = [&](double width) {
    return std::min(size(), static_cast<std::size_t>(std::ceil(width / std::max(plan.passing, 1e-9))));
  };
  const bool fused = !state.rows.empty();
  if (!plan.scan && fused) {
    const auto ef = static_cast<double>(params.ef);
    const double width = params.adaptive ? pool_share * ef : ef;
    const double margin = params.adaptive ? margin_of(ef) : std::numeric_limits<double>::infinity();
    walk_rows(score, scratch, vector, k, widened(width), margin, control, work);
    const std::span<Ranked> nearest = scratch.top.found();
    found.assign(nearest.begin(), nearest.end());
  } else if (!plan.scan) {
    walk(score, scratch, widened(static_cast<double>(params.ef)), control, work);
    const CandidatePool& pool = scratch.pool;
    for (std::size_t i = 0; i < pool.size(); ++i) {
      if (found.size() >= k && pool.distance(i) > found.back().distance) break;
      const std::uint32_t slot = pool.slot(i);
      const Id row = state.row_of_slot[slot];
      if (control.filter(row)) found.push_back({pool.distance(i), row});
    }
  }
  // Estimates of values near the end of floats' range may lead nowhere.
  const std::size_t present = size() - (scratch.absent == nobody ? 0 : 1);
  const bool incomplete = found.size() < std::min(k, present) && work.stop == StopReason::complete &&
                          (fused || !control.filter.passes_all());
  if (plan.scan || incomplete) {
    found.clear();
    scan_passing(score, scratch, k, control, work);
  }
  write_ranked(found, out, query);
  const std::size_t row_bytes = fused ? state.rows.row_bytes() : places * sizeof(std::uint32_t);
  work.bytes = work.distances * state.codes.bytes_per_vector() + work.hops * row_bytes;
}

// Empties the pool and puts the root into it, and the node on level 0 that greedy steps lead to from there. Every node can be reached from the
// root, not from any other: with the root in the pool a search wide enough finds all.
void Hnsw::enter(const Scorer& score, SearchScratch& scratch, std::size_t width, WalkWork& work) const {
  scratch.pool.reset(width);
  scratch.visited.reset(size());
  if (scratch.absent != nobody) scratch.visited.insert(scratch.absent);
  std::uint32_t entry = scratch.absent == 0 ? 1 : 0;
  if (entry >= size()) return;
  float distance = 0;
  score(&entry, 1, &distance);
  work.distances = 1;
  scratch.visited.insert(entry);
  scratch.pool.insert(distance, entry);
  const Graph& graph = state_->graph;
  for (std::size_t l = graph.levels(); l-- > 1;) {
    // A level that holds the absent node is skipped: greedy steps know no visited set, and would end on it.
    if (entry < graph.level(l).size && scratch.absent >= graph.level(l).size)
      entry = greedy_descent(graph.level(l), score, entry, distance, scratch, work);
  }
  if (scratch.visited.insert(entry)) scratch.pool.insert(distance, entry);
}

// Best-first over rows of neighbours: what is expanded gets its exact distance, what it is linked to an estimate that orders the pool.
void Hnsw::walk_rows(const Scorer& score, SearchScratch& scratch, std::span<const float> vector,
                     std::size_t k, std::size_t width, double margin, const SearchControl& control,
                     SearchStats& stats) const {
  const FusedRows& rows = state_->rows;
  CandidatePool& pool = scratch.pool;
  scratch.top.reset(k);
  rows.prepare_query(vector, scratch.fused);
  WalkWork work;
  enter(score, scratch, width, work);
  float* const estimates = scratch.distances.data();
  double squares = 0;  // of how far estimates were off
  std::uint64_t samples = 0;
  while (pool.has_unexpanded() && work.stop == StopReason::complete) {
    const float estimate = pool.peek_distance();
    if (samples >= fewest_samples) {
      const double slack = margin * std::sqrt(squares / static_cast<double>(samples));
      if (static_cast<double>(estimate) > static_cast<double>(scratch.top.worst()) + slack) break;
    }
    const std::uint32_t slot = pool.expand_next();
    // What is likely to be next, a hop ahead; what has come before it since, as soon as that is known.
    std::uint32_t asked = nobody;
    const auto ask_for_next = [&] {
      if (!pool.has_unexpanded() || pool.peek_next() == asked) return;
      asked = pool.peek_next();
      score.ask_for(asked);
      rows.prefetch_row(asked);
    };
    ask_for_next();
    float distance = 0;
    score(&slot, 1, &distance);
    if (distance <= scratch.top.worst()) {
      const Id row = state_->row_of_slot[slot];
      if (control.filter(row)) scratch.top.add(distance, row);
    }
    if (distance != estimate) {
      const double error = static_cast<double>(distance) - static_cast<double>(estimate);
      squares += error * error;
      ++samples;
    }
    rows.score(slot, distance, scratch.fused, estimates);
    const std::uint32_t* const links = rows.neighbours(slot);
    std::size_t near = 0;
    for (std::size_t i = 0; i < rows.degree() && links[i] != Graph::no_slot; ++i) {
      scratch.block[near] = static_cast<std::uint32_t>(i);
      near += estimates[i] < pool.worst() ? 1 : 0;
    }
    for (std::size_t i = 0; i < near; ++i) scratch.visited.ask_for(links[scratch.block[i]]);
    for (std::size_t i = 0; i < near; ++i) {
      const std::uint32_t place = scratch.block[i];
      if (estimates[place] < pool.worst() && scratch.visited.insert(links[place]))
        pool.insert(estimates[place], links[place]);
    }
    ask_for_next();
    ++work.distances;
    ++work.hops;
    if (work.distances >= control.max_distances && pool.has_unexpanded()) work.stop = StopReason::budget;
    if (work.hops % hops_between_polls == 0 && control.must_stop()) work.stop = control.stop_reason();
  }
  stats.distances += work.distances;
  stats.hops += work.hops;
  stats.stop = work.stop;
}

// Best-first on level 0 by exact distances.
void Hnsw::walk(const Scorer& score, SearchScratch& scratch, std::size_t width, const SearchControl& control,
                SearchStats& stats) const {
  WalkWork work;
  enter(score, scratch, width, work);
  best_first(state_->graph.level(0), score, scratch, {control.max_distances, &control}, work);
  stats.distances += work.distances;
  stats.hops += work.hops;
  stats.stop = work.stop;
}

// Exact over the rows that pass.
void Hnsw::scan_passing(const Scorer& score, SearchScratch& scratch, std::size_t k,
                        const SearchControl& control, SearchStats& work) const {
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
