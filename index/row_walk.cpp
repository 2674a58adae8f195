#include "vicinal/index/row_walk.hpp"

#include <cmath>

namespace vicinal {
namespace {

constexpr std::uint64_t fewest_samples = 4;  // before the error of estimates is believed

}  // namespace

RowWalk::RowWalk(const FusedRows& rows, std::span<const std::uint32_t> row_of_slot, const Scorer& score,
                 SearchScratch& scratch, const Limits& limits, const SearchControl& control, WalkWork work)
    : rows_(&rows),
      row_of_slot_(row_of_slot),
      score_(score),
      scratch_(&scratch),
      limits_(limits),
      control_(&control),
      work_(work) {
  scratch.frontier.clear();
  scratch.met.clear();
  if (scratch.absent != Graph::no_slot) scratch.met.insert(scratch.absent);
  for (std::size_t i = 0; i < scratch.pool.size(); ++i) {
    scratch.met.insert(scratch.pool.slot(i));
    scratch.frontier.push(scratch.pool.distance(i), scratch.pool.slot(i));
  }
  done_ = is_over();
  ask_for_next();
}

void RowWalk::hop() {
  if (done_) return;
  SearchScratch& scratch = *scratch_;
  const float estimate = scratch.frontier.distance();
  const std::uint32_t slot = scratch.frontier.slot();
  scratch.frontier.pop();
  // What is likely to be next, a hop ahead; what has come before it since, as soon as that is known.
  if (!limits_.in_turns) ask_for_next();
  float distance = 0;
  score_(&slot, 1, &distance);
  if (distance <= scratch.top.worst()) {
    const Id row = row_of_slot_[slot];
    if (control_->filter(row)) scratch.top.add(distance, row);
  }
  learn_from(estimate, distance);
  add_neighbours(slot, distance);
  ++hops_;
  ++work_.distances;
  ++work_.hops;
  if (work_.distances >= control_->max_distances && !scratch.frontier.empty())
    work_.stop = StopReason::budget;
  if (work_.hops % hops_between_polls == 0 && control_->must_stop()) work_.stop = control_->stop_reason();
  done_ = is_over();
  if (!done_) ask_for_next();
}

bool RowWalk::is_over() const {
  const Frontier& frontier = scratch_->frontier;
  return frontier.empty() || hops_ >= limits_.hops || work_.stop != StopReason::complete ||
         frontier.distance() > bound_;
}

void RowWalk::ask_for_next() {
  const Frontier& frontier = scratch_->frontier;
  if (frontier.empty() || frontier.slot() == asked_) return;
  asked_ = frontier.slot();
  if (limits_.in_turns) {
    score_.ask_for<CacheLevel::second>(asked_);
    rows_->prefetch_row<CacheLevel::second>(asked_);
  } else {
    score_.ask_for(asked_);
    rows_->prefetch_row(asked_);
  }
}

void RowWalk::learn_from(float estimate, float distance) {
  if (distance != estimate) {
    const double error = static_cast<double>(distance) - static_cast<double>(estimate);
    squares_ += error * error;
    ++samples_;
  }
  if (samples_ < fewest_samples || std::isinf(limits_.margin)) return;
  const double slack =
      static_cast<double>(limits_.margin) * std::sqrt(squares_ / static_cast<double>(samples_));
  // Not a number: distances beyond what floats hold.
  bound_ = slack >= 0 ? static_cast<float>(static_cast<double>(scratch_->top.worst()) + slack)
                      : std::numeric_limits<float>::infinity();
}

void RowWalk::add_neighbours(std::uint32_t slot, float distance) {
  SearchScratch& scratch = *scratch_;
  float* const estimates = scratch.distances.data();
  std::uint32_t* const near = scratch.block.data();
  rows_->score(slot, distance, scratch.fused, estimates);
  const std::uint32_t* const links = rows_->neighbours(slot);
  const std::size_t degree = rows_->degree();
  const float bound = bound_;
  std::size_t count = 0;
  for (std::size_t i = 0; i < degree && links[i] != Graph::no_slot; ++i) {
    near[count] = static_cast<std::uint32_t>(i);
    count += estimates[i] <= bound ? 1 : 0;
  }
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint32_t link = links[near[i]];
    if (scratch.met.insert(link)) scratch.frontier.push(estimates[near[i]], link);
  }
}

}  // namespace vicinal
