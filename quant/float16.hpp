#pragma once

#include <bit>
#include <cstdint>

namespace vicinal {

/// IEEE 754 binary16 -> binary32, exact for every one of the 65,536 codes.
constexpr float f16_to_f32(std::uint16_t half) {
  const std::uint32_t sign = std::uint32_t{half & 0x8000U} << 16;
  std::uint32_t magnitude = half & 0x7FFFU;
  if (magnitude >= 0x7C00U)
    return std::bit_cast<float>(sign | 0x7F80'0000U | (magnitude & 0x3FFU) << 13);  // infinity, NaN
  if (magnitude >= 0x0400U)
    return std::bit_cast<float>(sign | ((magnitude << 13) + (std::uint32_t{127 - 15} << 23)));
  // Subnormal: magnitude x 2^-24, exact in binary32.
  const float value = static_cast<float>(magnitude) * 0x1.0p-24F;
  return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(value));
}

/// binary32 -> binary16, one rounding to nearest, ties to even; beyond the largest finite value becomes infinity.
constexpr std::uint16_t f32_to_f16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t sign = bits >> 16 & 0x8000U;
  const std::uint32_t magnitude = bits & 0x7FFF'FFFFU;
  if (magnitude > 0x7F80'0000U) return static_cast<std::uint16_t>(sign | 0x7E00U);   // NaN
  if (magnitude >= 0x4780'0000U) return static_cast<std::uint16_t>(sign | 0x7C00U);  // >= 2^16
  if (magnitude < 0x3880'0000U) {
    // Below 2^-14: adding 0.5 leaves a unit of 2^-24 in the last place, so the adder rounds to a subnormal half.
    const float rounded = std::bit_cast<float>(magnitude) + 0.5F;
    return static_cast<std::uint16_t>(sign | (std::bit_cast<std::uint32_t>(rounded) - 0x3F00'0000U));
  }
  const std::uint32_t odd = magnitude >> 13 & 1U;
  return static_cast<std::uint16_t>(sign |
                                    ((magnitude + 0xFFFU + odd - (std::uint32_t{127 - 15} << 23)) >> 13));
}

/// bfloat16 -> binary32, exact.
constexpr float bf16_to_f32(std::uint16_t code) { return std::bit_cast<float>(std::uint32_t{code} << 16); }

/// binary32 -> bfloat16, to nearest, ties to even. Finite values beyond the largest finite bfloat16 become infinity.
constexpr std::uint16_t f32_to_bf16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if ((bits & 0x7FFF'FFFFU) > 0x7F80'0000U) return static_cast<std::uint16_t>(bits >> 16 | 0x40U);  // NaN
  return static_cast<std::uint16_t>((bits + 0x7FFFU + (bits >> 16 & 1U)) >> 16);
}

}  // namespace vicinal
