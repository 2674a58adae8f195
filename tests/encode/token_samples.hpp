#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "vicinal/core/matrix_view.hpp"
#include "vicinal/core/random.hpp"

namespace vicinal {

/// Tokens that own their memory.
struct Tokens {
  std::vector<float> values;
  std::size_t dim = 0;

  [[nodiscard]] std::size_t count() const { return values.size() / dim; }
  [[nodiscard]] MatrixView<const float> view() const { return {values.data(), count(), dim}; }
};

/// Values in (-1.5, 1.5), among which nothing ties.
inline Tokens random_tokens(std::size_t count, std::size_t dim, std::uint64_t seed) {
  Tokens tokens{std::vector<float>(count * dim), dim};
  RandomStream random(seed, count * 1000 + dim);
  for (float& value : tokens.values)
    value = static_cast<float>(random.next_unit() + random.next_unit() + random.next_unit() - 1.5);
  return tokens;
}

/// Small whole numbers: many tokens are equal, and many distances tie.
inline Tokens grid_tokens(std::size_t count, std::size_t dim, std::uint64_t seed) {
  Tokens tokens{std::vector<float>(count * dim), dim};
  RandomStream random(seed, count * 1000 + dim);
  for (float& value : tokens.values) value = static_cast<float>(random.next_below(3)) - 1.0F;
  return tokens;
}

inline bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
}

}  // namespace vicinal
