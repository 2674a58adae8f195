// The kernels in plain C++: the definition of the numeric contract, and the fallback for any machine.
#include <array>
#include <cstring>

#include "vicinal/quant/float16.hpp"
#include "vicinal/quant/float8.hpp"
#include "vicinal/quant/kernels/dispatch.hpp"

namespace vicinal {
namespace {

template <class Stored, float (*decode)(Stored), bool squared_difference>
void score_floats(const float* query, std::size_t dim, const Records& records, std::size_t count,
                  float* out) {
  for (std::size_t i = 0; i < count; ++i) {
    const std::byte* record = records.base + records.stride * (records.ids == nullptr ? i : records.ids[i]);
    float lanes[32] = {};
    for (std::size_t j = 0; j < dim; ++j) {
      Stored stored;
      std::memcpy(&stored, record + j * sizeof(Stored), sizeof(Stored));
      const float x = decode(stored);
      const float factor = squared_difference ? query[j] - x : query[j];
      lanes[j % 32] += factor * (squared_difference ? factor : x);
    }
    for (std::size_t width = 16; width > 0; width /= 2) {
      for (std::size_t j = 0; j < width; ++j) lanes[j] += lanes[j + width];
    }
    out[i] = lanes[0];
  }
}

float identity(float x) { return x; }

template <Float8Format format>
float shifted_f8(std::uint8_t code) {
  return f16_to_f32(f8_to_f16_bits<format>(code));
}

template <Float8Format format>
constexpr std::array<std::int16_t, 256> whole_table() {
  std::array<std::int16_t, 256> whole{};
  for (std::size_t code = 0; code < 256; ++code) {
    const std::int32_t magnitude = f8_whole<format>(static_cast<std::uint8_t>(code));
    whole[code] = static_cast<std::int16_t>(code < 128 ? magnitude : -magnitude);
  }
  return whole;
}

template <Float8Format format>
void score_whole(const std::int8_t* query, std::size_t dim, const Records& records, const float* factors,
                 float weight, float constant, std::size_t count, float* out) {
  static constexpr std::array<std::int16_t, 256> whole = whole_table<format>();
  const std::int8_t* const low = query + (dim + 63) / 64 * 64;
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t record = records.ids == nullptr ? i : records.ids[i];
    const auto* codes = reinterpret_cast<const std::uint8_t*>(records.base + records.stride * record);
    std::int64_t dot = 0;
    for (std::size_t j = 0; j < dim; ++j) dot += (256 * query[j] + low[j]) * whole[codes[j]];
    const float factor = factors == nullptr ? weight : weight * factors[record];
    out[i] = constant + factor * static_cast<float>(dot);
  }
}

std::int32_t byte_at(const std::uint8_t* record, std::size_t j) { return record[j]; }

std::int32_t bit_at(const std::uint8_t* record, std::size_t j) { return 2 * (record[j / 8] >> (j % 8) & 1); }

std::int32_t quarter_at(const std::uint8_t* record, std::size_t j) {
  return 2 * (record[j / 64 * 16 + j % 16] >> (j % 64 / 16 * 2) & 3);
}

using Dot = std::int32_t (*)(const std::int8_t* query, std::size_t dim, const std::uint8_t* record);

template <std::int32_t (*code_at)(const std::uint8_t*, std::size_t)>
std::int32_t dot_of(const std::int8_t* query, std::size_t dim, const std::uint8_t* record) {
  std::int32_t dot = 0;
  for (std::size_t j = 0; j < dim; ++j) dot += std::int32_t{query[j]} * code_at(record, j);
  return dot;
}

std::int32_t nibble_dot(const std::int8_t* query, std::size_t dim, const std::uint8_t* record) {
  std::int32_t dot = 0;
  for (std::size_t b = 0; b < dim / 2; ++b) {
    const std::int8_t* const values = query + b / 64 * 128 + b % 64;
    dot += std::int32_t{values[0]} * (record[b] & 15) + std::int32_t{values[64]} * (record[b] >> 4);
  }
  return 2 * dot;
}

template <Dot dot>
void score_integers(const std::int8_t* query, std::size_t dim, const Records& records, const float* factors,
                    std::int32_t shift, float weight, float constant, float offset_weight, std::size_t count,
                    float* out) {
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t record = records.ids == nullptr ? i : records.ids[i];
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(records.base + records.stride * record);
    out[i] = (constant + offset_weight * factors[2 * record + 1]) +
             (weight * factors[2 * record]) * static_cast<float>(dot(query, dim, bytes) - shift);
  }
}

}  // namespace

Kernels scalar_kernels() {
  return {.name = "scalar",
          .dot_f32 = &score_floats<float, identity, false>,
          .l2_f32 = &score_floats<float, identity, true>,
          .dot_f16 = &score_floats<std::uint16_t, f16_to_f32, false>,
          .l2_f16 = &score_floats<std::uint16_t, f16_to_f32, true>,
          .dot_bf16 = &score_floats<std::uint16_t, bf16_to_f32, false>,
          .l2_bf16 = &score_floats<std::uint16_t, bf16_to_f32, true>,
          .dot_e4m3 = &score_floats<std::uint8_t, shifted_f8<Float8Format::e4m3>, false>,
          .l2_e4m3 = &score_floats<std::uint8_t, shifted_f8<Float8Format::e4m3>, true>,
          .dot_e5m2 = &score_floats<std::uint8_t, shifted_f8<Float8Format::e5m2>, false>,
          .l2_e5m2 = &score_floats<std::uint8_t, shifted_f8<Float8Format::e5m2>, true>,
          .dot_e3m4 = &score_floats<std::uint8_t, shifted_f8<Float8Format::e3m4>, false>,
          .l2_e3m4 = &score_floats<std::uint8_t, shifted_f8<Float8Format::e3m4>, true>,
          .whole_e4m3 = &score_whole<Float8Format::e4m3>,
          .whole_e3m4 = &score_whole<Float8Format::e3m4>,
          .bytes = &score_integers<dot_of<byte_at>>,
          .nibbles = &score_integers<nibble_dot>,
          .bits = &score_integers<dot_of<bit_at>>,
          .quarters = &score_integers<dot_of<quarter_at>>};
}

}  // namespace vicinal
