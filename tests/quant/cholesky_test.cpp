#include "vicinal/quant/cholesky.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "vicinal/core/error.hpp"
#include "vicinal/core/executor.hpp"
#include "vicinal/core/random.hpp"

namespace vicinal {
namespace {

// B^T B + the unit matrix, B of as many rows as columns.
Array<double> positive_matrix(std::size_t dim) {
  RandomStream random(3, dim);
  std::vector<double> b(dim * dim);
  for (double& v : b) v = 2 * random.next_unit() - 1;
  Array<double> a(dim * dim);
  for (std::size_t i = 0; i < dim; ++i) a[i * dim + i] = 1;
  for (std::size_t k = 0; k < dim; ++k) {
    for (std::size_t i = 0; i < dim; ++i) {
      for (std::size_t j = 0; j < dim; ++j) a[i * dim + j] += b[k * dim + i] * b[k * dim + j];
    }
  }
  return a;
}

Array<double> copy_of(const Array<double>& from) {
  Array<double> to(from.size());
  std::memcpy(to.data(), from.data(), from.bytes());
  return to;
}

TEST(Cholesky, SolvesWhateverTheBlocks) {
  ThreadPool pool(3);
  BuildControl threads;
  threads.executor = pool;
  for (const std::size_t dim : {1U, 2U, 63U, 64U, 65U, 200U, 321U}) {
    const Array<double> matrix = positive_matrix(dim);
    const Array<double> factor = cholesky(copy_of(matrix), dim);
    ASSERT_EQ(factor.size(), cholesky_size(dim));
    const Array<double> again = cholesky(copy_of(matrix), dim, threads);
    EXPECT_EQ(std::memcmp(factor.data(), again.data(), factor.bytes()), 0);
    constexpr std::size_t columns = 5;
    RandomStream random(4, dim);
    std::vector<double> exact(dim * columns);
    for (double& v : exact) v = 2 * random.next_unit() - 1;
    std::vector<double> sides(dim * columns);
    for (std::size_t i = 0; i < dim; ++i) {
      for (std::size_t j = 0; j < dim; ++j) {
        for (std::size_t c = 0; c < columns; ++c)
          sides[i * columns + c] += matrix[i * dim + j] * exact[j * columns + c];
      }
    }
    std::vector<double> alone(dim);
    for (std::size_t i = 0; i < dim; ++i) alone[i] = sides[i * columns + 3];
    cholesky_solve(factor, dim, sides.data(), columns);
    cholesky_solve(factor, dim, alone.data(), 1);
    for (std::size_t i = 0; i < dim; ++i) {
      EXPECT_EQ(alone[i], sides[i * columns + 3]) << "depends on the columns beside it";
      for (std::size_t c = 0; c < columns; ++c)
        ASSERT_NEAR(sides[i * columns + c], exact[i * columns + c], 1e-10) << dim << " " << i << " " << c;
    }
  }
}

TEST(Cholesky, RefusesWhatIsNotPositiveDefinite) {
  Array<double> matrix = positive_matrix(100);
  matrix[80 * 100 + 80] = -1;
  EXPECT_THROW(cholesky(std::move(matrix), 100), InvalidArgument);
  EXPECT_THROW(cholesky(Array<double>(16), 4), InvalidArgument);
}

}  // namespace
}  // namespace vicinal
