#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numbers>
#include <vector>

#include "vicinal/core/random.hpp"
#include "vicinal/core/vector_batch.hpp"

/// Documents of several vectors that own their memory.
struct Documents {
  std::size_t dim = 0;
  std::vector<float> values;
  std::vector<std::uint64_t> offsets{0};

  [[nodiscard]] vicinal::VectorBatch batch() const { return {{values.data(), offsets.back(), dim}, offsets}; }
  [[nodiscard]] std::size_t size() const { return offsets.size() - 1; }
};

/// Vectors of length 1 around topics, of which a document has a few, with a mean of their own: as contextual token vectors are.
/// Lengths from `least` to `most`.
inline Documents make_documents(std::size_t count, std::size_t dim, std::size_t least, std::size_t most,
                                std::uint64_t seed, std::uint64_t stream = 0) {
  constexpr std::size_t topics = 40;
  vicinal::RandomStream shape(seed, 1'000'000);
  vicinal::RandomStream random(seed, stream);
  const auto normal = [](vicinal::RandomStream& source) {
    const double radius = std::sqrt(-2.0 * std::log(1.0 - source.next_unit()));
    return radius * std::cos(2.0 * std::numbers::pi * source.next_unit());
  };
  std::vector<double> centres(topics * dim);
  for (double& c : centres) c = 0.4 + normal(shape);
  Documents documents;
  documents.dim = dim;
  for (std::size_t d = 0; d < count; ++d) {
    const std::size_t length = least + random.next_below(most - least + 1);
    std::size_t own[4];
    for (std::size_t& topic : own) topic = random.next_below(topics);
    for (std::size_t t = 0; t < length; ++t) {
      const std::size_t topic = own[random.next_below(4)];
      std::vector<double> vector(dim);
      double squares = 0;
      for (std::size_t j = 0; j < dim; ++j) {
        vector[j] = centres[topic * dim + j] + 0.7 * normal(random);
        squares += vector[j] * vector[j];
      }
      for (const double v : vector) documents.values.push_back(static_cast<float>(v / std::sqrt(squares)));
    }
    documents.offsets.push_back(documents.offsets.back() + length);
  }
  return documents;
}

/// MaxSim from its definition, in double.
inline double exact_maxsim(vicinal::MatrixView<const float> query,
                           vicinal::MatrixView<const float> document) {
  double sum = 0;
  for (std::size_t q = 0; q < query.rows(); ++q) {
    double best = -1e300;
    for (std::size_t t = 0; t < document.rows(); ++t) {
      double dot = 0;
      for (std::size_t j = 0; j < query.cols(); ++j)
        dot += static_cast<double>(query[q][j]) * static_cast<double>(document[t][j]);
      best = std::max(best, dot);
    }
    sum += best;
  }
  return sum;
}
