#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <type_traits>

#include "vicinal/quant/codec.hpp"
#include "vicinal/quant/float8.hpp"

// What the parts of the codec share.
namespace vicinal {

inline constexpr std::int32_t byte_zero = 128;  // the byte that stands for 0
inline constexpr std::int32_t nibble_zero = 8;  // and the half of a byte
// What the kernels subtract from a code, or from twice a code of RaBitQ.
constexpr std::int32_t zero_code(CodecKind kind) {
  switch (kind) {
    case CodecKind::i8: return byte_zero;
    case CodecKind::b1: return 1;
    case CodecKind::b2: return 3;
    default: return nibble_zero;
  }
}
inline constexpr float largest_code = 127.0F;
// Of the bytes of a query for bits: four of them, with signs, fit in a byte again, which is what kernels that look sums up need. The
// rounding adds 0.3 % to the variance that bits have anyway.
inline constexpr float largest_bit_query = 31.0F;

inline std::size_t padded(std::size_t size, std::size_t to) { return (size + to - 1) / to * to; }

// Rounds to nearest, ties to even, for |x| < 2^22: the float adder does it, the same way everywhere, and it vectorises.
inline float round_to_integer(float x) {
  constexpr float magic = 0x1.8p23F;
  return (x + magic) - magic;
}

// The largest magnitude; infinity or NaN when there is one: as integers, magnitudes are in order and those come last.
inline float largest_magnitude(std::span<const float> values) {
  std::uint32_t largest = 0;
  for (const float v : values) largest = std::max(largest, std::bit_cast<std::uint32_t>(v) & 0x7FFF'FFFFU);
  return std::bit_cast<float>(largest);
}

// The largest magnitude of a residual that is about to become integers; throws InvalidArgument when they could not hold it.
float require_byte_range(std::span<const float> residual, std::string_view codec, const char* what);

// Calls `body` with the float8 format of a kind as a constant.
template <class Body>
decltype(auto) with_format(CodecKind kind, Body body) {
  switch (kind) {
    case CodecKind::e5m2: return body(std::integral_constant<Float8Format, Float8Format::e5m2>());
    case CodecKind::e3m4: return body(std::integral_constant<Float8Format, Float8Format::e3m4>());
    default: return body(std::integral_constant<Float8Format, Float8Format::e4m3>());
  }
}

// Calls body(j, code) for every element of a record of integers. The kind is looked at once, not per element.
template <class Body>
void for_each_code(CodecKind kind, const std::byte* record, std::size_t dim, Body body) {
  if (kind == CodecKind::i8) {
    for (std::size_t j = 0; j < dim; ++j) body(j, std::to_integer<std::int32_t>(record[j]) - byte_zero);
    return;
  }
  if (kind == CodecKind::b1) {
    for (std::size_t j = 0; j < dim; ++j)
      body(j, (std::to_integer<std::int32_t>(record[j / 8]) >> (j % 8) & 1) * 2 - 1);
    return;
  }
  if (kind == CodecKind::b2) {
    for (std::size_t j = 0; j < dim; ++j) {
      const auto four = std::to_integer<std::int32_t>(record[j / 64 * 16 + j % 16]);
      body(j, (four >> (j % 64 / 16 * 2) & 3) * 2 - 3);
    }
    return;
  }
  for (std::size_t line = 0; line < dim; line += 128, record += 64) {
    const std::size_t count = std::min<std::size_t>(64, dim - line);
    for (std::size_t j = 0; j < count; ++j)
      body(line + j, (std::to_integer<std::int32_t>(record[j]) & 15) - nibble_zero);
    const std::size_t rest = std::min<std::size_t>(128, dim - line) - count;
    for (std::size_t j = 0; j < rest; ++j)
      body(line + 64 + j, (std::to_integer<std::int32_t>(record[j]) >> 4) - nibble_zero);
  }
}

}  // namespace vicinal
