// The loops in plain C++: their definition, and the fallback for any machine. And the choice among the sets.
#include <cmath>

#include "vicinal/encode/fde_kernels.hpp"
#include "vicinal/quant/kernels/dispatch.hpp"

namespace vicinal {
namespace {

void positive_bits(const float* values, std::size_t count, std::uint8_t* bits) {
  for (std::size_t byte = 0; byte < count / 8; ++byte) {
    unsigned packed = 0;
    for (unsigned j = 0; j < 8; ++j) packed |= values[byte * 8 + j] > 0 ? 1U << j : 0U;
    bits[byte] = static_cast<std::uint8_t>(packed);
  }
}

void corners(const float* values, std::size_t groups, std::size_t size, std::uint32_t* corners) {
  for (std::size_t g = 0; g < groups; ++g) {
    std::size_t largest = 0;
    float winner = values[g];
    for (std::size_t j = 1; j < size; ++j) {
      const float value = values[j * groups + g];
      if (!(std::fabs(value) > std::fabs(winner))) continue;
      winner = value;
      largest = j;
    }
    corners[g] = static_cast<std::uint32_t>(largest + (winner < 0 ? size : 0));
  }
}

void add_rows(const float* tokens, const std::uint32_t* bucket, std::size_t count, std::size_t width,
              float* sums) {
  for (std::size_t t = 0; t < count; ++t) {
    float* const sum = sums + bucket[t] * width;
    for (std::size_t j = 0; j < width; ++j) sum[j] += tokens[t * width + j];
  }
}

float squares(const float* values, std::size_t width) {
  float lanes[fde_lanes] = {};
  for (std::size_t j = 0; j < width; ++j) lanes[j % fde_lanes] += values[j] * values[j];
  for (std::size_t half = fde_lanes / 2; half > 0; half /= 2) {
    for (std::size_t l = 0; l < half; ++l) lanes[l] += lanes[l + half];
  }
  return lanes[0];
}

void add_sketch(const float* values, const float* signs, std::size_t chunks, std::size_t size, float scale,
                float* out) {
  for (std::size_t j = 0; j < size; ++j) {
    float sum = 0;
    for (std::size_t c = 0; c < chunks; ++c) sum += signs[c * size + j] * values[c * size + j];
    out[j] += scale * sum;
  }
}

const std::vector<FdeKernels>& all_fde_kernels() {
  static const std::vector<FdeKernels> all = [] {
    std::vector<FdeKernels> found{scalar_fde_kernels()};
    for (const FdeKernels& portable : portable_fde_kernels()) found.push_back(portable);
    match_sets(found);
    return found;
  }();
  return all;
}

}  // namespace

FdeKernels scalar_fde_kernels() {
  return {"scalar", &positive_bits, &corners, &add_rows, &squares, &add_sketch};
}

const FdeKernels& fde_kernels() {
  static const FdeKernels& chosen = chosen_set(all_fde_kernels());
  return chosen;
}

std::span<const FdeKernels> available_fde_kernels() { return all_fde_kernels(); }

}  // namespace vicinal
