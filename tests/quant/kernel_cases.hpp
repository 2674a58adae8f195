#pragma once

#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include "vicinal/core/array.hpp"
#include "vicinal/core/random.hpp"
#include "vicinal/quant/kernels.hpp"
#include "kernel_oracle.hpp"

namespace vicinal {

inline void PrintTo(const Kernels& set, std::ostream* out) { *out << set.name; }  // NOLINT: GoogleTest's name

/// How the values of a float record are stored.
enum class Stored : std::uint8_t { f32, f16, bf16, e4m3, e5m2, e3m4 };

inline bool is_float8(Stored stored) { return stored >= Stored::e4m3; }
inline std::size_t size_of(Stored stored) { return stored == Stored::f32 ? 4 : is_float8(stored) ? 1 : 2; }

/// One of the twelve float kernels of a set.
struct FloatCase {
  std::string_view name;
  Kernels::FloatKernel Kernels::*kernel;
  Stored stored;
  bool l2;
};

inline constexpr std::array float_cases = {FloatCase{"dot_f32", &Kernels::dot_f32, Stored::f32, false},
                                           FloatCase{"l2_f32", &Kernels::l2_f32, Stored::f32, true},
                                           FloatCase{"dot_f16", &Kernels::dot_f16, Stored::f16, false},
                                           FloatCase{"l2_f16", &Kernels::l2_f16, Stored::f16, true},
                                           FloatCase{"dot_bf16", &Kernels::dot_bf16, Stored::bf16, false},
                                           FloatCase{"l2_bf16", &Kernels::l2_bf16, Stored::bf16, true},
                                           FloatCase{"dot_e4m3", &Kernels::dot_e4m3, Stored::e4m3, false},
                                           FloatCase{"l2_e4m3", &Kernels::l2_e4m3, Stored::e4m3, true},
                                           FloatCase{"dot_e5m2", &Kernels::dot_e5m2, Stored::e5m2, false},
                                           FloatCase{"l2_e5m2", &Kernels::l2_e5m2, Stored::e5m2, true},
                                           FloatCase{"dot_e3m4", &Kernels::dot_e3m4, Stored::e3m4, false},
                                           FloatCase{"l2_e3m4", &Kernels::l2_e3m4, Stored::e3m4, true}};

/// A kernel for records of several codes a byte, which come in whole lines.
struct PackedCase {
  std::string_view name;
  Kernels::ByteKernel Kernels::*kernel;
  std::size_t line_elements;
  std::size_t line_bytes;
  std::uint8_t (*code)(const std::byte* record, std::size_t element);

