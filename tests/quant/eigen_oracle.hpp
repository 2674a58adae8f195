#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

#include "sample_vectors.hpp"

namespace vicinal {

/// Square matrices of long double: what the tests compare with, written from the definitions.
using ExactMatrix = std::vector<std::vector<long double>>;

/// The mean of (x - centre)(x - centre)^T in long double; the centre is the mean, or the origin.
inline ExactMatrix exact_moments(const SampleVectors& rows, bool centred) {
  std::vector<long double> centre(rows.dim, 0);
  const auto count = static_cast<long double>(rows.size());
  for (std::size_t r = 0; centred && r < rows.size(); ++r) {
    for (std::size_t j = 0; j < rows.dim; ++j) centre[j] += static_cast<long double>(rows[r][j]) / count;
  }
  ExactMatrix moments(rows.dim, std::vector<long double>(rows.dim, 0));
  for (std::size_t r = 0; r < rows.size(); ++r) {
    for (std::size_t i = 0; i < rows.dim; ++i) {
      const long double x = static_cast<long double>(rows[r][i]) - centre[i];
      for (std::size_t j = 0; j < rows.dim; ++j)
        moments[i][j] += x * (static_cast<long double>(rows[r][j]) - centre[j]) / count;
    }
  }
  return moments;
}

struct ExactEigen {
  std::vector<long double> values;  // descending
  ExactMatrix vectors;              // in rows
};

/// Jacobi's method: rotations that make one element zero at a time, until all are.
inline ExactEigen jacobi(ExactMatrix a) {
  const std::size_t dim = a.size();
  ExactMatrix v(dim, std::vector<long double>(dim, 0));
  for (std::size_t i = 0; i < dim; ++i) v[i][i] = 1;
  for (int sweep = 0; sweep < 60; ++sweep) {
    long double off = 0;
    for (std::size_t p = 0; p < dim; ++p) {
      for (std::size_t q = p + 1; q < dim; ++q) {
        off = std::max(off, std::abs(a[p][q]));
        if (a[p][q] == 0) continue;
        const long double ratio = (a[q][q] - a[p][p]) / (2 * a[p][q]);
        const long double t = (ratio >= 0 ? 1 : -1) / (std::abs(ratio) + std::sqrt(ratio * ratio + 1));
        const long double c = 1 / std::sqrt(t * t + 1);
        const long double s = t * c;
        for (std::size_t k = 0; k < dim; ++k) {
          const long double x = a[k][p];
          const long double y = a[k][q];
          a[k][p] = c * x - s * y;
          a[k][q] = s * x + c * y;
        }
        for (std::size_t k = 0; k < dim; ++k) {
          const long double x = a[p][k];
          const long double y = a[q][k];
          a[p][k] = c * x - s * y;
          a[q][k] = s * x + c * y;
          const long double z = v[p][k];
          v[p][k] = c * z - s * v[q][k];
          v[q][k] = s * z + c * v[q][k];
        }
      }
    }
    if (off == 0) break;
  }
  std::vector<std::size_t> order(dim);
  for (std::size_t i = 0; i < dim; ++i) order[i] = i;
  std::sort(order.begin(), order.end(), [&](std::size_t x, std::size_t y) { return a[x][x] > a[y][y]; });
  ExactEigen result;
  for (const std::size_t i : order) {
    result.values.push_back(a[i][i]);
    result.vectors.push_back(v[i]);
  }
  return result;
}

}  // namespace vicinal
