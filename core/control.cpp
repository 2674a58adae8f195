#include "vicinal/core/control.hpp"

#include <algorithm>

namespace vicinal {

std::string_view to_string(StopReason reason) {
  switch (reason) {
    case StopReason::complete: return "complete";
    case StopReason::budget: return "budget";
    case StopReason::deadline: return "deadline";
    case StopReason::cancelled: return "cancelled";
  }
  return "unknown";
}

void SearchStats::add_time(std::string_view stage, double seconds) {
  const auto known = std::ranges::find(stages, stage, &StageTime::name);
  if (known != stages.end()) {
    known->seconds += seconds;
  } else {
    stages.push_back({stage, seconds});
  }
}

void SearchStats::add_work(const SearchStats& other) {
  queries += other.queries;
  distances += other.distances;
  reranked += other.reranked;
  hops += other.hops;
  bytes += other.bytes;
  stop = std::max(stop, other.stop);  // The reasons are declared from the best to the worst.
  for (const StageTime& time : other.stages) add_time(time.name, time.seconds);
}

void BuildControl::throw_if_stopped() const {
  if (stop.stop_requested()) throw Cancelled("the build was stopped by its stop token");
}

}  // namespace vicinal
