#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "vicinal/core/array.hpp"
#include "vicinal/core/matrix_view.hpp"
#include "vicinal/core/neighbors.hpp"

namespace vicinal {

/// Files of vectors as the field holds them, told apart by extension, never by size:
///   .npy                        NumPy 1.0-3.0, little-endian, C order; f32, f16, u8, i8 (vectors), i32, i64 (ids), u64 (offsets)
///   .fvecs .bvecs .ivecs        every row: int32 dim, then dim f32 / u8 / i32
///   .fbin .u8bin .i8bin .ibin   uint32 rows, uint32 dim, then rows x dim f32 / u8 / i8 / i32
/// Headers are untrusted: sizes must agree with the file's length exactly, before anything is allocated.
/// All functions throw IoError (cannot be read or written, a directory) or InvalidArgument (wrong extension, dtype, Fortran
/// order, truncated, rows of different length), each naming the path, what was got and what was expected.

/// A matrix of f32 that owns its memory (or a mapped f32 file).
struct FloatMatrix {
  Array<float> values;
  std::size_t rows = 0;
  std::size_t cols = 0;
  std::string source_type;  ///< the file's element type: "f32", "f16", "u8" or "i8"

  [[nodiscard]] MatrixView<const float> view() const { return {values.data(), rows, cols}; }
};

/// A matrix of int64 ids (from i32 or i64 files; a one-dimensional .npy is one column).
struct IdMatrix {
  Array<Id> values;
  std::size_t rows = 0;
  std::size_t cols = 0;

  [[nodiscard]] MatrixView<const Id> view() const { return {values.data(), rows, cols}; }
};

/// Reads vectors, converting exactly to f32. Values are not checked for being finite (require_finite does).
FloatMatrix read_vectors(const std::filesystem::path& path);

/// One number a row, as read_vectors() does: a one-dimensional .npy, or a matrix of one column.
FloatMatrix read_column(const std::filesystem::path& path);

/// Reads ids: ground truth (rows x k), or one id a row.
IdMatrix read_ids(const std::filesystem::path& path);

/// Writes .npy, .fvecs or .fbin (f32) by extension, atomically.
void write_vectors(const std::filesystem::path& path, MatrixView<const float> rows);

/// Writes .npy (int64), or .ivecs / .ibin (int32; InvalidArgument when an id does not fit) by extension, atomically.
void write_ids(const std::filesystem::path& path, MatrixView<const Id> rows);

}  // namespace vicinal
