#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "vicinal/core/matrix_view.hpp"
#include "vicinal/core/random.hpp"

namespace vicinal {

/// Rows of floats that own their memory.
struct SampleVectors {
  SampleVectors(std::size_t rows, std::size_t cols) : dim(cols), values(rows * cols) {}
  [[nodiscard]] std::size_t size() const { return values.size() / dim; }
  [[nodiscard]] std::span<const float> operator[](std::size_t row) const {
    return {values.data() + row * dim, dim};
  }
  [[nodiscard]] std::span<float> operator[](std::size_t row) { return {values.data() + row * dim, dim}; }
  [[nodiscard]] MatrixView<const float> view() const { return {values.data(), size(), dim}; }

  std::size_t dim;
  std::vector<float> values;
};

/// Nearly normal, mean 0 and deviation 1: twelve uniform numbers less six.
inline float draw_normal(RandomStream& random) {
  double sum = -6.0;
  for (int i = 0; i < 12; ++i) sum += random.next_unit();
  return static_cast<float>(sum);
}

/// 16 clusters of deviation 1 with centres of deviation 2, all of it moved by 3 from the origin: like embeddings, and unlike
/// what makes centring or rotation needless.
inline SampleVectors clustered_vectors(std::size_t rows, std::size_t dim, std::uint64_t seed) {
  constexpr std::size_t clusters = 16;
  RandomStream random(seed, 0);
  SampleVectors centres(clusters, dim);
  for (float& v : centres.values) v = 3.0F + 2.0F * draw_normal(random);
  SampleVectors vectors(rows, dim);
  for (std::size_t row = 0; row < rows; ++row) {
    const std::span<const float> centre = centres[random.next_below(clusters)];
    for (std::size_t j = 0; j < dim; ++j) vectors[row][j] = centre[j] + draw_normal(random);
  }
  return vectors;
}

/// In double, where the sums are as good as exact.
inline double dot_of(std::span<const float> a, std::span<const float> b) {
  double sum = 0;
  for (std::size_t j = 0; j < a.size(); ++j) sum += static_cast<double>(a[j]) * static_cast<double>(b[j]);
  return sum;
}
inline double l2_of(std::span<const float> a, std::span<const float> b) {
  double sum = 0;
  for (std::size_t j = 0; j < a.size(); ++j) {
    const double difference = static_cast<double>(a[j]) - static_cast<double>(b[j]);
    sum += difference * difference;
  }
  return sum;
}
inline double norm_of(std::span<const float> a) { return std::sqrt(dot_of(a, a)); }

}  // namespace vicinal
