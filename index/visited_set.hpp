#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "vicinal/core/array.hpp"
#include "vicinal/core/prefetch.hpp"

namespace vicinal {

/// Which slots a search has met. A byte a slot holds the number of the search that met it last, so that beginning a search
/// clears nothing but once in 255 times.
class VisitedSet {
 public:
  /// Begins a search among `slots` slots. Allocates only when there are more than ever before.
  void reset(std::size_t slots) {
    if (stamps_.size() < slots) {
      stamps_ = Array<std::uint8_t>(slots);
      stamp_ = 0;
    }
    if (++stamp_ == 0) {
      std::memset(stamps_.data(), 0, stamps_.size());
      stamp_ = 1;
    }
  }
  /// Asks for what insert(slot) reads.
  void ask_for(std::uint32_t slot) const { prefetch(stamps_.data() + slot, 1); }
  /// Marks a slot; true when this search had not met it before.
  bool insert(std::uint32_t slot) {
    const bool fresh = stamps_[slot] != stamp_;
    stamps_[slot] = stamp_;
    return fresh;
  }

 private:
  Array<std::uint8_t> stamps_;
  std::uint8_t stamp_ = 0;
};

}  // namespace vicinal