  [[nodiscard]] std::size_t bytes(std::size_t dim) const {
    return (dim + line_elements - 1) / line_elements * line_bytes;
  }
  /// Twice a record's codes: what the kernel's dot is made of.
  [[nodiscard]] std::vector<std::uint8_t> doubled(const std::byte* record, std::size_t dim) const {
    std::vector<std::uint8_t> codes(dim);
    for (std::size_t j = 0; j < dim; ++j) codes[j] = static_cast<std::uint8_t>(2 * code(record, j));
    return codes;
  }
};

inline constexpr std::array packed_cases = {
    PackedCase{"bits", &Kernels::bits, 64, 8,
               [](const std::byte* record, std::size_t j) {
                 return static_cast<std::uint8_t>(std::to_integer<unsigned>(record[j / 8]) >> (j % 8) & 1U);
               }},
    PackedCase{"quarters", &Kernels::quarters, 64, 16, [](const std::byte* record, std::size_t j) {
                 const auto four = std::to_integer<unsigned>(record[j / 64 * 16 + j % 16]);
                 return static_cast<std::uint8_t>(four >> (j % 64 / 16 * 2) & 3U);
               }}};

/// Which numbers a test draws.
enum class Values : std::uint8_t {
  ordinary,  ///< between -1 and 1
  any,       ///< every finite code of the stored type: subnormals, huge ones, both zeros
};

/// A stored value's bits, in the low bytes.
inline std::uint32_t draw_bits(RandomStream& random, Stored stored, Values values) {
  if (is_float8(stored)) {
    // Any code up to the largest finite one, with a sign.
    const std::uint32_t codes = stored == Stored::e4m3 ? 0x7F : stored == Stored::e5m2 ? 0x7C : 0x70;
    return static_cast<std::uint32_t>(random.next_below(codes) | (random.next() & 0x80U));
  }
  if (values == Values::ordinary) {
    const float value = static_cast<float>(random.next_unit() * 2.0 - 1.0);
    const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
    if (stored == Stored::f32) return bits;
    if (stored == Stored::bf16) return bits >> 16;
    // Any sign and fraction, exponents from 2^-14 to 2^-1.
    return static_cast<std::uint32_t>((random.next() & 0x83FFU) | ((1 + random.next_below(14)) << 10));
  }
  const std::uint32_t fraction = stored == Stored::f32   ? 0x007F'FFFFU
                                 : stored == Stored::f16 ? 0x03FFU
                                                         : 0x007FU;
  const std::uint32_t sign = stored == Stored::f32 ? 0x8000'0000U : 0x8000U;
  const std::uint32_t exponent = sign - 1 - fraction;
  auto bits = static_cast<std::uint32_t>(random.next()) & (sign | exponent | fraction);
  switch (random.next_below(6)) {
    case 0: bits &= sign | fraction; break;  // subnormal
    case 1: bits &= sign; break;             // +0 or -0
    case 2: bits |= exponent; break;         // among the largest
    default: break;
  }
  // No infinity and no NaN: the exponent loses its lowest bit.
  if ((bits & exponent) == exponent) bits &= ~(fraction + 1);
  return bits;
}

/// The value of a stored number's bits.
inline float stored_value(Stored stored, std::uint32_t bits) {
  const auto code = static_cast<std::uint16_t>(bits);
  if (stored == Stored::f32) return std::bit_cast<float>(bits);
  if (is_float8(stored)) {
    // What the kernels make of a code: its value times 2^(bias - 15).
    const int mantissa = stored == Stored::e4m3 ? 3 : stored == Stored::e5m2 ? 2 : 4;
    return static_cast<float>(f8_value(code & 0xFF, mantissa, 15));
  }
  return static_cast<float>(stored == Stored::f16 ? f16_value(code) : bf16_value(code));
}

/// A query as the kernels want it: aligned, padded with zeros.
inline Array<float> draw_float_query(RandomStream& random, std::size_t dim, Values values) {
  Array<float> query((dim + 31) / 32 * 32);
  for (std::size_t i = 0; i < dim; ++i)
    query[i] = std::bit_cast<float>(draw_bits(random, Stored::f32, values));
  return query;
}

inline Array<std::int8_t> draw_byte_query(RandomStream& random, std::size_t dim) {
  Array<std::int8_t> query((dim + 63) / 64 * 64);
  for (std::size_t i = 0; i < dim; ++i)
    query[i] = static_cast<std::int8_t>(static_cast<int>(random.next_below(255)) - 127);
  return query;
}

/// 1 to 130 (every length of a tail, for every width of register), and the sizes of real embeddings.
inline std::vector<std::size_t> dimensions() {
  std::vector<std::size_t> dims;
  for (std::size_t dim = 1; dim <= 130; ++dim) dims.push_back(dim);
  dims.insert(dims.end(), {200, 256, 384, 511, 768, 784, 1000, 1024, 1536, 4096});
  return dims;
}

/// The sets of this machine, as parameters with readable names.
inline auto every_kernel_set() {
  const auto sets = available_kernels();
  return testing::ValuesIn(std::vector<Kernels>(sets.begin(), sets.end()));
}
inline std::string name_of_set(const testing::TestParamInfo<Kernels>& info) {
  return std::string(info.param.name);
}

}  // namespace vicinal
