#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

// Loops of linear algebra whose results have the same bits on every instruction set: integer sums, which are exact, and double
// precision where every element of the result is made by the same operations in the same order, whatever the width of a register
// (no reduction across lanes, no fused multiply-add). Not installed.
namespace vicinal {

/// Columns of a block of packed 16-bit integers, and of a tile of sums: see add_products.
inline constexpr std::size_t tile_columns = 32;
/// Doubles of a strip that rotations are applied to.
inline constexpr std::size_t strip_columns = 32;

/// One plane rotation of rows `r` and `r + 1`: new r + 1 = sine * r + cosine * (r + 1), new r = cosine * r - sine * (r + 1).
struct PlaneRotation {
  double cosine;
  double sine;
};
/// Rotations of rows first - 1, first - 2, ..., last of a strip, in that order.
struct RotationSweep {
  std::size_t first;
  std::size_t last;
};

struct LinearKernels {
  std::string_view name;

  /// sums[i * 32 + j] += the sum over `pairs` pairs of rows of left[i] * right[j]. A block holds two rows' values of column i side
  /// by side, 32 columns a pair of rows. The sum of every prefix must fit in 32 bits.
  void (*add_products)(const std::int16_t* left, const std::int16_t* right, std::size_t pairs,
                       std::int64_t* sums);

  /// A symmetric matrix's rank-two update and its next product in one pass, for each row i in order:
  /// a[i] -= v[i] * w + w[i] * v, then y += u[i] * a[i], over columns [begin, end). `v` and `w` may be null: no update.
  void (*update_and_multiply)(double* a, std::size_t stride, std::size_t rows, std::size_t begin,
                              std::size_t end, const double* v, const double* w, const double* u, double* y);
  /// y += u[i] * a[i] for each row i in order, over columns [begin, end).
  void (*combine_rows)(const double* a, std::size_t stride, std::size_t rows, std::size_t begin,
                       std::size_t end, const double* u, double* y);
  /// a[i] -= u[i] * y for each row i, over columns [begin, end).
  void (*subtract_outer)(double* a, std::size_t stride, std::size_t rows, std::size_t begin, std::size_t end,
                         const double* u, const double* y);
  /// Applies sweeps of rotations to a strip: rows of strip_columns doubles, contiguous.
  void (*rotate)(double* strip, std::span<const RotationSweep> sweeps, const PlaneRotation* rotations);
};

/// Of the instruction set that kernels() has chosen.
const LinearKernels& linear_kernels();
/// Every set this CPU can run, in the order of available_kernels(): for tests.
std::span<const LinearKernels> available_linear_kernels();

LinearKernels scalar_linear_kernels();
std::vector<LinearKernels> portable_linear_kernels();
/// Replaces add_products of an "avx3" table by one for AVX-512 VNNI where the CPU has it.
bool use_linear_vnni(LinearKernels& table);

}  // namespace vicinal
