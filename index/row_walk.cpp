#include "vicinal/index/row_walk.hpp"

#include <bit>
#include <cmath>

namespace vicinal {
namespace {

constexpr std::uint64_t fewest_samples = 4;  // before the error of estimates is believed
constexpr std::size_t most_degree = 256;     // of level 0: HnswOptions::m is at most 128

}  // namespace

RowWalk::RowWalk(const FusedRows& rows, std::span<const std::uint32_t> row_of_slot, const Scorer& score,
                 SearchScratch& scratch, const Limits& limits, const SearchControl& control, WalkWork work)
    : rows_(&rows),
      row_of_slot_(row_of_slot),
      score_(score),
      scratch_(&scratch),
      limits_(limits),
      control_(&control),
      work_(work),
      lines_a_part_((rows.row_bytes() + score.codec->stride()) / 64 / 4 + 1) {
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
  if (limits_.queue != nullptr) {
    limits_.queue->ask_through(added_);
  } else {
    // What is likely to be next, a hop ahead; what has come before it since, as soon as that is known.
    ask_for_next();
  }
  ask_for_others();
  float distance = 0;
  score_(&slot, 1, &distance);
  ask_for_others();
  const bool passes = limits_.passing == nullptr || limits_.passing->test(slot);
  if (passes && distance <= scratch.top.worst()) scratch.top.add(distance, row_of_slot_[slot]);
  learn_from(estimate, distance);
  add_neighbours(slot, distance);
  ask_for_others();
  hops_ += passes ? 1 : 0;
  ++expanded_;
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
  return frontier.empty() || hops_ >= limits_.hops || gave_up() || work_.stop != StopReason::complete ||
         frontier.distance() > bound_;
}

void RowWalk::ask_for_next() {
  const Frontier& frontier = scratch_->frontier;
  if (frontier.empty() || frontier.slot() == asked_) return;
  asked_ = frontier.slot();
  if (limits_.queue == nullptr) {
    score_.ask_for(asked_);
    rows_->prefetch_row(asked_);
    return;
  }
  score_.ask_for(asked_, *limits_.queue);
  limits_.queue->add(rows_->row(asked_), rows_->row_bytes());
  added_ = limits_.queue->added();
}

// Some of what other searches are going to read.
void RowWalk::ask_for_others() {
  if (limits_.queue != nullptr) limits_.queue->ask(lines_a_part_);
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
  std::uint16_t near[most_degree / block_records];
  rows_->score(slot, distance, scratch.fused, bound_, estimates, near);
  ask_for_others();
  const std::uint32_t* const links = rows_->neighbours(slot);
  for (std::size_t first = 0; first < rows_->degree(); first += block_records) {
    for (std::uint32_t left = near[first / block_records]; left != 0; left &= left - 1) {
      const std::size_t i = first + static_cast<std::size_t>(std::countr_zero(left));
      if (links[i] == Graph::no_slot) return;  // and so are those that follow
      if (scratch.met.insert(links[i])) scratch.frontier.push(estimates[i], links[i]);
    }
  }
}

}  // namespace vicinal
