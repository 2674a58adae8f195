#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>

#include "vicinal/index/line_queue.hpp"

namespace vicinal {

/// How many searches a thread does in turns: enough that what one waits for is there when it comes to its turn.
inline constexpr std::size_t searches_in_turns = 3;

/// Does jobs 0 to `jobs` - 1, as many in turns as there are lanes. begin(lane, job, queue) begins a job, or returns false when there is nothing to
/// do; lane.step() does a part of it and returns false when nothing is left; then finish(lane) is called. The queue is null for a job
/// that has no others beside it.
template <class Lane, class Begin, class Finish>
void in_turns(std::span<Lane> lanes, std::size_t jobs, const Begin& begin, const Finish& finish) {
  const std::span<Lane> used = lanes.first(std::min({lanes.size(), jobs, searches_in_turns}));
  LineQueue lines;
  LineQueue* const queue = used.size() > 1 ? &lines : nullptr;
  std::array<bool, searches_in_turns> busy{};
  std::size_t next = 0;
  std::size_t under_way = 0;
  const auto begin_next = [&](std::size_t i) {
    busy[i] = false;
    while (next < jobs && !busy[i]) busy[i] = begin(used[i], next++, queue);
    under_way += busy[i] ? 1 : 0;
  };
  for (std::size_t i = 0; i < used.size(); ++i) begin_next(i);
  while (under_way != 0) {
    for (std::size_t i = 0; i < used.size(); ++i) {
      if (!busy[i] || used[i].step()) continue;
      finish(used[i]);
      --under_way;
      begin_next(i);
    }
  }
}

}  // namespace vicinal
