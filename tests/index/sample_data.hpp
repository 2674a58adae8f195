#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <numbers>
#include <utility>
#include <vector>

#include "vicinal/core/matrix_view.hpp"
#include "vicinal/core/metric.hpp"
#include "vicinal/core/neighbors.hpp"
#include "vicinal/core/random.hpp"

/// Rows that own their memory.
struct Rows {
  std::size_t count = 0;
  std::size_t dim = 0;
  std::vector<float> values;

  [[nodiscard]] vicinal::MatrixView<const float> view() const { return {values.data(), count, dim}; }
  [[nodiscard]] std::span<const float> operator[](std::size_t i) const { return view()[i]; }
};

/// Rows around a few centres, off the origin: embeddings have clusters and a mean. Queries and base of one distribution come
/// from different `stream`s of one seed.
inline Rows make_rows(std::size_t count, std::size_t dim, std::uint64_t seed, std::uint64_t stream = 0) {
  constexpr std::size_t clusters = 12;
  vicinal::RandomStream shape(seed, 1'000'000);
  vicinal::RandomStream random(seed, stream);
  const auto normal = [](vicinal::RandomStream& source) {
    const double radius = std::sqrt(-2.0 * std::log(1.0 - source.next_unit()));
    return radius * std::cos(2.0 * std::numbers::pi * source.next_unit());
  };
  std::vector<double> centres(clusters * dim);
  for (double& c : centres) c = 0.3 + normal(shape);
  Rows rows{count, dim, std::vector<float>(count * dim)};
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t cluster = random.next_below(clusters);
    for (std::size_t j = 0; j < dim; ++j) {
      rows.values[i * dim + j] = static_cast<float>(centres[cluster * dim + j] + 0.6 * normal(random));
    }
  }
  return rows;
}

/// In double, straight from the definition: nothing of the library is used.
inline double exact_distance(std::span<const float> q, std::span<const float> x, vicinal::Metric metric) {
  double dot = 0;
  double squares = 0;
  double qq = 0;
  double xx = 0;
  for (std::size_t j = 0; j < q.size(); ++j) {
    const double a = q[j];
    const double b = x[j];
    dot += a * b;
    squares += (a - b) * (a - b);
    qq += a * a;
    xx += b * b;
  }
  if (metric == vicinal::Metric::l2) return squares;
  if (metric == vicinal::Metric::ip) return -dot;
  return qq == 0 || xx == 0 ? 1.0 : 1.0 - dot / std::sqrt(qq * xx);
}

/// The nearest k rows of the base that pass, nearest first, ties by id. Row i has the id `id_of(i)`.
inline std::vector<std::pair<double, vicinal::Id>> exact_neighbors(
    const Rows& base, std::span<const float> query, vicinal::Metric metric, std::size_t k,
    const std::function<bool(vicinal::Id)>& passes = {},
    const std::function<vicinal::Id(std::size_t)>& id_of = [](std::size_t i) {
      return static_cast<vicinal::Id>(i);
    }) {
  std::vector<std::pair<double, vicinal::Id>> found;
  for (std::size_t i = 0; i < base.count; ++i) {
    if (!passes || passes(id_of(i))) found.emplace_back(exact_distance(query, base[i], metric), id_of(i));
  }
  std::sort(found.begin(), found.end());
  if (found.size() > k) found.resize(k);
  return found;
}

/// The share of the exact neighbours that were found.
inline double recall_of(
    const vicinal::Neighbors& found, const Rows& base, const Rows& queries, vicinal::Metric metric,
    const std::function<vicinal::Id(std::size_t)>& id_of = [](std::size_t i) {
      return static_cast<vicinal::Id>(i);
    }) {
  std::size_t hits = 0;
  std::size_t total = 0;
  for (std::size_t q = 0; q < queries.count; ++q) {
    const auto row = found.ids()[q];
    for (const auto& [distance, id] : exact_neighbors(base, queries[q], metric, found.k(), {}, id_of)) {
      hits += static_cast<std::size_t>(std::count(row.begin(), row.end(), id));
      ++total;
    }
  }
  return static_cast<double>(hits) / static_cast<double>(total);
}

inline bool same_results(const vicinal::Neighbors& a, const vicinal::Neighbors& b) {
  if (a.size() != b.size() || a.k() != b.k()) return false;
  for (std::size_t q = 0; q < a.size(); ++q) {
    if (a.counts()[q] != b.counts()[q]) return false;
    if (!std::equal(a.ids()[q].begin(), a.ids()[q].end(), b.ids()[q].begin())) return false;
    if (!std::equal(a.distances()[q].begin(), a.distances()[q].end(), b.distances()[q].begin())) return false;
  }
  return true;
}
