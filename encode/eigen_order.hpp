#pragma once

#include <algorithm>
#include <cstddef>

namespace vicinal {

/// Four tokens' values of one coordinate. A sum over coordinates is one addition for four tokens.
using FourTokens __attribute__((vector_size(16))) = float;

/// In which order a product of matrices by Eigen (3.4, SSE2, no fused multiply-add) adds up the d terms of one element. It
/// depends on the sizes of the matrices and on the element's row and column; sums of floats depend on it.
enum class SumOrder {
  ascending,     ///< one sum
  two_sums,      ///< even and odd terms apart as far as whole groups of eight go, the rest ascending
  four_sums,     ///< terms apart by index mod 4, (0 + 1) + (2 + 3), the rest ascending
  dot,           ///< terms apart by index mod 4, (0 + 2) + (1 + 3), the rest ascending
  unrolled_dot,  ///< terms apart by index mod 8, i added to i + 4, one more group of four, then as dot
};

/// The orders of a tokens x dim times dim x columns product.
class ProductOrder {
 public:
  ProductOrder(std::size_t tokens, std::size_t dim, std::size_t columns)
      : full_tokens_(tokens / 8 * 8), packet_tokens_(tokens / 4 * 4), full_columns_(columns / 4 * 4) {
    if (tokens + dim + columns < coefficient_limit || (tokens == 1 && columns == 1)) {
      whole_ = SumOrder::unrolled_dot;
    } else if (tokens == 1 || columns == 1) {
      whole_ = SumOrder::dot;
    }
  }

  /// The order for tokens [token, token + 4), `token` a multiple of 4.
  [[nodiscard]] SumOrder at(std::size_t token, std::size_t column) const {
    if (whole_ != SumOrder::ascending) return whole_;
    if (token < full_tokens_ || column >= full_columns_) return SumOrder::ascending;
    return token < packet_tokens_ ? SumOrder::two_sums : SumOrder::four_sums;
  }

 private:
  static constexpr std::size_t coefficient_limit = 20;  // smaller products are done element by element

  SumOrder whole_ = SumOrder::ascending;  // else of every element
  std::size_t full_tokens_;               // tokens in blocks of eight
  std::size_t packet_tokens_;             // and in blocks of four
  std::size_t full_columns_;              // columns in blocks of four
};

/// How many terms Eigen adds up before it adds the sum to the element, for an L1 cache of 32 KiB, which is what it finds
/// on most machines and assumes where it finds nothing. Up to 680 terms it is all of them on every machine.
inline std::size_t terms_per_pass(std::size_t dim) {
  constexpr std::size_t most = 680;
  if (dim <= most) return dim;
  const std::size_t rest = dim % most;
  return rest == 0 ? most : most - 8 * ((most - 1 - rest) / (8 * (dim / most + 1)));
}

/// The sum of all terms in the given order. `terms.visit(end, f)` calls f(i, value of term i) for the terms that it has not
/// visited yet and i < end, ascending; terms that are zero may be left out.
template <class Terms>
FourTokens sum_terms(SumOrder order, std::size_t dim, Terms terms) {
  FourTokens total{};
  if (order == SumOrder::dot || order == SumOrder::unrolled_dot) {
    FourTokens part[8] = {};  // of these only [0, width) in use, a power of two
    const std::size_t width = order == SumOrder::dot ? 4 : 8;
    terms.visit(dim / width * width,
                [&](std::size_t i, FourTokens value) { part[i & (width - 1)] += value; });
    if (width == 8) {
      for (std::size_t i = 0; i < 4; ++i) part[i] += part[i + 4];
      terms.visit(dim / 4 * 4, [&](std::size_t i, FourTokens value) { part[i & 3U] += value; });
    }
    total = (part[0] + part[2]) + (part[1] + part[3]);
    terms.visit(dim, [&](std::size_t /*i*/, FourTokens value) { total += value; });
    return total;
  }
  const std::size_t pass = terms_per_pass(dim);
  for (std::size_t begin = 0; begin < dim; begin += pass) {
    const std::size_t end = std::min(dim, begin + pass);
    FourTokens sum{};
    if (order != SumOrder::ascending) {
      FourTokens part[4] = {};
      const std::size_t width = order == SumOrder::two_sums ? 2 : 4;
      const std::size_t group = order == SumOrder::two_sums ? 8 : 4;
      terms.visit(begin + (end - begin) / group * group,
                  [&](std::size_t i, FourTokens value) { part[(i - begin) & (width - 1)] += value; });
      sum = (part[0] + part[1]) + (part[2] + part[3]);
    }
    terms.visit(end, [&](std::size_t /*i*/, FourTokens value) { sum += value; });
    total += sum;
  }
  return total;
}

}  // namespace vicinal
