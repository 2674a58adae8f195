#include <algorithm>
#include <bit>
#include <cmath>
#include <mutex>
#include <utility>

#include "vicinal/core/random.hpp"
#include "vicinal/index/live_hnsw.hpp"
#include "vicinal/index/live_state.hpp"
#include "vicinal/index/live_walk.hpp"

namespace vicinal {
namespace {

constexpr std::size_t scan_block = 256;
constexpr double distances_per_hop =
    16;  // fresh neighbours a hop scores, in the mean; sizes the choice of strategy only
constexpr std::size_t selectivity_probes = 512;

// What the queries of one call share.
struct Call {
  const LiveState& state;
  const VectorBatch& queries;
  const NeighborsView& out;
  const SearchControl& control;
  std::size_t ef = 0;          // at least k
  std::size_t candidates = 0;  // that are reranked; k without a rerank
  double passing = 1.0;        // share of items that the filter passes, known or estimated
  bool scan = false;           // compare everything that passes

  [[nodiscard]] std::size_t k() const { return out.k(); }
};

double share_passing(const Filter& filter, const LiveState& state) {
  const auto live = static_cast<double>(std::max<std::size_t>(1, state.live.load(std::memory_order_relaxed)));
  if (const auto* set = filter.as_id_set()) return std::min(1.0, static_cast<double>(set->ids.size()) / live);
  const Epochs::Pin pin = state.epochs.pin();
  const std::uint64_t version = state.version.load(std::memory_order_acquire);
  const std::uint32_t bound = state.used.load(std::memory_order_acquire);
  RandomStream random(0, 0);
  std::size_t tried = 0, passed = 0;
  for (std::size_t i = 0; bound != 0 && i < selectivity_probes; ++i) {
    const auto slot = static_cast<std::uint32_t>(random.next_below(bound));
    if (!Lifetime::covers(state.lifetimes[slot], version)) continue;
    ++tried;
    passed += filter(state.ids[slot]) ? 1 : 0;
  }
  return tried == 0 ? 0.0 : static_cast<double>(passed) / static_cast<double>(tried);
}

class Query {
 public:
  Query(const Call& call, std::size_t number, SearchScratch& scratch)
      : call_(call), state_(call.state), number_(number), scratch_(scratch) {}

  void run(SearchStats& stats) {
    const Epochs::Pin pin = state_.epochs.pin();
    // The version first: whatever it holds is in slots that are counted by then.
    version_ = state_.version.load(std::memory_order_acquire);
    bound_ = state_.used.load(std::memory_order_acquire);
    const std::size_t places = std::max(scan_block, state_.degree(0));
    if (scratch_.block.size() < places) {
      scratch_.block.resize(places);
      scratch_.distances.resize(places);
    }
    scratch_.found.clear();
    state_.codec.prepare_query(call_.queries.rows[number_], scratch_.query);
    const Scorer score = state_.scorer(scratch_.query);
    bool scan = call_.scan;
    if (!scan) {
      walk(score);
      take_found();
      const std::size_t live = state_.live.load(std::memory_order_relaxed);
      scan = scratch_.found.size() < std::min(call_.k(), live) && work_.stop == StopReason::complete;
    }
    if (scan) compare_all(score);
    const std::size_t reranked = state_.rerank ? rerank() : 0;
    write_ranked(scratch_.found, call_.out, number_);
    SearchStats own;
    own.queries = 1;
    own.distances = work_.distances;
    own.hops = work_.hops;
    own.reranked = reranked;
    own.stop = work_.stop;
    own.bytes = own.distances * (state_.codec.stride() + state_.codec.factor_count() * sizeof(float)) +
                own.hops * state_.degree(0) * sizeof(std::uint32_t);
    if (state_.rerank) own.bytes += reranked * state_.rerank->codec.stride();
    stats.add_work(own);
  }

 private:
  [[nodiscard]] bool passes(std::uint32_t slot) const {
    return Lifetime::covers(state_.lifetimes[slot], version_) && call_.control.filter(state_.ids[slot]);
  }

  void walk(const Scorer& score) {
    LiveEntry top = state_.load_entry();
    if (top.slot >= bound_) return;  // there is none, or it is newer than this query
    // As many that are there and pass as a graph of them alone would give.
    const auto live = static_cast<double>(state_.live.load(std::memory_order_relaxed));
    const auto retired = static_cast<double>(state_.retired.load(std::memory_order_relaxed));
    const double share = std::max(call_.passing * (live + 1) / (live + retired + 1), 1e-9);
    const double width = std::ceil(static_cast<double>(call_.ef) / share);
    scratch_.pool.reset(static_cast<std::size_t>(std::min(width, static_cast<double>(bound_))));
    std::uint32_t entry = top.slot;
    float distance = 0;
    score(&entry, 1, &distance);
    work_.distances = 1;
    for (std::size_t l = top.level; l > 0; --l) {
      const std::uint32_t next = live_descent(state_, l, score, entry, distance, scratch_, work_);
      if (next >= bound_) break;  // newer than this query
      entry = next;
    }
    if (entry != top.slot) score(&entry, 1, &distance);
    scratch_.visited.reset(std::bit_ceil(bound_));
    scratch_.visited.insert(entry);
    scratch_.pool.insert(distance, entry);
    live_best_first(state_, 0, score, scratch_, bound_, {call_.control.max_distances, &call_.control}, work_);
  }

  // What is found goes by its slot until it is reranked.
  [[nodiscard]] Id name_of(std::uint32_t slot) const {
    return state_.rerank ? static_cast<Id>(slot) : state_.ids[slot];
  }

