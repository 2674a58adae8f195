#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "vicinal/core/prefetch.hpp"
#include "vicinal/index/filter_plan.hpp"
#include "vicinal/index/frontier.hpp"
#include "vicinal/index/hnsw_state.hpp"
#include "vicinal/index/passing_slots.hpp"
#include "vicinal/index/ranking.hpp"

namespace vicinal {

// A best-first search that stops and goes on. A search with a wider pool expands the same nodes in the same order as one with a narrow pool,
// and then more: so a page is what a search finds whose pool is as much wider as there were results before.
class Hnsw::PagedWalk final : public Pages {
 public:
  PagedWalk(Hnsw index, std::span<const float> query, std::size_t page, const Params& params, Filter filter)
      : index_(std::move(index)),
        filter_(std::move(filter)),
        passing_(filter_, state().row_of_slot.span(), [&shared = state()] { return shared.slot_of_row(); }),
        width_(std::min(index_.size(), std::max(params.ef, page))),
        scratch_(state().scratch.borrow()) {
    scratch_->absent = Graph::no_slot;
    state().codes.codec().prepare_query(query, scratch_->query);
    const std::size_t places = std::max(level().degree, State::scan_block);
    if (scratch_->block.size() < places) {
      scratch_->block.resize(places);
      scratch_->distances.resize(places);
    }
    if (filtered()) plan(page, params);
  }

  void next(std::size_t count, Page& page, const SearchControl& control) override {
    page.clear();
    if (is_cancelled(control)) return;
    WalkWork work;
    if (control.must_stop()) {
      work.stop = control.stop_reason();
    } else if (scans_) {
      scan(control, work);
    } else {
      walk(std::max(width_, count), control, work);
    }
    report(control, work);
    if (work.stop != StopReason::cancelled) give(count, page);
  }

 private:
  [[nodiscard]] const State& state() const { return *index_.state_; }
  [[nodiscard]] const Graph::Level& level() const { return state().graph.level(0); }
  [[nodiscard]] bool filtered() const { return passing_.kind() != PassingSlots::Kind::all; }

  // A predicate is asked about what a walk meets, never about all rows: that could not be interrupted and taken up again.
  void plan(std::size_t page, const Params& params) {
    if (passing_.kind() == PassingSlots::Kind::predicate) return;
    const FilterPlan plan = plan_filter(passing_,
                                        {.degree = level().degree,
                                         .links = state().mean_links(),
                                         .record_bytes = state().codes.bytes_per_vector(),
                                         .fused = false},
                                        {page, width_, 1, params.filter_strategy});
    if (plan.bits) passing_.make_bits({});
    scans_ = plan.strategy == FilterStrategy::scan;
  }

  // Keeps what was found and passes: the nearest at hand, the rest in a heap.
  void keep(float distance, std::uint32_t slot) {
    const Ranked candidate{distance, state().row_of_slot[slot]};
    if (near_.size() >= width_ && !(candidate < near_.back())) {
      far_.push(distance, static_cast<std::uint32_t>(candidate.id));
      return;
    }
    near_.insert(std::upper_bound(near_.begin(), near_.end(), candidate), candidate);
    if (near_.size() <= width_) return;
    far_.push(near_.back().distance, static_cast<std::uint32_t>(near_.back().id));
    near_.pop_back();
  }

  // All that passes, by its distance.
  void scan(const SearchControl& control, WalkWork& work) {
    const Scorer score = index_.scorer(*scratch_);
    const std::span<const std::uint32_t> slots = passing_.list({});
    while (scanned_ < slots.size()) {
      if (work.distances >= control.max_distances) work.stop = StopReason::budget;
      if (control.must_stop()) work.stop = control.stop_reason();
      if (work.stop != StopReason::complete) return;
      const std::size_t count = std::min(State::scan_block, slots.size() - scanned_);
      score(slots.data() + scanned_, count, scratch_->distances.data());
      for (std::size_t i = 0; i < count; ++i) keep(scratch_->distances[i], slots[scanned_ + i]);
      scanned_ += count;
      work.distances += count;
    }
  }

