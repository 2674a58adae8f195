#include "vicinal/index/row_partition.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "vicinal/core/error.hpp"
#include "vicinal/index/ranking.hpp"

namespace vicinal {
namespace {

// Adds a part's nearest slots to the nearest rows so far. Slots ascend with rows, so that what is in order by slot is in order by row.
void merge(const Neighbors& found, std::span<const std::uint32_t> rows, NeighborsView out) {
  std::vector<Ranked> merged;
  for (std::size_t q = 0; q < out.size(); ++q) {
    merged.clear();
    for (std::size_t i = 0; i < out.counts[q]; ++i) merged.push_back({out.distances[q][i], out.ids[q][i]});
    for (std::size_t i = 0; i < found.counts()[q]; ++i)
      merged.push_back({found.distances()[q][i], rows[static_cast<std::size_t>(found.ids()[q][i])]});
    write_ranked(merged, out, q);
  }
}

}  // namespace

RowPartition::RowPartition(std::vector<Array<std::uint32_t>> parts) : parts_(std::move(parts)) {
  for (const Array<std::uint32_t>& part : parts_) size_ += part.size();
  std::vector<bool> seen(size_);
  for (std::size_t part = 0; part < parts_.size(); ++part) {
    const std::span<const std::uint32_t> own = rows(part);
    for (std::size_t i = 0; i < own.size(); ++i) {
      if (own[i] >= size_ || seen[own[i]] || (i > 0 && own[i] < own[i - 1])) {
        throw InvalidArgument(
            fmt::format("row {} of part {} is there twice, beyond the end or not in order", own[i], part));
      }
      seen[own[i]] = true;
    }
  }
}

std::size_t RowPartition::memory_bytes() const {
  std::size_t bytes = 0;
  for (const Array<std::uint32_t>& part : parts_) bytes += part.bytes();
  return bytes;
}

RowPartition::Place RowPartition::find(std::uint32_t row) const {
  for (std::size_t part = 0; part < parts_.size(); ++part) {
    const auto found = std::ranges::lower_bound(rows(part), row);
    if (found != rows(part).end() && *found == row)
      return {part, static_cast<std::size_t>(found - rows(part).begin())};
  }
  throw InvalidArgument(fmt::format("row {} is in no part of {} rows", row, size_));
}

SearchStats RowPartition::search(SearchPart search_part, NeighborsView out,
                                 const SearchControl& control) const {
  SearchStats work;
  for (std::size_t q = 0; q < out.size(); ++q) write_ranked({}, out, q);
  std::uint64_t budget = control.max_distances;
  bool begun = false;
  for (std::size_t part = 0; part < parts_.size(); ++part) {
    const std::span<const std::uint32_t> own = rows(part);
    if (own.empty()) continue;
    // The first is always asked: it says why it stops and how it searches.
    if (begun && (budget == 0 || control.must_stop())) {
      work.stop = std::max(work.stop, budget == 0 ? StopReason::budget : control.stop_reason());
      break;
    }
    begun = true;
    SearchControl of_part = control;
    of_part.stats = &work;
    of_part.max_distances = budget;
    if (!control.filter.passes_all()) {
      of_part.filter = Filter::predicate(
          [&control, own](Id slot) { return control.filter(own[static_cast<std::size_t>(slot)]); });
    }
    budget -= std::min<std::uint64_t>(budget, own.size());
    Neighbors found(out.size(), std::min(out.k(), own.size()));
    search_part(part, found.view(), of_part);
    merge(found, own, out);
  }
  work.queries = out.size();
  return work;
}

}  // namespace vicinal
