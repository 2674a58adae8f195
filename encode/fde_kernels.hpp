#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

// The loops that make fixed-dimensional encodings of token vectors. Every element of a result is made by the same operations in the same
// order on every instruction set, as the plain loops of fde_kernels_scalar.cpp say. Not installed.
namespace vicinal {

/// Rows of these loops are padded with zeros to a multiple of this many values.
inline constexpr std::size_t fde_lanes = 16;

struct FdeKernels {
  std::string_view name;

  /// Bit j of `bits` tells whether values[j] > 0. count is a multiple of fde_lanes; writes count / 8 bytes.
  void (*positive_bits)(const float* values, std::size_t count, std::uint8_t* bits);
  /// Of groups g = 0, 1, ..., of which each has the `size` values g, g + groups, g + 2 groups, ...: corners[g] is the place in the group of the first
  /// value of largest magnitude, plus `size` when that is negative. Reads up to fde_lanes values beyond the last group, and writes as many.
  void (*corners)(const float* values, std::size_t groups, std::size_t size, std::uint32_t* corners);
  /// sums[bucket[t]] += tokens[t] for t = 0, 1, ..., rows of `width` values each.
  void (*add_rows)(const float* tokens, const std::uint32_t* bucket, std::size_t count, std::size_t width,
                   float* sums);
  /// The sum of squares, element j in lane j % 16 in order, the lanes folded 16 -> 8 -> 4 -> 2 -> 1.
  float (*squares)(const float* values, std::size_t width);
  /// out[j] += scale * (the sum over c = 0, 1, ... of signs[c * size + j] * values[c * size + j]), a sign being 1 or -1.
  void (*add_sketch)(const float* values, const float* signs, std::size_t chunks, std::size_t size,
                     float scale, float* out);
};

/// Of the instruction set that kernels() has chosen.
const FdeKernels& fde_kernels();
/// Every set this CPU can run, in the order of available_kernels(): for tests.
std::span<const FdeKernels> available_fde_kernels();

FdeKernels scalar_fde_kernels();
std::vector<FdeKernels> portable_fde_kernels();

}  // namespace vicinal
