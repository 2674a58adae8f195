#include "vicinal/index/pages.hpp"

#include <algorithm>

namespace vicinal {

bool Pages::is_cancelled(const SearchControl& control) {
  if (!control.stop.stop_requested()) return false;
  SearchStats work;
  work.stop = StopReason::cancelled;
  if (control.stats != nullptr) control.stats->add_work(work);
  return true;
}

void RepeatedSearch::next(std::size_t count, Page& page, const SearchControl& control) {
  page.clear();
  if (is_cancelled(control)) return;
  if (found_.size() - position_ < count && !all_ && !find_more(count, control)) return;
  const std::size_t end = std::min(found_.size(), position_ + count);
  for (; position_ < end; ++position_) {
    page.ids.push_back(found_.ids[position_]);
    page.distances.push_back(found_.distances[position_]);
    given_.insert(found_.ids[position_]);
  }
}

// False when the search was cancelled, and nothing has changed then.
bool RepeatedSearch::find_more(std::size_t count, const SearchControl& control) {
  const std::size_t size = size_();
  const std::size_t needed = given_.size() + count;
  // The first page is what a search gives.
  const std::size_t k = std::max<std::size_t>(1, std::min(size, given_.empty() ? needed : 2 * needed));
  SearchStats stats;
  SearchControl own = control;
  own.stats = &stats;
  const Neighbors all = search_(k, own);
  if (control.stats != nullptr) {
    control.stats->add_work(stats);
    control.stats->strategy = stats.strategy;
  }
  if (stats.stop == StopReason::cancelled) return false;
  found_.clear();
  position_ = 0;
  const std::size_t found = all.size() == 0 ? 0 : all.counts()[0];
  for (std::size_t i = 0; i < found; ++i) {
    if (given_.contains(all.ids()[0][i])) continue;
    found_.ids.push_back(all.ids()[0][i]);
    found_.distances.push_back(all.distances()[0][i]);
  }
  all_ = stats.stop == StopReason::complete && (found < k || k == size);
  return true;
}

}  // namespace vicinal
