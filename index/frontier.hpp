#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace vicinal {

/// The candidates of a graph search that were not expanded yet, in a heap with four branches: what enters is mostly far and stays near the leaves,
/// so that it costs next to nothing. An entry is one 64-bit key: the distance's bits, made to order as unsigned integers, above the slot.
class Frontier {
 public:
  void clear() { keys_.clear(); }
  [[nodiscard]] bool empty() const { return keys_.empty(); }
  [[nodiscard]] std::size_t size() const { return keys_.size(); }
  /// Of the nearest; among equals that with the smallest slot.
  [[nodiscard]] float distance() const {
    const auto bits = static_cast<std::uint32_t>(keys_.front() >> 32);
    return std::bit_cast<float>(bits ^ ((bits >> 31) != 0 ? 0x8000'0000U : 0xFFFF'FFFFU));
  }
  [[nodiscard]] std::uint32_t slot() const { return static_cast<std::uint32_t>(keys_.front()); }

  void push(float distance, std::uint32_t slot) {
    const auto bits = std::bit_cast<std::uint32_t>(distance + 0.0F);  // -0 becomes +0
    const std::uint32_t ordered = bits ^ ((bits >> 31) != 0 ? 0xFFFF'FFFFU : 0x8000'0000U);
    const std::uint64_t key = std::uint64_t{ordered} << 32 | slot;
    std::size_t at = keys_.size();
    keys_.push_back(key);
    while (at != 0) {
      const std::size_t parent = (at - 1) / branches;
      if (keys_[parent] <= key) break;
      keys_[at] = keys_[parent];
      at = parent;
    }
    keys_[at] = key;
  }
  /// Takes the nearest out.
  void pop() {
    const std::uint64_t last = keys_.back();
    keys_.pop_back();
    const std::size_t size = keys_.size();
    if (size == 0) return;
    std::uint64_t* const keys = keys_.data();
    std::size_t at = 0;
    for (std::size_t first = 1; first < size; first = branches * at + 1) {
      std::size_t least = first;
      if (first + branches <= size) {
        const std::size_t left = keys[first + 1] < keys[first] ? first + 1 : first;
        const std::size_t right = keys[first + 3] < keys[first + 2] ? first + 3 : first + 2;
        least = keys[right] < keys[left] ? right : left;
      } else {
        for (std::size_t child = first + 1; child < size; ++child)
          least = keys[child] < keys[least] ? child : least;
      }
      if (last <= keys[least]) break;
      keys[at] = keys[least];
      at = least;
    }
    keys[at] = last;
  }

 private:
  static constexpr std::size_t branches = 4;
  std::vector<std::uint64_t> keys_;
};

}  // namespace vicinal
