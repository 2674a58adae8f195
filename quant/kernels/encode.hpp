#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "vicinal/quant/float8.hpp"

// The loops that make codes of vectors, and the transform of a rotation. Every element of the result is made by the same operations in the
// same order on every instruction set, as the plain loops of encode_scalar.cpp say. Not installed.
namespace vicinal {

/// Of values x and their 4-bit codes: the sums of the best scale.
struct NibbleSums {
  float product = 0;  ///< of x and codes
  float squares = 0;  ///< of codes
};
/// Of the values whose magnitude is above a threshold.
struct SumAbove {
  float sum = 0;  ///< of their magnitudes
  std::int32_t count = 0;
};
inline constexpr std::size_t nibble_steps = 4;
/// 0 to 15, for the odd number twice as large less 15; `inverse` is half the reciprocal of the scale. |x * inverse| < 2^21.
inline std::int32_t nibble_of(float x, float inverse) {
  // The float adder rounds to nearest, ties to even. Clipped as integers: compilers turn comparisons of floats into branches.
  constexpr float magic = 0x1.8p23F;
  const auto code = static_cast<std::int32_t>(((x * inverse + 7.5F) + magic) - magic);
  const std::int32_t above = code < 0 ? 0 : code;
  return above > 15 ? 15 : above;
}

struct EncodeKernels {
  /// Values to codes: value * first * second, then f32_to_f8, f32_to_f16 or f32_to_bf16 of it; values are not NaN. Two factors, since 2^180
  /// is no float. Those of 16 bits return the largest code without its sign.
  using Float8Encoder = void (*)(const float* values, std::size_t count, float first, float second,
                                 std::uint8_t* codes);
  using HalfEncoder = std::uint16_t (*)(const float* values, std::size_t count, std::uint16_t* codes);

  std::string_view name;
  Float8Encoder e4m3 = nullptr, e5m2 = nullptr, e3m4 = nullptr;
  HalfEncoder f16 = nullptr, bf16 = nullptr;
  /// In place, unnormalised: for half = 1, 2, 4, ... pairs (a, b) of elements `half` apart become (a + b, a - b). `signs`, if any, is what
  /// values are multiplied with first. size is a power of two.
  void (*walsh_hadamard)(float* values, const float* signs, std::size_t size) = nullptr;
  /// Of nibble_steps inverses. Sums in sixteen lanes, lane j adding the terms of elements j, j + 16, ... in order, the lanes then one
  /// after the other. At most 65,536 values.
  void (*nibble_sums)(const float* values, std::size_t count, const float* inverses,
                      NibbleSums* sums) = nullptr;
  /// halves[j] = nibble_of(values[j], inverse).
  void (*nibbles)(const float* values, std::size_t count, float inverse, std::uint8_t* halves) = nullptr;
  SumAbove (*sum_above)(const float* values, std::size_t count, float threshold) = nullptr;
  /// values[j] *= by[j].
  void (*multiply)(float* values, const float* by, std::size_t size) = nullptr;

  [[nodiscard]] Float8Encoder float8(Float8Format format) const {
    return format == Float8Format::e4m3 ? e4m3 : format == Float8Format::e5m2 ? e5m2 : e3m4;
  }
};

/// Of the instruction set that kernels() has chosen.
const EncodeKernels& encode_kernels();
/// Every set this CPU can run, from the plainest to the best: for tests.
std::span<const EncodeKernels> available_encode_kernels();

EncodeKernels scalar_encode_kernels();
std::vector<EncodeKernels> portable_encode_kernels();

}  // namespace vicinal
