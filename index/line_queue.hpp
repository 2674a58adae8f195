#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "vicinal/core/prefetch.hpp"

namespace vicinal {

/// Memory that searches in turns will read, asked for a few cache lines at a time while others compute: a processor has a dozen lines on their
/// way at once, and stands still when it is asked for more. First in, first out. Never read, so what it points to may be gone.
class LineQueue {
 public:
  /// Puts the lines of [address, address + bytes) at the end.
  void add(const void* address, std::size_t bytes) {
    if (end_ - begin_ == ranges_.size()) ask_through(begin_ + 1);  // rather earlier than never
    const auto* const first = static_cast<const std::byte*>(address);
    ranges_[end_++ % ranges_.size()] = {first, first + bytes};
  }
  /// How much was put in so far, for ask_through().
  [[nodiscard]] std::uint64_t added() const { return end_; }
  /// Asks for the next lines, at most so many.
  void ask(std::size_t lines) {
    while (begin_ != end_) {
      Range& range = ranges_[begin_ % ranges_.size()];
      for (; range.at < range.end; range.at += line_bytes) {
        if (lines-- == 0) return;
        prefetch<CacheLevel::second>(range.at, 1);
      }
      ++begin_;
    }
  }
  /// Asks for all that was put in up to then.
  void ask_through(std::uint64_t then) {
    for (; begin_ < then; ++begin_) {
      const Range& range = ranges_[begin_ % ranges_.size()];
      if (range.at < range.end)
        prefetch<CacheLevel::second>(range.at, static_cast<std::size_t>(range.end - range.at));
    }
  }

 private:
  static constexpr std::size_t line_bytes = 64;
  struct Range {
    const std::byte* at;
    const std::byte* end;
  };
  std::array<Range, 16> ranges_{};
  std::uint64_t begin_ = 0;
  std::uint64_t end_ = 0;
};

}  // namespace vicinal