  void begin(WalkWork& work) {
    index_.enter(index_.scorer(*scratch_), *scratch_, State::starts, work);
    scratch_->visited.reset(index_.size());
    const CandidatePool& pool = scratch_->pool;
    for (std::size_t i = 0; i < pool.size(); ++i) {
      scratch_->visited.insert(pool.slot(i));
      frontier_.push(pool.distance(i), pool.slot(i));
      if (passing_.test(pool.slot(i))) keep(pool.distance(i), pool.slot(i));
    }
    begun_ = true;
  }

  // Until the nearest `wanted` that are left to give have all been expanded, as far as they can be known.
  void walk(std::size_t wanted, const SearchControl& control, WalkWork& work) {
    if (!begun_) begin(work);
    width_ = wanted;
    refill();
    const Scorer score = index_.scorer(*scratch_);
    passing_.with_test([&](const auto& passes) {
      while (!frontier_.empty() &&
             (near_.size() < wanted || frontier_.distance() <= near_[wanted - 1].distance)) {
        if (work.distances >= control.max_distances) work.stop = StopReason::budget;
        if (work.hops % hops_between_polls == 0 && control.must_stop()) work.stop = control.stop_reason();
        if (work.stop != StopReason::complete) return;
        expand(score, passes, work);
      }
    });
  }

  template <class Test>
  void expand(const Scorer& score, const Test& passes, WalkWork& work) {
    const std::uint32_t* const list = level().list(frontier_.slot());
    frontier_.pop();
    std::uint32_t* const block = scratch_->block.data();
    float* const distances = scratch_->distances.data();
    const std::size_t fresh = take_fresh(list, level().degree, scratch_->visited, block);
    for (std::size_t i = 0; i < std::min<std::size_t>(fresh, 4); ++i) score.ask_for(block[i]);
    if (!frontier_.empty()) prefetch(level().list(frontier_.slot()), level().degree * sizeof(std::uint32_t));
    score(block, fresh, distances);
    for (std::size_t i = 0; i < fresh; ++i) {
      frontier_.push(distances[i], block[i]);
      if (passes(block[i])) keep(distances[i], block[i]);
    }
    work.distances += fresh;
    ++work.hops;
  }

  void refill() {
    while (near_.size() < width_ && !far_.empty()) {
      near_.push_back({far_.distance(), static_cast<Id>(far_.slot())});
      far_.pop();
    }
  }

  // A filter never leaks: what is given is checked against it itself.
  void give(std::size_t count, Page& page) {
    while (page.size() < count && !near_.empty()) {
      const std::size_t part = std::min(count - page.size(), near_.size());
      for (std::size_t i = 0; i < part; ++i) {
        if (filtered() && !filter_(near_[i].id)) continue;
        page.ids.push_back(near_[i].id);
        page.distances.push_back(near_[i].distance);
      }
      near_.erase(near_.begin(), near_.begin() + static_cast<std::ptrdiff_t>(part));
      refill();
    }
  }

  void report(const SearchControl& control, const WalkWork& work) const {
    if (control.stats == nullptr) return;
    SearchStats own;
    own.queries = 1;
    own.distances = work.distances;
    own.hops = work.hops;
    own.bytes = work.distances * state().codes.bytes_per_vector() +
                work.hops * level().degree * sizeof(std::uint32_t);
    own.stop = work.stop;
    control.stats->add_work(own);
    control.stats->strategy = scans_ ? "hnsw pages (scan)" : fmt::format("hnsw pages (ef={})", width_);
  }

  Hnsw index_;
  Filter filter_;
  PassingSlots passing_;
  std::size_t width_;  // of near_
  ScratchPool::Lease scratch_;
  Frontier frontier_;         // met, not expanded
  std::vector<Ranked> near_;  // found, not given, ascending; by row number
  Frontier far_;              // the same, no nearer than near_'s last; slots of it are row numbers
  std::size_t scanned_ = 0;   // of the list of what passes
  bool begun_ = false;
  bool scans_ = false;
};

std::unique_ptr<Pages> Hnsw::pages(std::span<const float> query, std::size_t page, const Params& params,
                                   const Filter& filter) const {
  return std::make_unique<PagedWalk>(*this, query, page, params, filter);
}

}  // namespace vicinal
