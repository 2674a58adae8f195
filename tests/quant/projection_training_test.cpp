// What training reads off the data: second moments, eigenvalues and vectors; the loops below them on every instruction set.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <string>

#include "vicinal/core/error.hpp"
#include "vicinal/core/executor.hpp"
#include "vicinal/quant/covariance.hpp"
#include "vicinal/quant/kernels.hpp"
#include "vicinal/quant/kernels/linear.hpp"
#include "vicinal/quant/symmetric_eigen.hpp"
#include "eigen_oracle.hpp"

namespace vicinal {
namespace {

Array<double> moments_of(const SampleVectors& rows, bool centred, const BuildControl& control = {}) {
  const TrainingRows training{rows.view()};
  const ColumnRange range = column_range(training, control);
  return second_moments(training, range, centred ? range.mean.span() : std::span<const float>(), control);
}

template <class T>
bool same_bits(const Array<T>& a, const Array<T>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.bytes()) == 0;
}

// Each column as far from the truth as its rounding to 14 bits allows.
void expect_moments(const SampleVectors& rows, bool centred) {
  const Array<double> got = moments_of(rows, centred);
  const ExactMatrix expected = exact_moments(rows, centred);
  for (std::size_t i = 0; i < rows.dim; ++i) {
    for (std::size_t j = 0; j < rows.dim; ++j) {
      const auto scale = static_cast<double>(std::sqrt(expected[i][i] * expected[j][j]));
      EXPECT_NEAR(got[i * rows.dim + j], static_cast<double>(expected[i][j]), 1e-3 * scale + 1e-300)
          << i << ", " << j;
    }
  }
}

TEST(SecondMoments, AreThoseOfTheDefinition) {
  for (const std::size_t rows : {1UL, 2UL, 15UL, 511UL, 513UL, 1500UL}) {
    for (const std::size_t dim : {1UL, 31UL, 33UL}) {
      expect_moments(clustered_vectors(rows, dim, rows), true);
      expect_moments(clustered_vectors(rows, dim, rows), false);
    }
  }
}

// The error of the mean over many rows is far below that of one rounding.
TEST(SecondMoments, LosesLittleToRounding) {
  const SampleVectors rows = clustered_vectors(3000, 40, 3);
  const Array<double> got = moments_of(rows, true);
  const ExactMatrix expected = exact_moments(rows, true);
  for (std::size_t i = 0; i < 40; ++i) {
    for (std::size_t j = 0; j < 40; ++j) {
      const auto scale = static_cast<double>(std::sqrt(expected[i][i] * expected[j][j]));
      EXPECT_NEAR(got[i * 40 + j], static_cast<double>(expected[i][j]), 3e-5 * scale);
    }
  }
}

TEST(SecondMoments, TakeColumnsOfVeryDifferentScale) {
  SampleVectors rows = clustered_vectors(700, 9, 5);
  for (std::size_t r = 0; r < rows.size(); ++r) {
    for (std::size_t j = 0; j < rows.dim; ++j)
      rows[r][j] = std::ldexp(rows[r][j], static_cast<int>(12 * j) - 60);
  }
  expect_moments(rows, true);
}

// All values at the end of the range: sums of 32 bits would overflow after 32 rows of it.
TEST(SecondMoments, DoNotOverflow) {
  SampleVectors rows(2000, 35);
  for (std::size_t r = 0; r < rows.size(); ++r) {
    for (std::size_t j = 0; j < rows.dim; ++j) rows[r][j] = r % 2 == 0 ? 8191.0F : -8191.0F;
  }
  const Array<double> got = moments_of(rows, false);
  for (std::size_t i = 0; i < got.size(); ++i) EXPECT_EQ(got[i], 8191.0 * 8191.0);
}

TEST(SecondMoments, AreExactWhereTheValuesAre) {
  RandomStream random(3, 3);
  SampleVectors rows(1000, 50);
  for (float& v : rows.values) v = static_cast<float>(static_cast<int>(random.next_below(8193)) - 4096);
  for (std::size_t j = 0; j < rows.dim; ++j) rows[0][j] = 8191;
  const Array<double> got = moments_of(rows, false);
  for (std::size_t i = 0; i < rows.dim; ++i) {
    for (std::size_t j = 0; j < rows.dim; ++j) {
      std::int64_t sum = 0;
      for (std::size_t r = 0; r < rows.size(); ++r)
        sum += static_cast<std::int64_t>(rows[r][i]) * static_cast<std::int64_t>(rows[r][j]);
      EXPECT_EQ(got[i * rows.dim + j], static_cast<double>(sum) / 1000.0);
    }
  }
}

TEST(SecondMoments, DoNotDependOnTheThreads) {
  const SampleVectors rows = clustered_vectors(9000, 70, 9);
  ThreadPool pool(3);
  BuildControl control;
  control.executor = pool;
  EXPECT_TRUE(same_bits(moments_of(rows, true), moments_of(rows, true, control)));
}

TEST(SecondMoments, NamesAValueThatIsTooLarge) {
  SampleVectors rows = clustered_vectors(20, 5, 1);
  rows[7][3] = 1e30F;
  try {
    (void)moments_of(rows, true);
    FAIL();
  } catch (const InvalidArgument& error) {
    EXPECT_NE(std::string(error.what()).find("documents row 7 column 3 is 1"), std::string::npos)
        << error.what();
  }
}

SymmetricEigen eigen_of(const ExactMatrix& matrix, const BuildControl& control = {}) {
  Array<double> copy(matrix.size() * matrix.size());
  for (std::size_t i = 0; i < copy.size(); ++i)
    copy[i] = static_cast<double>(matrix[i / matrix.size()][i % matrix.size()]);
  return symmetric_eigen(std::move(copy), matrix.size(), control);
}

// Values as the oracle's; vectors orthonormal, and eigenvectors: where values lie together any basis will do.
void expect_eigen(const ExactMatrix& matrix, double tolerance = 1e-13) {
  const std::size_t dim = matrix.size();
  const SymmetricEigen got = eigen_of(matrix);
  const ExactEigen expected = jacobi(matrix);
  const double largest = std::max(std::abs(static_cast<double>(expected.values.front())),
                                  std::abs(static_cast<double>(expected.values.back())));
  const double error = tolerance * static_cast<double>(dim);
  ASSERT_EQ(got.values.size(), dim);
  for (std::size_t i = 0; i < dim; ++i) {
    EXPECT_NEAR(got.values[i], static_cast<double>(expected.values[i]), error * largest);
    const double* v = got.vectors.data() + i * dim;
    for (std::size_t j = 0; j <= i; ++j) {
      double dot = 0;
      for (std::size_t c = 0; c < dim; ++c) dot += v[c] * got.vectors[j * dim + c];
      EXPECT_NEAR(dot, i == j ? 1.0 : 0.0, error);
    }
    double most = 0;
    for (std::size_t r = 0; r < dim; ++r) {
      long double product = 0;
      for (std::size_t c = 0; c < dim; ++c) product += matrix[r][c] * static_cast<long double>(v[c]);
      EXPECT_NEAR(static_cast<double>(product), got.values[i] * v[r], error * largest);
      if (std::abs(v[r]) > std::abs(most)) most = v[r];
    }
    EXPECT_GT(most, 0) << "the largest component is positive";
  }
}

TEST(SymmetricEigen, AgreesWithJacobi) {
  for (const std::size_t dim : {1UL, 2UL, 3UL, 8UL, 33UL, 70UL})
    expect_eigen(exact_moments(clustered_vectors(200, dim, dim), true));
}

TEST(SymmetricEigen, TakesWhatIsDegenerate) {
  expect_eigen(exact_moments(clustered_vectors(5, 40, 2), true));  // of rank 4
  for (const std::size_t dim : {1UL, 5UL, 40UL}) {
    ExactMatrix matrix(dim, std::vector<long double>(dim, 0));
    expect_eigen(matrix);  // zero
    for (std::size_t i = 0; i < dim; ++i) matrix[i][i] = 1;
    expect_eigen(matrix);  // all values equal
    for (std::size_t i = 0; i < dim; ++i) matrix[i][i] = static_cast<long double>(i) - 2;
    expect_eigen(matrix);  // diagonal already, not definite
    for (auto& row : matrix) std::fill(row.begin(), row.end(), 3.0L);
    expect_eigen(matrix);  // of rank 1
    for (std::size_t i = 0; i < dim; ++i) {
      for (std::size_t j = 0; j < dim; ++j) matrix[i][j] = i + 1 == j || j + 1 == i ? 1 : 0;
    }
    expect_eigen(matrix);  // tridiagonal already, the diagonal zero
  }
}

TEST(SymmetricEigen, TakesAnyScale) {
  for (const int exponent : {-500, -30, 30, 500}) {
    ExactMatrix matrix = exact_moments(clustered_vectors(60, 12, 4), true);
    for (auto& row : matrix) {
      for (long double& v : row) v = std::ldexp(v, exponent);
    }
    expect_eigen(matrix);
  }
}

TEST(SymmetricEigen, DoesNotDependOnTheThreads) {
  const ExactMatrix matrix = exact_moments(clustered_vectors(100, 20, 8), true);
  // Larger than what is worth splitting among threads.
  ExactMatrix large(400, std::vector<long double>(400));
  for (std::size_t i = 0; i < 400; ++i) {
    for (std::size_t j = 0; j < 400; ++j)
      large[i][j] = matrix[i % 20][j % 20] / static_cast<long double>(1 + (i > j ? i - j : j - i));
  }
  ThreadPool pool(3);
  BuildControl control;
  control.executor = pool;
  const SymmetricEigen one = eigen_of(large);
  const SymmetricEigen three = eigen_of(large, control);
  EXPECT_EQ(one.values, three.values);
  EXPECT_TRUE(same_bits(one.vectors, three.vectors));
}

TEST(Multiply, IsTheProduct) {
  Array<double> a(3 * 70);
  Array<double> b(70 * 67);
  for (std::size_t i = 0; i < a.size(); ++i) a[i] = static_cast<double>(i % 11) - 5;
  for (std::size_t i = 0; i < b.size(); ++i) b[i] = static_cast<double>(i % 13) - 6;
  const Array<double> product = multiply(a, 3, 70, b, 67);
  const Array<double> turned = transposed(product, 3, 67);
  for (std::size_t i = 0; i < 3; ++i) {
    for (std::size_t j = 0; j < 67; ++j) {
      double sum = 0;
      for (std::size_t k = 0; k < 70; ++k) sum += a[i * 70 + k] * b[k * 67 + j];
      EXPECT_EQ(product[i * 67 + j], sum);
      EXPECT_EQ(turned[j * 3 + i], sum);
    }
  }
}

TEST(LinearKernels, AreThoseOfTheKernels) {
  ASSERT_EQ(available_linear_kernels().size(), available_kernels().size());
  for (std::size_t i = 0; i < available_kernels().size(); ++i)
    EXPECT_EQ(available_linear_kernels()[i].name, available_kernels()[i].name);
  EXPECT_EQ(linear_kernels().name, kernels().name);
}

// Every set against the plain loops, bit by bit.
class LinearKernel : public ::testing::TestWithParam<LinearKernels> {
 protected:
  static std::vector<double> draw(std::size_t count, std::uint64_t stream) {
    RandomStream random(11, stream);
    std::vector<double> values(count);
    for (double& v : values) v = static_cast<double>(draw_normal(random)) * (1.0 + random.next_unit());
    return values;
  }
  const LinearKernels scalar_ = scalar_linear_kernels();
};

TEST_P(LinearKernel, AddsTheSameProducts) {
  RandomStream random(5, 5);
  for (const std::size_t pairs : {0UL, 1UL, 2UL, 7UL, 16UL}) {
    std::vector<std::int16_t> left(2 * tile_columns * pairs);
    std::vector<std::int16_t> right(left.size());
    for (auto* block : {&left, &right}) {
      for (std::int16_t& v : *block)
        v = static_cast<std::int16_t>(static_cast<int>(random.next_below(16'383)) - 8191);
    }
    std::vector<std::int64_t> got(tile_columns * tile_columns, std::int64_t{1} << 40);
    std::vector<std::int64_t> expected = got;
    GetParam().add_products(left.data(), right.data(), pairs, got.data());
    for (std::size_t i = 0; i < tile_columns; ++i) {
      for (std::size_t j = 0; j < tile_columns; ++j) {
        for (std::size_t p = 0; p < 2 * pairs; ++p) {
          const std::size_t at = p / 2 * 2 * tile_columns + p % 2;
          expected[i * tile_columns + j] += std::int64_t{left[at + 2 * i]} * right[at + 2 * j];
        }
      }
    }
    EXPECT_EQ(got, expected) << pairs;
  }
}

TEST_P(LinearKernel, UpdatesTheSameBits) {
  for (const std::size_t size : {1UL, 3UL, 8UL, 13UL, 37UL, 64UL}) {
    const std::vector<double> a = draw(size * size, 1);
    const std::vector<double> v = draw(size, 2);
    const std::vector<double> w = draw(size, 3);
    const std::vector<double> u = draw(size, 4);
    const std::vector<double> y = draw(size, 5);
    for (const std::size_t begin : {0UL, size / 3}) {
      for (const bool update : {false, true}) {
        std::vector<double> a1 = a, a2 = a, y1 = y, y2 = y;
        const double* pending = update ? v.data() : nullptr;
        GetParam().update_and_multiply(a1.data(), size, size, begin, size, pending, w.data(), u.data(),
                                       y1.data());
        scalar_.update_and_multiply(a2.data(), size, size, begin, size, pending, w.data(), u.data(),
                                    y2.data());
        EXPECT_EQ(a1, a2);
        EXPECT_EQ(y1, y2);
      }
      std::vector<double> y1 = y, y2 = y;
      GetParam().combine_rows(a.data(), size, size, begin, size, u.data(), y1.data());
      scalar_.combine_rows(a.data(), size, size, begin, size, u.data(), y2.data());
      EXPECT_EQ(y1, y2);
      std::vector<double> a1 = a, a2 = a;
      GetParam().subtract_outer(a1.data(), size, size, begin, size, u.data(), y.data());
      scalar_.subtract_outer(a2.data(), size, size, begin, size, u.data(), y.data());
      EXPECT_EQ(a1, a2);
    }
  }
}

TEST_P(LinearKernel, RotatesTheSameBits) {
  constexpr std::size_t rows = 9;
  const std::vector<double> values = draw(rows * strip_columns, 7);
  const std::vector<RotationSweep> sweeps{{8, 0}, {5, 4}, {3, 3}, {7, 2}};
  std::vector<PlaneRotation> rotations;
  for (int i = 0; i < 14; ++i) rotations.push_back({std::cos(0.3 * i), std::sin(0.3 * i)});
  Array<double> got(values.size());
  std::copy(values.begin(), values.end(), got.data());
  Array<double> expected(values.size());
  std::copy(values.begin(), values.end(), expected.data());
  GetParam().rotate(got.data(), sweeps, rotations.data());
  scalar_.rotate(expected.data(), sweeps, rotations.data());
  EXPECT_TRUE(same_bits(got, expected));
}

INSTANTIATE_TEST_SUITE_P(All, LinearKernel,
                         ::testing::ValuesIn(available_linear_kernels().begin(),
                                             available_linear_kernels().end()),
                         [](const auto& set) { return std::string(set.param.name); });

}  // namespace
}  // namespace vicinal
