#include "vicinal/index/range_search.hpp"

#include <algorithm>
#include <cmath>
#include <mutex>

#include "vicinal/core/error.hpp"
#include "vicinal/index/ranking.hpp"

namespace vicinal {
namespace {

constexpr std::size_t first_page = 32;

// What one query finds, ascending.
std::vector<Ranked> within(Pages& pages, float radius, const SearchControl& control, SearchStats& work) {
  std::vector<Ranked> found;
  Page page;
  SearchControl left = control;
  std::size_t given = 0;
  for (;;) {
    // Pages as large as all before them: as few as can be without looking far beyond the radius.
    const std::size_t count = std::max(first_page, given);
    SearchStats stats;
    left.stats = &stats;
    pages.next(count, page, left);
    work.add_work(stats);
    work.strategy = stats.strategy;
    given += page.size();
    for (std::size_t i = 0; i < page.size(); ++i) {
      if (page.distances[i] <= radius) found.push_back({page.distances[i], page.ids[i]});
    }
    left.max_distances -= std::min(left.max_distances, stats.distances);
    if (stats.stop != StopReason::complete || page.size() < count || page.distances.back() > radius) break;
  }
  std::sort(found.begin(), found.end());
  return found;
}

}  // namespace

RangeNeighbors search_range(
    const std::function<std::unique_ptr<Pages>(std::span<const float> query, std::size_t page)>& open,
    MatrixView<const float> queries, float radius, const SearchControl& control) {
  if (std::isnan(radius)) throw InvalidArgument("the radius is nan, expected a number");
  std::vector<std::vector<Ranked>> found(queries.rows());
  std::mutex mutex;
  control.executor.for_each(queries.rows(), [&](std::size_t query, std::size_t) {
    SearchStats work;
    if (control.must_stop()) {
      work.stop = control.stop_reason();
    } else {
      found[query] = within(*open(queries[query], first_page), radius, control, work);
    }
    work.queries = 1;
    if (control.stats == nullptr) return;
    const std::lock_guard lock(mutex);
    control.stats->add_work(work);
    if (query == 0) control.stats->strategy = work.strategy;  // the same for any number of threads
  });
  RangeNeighbors out;
  for (const std::vector<Ranked>& one : found) {
    for (const Ranked& entry : one) {
      out.ids.push_back(entry.id);
      out.distances.push_back(entry.distance);
    }
    out.offsets.push_back(out.ids.size());
  }
  return out;
}

}  // namespace vicinal
