#pragma once

#include <array>
#include <cstddef>
#include <numeric>
#include <span>

namespace vicinal {

// The sum of term(0) to term(count - 1) by eight sums side by side, folded in order: the same bits everywhere, and no addition waits for
// the one before.
template <class Term>
double sum_side_by_side(std::size_t count, Term term) {
  std::array<double, 8> sums{};
  for (std::size_t j = 0; j < count; ++j) sums[j % 8] += term(j);
  return std::accumulate(sums.begin(), sums.end(), 0.0);
}

// Of two vectors of one length, in double precision.
inline double inner_product(std::span<const float> a, std::span<const float> b) {
  return sum_side_by_side(
      a.size(), [&](std::size_t j) { return static_cast<double>(a[j]) * static_cast<double>(b[j]); });
}

}  // namespace vicinal
