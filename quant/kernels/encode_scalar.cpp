// The loops in plain C++: their definition, and the fallback for any machine. And the choice among the sets.
#include <algorithm>
#include <cmath>

#include "vicinal/quant/float16.hpp"
#include "vicinal/quant/kernels.hpp"
#include "vicinal/quant/kernels/encode.hpp"

namespace vicinal {
namespace {

template <Float8Format format>
void encode_float8(const float* values, std::size_t count, float first, float second, std::uint8_t* codes) {
  for (std::size_t j = 0; j < count; ++j) codes[j] = f32_to_f8<format>(values[j] * first * second);
}

template <std::uint16_t (*encode)(float)>
std::uint16_t encode_half(const float* values, std::size_t count, std::uint16_t* codes) {
  std::uint16_t largest = 0;
  for (std::size_t j = 0; j < count; ++j) {
    codes[j] = encode(values[j]);
    largest = std::max(largest, static_cast<std::uint16_t>(codes[j] & 0x7FFFU));
  }
  return largest;
}

void multiply(float* values, const float* by, std::size_t size) {
  for (std::size_t j = 0; j < size; ++j) values[j] *= by[j];
}

void walsh_hadamard(float* values, const float* signs, std::size_t size) {
  if (signs != nullptr) multiply(values, signs, size);
  for (std::size_t half = 1; half < size; half *= 2) {
    for (std::size_t start = 0; start < size; start += 2 * half) {
      float* low = values + start;
      float* high = low + half;
      for (std::size_t i = 0; i < half; ++i) {
        const float a = low[i];
        const float b = high[i];
        low[i] = a + b;
        high[i] = a - b;
      }
    }
  }
}

constexpr std::size_t sum_lanes = 16;

NibbleSums sums_of_step(const float* values, std::size_t count, float inverse) {
  float products[sum_lanes] = {};
  float squares[sum_lanes] = {};
  for (std::size_t j = 0; j < count; ++j) {
    const auto code = static_cast<float>(2 * nibble_of(values[j], inverse) - 15);
    products[j % sum_lanes] += values[j] * code;
    squares[j % sum_lanes] += code * code;
  }
  NibbleSums sums;
  for (std::size_t lane = 0; lane < sum_lanes; ++lane) {
    sums.product += products[lane];
    sums.squares += squares[lane];
  }
  return sums;
}

void nibble_sums(const float* values, std::size_t count, const float* inverses, NibbleSums* sums) {
  for (std::size_t s = 0; s < nibble_steps; ++s) sums[s] = sums_of_step(values, count, inverses[s]);
}

void nibbles(const float* values, std::size_t count, float inverse, std::uint8_t* halves) {
  for (std::size_t j = 0; j < count; ++j)
    halves[j] = static_cast<std::uint8_t>(nibble_of(values[j], inverse));
}

SumAbove sum_above(const float* values, std::size_t count, float threshold) {
  float lanes[sum_lanes] = {};
  SumAbove above;
  for (std::size_t j = 0; j < count; ++j) {
    const float magnitude = std::abs(values[j]);
    lanes[j % sum_lanes] += magnitude > threshold ? magnitude : 0.0F;
    above.count += magnitude > threshold ? 1 : 0;
  }
  for (const float lane : lanes) above.sum += lane;
  return above;
}

std::vector<EncodeKernels> find_kernels() {
  std::vector<EncodeKernels> found{scalar_encode_kernels()};
  for (const EncodeKernels& portable : portable_encode_kernels()) found.push_back(portable);
  return found;
}

const std::vector<EncodeKernels>& all_kernels() {
  static const std::vector<EncodeKernels> all = find_kernels();
  return all;
}

// The set of kernels(), or the best one where kernels() has one more than there is here.
const EncodeKernels& choose() {
  for (const EncodeKernels& candidate : all_kernels()) {
    if (candidate.name == kernels().name) return candidate;
  }
  return all_kernels().back();
}

}  // namespace

EncodeKernels scalar_encode_kernels() {
  return {.name = "scalar",
          .e4m3 = &encode_float8<Float8Format::e4m3>,
          .e5m2 = &encode_float8<Float8Format::e5m2>,
          .e3m4 = &encode_float8<Float8Format::e3m4>,
          .f16 = &encode_half<f32_to_f16>,
          .bf16 = &encode_half<f32_to_bf16>,
          .walsh_hadamard = &walsh_hadamard,
          .nibble_sums = &nibble_sums,
          .nibbles = &nibbles,
          .sum_above = &sum_above,
          .multiply = &multiply};
}

const EncodeKernels& encode_kernels() {
  static const EncodeKernels& chosen = choose();
  return chosen;
}

std::span<const EncodeKernels> available_encode_kernels() { return all_kernels(); }

}  // namespace vicinal
