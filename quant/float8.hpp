#pragma once

#include <bit>
#include <cstdint>
#include <limits>

#include "vicinal/quant/float16.hpp"

namespace vicinal {

/// A float of one byte: a sign, 7 - M bits of exponent, M bits of mantissa. The values of codes are those of ml_dtypes' types of the
/// same name (OCP "8-bit floating point specification" for the first two):
///
///   format   bias   largest finite          infinity   NaN
///   e4m3      7     448       (code 0x7E)     none     0x7F           float8_e4m3fn
///   e5m2     15     57,344    (code 0x7B)     0x7C     0x7D - 0x7F    float8_e5m2
///   e3m4      3     15.5      (code 0x6F)     0x70     0x71 - 0x7F    float8_e3m4
enum class Float8Format : std::uint8_t { e4m3 = 0, e5m2 = 1, e3m4 = 2 };

template <Float8Format format>
struct Float8Traits;
template <>
struct Float8Traits<Float8Format::e4m3> {
  static constexpr int mantissa_bits = 3, bias = 7;
  static constexpr std::uint8_t largest_code = 0x7E;
  static constexpr std::uint8_t infinity_code = 0xFF;  // there is none
};
template <>
struct Float8Traits<Float8Format::e5m2> {
  static constexpr int mantissa_bits = 2, bias = 15;
  static constexpr std::uint8_t largest_code = 0x7B;
  static constexpr std::uint8_t infinity_code = 0x7C;
};
template <>
struct Float8Traits<Float8Format::e3m4> {
  static constexpr int mantissa_bits = 4, bias = 3;
  static constexpr std::uint8_t largest_code = 0x6F;
  static constexpr std::uint8_t infinity_code = 0x70;
};

/// What the kernels see of a finite code: the binary16 that has its sign, exponent and mantissa bits. It is the code's value times
/// 2^(bias - 15), exactly, subnormal codes included: three operations decode any of the formats.
template <Float8Format format>
constexpr std::uint16_t f8_to_f16_bits(std::uint8_t code) {
  return static_cast<std::uint16_t>((code & 0x80U) << 8U | (code & 0x7FU)
                                                               << (10 - Float8Traits<format>::mantissa_bits));
}

/// 2^(15 - bias): value of a code = f16_to_f32(f8_to_f16_bits(code)) times this.
template <Float8Format format>
inline constexpr float f8_unit = std::bit_cast<float>(std::uint32_t{127 + 15 - Float8Traits<format>::bias}
                                                      << 23U);

/// Whether inner products with the format's codes are summed as whole numbers. E5M2's range is too wide for that.
template <Float8Format format>
inline constexpr bool f8_is_whole = format != Float8Format::e5m2;

/// What the kernels of whole numbers see of a finite code's magnitude, code & 0x7F: its value in units of 2^-6 = 1 / f8_whole_unit, at most
/// 15 bits. Exact for E3M4. For E4M3, whose unit is its smallest normal number, rounded down below 8 units; subnormal codes count as 0.
inline constexpr float f8_whole_unit = 0x1.0p-6F;
template <Float8Format format>
constexpr std::uint16_t f8_whole(std::uint8_t code) {
  static_assert(f8_is_whole<format>);
  constexpr unsigned mantissa_bits = Float8Traits<format>::mantissa_bits;
  const unsigned exponent = (code & 0x7FU) >> mantissa_bits;
  const unsigned fraction = code & ((1U << mantissa_bits) - 1U);
  if constexpr (format == Float8Format::e4m3) {
    return static_cast<std::uint16_t>((8U | fraction) << exponent >> 4U);
  } else {
    return static_cast<std::uint16_t>(exponent == 0 ? fraction : (16U | fraction) << (exponent - 1U));
  }
}

/// The code's value, exact for each of the 256 codes.
template <Float8Format format>
constexpr float f8_to_f32(std::uint8_t code) {
  using Traits = Float8Traits<format>;
  const auto magnitude = static_cast<std::uint8_t>(code & 0x7FU);
  if (magnitude > Traits::largest_code) {
    const float special = magnitude == Traits::infinity_code ? std::numeric_limits<float>::infinity()
                                                             : std::numeric_limits<float>::quiet_NaN();
    return (code & 0x80U) != 0 ? -special : special;
  }
  return f16_to_f32(f8_to_f16_bits<format>(code)) * f8_unit<format>;
}

/// binary32 -> float8, one rounding to nearest, ties to even. Beyond the largest finite value it saturates there, infinity too; NaN
/// becomes 0x7F.
template <Float8Format format>
constexpr std::uint8_t f32_to_f8(float value) {
  using Traits = Float8Traits<format>;
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const auto sign = static_cast<std::uint8_t>(bits >> 24U & 0x80U);
  const std::uint32_t magnitude = bits & 0x7FFF'FFFFU;
  if (magnitude > 0x7F80'0000U) return static_cast<std::uint8_t>(sign | 0x7FU);
  constexpr unsigned dropped = 23U - Traits::mantissa_bits;
  constexpr std::uint32_t smallest_normal = std::uint32_t{128 - Traits::bias} << 23U;
  std::uint32_t code = 0;
  if (magnitude < smallest_normal) {
    // A sum whose last place is one unit of the subnormal codes: the adder rounds.
    constexpr std::uint32_t magic = std::uint32_t{128 - Traits::bias - Traits::mantissa_bits + 23} << 23U;
    code =
        std::bit_cast<std::uint32_t>(std::bit_cast<float>(magnitude) + std::bit_cast<float>(magic)) - magic;
  } else {
    const std::uint32_t odd = magnitude >> dropped & 1U;
    code = ((magnitude + ((std::uint32_t{1} << (dropped - 1)) - 1) + odd) >> dropped) -
           (std::uint32_t{127 - Traits::bias} << Traits::mantissa_bits);
  }
  if (code > Traits::largest_code) code = Traits::largest_code;
  return static_cast<std::uint8_t>(sign | code);
}

}  // namespace vicinal
