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
// What stands for 0 among what the kernels sum: codes of i8, twice the codes of the others.
constexpr std::int32_t zero_code(CodecKind kind, int layout) {
  switch (kind) {
    case CodecKind::i8: return byte_zero;
    case CodecKind::b1: return 1;
    case CodecKind::b2: return 3;
    default: return layout == 0 ? 16 : 15;
  }
}
inline constexpr float largest_code = 127.0F;
// Of the bytes of a query for bits: four of them, with signs, fit in a byte again, which is what kernels that look sums up need. The
// rounding adds 0.3 % to the variance that bits have anyway.
inline constexpr auto largest_bit_query = static_cast<float>(Kernels::largest_bit_value);

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

// Bytes of the last line of halves, which holds `elements` of them, at most 128.
constexpr std::size_t nibble_line_bytes(std::size_t elements, int layout) {
  return layout == 0 ? 64 : (elements + 15) / 16 * 8;
}

// Calls body(j, code) for every element of a record of integers. The kind is looked at once, not per element.
template <class Body>
void for_each_code(const Codec& codec, const std::byte* record, Body body) {
  const CodecKind kind = codec.kind();
  const std::size_t dim = codec.dim();
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
  const auto value = [&](std::int32_t half) { return codec.layout() == 0 ? half - 8 : 2 * half - 15; };
  for (std::size_t line = 0; line < dim; line += 128, record += 64) {
    const std::size_t elements = std::min<std::size_t>(128, dim - line);
    const std::size_t low = std::min(elements, nibble_line_bytes(elements, codec.layout()));
    for (std::size_t j = 0; j < low; ++j)
      body(line + j, value(std::to_integer<std::int32_t>(record[j]) & 15));
    for (std::size_t j = 0; j < elements - low; ++j)
      body(line + low + j, value(std::to_integer<std::int32_t>(record[j]) >> 4));
  }
}

template <class Values, class Run>
void Codec::for_each_group(std::span<const PreparedQuery> queries, const Values& values, const Run& run) {
  constexpr std::size_t most = 16;
  ByteQuery some[most];
  for (std::size_t first = 0; first < queries.size(); first += most) {
    const std::size_t size = std::min(most, queries.size() - first);
    for (std::size_t q = 0; q < size; ++q) {
      const PreparedQuery& query = queries[first + q];
      some[q] = {values(query), query.shift_, query.weight_, query.constant_, query.offset_weight_};
    }
    run(std::span<const ByteQuery>(some, size), first);
  }
}

}  // namespace vicinal
