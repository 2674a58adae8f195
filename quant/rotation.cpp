#include "vicinal/quant/rotation.hpp"

#include <bit>
#include <cmath>

#include "vicinal/core/random.hpp"

namespace vicinal {
namespace {

constexpr std::size_t rounds = 2;
constexpr std::uint64_t signs_stream = 0x726F'7461'7465;  // "rotate"

// In place, unnormalised. Each step is element-wise, so the bits do not depend on the width of the vector unit.
void walsh_hadamard(float* v, std::size_t size) noexcept {
  for (std::size_t half = 1; half < size; half *= 2) {
    for (std::size_t start = 0; start < size; start += 2 * half) {
      float* low = v + start;
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

void multiply(float* v, const float* by, std::size_t size) noexcept {
  for (std::size_t i = 0; i < size; ++i) v[i] *= by[i];
}

}  // namespace

// Signs are stored already multiplied by 1 / sqrt(block), the transform's normalisation, inside the block they precede.
Rotation::Rotation(std::size_t dim, std::uint64_t seed)
    : dim_(dim), block_(dim == 0 ? 0 : std::bit_floor(dim)) {
  scale_ = block_ == 0 ? 1.0F : 1.0F / std::sqrt(static_cast<float>(block_));
  RandomStream random(seed, signs_stream);
  const std::size_t blocks = block_ == dim_ ? 1 : 2;
  signs_.resize(rounds * blocks * block_);
  for (float& sign : signs_) sign = (random.next() & 1) != 0 ? scale_ : -scale_;
}

void Rotation::apply(std::span<float> vector) const noexcept {
  const float* signs = signs_.data();
  for (std::size_t round = 0; round < rounds; ++round) {
    multiply(vector.data(), signs, block_);
    walsh_hadamard(vector.data(), block_);
    signs += block_;
    if (block_ == dim_) continue;
    float* last = vector.data() + (dim_ - block_);
    multiply(last, signs, block_);
    walsh_hadamard(last, block_);
    signs += block_;
  }
}

void Rotation::apply_inverse(std::span<float> vector) const noexcept {
  const float* signs = signs_.data() + signs_.size();
  for (std::size_t round = 0; round < rounds; ++round) {
    if (block_ != dim_) {
      float* last = vector.data() + (dim_ - block_);
      signs -= block_;
      walsh_hadamard(last, block_);
      multiply(last, signs, block_);
    }
    signs -= block_;
    walsh_hadamard(vector.data(), block_);
    multiply(vector.data(), signs, block_);
  }
}

}  // namespace vicinal
