#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <vector>

#include "vicinal/core/neighbors.hpp"

namespace vicinal {

/// A result before it is written: ordered by (distance, id).
struct Ranked {
  float distance;
  Id id;

  friend bool operator<(const Ranked& a, const Ranked& b) {
    return a.distance != b.distance ? a.distance < b.distance : a.id < b.id;
  }
};

/// Writes the nearest k of `found`, which it reorders, into row `query` of `out`; the rest of the row is padded.
inline void write_ranked(std::span<Ranked> found, const NeighborsView& out, std::size_t query) {
  const std::size_t count = std::min(out.k(), found.size());
  std::partial_sort(found.begin(), found.begin() + static_cast<std::ptrdiff_t>(count), found.end());
  for (std::size_t i = 0; i < out.k(); ++i) {
    out.ids.row_data(query)[i] = i < count ? found[i].id : no_id;
    out.distances.row_data(query)[i] = i < count ? found[i].distance : no_distance;
  }
  out.counts[query] = static_cast<std::uint32_t>(count);
}

/// The k nearest of what it is shown, ties by id.
class TopK {
 public:
  void reset(std::size_t k) {
    k_ = k;
    heap_.clear();
    heap_.reserve(k);
  }
  /// Nothing farther than this can enter.
  [[nodiscard]] float worst() const { return heap_.size() < k_ ? no_distance : heap_.front().distance; }
  void add(float distance, Id id) {
    const Ranked candidate{distance, id};
    if (heap_.size() < k_) {
      heap_.push_back(candidate);
      std::push_heap(heap_.begin(), heap_.end());
    } else if (candidate < heap_.front()) {
      std::pop_heap(heap_.begin(), heap_.end());
      heap_.back() = candidate;
      std::push_heap(heap_.begin(), heap_.end());
    }
  }
  [[nodiscard]] std::span<Ranked> found() { return heap_; }

 private:
  std::size_t k_ = 0;
  std::vector<Ranked> heap_;
};

}  // namespace vicinal
