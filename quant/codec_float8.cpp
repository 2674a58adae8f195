// Vectors to records of float8, binary16 and bfloat16, and queries for float8.
#include <array>
#include <cmath>
#include <iterator>
#include <string>

#include "vicinal/core/error.hpp"
#include "vicinal/core/sums.hpp"
#include "vicinal/quant/codec_parts.hpp"
#include "vicinal/quant/kernels/encode.hpp"

namespace vicinal {
namespace {

// Squares of a format's magnitudes, by code.
template <Float8Format format>
constexpr std::array<double, 128> squares_by_code() {
  std::array<double, 128> squares{};
  for (std::size_t code = 0; code <= Float8Traits<format>::largest_code; ++code) {
    const auto value = static_cast<double>(f8_to_f32<format>(static_cast<std::uint8_t>(code)));
    squares[code] = value * value;
  }
  return squares;
}
template <Float8Format format>
constexpr std::array<double, 128> f8_squares = squares_by_code<format>();

}  // namespace

void Codec::encode_float8(std::span<const float> source, std::byte* record) const {
  // 2^-exponent as two floats, of which the second is 1 but where one would be infinity. Products are exact, or too small for any code.
  constexpr int most = 127;
  const int power = -exponent_;
  const int first = power > most ? most : power;
  const auto encode = with_format(kind(), [](auto format) { return encode_kernels().float8(format()); });
  encode(source.data(), source.size(), std::ldexp(1.0F, first), std::ldexp(1.0F, power - first),
         reinterpret_cast<std::uint8_t*>(record));
}

float Codec::norm_factor(std::span<const float> source, const std::byte* record) const {
  return with_format(kind(), [&](auto format) {
    const double norm = inner_product(source, source);
    const double code_squares = sum_side_by_side(source.size(), [&](std::size_t j) {
      return f8_squares<format()>[std::to_integer<std::size_t>(record[j] & std::byte{0x7F})];
    });
    const double code_norm = std::ldexp(code_squares, 2 * exponent_);
    // No factor makes a vector of codes that are all zero.
    if (norm == 0 || code_norm == 0) return 1.0F;
    return std::min(static_cast<float>(std::sqrt(norm / code_norm)), largest_norm_factor);
  });
}

namespace {

// Of the whole numbers that a query is made of: 127 x 256.
constexpr float largest_whole = 32'512.0F;

}  // namespace

bool Codec::set_whole_query(std::span<const float> vector, PreparedQuery& query) const {
  if ((kind() != CodecKind::e4m3 && kind() != CodecKind::e3m4) || metric_ == Metric::l2 ||
      dim_ > max_whole_dim)
    return false;
  const float largest = largest_magnitude(vector);
  // What a unit of the sum stands for. It is far from the ends of the range, so that no distance overflows or is NaN; for queries
  // and documents out there, floats do as well as ever.
  const double unit = std::ldexp(
      static_cast<double>(largest) / static_cast<double>(largest_whole) * static_cast<double>(f8_whole_unit),
      exponent_);
  if (largest != 0 && !(largest > 0x1.0p-80F && unit > 0x1.0p-100 && unit < 0x1.0p70)) return false;
  const float inverse = largest == 0 ? 0.0F : largest_whole / largest;
  const std::size_t part = padded(dim_, 64);  // 2 part bytes take no more room than the floats would
  auto* high = reinterpret_cast<std::int8_t*>(query.values_.data());
  auto* low = high + part;
  for (std::size_t j = 0; j < dim_; ++j) {
    const auto whole = static_cast<std::int32_t>(round_to_integer(vector[j] * inverse));
    const std::int32_t upper = (whole + 128) >> 8;
    // -128 has no negative among bytes: one of 65,025 units more.
    const std::int32_t lower = std::max(whole - upper * 256, -127);
    high[j] = static_cast<std::int8_t>(upper);
    low[j] = static_cast<std::int8_t>(lower);
  }
  std::fill(high + dim_, high + part, std::int8_t{0});
  std::fill(low + dim_, low + part, std::int8_t{0});
  query.weight_ = largest == 0 ? 0.0F : -static_cast<float>(unit);
  query.whole_ = true;
  return true;
}

void Codec::encode_half(std::span<const float> source, std::byte* record) const {
  const bool is_f16 = kind() == CodecKind::f16;
  const auto encode = is_f16 ? encode_kernels().f16 : encode_kernels().bf16;
  auto* codes = reinterpret_cast<std::uint16_t*>(record);
  const std::uint16_t infinity = is_f16 ? 0x7C00 : 0x7F80;
  if (encode(source.data(), source.size(), codes) < infinity) return;
  std::size_t j = 0;
  while ((codes[j] & 0x7FFFU) < infinity) ++j;
  throw InvalidArgument("value " + std::to_string(source[j]) + " in column " + std::to_string(j) +
                        " is beyond what " + std::string(to_string(kind())) + " can hold");
}

}  // namespace vicinal
