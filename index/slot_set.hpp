#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace vicinal {

/// Which slots a search has met, for searches that meet few: a hash table with open addressing that stays in the cache, where a mark for every
/// slot there is (VisitedSet) would not. Slots are below 2^32 - 1.
class SlotSet {
 public:
  /// Empties it. Allocates only when it has never been as large.
  void clear() {
    if (keys_.empty()) keys_.resize(least, none);
    if (count_ != 0) std::fill(keys_.begin(), keys_.end(), none);
    count_ = 0;
  }
  /// True when the slot was not there before.
  bool insert(std::uint32_t slot) {
    std::size_t at = place_of(slot);
    for (; keys_[at] != none; at = (at + 1) & (keys_.size() - 1)) {
      if (keys_[at] == slot) return false;
    }
    keys_[at] = slot;
    if (2 * ++count_ > keys_.size()) grow();
    return true;
  }

 private:
  static constexpr std::size_t least = 1024;  // a power of two, as all sizes
  static constexpr std::uint32_t none = 0xFFFF'FFFF;

  // Multiplicative hashing (Knuth): the upper bits of the product are the mixed ones.
  [[nodiscard]] std::size_t place_of(std::uint32_t slot) const {
    return (slot * std::uint64_t{0x9E37'79B9'7F4A'7C15} >> 32U) & (keys_.size() - 1);
  }
  void grow() {
    std::vector<std::uint32_t> before(2 * keys_.size(), none);
    before.swap(keys_);
    for (const std::uint32_t slot : before) {
      if (slot == none) continue;
      std::size_t at = place_of(slot);
      while (keys_[at] != none) at = (at + 1) & (keys_.size() - 1);
      keys_[at] = slot;
    }
  }

  std::vector<std::uint32_t> keys_;
  std::size_t count_ = 0;
};

}  // namespace vicinal
