#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

namespace vicinal {

/// The candidates of one graph search: at most `width`, ascending by (distance, slot), each marked once it was expanded. One
/// sorted array serves as the queue of what to expand next and as the result; for widths of some hundreds that beats heaps,
/// whose comparisons no branch predictor can guess.
///
/// An entry is one 64-bit key: the distance's bits, made to order as unsigned integers, above slot * 2 + expanded. Slots are
/// below 2^31.
class CandidatePool {
 public:
  /// Empties the pool. Allocates only when `width` is larger than ever before.
  void reset(std::size_t width) {
    width_ = width;
    size_ = 0;
    cursor_ = 0;
    worst_ = std::numeric_limits<float>::infinity();
    if (keys_.size() < width + 1) keys_.resize(width + 1);
  }

  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] float distance(std::size_t i) const { return to_distance(keys_[i] >> 32); }
  [[nodiscard]] std::uint32_t slot(std::size_t i) const { return static_cast<std::uint32_t>(keys_[i]) >> 1; }
  /// Nothing as far as this, or farther, can enter any more.
  [[nodiscard]] float worst() const { return worst_; }

  [[nodiscard]] bool has_unexpanded() const { return cursor_ < size_; }
  /// The nearest candidate that was not expanded yet; marks it.
  std::uint32_t expand_next() {
    const std::uint32_t next = slot(cursor_);
    keys_[cursor_] |= 1;
    do {
      ++cursor_;
    } while (cursor_ < size_ && (keys_[cursor_] & 1) != 0);
    return next;
  }
  /// The candidate that expand_next() would return now; only when has_unexpanded().
  [[nodiscard]] std::uint32_t peek_next() const { return slot(cursor_); }

  [[nodiscard]] float peek_distance() const { return distance(cursor_); }

  /// Adds a candidate that is not in the pool; drops it, or the worst one, when the pool is full.
  void insert(float distance, std::uint32_t slot) {
    const std::uint64_t key = to_bits(distance) << 32 | std::uint64_t{slot} << 1;
    std::uint64_t* const begin = keys_.data();
    if (size_ == width_ && key >= begin[size_ - 1]) return;
    // std::upper_bound without branches, which nobody could guess.
    std::uint64_t* place = begin;
    for (std::size_t length = size_; length != 0;) {
      const std::size_t half = (length + 1) / 2;
      const std::uint64_t step = place[half - 1] < key ? half : 0;
      place += step;
      length -= half;
    }
    std::memmove(place + 1, place, static_cast<std::size_t>(begin + size_ - place) * sizeof(key));
    *place = key;
    if (size_ < width_) ++size_;
    if (size_ == width_) worst_ = to_distance(begin[size_ - 1] >> 32);
    cursor_ = std::min(cursor_, static_cast<std::size_t>(place - begin));
  }

 private:
  static std::uint64_t to_bits(float distance) {
    const auto bits = std::bit_cast<std::uint32_t>(distance + 0.0F);  // -0 becomes +0
    return bits ^ ((bits >> 31) != 0 ? 0xFFFF'FFFFU : 0x8000'0000U);
  }
  static float to_distance(std::uint64_t bits) {
    const auto low = static_cast<std::uint32_t>(bits);
    return std::bit_cast<float>(low ^ ((low >> 31) != 0 ? 0x8000'0000U : 0xFFFF'FFFFU));
  }

  std::vector<std::uint64_t> keys_;
  std::size_t width_ = 0;
  std::size_t size_ = 0;
  std::size_t cursor_ = 0;
  float worst_ = std::numeric_limits<float>::infinity();
};

}  // namespace vicinal
