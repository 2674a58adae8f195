#include "vicinal/quant/rotation.hpp"

#include <bit>
#include <cmath>

#include "vicinal/core/random.hpp"
#include "vicinal/quant/kernels/encode.hpp"

namespace vicinal {
namespace {

constexpr std::uint64_t signs_stream = 0x726F'7461'7465;  // "rotate"

}  // namespace

// Signs are stored already multiplied by 1 / sqrt(block), the transform's normalisation, inside the block they precede.
Rotation::Rotation(std::size_t dim, std::uint64_t seed, std::size_t rounds)
    : dim_(dim), rounds_(rounds), block_(dim == 0 ? 0 : std::bit_floor(dim)) {
  scale_ = block_ == 0 ? 1.0F : 1.0F / std::sqrt(static_cast<float>(block_));
  RandomStream random(seed, signs_stream);
  const std::size_t blocks = block_ == dim_ ? 1 : 2;
  signs_.resize(rounds * blocks * block_);
  for (float& sign : signs_) sign = (random.next() & 1) != 0 ? scale_ : -scale_;
}

void Rotation::apply(std::span<float> vector) const noexcept {
  const EncodeKernels& set = encode_kernels();
  const float* signs = signs_.data();
  for (std::size_t round = 0; round < rounds_; ++round) {
    set.walsh_hadamard(vector.data(), signs, block_);
    signs += block_;
    if (block_ == dim_) continue;
    set.walsh_hadamard(vector.data() + (dim_ - block_), signs, block_);
    signs += block_;
  }
}

void Rotation::apply_inverse(std::span<float> vector) const noexcept {
  const EncodeKernels& set = encode_kernels();
  const float* signs = signs_.data() + signs_.size();
  for (std::size_t round = 0; round < rounds_; ++round) {
    if (block_ != dim_) {
      float* last = vector.data() + (dim_ - block_);
      signs -= block_;
      set.walsh_hadamard(last, nullptr, block_);
      set.multiply(last, signs, block_);
    }
    signs -= block_;
    set.walsh_hadamard(vector.data(), nullptr, block_);
    set.multiply(vector.data(), signs, block_);
  }
}

}  // namespace vicinal
