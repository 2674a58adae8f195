#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace vicinal {

/// A random orthogonal map of R^dim that costs O(dim log dim): rounds of random signs, then fast Walsh-Hadamard transforms over
/// blocks of a power of two, the blocks of one round overlapping those of the other, so that no padding to a power of two is
/// needed. Spreads the energy of a vector evenly over its coordinates, which is what a single scale per vector wants.
/// A pure function of (dim, seed); the same bits on every instruction set. Immutable, thread-safe.
class Rotation {
 public:
  Rotation() = default;
  /// One round mixes a block of coordinates each, which is enough on top of another rotation.
  Rotation(std::size_t dim, std::uint64_t seed, std::size_t rounds = 2);

  [[nodiscard]] std::size_t dim() const { return dim_; }
  /// In place; vector.size() == dim().
  void apply(std::span<float> vector) const noexcept;
  /// The inverse (transpose).
  void apply_inverse(std::span<float> vector) const noexcept;

 private:
  std::size_t dim_ = 0;
  std::size_t rounds_ = 0;
  std::size_t block_ = 0;     // the largest power of two <= dim
  float scale_ = 1.0F;        // 1 / sqrt(block)
  std::vector<float> signs_;  // rounds x dim of +-1
};

}  // namespace vicinal
