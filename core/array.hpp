#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <type_traits>
#include <utility>

namespace vicinal {

/// Zeroed memory for large arrays: 2 MiB aligned with huge pages asked for when it is at least 2 MiB, else 64-byte aligned.
/// At least `readable_past_end` bytes after the last may be read (kernels read whole vectors). Throws std::bad_alloc.
std::shared_ptr<std::byte> allocate_pages(std::size_t bytes);
inline constexpr std::size_t readable_past_end = 64;

/// `a * b`, or InvalidArgument "<what>: <a> x <b> overflows" when the product does not fit.
std::size_t checked_product(std::size_t a, std::size_t b, const char* what);

/// A large array of plain values, 64-byte aligned, in memory of its own or in a mapped file that it keeps alive. Copies share
/// the elements. A mapped array must not be written to.
template <class T>
class Array {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  Array() = default;
  Array(const Array&) = default;
  Array& operator=(const Array&) = default;
  Array(Array&& other) noexcept
      : owner_(std::move(other.owner_)),
        data_(std::exchange(other.data_, nullptr)),
        size_(std::exchange(other.size_, 0)) {}
  Array& operator=(Array&& other) noexcept {
    owner_ = std::move(other.owner_);
    data_ = std::exchange(other.data_, nullptr);
    size_ = std::exchange(other.size_, 0);
    return *this;
  }
  ~Array() = default;
  /// `size` zeroed elements in memory of its own.
  explicit Array(std::size_t size)
      : owner_(allocate_pages(checked_product(size, sizeof(T), "array"))),
        data_(reinterpret_cast<T*>(owner_.get())),
        size_(size) {}
  /// Borrows `size` elements at `data` that `owner` keeps alive.
  Array(std::shared_ptr<std::byte> owner, T* data, std::size_t size)
      : owner_(std::move(owner)), data_(data), size_(size) {}

  [[nodiscard]] T* data() { return data_; }
  [[nodiscard]] const T* data() const { return data_; }
  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] std::size_t bytes() const { return size_ * sizeof(T); }
  [[nodiscard]] bool empty() const { return size_ == 0; }
  T& operator[](std::size_t i) { return data_[i]; }
  const T& operator[](std::size_t i) const { return data_[i]; }
  /// The same memory as elements of another type; bytes() must be a multiple of its size.
  template <class U>
  [[nodiscard]] Array<U> as() const {
    return Array<U>(owner_, reinterpret_cast<U*>(data_), bytes() / sizeof(U));
  }
  /// Elements first to first + count - 1 of the same memory, which must be there; 64-byte aligned only if `first` is so.
  [[nodiscard]] Array slice(std::size_t first, std::size_t count) const {
    return Array(owner_, data_ + first, count);
  }
  [[nodiscard]] std::span<const T> span() const { return {data_, size_}; }
  [[nodiscard]] std::span<T> span() { return {data_, size_}; }

 private:
  std::shared_ptr<std::byte> owner_;
  T* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace vicinal
