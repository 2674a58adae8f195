#pragma once

#include <cstddef>
#include <span>
#include <type_traits>

namespace vicinal {

/// A row-major matrix that somebody else owns: `rows` x `cols`, consecutive rows `stride` elements apart (stride >= cols).
/// Copying a view copies no element. A view is valid as long as what it points to.
template <class T>
class MatrixView {
 public:
  constexpr MatrixView() = default;
  constexpr MatrixView(T* data, std::size_t rows, std::size_t cols, std::size_t stride)
      : data_(data), rows_(rows), cols_(cols), stride_(stride) {}
  constexpr MatrixView(T* data, std::size_t rows, std::size_t cols) : MatrixView(data, rows, cols, cols) {}

  /// A view of mutable elements is a view of constant ones.
  // NOLINTNEXTLINE(google-explicit-constructor): widening, loses nothing
  constexpr operator MatrixView<const T>() const requires(!std::is_const_v<T>) {
    return {data_, rows_, cols_, stride_};
  }

  [[nodiscard]] constexpr T* data() const { return data_; }
  [[nodiscard]] constexpr std::size_t rows() const { return rows_; }
  [[nodiscard]] constexpr std::size_t cols() const { return cols_; }
  [[nodiscard]] constexpr std::size_t stride() const { return stride_; }
  [[nodiscard]] constexpr bool empty() const { return rows_ == 0; }
  [[nodiscard]] constexpr T* row_data(std::size_t i) const { return data_ + i * stride_; }
  [[nodiscard]] constexpr std::span<T> operator[](std::size_t i) const { return {row_data(i), cols_}; }
  /// Rows [first, first + count).
  [[nodiscard]] constexpr MatrixView rows_from(std::size_t first, std::size_t count) const {
    return {row_data(first), count, cols_, stride_};
  }

 private:
  T* data_ = nullptr;
  std::size_t rows_ = 0;
  std::size_t cols_ = 0;
  std::size_t stride_ = 0;
};

}  // namespace vicinal
