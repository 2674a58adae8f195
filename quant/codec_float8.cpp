// Vectors to records of float8, binary16 and bfloat16.
#include <cmath>
#include <string>

#include "vicinal/core/error.hpp"
#include "vicinal/quant/codec_parts.hpp"
#include "vicinal/quant/kernels/encode.hpp"

namespace vicinal {

void Codec::encode_float8(std::span<const float> source, std::byte* record) const {
  // 2^-exponent as two floats, of which the second is 1 but where one would be infinity. Products are exact, or too small for any code.
  constexpr int most = 127;
  const int power = -exponent_;
  const int first = power > most ? most : power;
  const auto encode = with_format(kind(), [](auto format) { return encode_kernels().float8(format()); });
  encode(source.data(), source.size(), std::ldexp(1.0F, first), std::ldexp(1.0F, power - first),
         reinterpret_cast<std::uint8_t*>(record));
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