  // Of the pool, the nearest that are there and pass.
  void take_found() {
    const CandidatePool& pool = scratch_.pool;
    std::vector<Ranked>& found = scratch_.found;
    for (std::size_t i = 0; i < pool.size(); ++i) {
      if (found.size() >= call_.candidates && pool.distance(i) > found.back().distance) break;
      if (passes(pool.slot(i))) found.push_back({pool.distance(i), name_of(pool.slot(i))});
    }
  }

  void compare_all(const Scorer& score) {
    TopK& top = scratch_.top;
    top.reset(call_.candidates);
    std::size_t count = 0;
    const auto flush = [&] {
      score(scratch_.block.data(), count, scratch_.distances.data());
      work_.distances += count;
      for (std::size_t i = 0; i < count; ++i) {
        if (scratch_.distances[i] <= top.worst()) top.add(scratch_.distances[i], name_of(scratch_.block[i]));
      }
      count = 0;
    };
    const auto take = [&](std::uint32_t slot) {
      if (!passes(slot)) return true;
      scratch_.block[count++] = slot;
      if (count < scan_block) return true;
      flush();
      if (work_.distances >= call_.control.max_distances) work_.stop = StopReason::budget;
      if (call_.control.must_stop()) work_.stop = call_.control.stop_reason();
      return work_.stop == StopReason::complete;
    };
    if (const auto* set = call_.control.filter.as_id_set();
        set != nullptr && set->ids.size() < state_.live.load(std::memory_order_relaxed)) {
      std::vector<std::uint32_t> slots;
      {
        // Names and version change together.
        const std::shared_lock lock(state_.names_mutex);
        version_ = state_.version.load(std::memory_order_acquire);
        for (const Id id : set->ids) {
          const auto found = state_.slot_of.find(id);
          if (found != state_.slot_of.end()) slots.push_back(found->second);
        }
      }
      for (const std::uint32_t slot : slots) {
        if (!take(slot)) break;
      }
    } else {
      for (std::uint32_t slot = 0; slot < bound_ && take(slot); ++slot) {
      }
    }
    flush();
    const std::span<Ranked> nearest = top.found();
    scratch_.found.assign(nearest.begin(), nearest.end());
    std::sort(scratch_.found.begin(), scratch_.found.end());
  }

  std::size_t rerank() {
    const Codec& codec = state_.rerank->codec;
    std::vector<Ranked>& found = scratch_.found;
    if (found.size() > call_.candidates) found.resize(call_.candidates);
    if (scratch_.block.size() < found.size()) {
      scratch_.block.resize(found.size());
      scratch_.distances.resize(found.size());
    }
    for (std::size_t i = 0; i < found.size(); ++i) {
      scratch_.block[i] = static_cast<std::uint32_t>(found[i].id);
      prefetch(state_.rerank_records.row(scratch_.block[i]), codec.stride());
    }
    codec.prepare_query(call_.queries.rows[number_], scratch_.query);
    codec.score(scratch_.query, state_.rerank_records.data(),
                state_.rerank_factors.empty() ? nullptr : state_.rerank_factors.data(), scratch_.block.data(),
                found.size(), scratch_.distances.data());
    for (std::size_t i = 0; i < found.size(); ++i)
      found[i] = {scratch_.distances[i], state_.ids[scratch_.block[i]]};
    return found.size();
  }

  const Call& call_;
  const LiveState& state_;
  std::size_t number_;
  SearchScratch& scratch_;
  std::uint64_t version_ = 0;
  std::uint32_t bound_ = 0;
  WalkWork work_;
};

}  // namespace

void LiveHnsw::search(const VectorBatch& queries, NeighborsView out, const Params& params,
                      const SearchControl& control) const {
  const LiveState& state = *state_;
  Call call{state, queries, out, control};
  call.ef = std::max(params.ef, out.k());
  call.candidates = out.k();
  if (state.rerank) {
    const double depth = params.depth == 0 ? state.rerank->depth : params.depth;
    const double wanted = std::ceil(depth * static_cast<double>(out.k()));
    call.candidates =
        std::max(out.k(), static_cast<std::size_t>(std::min(wanted, static_cast<double>(call.ef))));
  }
  // As wide a walk would meet them all.
  call.scan = call.ef >= state.live.load(std::memory_order_relaxed);
  if (!control.filter.passes_all()) {
    call.passing = share_passing(control.filter, state);
    const double matches = call.passing * static_cast<double>(state.live.load(std::memory_order_relaxed));
    call.scan = matches <= distances_per_hop * static_cast<double>(call.ef) / std::max(call.passing, 1e-9);
  }
  std::mutex stats_mutex;
  control.executor.for_each(queries.size(), [&](std::size_t number, std::size_t) {
    SearchStats work;
    if (control.must_stop()) {
      work.queries = 1;
      work.stop = control.stop_reason();
    } else {
      ScratchPool::Lease scratch = state.scratch.borrow();
      Query(call, number, *scratch).run(work);
    }
    if (control.stats == nullptr) return;
    const std::lock_guard lock(stats_mutex);
    control.stats->add_work(work);
  });
  if (control.stats == nullptr) return;
  control.stats->strategy =
      call.scan ? "live(scan of what passes)" : "live(ef=" + std::to_string(call.ef) + ")";
  if (state.rerank) {
    control.stats->strategy = "rerank(" + std::string(to_string(state.rerank->codec.kind())) + ", " +
                              std::to_string(call.candidates) + ") > " + control.stats->strategy;
  }
}

}  // namespace vicinal
