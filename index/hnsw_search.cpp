#include <algorithm>
#include <bit>
#include <cmath>
#include <mutex>
#include <utility>
#include <vector>

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
      search_one(*scratch, queries.rows[query], out, query, width, plan, control, work);
    }
    if (control.stats != nullptr) {
      const std::lock_guard lock(stats_mutex);
      control.stats->add_work(work);
    }
  });
  if (control.stats != nullptr) {
    control.stats->strategy =
        plan.scan ? "hnsw(scan of what passes)" : "hnsw(ef=" + std::to_string(width) + ")";
  }
}

void Hnsw::search_one(SearchScratch& scratch, std::span<const float> vector, const NeighborsView& out,
                      std::size_t query, std::size_t width, const FilterPlan& plan,
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

  if (!plan.scan) {
    // The pool is widened so that it holds about `width` rows that pass.
    const double wide = static_cast<double>(width) / std::max(plan.passing, 1e-9);
    walk(score, scratch, std::min(size(), static_cast<std::size_t>(std::ceil(wide))), control, work);
    const CandidatePool& pool = scratch.pool;
    for (std::size_t i = 0; i < pool.size(); ++i) {
      if (found.size() >= k && pool.distance(i) > found.back().distance) break;
      const std::uint32_t slot = pool.slot(i);
      const Id row = state.row_of_slot[slot];
      if (control.filter(row)) found.push_back({pool.distance(i), row});
    }
  }
  const bool incomplete =
      found.size() < std::min(k, size()) && work.stop == StopReason::complete && !control.filter.passes_all();
  if (plan.scan || incomplete) {
    found.clear();
    scan_passing(score, scratch, k, control, work);
  }
  write_ranked(found, out, query);
  work.bytes = work.distances * state.codes.bytes_per_vector() + work.hops * places * sizeof(std::uint32_t);
}

// From the top level down, then best-first on level 0.
void Hnsw::walk(const Scorer& score, SearchScratch& scratch, std::size_t width, const SearchControl& control,
                SearchStats& stats) const {
  const Graph& graph = state_->graph;
  scratch.pool.reset(width);
  scratch.visited.reset(size());
  if (scratch.absent != nobody) {
    if (size() == 1) return;
    scratch.visited.insert(scratch.absent);
  }
  const std::uint32_t root = scratch.absent == 0 ? 1 : 0;
  std::uint32_t entry = root;
  float distance = 0;
  WalkWork work;
  score(&entry, 1, &distance);
  const float root_distance = distance;
  work.distances = 1;
  for (std::size_t l = graph.levels(); l-- > 1;) {
    // A level that holds the absent node is skipped: greedy steps know no visited set, and would end on it.
    if (entry < graph.level(l).size && scratch.absent >= graph.level(l).size)
      entry = greedy_descent(graph.level(l), score, entry, distance, scratch, work);
  }
  // Every node can be reached from the root, not from any entry: with the root in the pool a search wide enough finds all.
  scratch.visited.insert(root);
  scratch.pool.insert(root_distance, root);
  if (scratch.visited.insert(entry)) scratch.pool.insert(distance, entry);
  best_first(graph.level(0), score, scratch, {control.max_distances, &control}, work);
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
