#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

namespace vicinal {

/// The contract of quant/kernels.hpp a second time, as plainly as it can be written and sharing no code with the library. The
/// tests are compiled with -ffp-contract=off, so each operation rounds once.

/// What a binary16 code stands for, by the definition of the format.
inline double f16_value(std::uint16_t code) {
  const double sign = (code >> 15) != 0 ? -1.0 : 1.0;
  const int exponent = code >> 10 & 31;
  const int fraction = code & 1023;
  if (exponent == 31) return fraction == 0 ? sign * std::numeric_limits<double>::infinity() : std::nan("");
  return sign * (exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25));
}

/// What a bfloat16 code stands for.
inline double bf16_value(std::uint16_t code) {
  const double sign = (code >> 15) != 0 ? -1.0 : 1.0;
  const int exponent = code >> 7 & 255;
  const int fraction = code & 127;
  if (exponent == 255) return fraction == 0 ? sign * std::numeric_limits<double>::infinity() : std::nan("");
  return sign * (exponent == 0 ? std::ldexp(fraction, -133) : std::ldexp(128 + fraction, exponent - 134));
}

/// What the bits of a float8 stand for when its exponent has this bias, by the definition of floating point.
inline double f8_value(int code, int mantissa_bits, int bias) {
  const double sign = (code >> 7) != 0 ? -1.0 : 1.0;
  const int one = 1 << mantissa_bits;
  const int exponent = (code & 127) >> mantissa_bits;
  const int fraction = code & (one - 1);
  const int unit = 1 - bias - mantissa_bits;
  return sign *
         (exponent == 0 ? std::ldexp(fraction, unit) : std::ldexp(one + fraction, unit + exponent - 1));
}

/// Term i goes to lane i mod 32; then lane j takes lane j + half, until one lane is left.
inline float sum_in_lanes(std::span<const float> terms) {
  std::vector<float> lanes(32, 0.0F);
  for (std::size_t i = 0; i < terms.size(); ++i) lanes[i % 32] = lanes[i % 32] + terms[i];
  while (lanes.size() > 1) {
    std::vector<float> folded(lanes.size() / 2);
    for (std::size_t j = 0; j < folded.size(); ++j) folded[j] = lanes[j] + lanes[j + folded.size()];
    lanes = folded;
  }
  return lanes[0];
}

inline float expected_dot(std::span<const float> query, std::span<const float> record) {
  std::vector<float> terms(record.size());
  for (std::size_t i = 0; i < record.size(); ++i) terms[i] = query[i] * record[i];
  return sum_in_lanes(terms);
}

inline float expected_l2(std::span<const float> query, std::span<const float> record) {
  std::vector<float> terms(record.size());
  for (std::size_t i = 0; i < record.size(); ++i) {
    const float difference = query[i] - record[i];
    terms[i] = difference * difference;
  }
  return sum_in_lanes(terms);
}

/// The byte kernel's result; the sum is exact.
inline float expected_bytes(std::span<const std::int8_t> query, std::span<const std::uint8_t> record,
                            float scale, float offset, std::int32_t shift, float weight, float constant,
                            float offset_weight) {
  std::int64_t sum = 0;
  for (std::size_t i = 0; i < record.size(); ++i) sum += std::int64_t{query[i]} * std::int64_t{record[i]};
  const float dot = static_cast<float>(sum - shift);
  const float weighted = offset_weight * offset;
  const float base = constant + weighted;
  const float factor = weight * scale;
  const float product = factor * dot;
  return base + product;
}

/// The same bits; NaNs are equal whatever their payload, which processors choose differently.
inline bool same_float(float a, float b) {
  return (std::isnan(a) && std::isnan(b)) ||
         std::bit_cast<std::uint32_t>(a) == std::bit_cast<std::uint32_t>(b);
}

}  // namespace vicinal
