#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

namespace vicinal {

/// Address space for a large array that grows without ever moving, so that readers keep their pointers while a writer appends. Memory is taken only
/// for what was committed; it begins zeroed, and `readable_past_end` bytes (core/array.hpp) after it may be read. Committing is for
/// one thread at a time; what was committed before may be read meanwhile.
class ReservedMemory {
 public:
  ReservedMemory() = default;
  /// Throws std::bad_alloc when the system has no such room.
  explicit ReservedMemory(std::size_t bytes);
  ~ReservedMemory();
  ReservedMemory(const ReservedMemory&) = delete;
  ReservedMemory& operator=(const ReservedMemory&) = delete;
  ReservedMemory(ReservedMemory&& other) noexcept
      : begin_(std::exchange(other.begin_, nullptr)),
        reserved_(std::exchange(other.reserved_, 0)),
        committed_(std::exchange(other.committed_, 0)) {}
  ReservedMemory& operator=(ReservedMemory&& other) noexcept {
    std::swap(begin_, other.begin_);
    std::swap(reserved_, other.reserved_);
    std::swap(committed_, other.committed_);
    return *this;
  }

  [[nodiscard]] std::byte* data() const { return begin_; }
  [[nodiscard]] std::size_t committed() const {
    return __atomic_load_n(&committed_, __ATOMIC_RELAXED);
  }  ///< from any thread
  /// Makes the first `bytes` usable, and more, so that appending costs little. Throws std::bad_alloc beyond the reservation or when there is no
  /// memory; nothing has changed then.
  void commit(std::size_t bytes);

 private:
  std::byte* begin_ = nullptr;
  std::size_t reserved_ = 0;   // with what may be read past the end
  std::size_t committed_ = 0;  // without
};

/// The same for elements of one plain type.
template <class T>
class ReservedArray {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  ReservedArray() = default;
  /// Room for `most` rows of `width` elements.
  ReservedArray(std::size_t most, std::size_t width) : width_(width), memory_(most * width * sizeof(T)) {}

  [[nodiscard]] bool empty() const { return memory_.data() == nullptr; }
  [[nodiscard]] T* data() const { return reinterpret_cast<T*>(memory_.data()); }
  [[nodiscard]] T* row(std::size_t i) const { return data() + i * width_; }
  T& operator[](std::size_t i) const { return data()[i]; }
  [[nodiscard]] std::size_t bytes() const { return memory_.committed(); }
  void commit_rows(std::size_t rows) {
    if (!empty()) memory_.commit(rows * width_ * sizeof(T));
  }

 private:
  std::size_t width_ = 1;
  ReservedMemory memory_;
};

}  // namespace vicinal
