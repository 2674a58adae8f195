#include "vicinal/quant/cholesky.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "vicinal/core/error.hpp"
#include "vicinal/quant/kernels/linear.hpp"

namespace vicinal {
namespace {

constexpr std::size_t block_rows = 64;
// A piece of the rows above that stays in the second-level cache while all rows of a block take their terms from it.
constexpr std::size_t piece = 128;

// row -= the sum over rows i in [first, last) above of U[i][k] times row i, over columns [begin, end).
void subtract_rows(double* matrix, std::size_t dim, std::size_t k, std::size_t first, std::size_t last,
                   std::size_t begin, std::size_t end) {
  double factors[piece];
  for (std::size_t from = first; from < last; from += piece) {
    const std::size_t count = std::min(piece, last - from);
    for (std::size_t i = 0; i < count; ++i) factors[i] = -matrix[(from + i) * dim + k];
    linear_kernels().combine_rows(matrix + from * dim, dim, count, begin, end, factors, matrix + k * dim);
  }
}

}  // namespace

Array<double> cholesky(Array<double> matrix, std::size_t dim, const BuildControl& control) {
  double* const a = matrix.data();
  for (std::size_t first = 0; first < dim; first += block_rows) {
    control.throw_if_stopped();
    const std::size_t last = std::min(dim, first + block_rows);
    const std::size_t strips = first == 0 ? 0 : (dim - first + piece - 1) / piece;
    control.executor.for_each(strips, [&](std::size_t strip, std::size_t) {
      const std::size_t begin = first + strip * piece;
      const std::size_t end = std::min(dim, begin + piece);
      for (std::size_t from = 0; from < first; from += piece) {
        for (std::size_t k = first; k < last; ++k)
          subtract_rows(a, dim, k, from, std::min(first, from + piece), begin, end);
      }
    });
    for (std::size_t k = first; k < last; ++k) {
      subtract_rows(a, dim, k, first, k, k, dim);
      double* const row = a + k * dim;
      if (!(row[k] > 0) || !std::isfinite(row[k])) {
        throw InvalidArgument("a matrix to factorise has the pivot " + std::to_string(row[k]) + " in row " +
                              std::to_string(k) + ", expected all to be above 0");
      }
      const double root = std::sqrt(row[k]);
      for (std::size_t j = k; j < dim; ++j) row[j] /= root;
    }
  }
  Array<double> packed(cholesky_size(dim));
  double* to = packed.data();
  for (std::size_t k = 0; k < dim; ++k) to = std::copy(a + k * dim + k, a + (k + 1) * dim, to);
  return packed;
}

void cholesky_solve(const Array<double>& factor, std::size_t dim, double* sides, std::size_t columns) {
  const LinearKernels& kernels = linear_kernels();
  const double* row = factor.data();
  for (std::size_t k = 0; k < dim; row += dim - k, ++k) {
    double* const own = sides + k * columns;
    for (std::size_t c = 0; c < columns; ++c) own[c] /= row[0];
    kernels.subtract_outer(own + columns, columns, dim - k - 1, 0, columns, row + 1, own);
  }
  std::vector<double> sum(columns);
  for (std::size_t k = dim; k-- > 0;) {
    row -= dim - k;
    double* const own = sides + k * columns;
    std::ranges::fill(sum, 0.0);
    kernels.combine_rows(own + columns, columns, dim - k - 1, 0, columns, row + 1, sum.data());
    for (std::size_t c = 0; c < columns; ++c) own[c] = (own[c] - sum[c]) / row[0];
  }
}

}  // namespace vicinal
