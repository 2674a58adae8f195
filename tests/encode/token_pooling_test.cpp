// Pooled documents: their rows, their shapes, batches, long documents, and what is refused.
#include "vicinal/encode/token_pooling.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <stop_token>
#include <string>
#include <vector>

#include "vicinal/core/error.hpp"
#include "vicinal/core/executor.hpp"
#include "shared_documents.hpp"
#include "token_samples.hpp"

namespace vicinal {
namespace {

struct Pooled {
  std::vector<float> rows;
  std::vector<std::uint32_t> assignment;
};

Pooled pool(MatrixView<const float> tokens, const PoolingOptions& options) {
  const std::size_t count = pooled_count(tokens.rows(), options);
  Pooled pooled{std::vector<float>(count * tokens.cols()), std::vector<std::uint32_t>(tokens.rows(), 99'999)};
  pool_tokens(tokens, options, {pooled.rows.data(), count, tokens.cols()}, pooled.assignment);
  return pooled;
}

std::string message_of(const auto& call) {
  try {
    call();
  } catch (const InvalidArgument& error) {
    return error.what();
  }
  return "nothing was thrown";
}

double length_of(const float* values, std::size_t dim) {
  double squares = 0;
  for (std::size_t j = 0; j < dim; ++j)
    squares += static_cast<double>(values[j]) * static_cast<double>(values[j]);
  return std::sqrt(squares);
}

// Rows are the means of the tokens that were assigned to them, as the options say.
void expect_means(MatrixView<const float> tokens, const PoolingOptions& options) {
  const Pooled pooled = pool(tokens, options);
  const std::size_t dim = tokens.cols();
  std::uint32_t next = 0;
  for (const std::uint32_t row : pooled.assignment) {
    ASSERT_LE(row, next) << "rows are in the order of their first tokens";
    if (row == next) ++next;
  }
  ASSERT_EQ(next, pooled_count(tokens.rows(), options));
  for (std::size_t row = 0; row < next; ++row) {
    std::vector<double> mean(dim, 0.0);
    double lengths = 0;
    std::size_t members = 0;
    std::size_t member = 0;
    for (std::size_t i = 0; i < tokens.rows(); ++i) {
      if (pooled.assignment[i] != row) continue;
      for (std::size_t j = 0; j < dim; ++j) mean[j] += static_cast<double>(tokens[i][j]);
      lengths += length_of(tokens.row_data(i), dim);
      member = i;
      ++members;
    }
    const float* const got = pooled.rows.data() + row * dim;
    if (members == 1) {
      ASSERT_TRUE(std::equal(got, got + dim, tokens.row_data(member))) << "a single token stays as it is";
      continue;
    }
    double squares = 0;
    for (double& value : mean) squares += value * value;
    const double scale = options.renormalise ? lengths / static_cast<double>(members) / std::sqrt(squares)
                                             : 1 / static_cast<double>(members);
    for (std::size_t j = 0; j < dim; ++j)
      ASSERT_NEAR(static_cast<double>(got[j]), mean[j] * scale, 1e-6) << "row " << row;
  }
}

TEST(PooledCount, IsRoundedUp) {
  EXPECT_EQ(pooled_count(0, {.factor = 2}), 0U);
  EXPECT_EQ(pooled_count(1, {.factor = 2}), 1U);
  EXPECT_EQ(pooled_count(113, {.factor = 2}), 57U);
  EXPECT_EQ(pooled_count(113, {.factor = 1}), 113U);
  EXPECT_EQ(pooled_count(12, {.factor = 4}), 3U);
  EXPECT_EQ(pooled_count(13, {.factor = 4}), 4U);
  EXPECT_EQ(pooled_count(10, {.factor = 2.5}), 4U);
  EXPECT_EQ(pooled_count(10, {.factor = 1e300}), 1U);
}

TEST(PooledCount, IsOfClustersOrOfAllTokens) {
  EXPECT_EQ(pooled_count(113, {.factor = 2, .clusters = 32}), 32U);
  EXPECT_EQ(pooled_count(20, {.clusters = 32}), 20U);
  EXPECT_EQ(pooled_count(0, {.clusters = 32}), 0U);
}

TEST(PooledCount, AddsProtectedTokens) {
  EXPECT_EQ(pooled_count(113, {.factor = 2, .protect = 1}), 57U);
  EXPECT_EQ(pooled_count(113, {.factor = 2, .protect = 3}), 58U);
  EXPECT_EQ(pooled_count(113, {.clusters = 8, .protect = 3}), 11U);
  EXPECT_EQ(pooled_count(3, {.factor = 2, .protect = 3}), 3U);
  EXPECT_EQ(pooled_count(2, {.factor = 2, .protect = 3}), 2U);
  EXPECT_EQ(pooled_count(4, {.factor = 9, .protect = 3}), 4U);
}

TEST(TokenPooling, GivesTheMeansOfClusters) {
  for (const PoolingMethod method : {PoolingMethod::ward, PoolingMethod::kmeans}) {
    for (const bool renormalise : {false, true}) {
      for (const std::size_t count : {1UL, 2UL, 17UL, 60UL}) {
        for (const std::size_t dim : {1UL, 6UL, 33UL}) {
          const Tokens tokens = random_tokens(count, dim, 1);
          for (const double factor : {1.0, 1.5, 2.0, 4.0, 100.0}) {
            expect_means(tokens.view(), {.method = method, .factor = factor, .renormalise = renormalise});
            expect_means(tokens.view(),
                         {.method = method, .factor = factor, .renormalise = renormalise, .protect = 2});
          }
        }
      }
    }
  }
}

TEST(TokenPooling, KeepsUnitTokensOfUnitLength) {
  Tokens tokens = random_tokens(70, 20, 5);
  for (std::size_t i = 0; i < 70; ++i) {
    const double length = length_of(tokens.view().row_data(i), 20);
    for (std::size_t j = 0; j < 20; ++j) {
      float& value = tokens.values[i * 20 + j];
      value = static_cast<float>(static_cast<double>(value) / length);
    }
  }
  for (const PoolingMethod method : {PoolingMethod::ward, PoolingMethod::kmeans}) {
    const Pooled longer = pool(tokens.view(), {.method = method, .factor = 4});
    const Pooled means = pool(tokens.view(), {.method = method, .factor = 4, .renormalise = false});
    std::size_t shorter = 0;
    for (std::size_t row = 0; row < 18; ++row) {
      EXPECT_NEAR(length_of(longer.rows.data() + row * 20, 20), 1, 1e-6);
      if (length_of(means.rows.data() + row * 20, 20) < 0.99) ++shorter;
    }
    EXPECT_GT(shorter, 9U);
  }
}

TEST(TokenPooling, KeepsProtectedTokensAndPoolsTheOthersAlone) {
  const Tokens tokens = random_tokens(40, 9, 2);
  const Pooled pooled = pool(tokens.view(), {.factor = 3, .protect = 4});
  const Pooled others = pool(tokens.view().rows_from(4, 36), {.factor = 3});
  std::vector<float> expected(tokens.values.begin(), tokens.values.begin() + 4 * 9);
  expected.insert(expected.end(), others.rows.begin(), others.rows.end());
  EXPECT_TRUE(same_bits(pooled.rows, expected));
  for (std::uint32_t i = 0; i < 40; ++i)
    EXPECT_EQ(pooled.assignment[i], i < 4 ? i : 4 + others.assignment[i - 4]);
  EXPECT_TRUE(same_bits(pool(tokens.view(), {.factor = 3, .protect = 50}).rows, tokens.values));
}

TEST(TokenPooling, LeavesAloneWhatHasNoDirection) {
  for (const PoolingMethod method : {PoolingMethod::ward, PoolingMethod::kmeans}) {
    const Tokens zeros{std::vector<float>(6 * 5, 0.0F), 5};
    EXPECT_EQ(pool(zeros.view(), {.method = method, .factor = 2}).rows, std::vector<float>(3 * 5, 0.0F));
    const Tokens opposite{{1, 2, -1, -2}, 2};
    EXPECT_EQ(pool(opposite.view(), {.method = method, .clusters = 1}).rows, (std::vector<float>{0, 0}));
    const Tokens one_zero{{0, 0, 3, 4, 3, 4.5}, 2};
    const Pooled pooled = pool(one_zero.view(), {.method = method, .clusters = 2});
    for (const float value : pooled.rows) EXPECT_TRUE(std::isfinite(value));
    if (method == PoolingMethod::ward) {
      EXPECT_EQ(pooled.assignment, (std::vector<std::uint32_t>{0, 1, 1}));
    }
  }
}

TEST(TokenPooling, StaysWithinTheRangeOfFloats) {
  constexpr float most = std::numeric_limits<float>::max();
  const Tokens large{{most, most, most, -most, most, most, -most, most}, 2};
  const Tokens small{{0x1.0p-140F, 0, 0x1.0p-141F, 0, 0, 0x1.0p-149F, 0, 0}, 2};
  for (const Tokens& tokens : {large, small}) {
    for (const PoolingMethod method : {PoolingMethod::ward, PoolingMethod::kmeans}) {
      for (const bool renormalise : {false, true}) {
        for (const std::size_t clusters : {1UL, 2UL, 3UL}) {
          for (const float value :
               pool(tokens.view(), {.method = method, .clusters = clusters, .renormalise = renormalise}).rows)
            EXPECT_TRUE(std::isfinite(value));
        }
      }
    }
  }
}

TEST(TokenPooling, ReadsAndWritesRowsOfAnyStride) {
  const Tokens tokens = random_tokens(30, 11, 3);
  std::vector<float> out(10 * 7, 5.0F);
  const MatrixView<const float> part(tokens.values.data() + 2, 30, 5, 11);
  pool_tokens(part, {.factor = 3}, {out.data() + 1, 10, 5, 7});
  Tokens dense{{}, 5};
  for (std::size_t i = 0; i < 30; ++i)
    dense.values.insert(dense.values.end(), part[i].begin(), part[i].end());
  const Pooled expected = pool(dense.view(), {.factor = 3});
  for (std::size_t i = 0; i < 10; ++i) {
    EXPECT_EQ(out[i * 7], 5.0F);
    EXPECT_EQ(out[i * 7 + 6], 5.0F);
    EXPECT_TRUE(std::equal(out.data() + i * 7 + 1, out.data() + i * 7 + 6, expected.rows.data() + i * 5));
  }
}

TEST(LongDocuments, ArePooledRunByRun) {
  constexpr std::size_t count = 2 * max_pooled_run + 7;  // three runs
  const Tokens tokens = random_tokens(count, 3, 9);
  const PoolingOptions options{.factor = 16};
  const Pooled pooled = pool(tokens.view(), options);
  std::size_t begin = 0;
  std::size_t row = 0;
  for (std::size_t run = 0; run < 3; ++run) {
    const std::size_t length = count / 3 + (run < count % 3 ? 1 : 0);
    const std::size_t end_row = pooled_count(count, options) * (begin + length) / count;
    const Pooled alone = pool(tokens.view().rows_from(begin, length), {.clusters = end_row - row});
    for (std::size_t i = 0; i < length; ++i)
      ASSERT_EQ(pooled.assignment[begin + i], row + alone.assignment[i]) << "run " << run;
    ASSERT_TRUE(std::equal(alone.rows.begin(), alone.rows.end(), pooled.rows.data() + row * 3));
    begin += length;
    row = end_row;
  }
  EXPECT_EQ(row, pooled_count(count, options));
}

// 100,000 tokens: their distances would take 40 GB.
TEST(LongDocuments, FindFewClustersInManyTokens) {
  constexpr std::size_t count = 100'000;
  Tokens tokens = random_tokens(count, 2, 1);
  for (std::size_t i = 0; i < count; ++i) {
    tokens.values[2 * i] = tokens.values[2 * i] * 0.1F + static_cast<float>(i % 3 * 10);
    tokens.values[2 * i + 1] = tokens.values[2 * i + 1] * 0.1F + static_cast<float>(i % 3 == 1 ? 30 : 5);
  }
  const Pooled pooled = pool(tokens.view(), {.clusters = 3});
  for (std::size_t i = 0; i < count; ++i) ASSERT_EQ(pooled.assignment[i], i % 3);
}

// Many tokens at one place, a few around two others, which are nearer to each other when the tokens count, but not when what the runs were
// pooled to first does: there the many have become fewer than the few.
TEST(LongDocuments, CountTokensWhenTheyArePooledTwice) {
  constexpr std::size_t count = 5 * max_pooled_run;
  Tokens tokens = random_tokens(count, 2, 1);
  const auto place = [](std::size_t i) { return i % 12 == 0 ? 1 : i % 12 == 6 ? 2 : 0; };
  for (std::size_t i = 0; i < count; ++i) {
    const float spread = place(i) == 0 ? 0.0F : 0.01F;
    tokens.values[2 * i] = tokens.values[2 * i] * spread + (place(i) == 0   ? 0.0F
                                                            : place(i) == 1 ? 1.0F
                                                                            : 2.14F);
    tokens.values[2 * i + 1] *= spread;
  }
  const Pooled pooled = pool(tokens.view(), {.clusters = 2});
  for (std::size_t i = 0; i < count; ++i) ASSERT_EQ(pooled.assignment[i], place(i) == 0 ? 1U : 0U);
}

// A batch of documents of all sorts.
struct Batch {
  Tokens tokens = random_tokens(900, 10, 7);
  std::vector<std::uint64_t> offsets{0, 0, 1, 3, 60, 60, 61, 200, 350, 351, 600, 900, 900};
  [[nodiscard]] VectorBatch view() const { return {tokens.view(), offsets}; }
};

TEST(PooledBatch, IsItsDocumentsForAnyNumberOfThreads) {
  const Batch batch;
  for (const PoolingMethod method : {PoolingMethod::ward, PoolingMethod::kmeans}) {
    const PoolingOptions options{.method = method, .factor = 3, .protect = 1, .seed = 4};
    std::vector<float> rows;
    std::vector<std::uint64_t> offsets{0};
    for (std::size_t i = 0; i + 1 < batch.offsets.size(); ++i) {
      const std::size_t first = batch.offsets[i];
      const Pooled one = pool(batch.tokens.view().rows_from(first, batch.offsets[i + 1] - first), options);
      rows.insert(rows.end(), one.rows.begin(), one.rows.end());
      offsets.push_back(rows.size() / 10);
    }
    for (const std::size_t threads : {1UL, 2UL, 4UL}) {
      ThreadPool pool_of_threads(threads);
      BuildControl control;
      control.executor = pool_of_threads;
      const PooledTokens pooled = pool_tokens(batch.view(), options, control);
      EXPECT_EQ(pooled.offsets, offsets);
      EXPECT_TRUE(same_bits(pooled.rows, rows)) << threads << " threads";
    }
    EXPECT_TRUE(same_bits(pool_tokens(batch.view(), options).rows, rows));
  }
}

TEST(PooledBatch, OfRealDocumentsHasTheSameBitsForAnyNumberOfThreads) {
  const auto documents = shared_documents();
  if (!documents) GTEST_SKIP() << "no lotte-dev-colbert: set VICINAL_SHARED";
  const VectorBatch batch(documents->tokens.view(), documents->offsets);
  const PooledTokens expected = pool_tokens(batch, {.factor = 2});
  EXPECT_EQ(expected.offsets.size(), documents->offsets.size());
  for (const std::size_t threads : {2UL, 4UL}) {
    ThreadPool pool_of_threads(threads);
    BuildControl control;
    control.executor = pool_of_threads;
    const PooledTokens pooled = pool_tokens(batch, {.factor = 2}, control);
    EXPECT_EQ(pooled.offsets, expected.offsets);
    EXPECT_TRUE(same_bits(pooled.rows, expected.rows));
  }
  for (std::size_t i = 0; i < expected.offsets.back(); ++i)
    ASSERT_NEAR(length_of(expected.rows.data() + i * 128, 128), 1, 2e-3);
}

TEST(PooledBatch, WithoutOffsetsHasDocumentsOfOneToken) {
  const Tokens tokens = random_tokens(5, 3, 1);
  const PooledTokens pooled = pool_tokens(VectorBatch(tokens.view()), {.factor = 4});
  EXPECT_EQ(pooled.offsets, (std::vector<std::uint64_t>{0, 1, 2, 3, 4, 5}));
  EXPECT_TRUE(same_bits(pooled.rows, tokens.values));
  const PooledTokens none = pool_tokens(VectorBatch(), {});
  EXPECT_EQ(none.offsets, std::vector<std::uint64_t>{0});
  EXPECT_TRUE(none.rows.empty());
}

TEST(PooledBatch, ReportsAndStops) {
  const Batch batch;
  std::vector<std::uint64_t> seen;
  BuildControl control;
  control.progress = [&](std::string_view, std::uint64_t done, std::uint64_t) { seen.push_back(done); };
  (void)pool_tokens(batch.view(), {.factor = 2}, control);
  EXPECT_EQ(seen, (std::vector<std::uint64_t>{0, 12}));
  std::stop_source source;
  source.request_stop();
  control.stop = source.get_token();
  EXPECT_THROW((void)pool_tokens(batch.view(), {.factor = 2}, control), Cancelled);
}

TEST(TokenPooling, RefusesFactorsBelowOne) {
  const Tokens tokens = random_tokens(4, 2, 1);
  for (const double factor : {0.5, 0.0, -2.0, std::nan(""), std::numeric_limits<double>::infinity()}) {
    const std::string expected = "expected a finite number of at least 1";
    EXPECT_THAT(message_of([&] { (void)pooled_count(4, {.factor = factor}); }), testing::HasSubstr(expected));
    EXPECT_THAT(message_of([&] { (void)pool_tokens(VectorBatch(tokens.view()), {.factor = factor}); }),
                testing::HasSubstr(expected));
  }
  EXPECT_EQ(message_of([] { (void)pooled_count(4, {.factor = 0.5}); }),
            "the pooling factor is 0.5, expected a finite number of at least 1");
}

TEST(TokenPooling, RefusesWrongShapes) {
  const Tokens tokens = random_tokens(9, 4, 1);
  std::vector<float> out(100);
  std::vector<std::uint32_t> assignment(8);
  EXPECT_EQ(message_of([&] {
              pool_tokens(tokens.view(), {.factor = 2}, {out.data(), 4, 4});
            }),
            "out has 4 rows, expected 5 for 9 tokens");
  EXPECT_EQ(message_of([&] {
              pool_tokens(tokens.view(), {.factor = 2}, {out.data(), 5, 3});
            }),
            "out has 3 columns, the tokens have 4");
  EXPECT_EQ(message_of([&] {
              pool_tokens(tokens.view(), {.factor = 2}, {out.data(), 5, 4}, assignment);
            }),
            "the assignment has 8 elements, there are 9 tokens");
  EXPECT_EQ(message_of([&] {
              pool_tokens(MatrixView<const float>(out.data(), 2, 0), {}, MatrixView<float>(out.data(), 2, 0));
            }),
            "tokens have 0 columns, expected at least 1");
  pool_tokens(MatrixView<const float>(), {.factor = 2}, MatrixView<float>());
  EXPECT_EQ(out, std::vector<float>(100));
}

TEST(TokenPooling, RefusesWhatIsNotFinite) {
  Batch batch;
  batch.tokens.values[62 * 10 + 7] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(message_of([&] { (void)pool_tokens(batch.view(), {.factor = 2}); }),
            "document 6 row 1 column 7 is nan, expected a finite number");
  EXPECT_EQ(message_of([&] { (void)pool(batch.tokens.view().rows_from(60, 20), {.factor = 2}); }),
            "tokens row 2 column 7 is nan, expected a finite number");
  batch.offsets[3] = 0;
  EXPECT_EQ(message_of([&] { (void)pool_tokens(batch.view(), {.factor = 2}); }),
            "documents offsets must ascend: offset 3 is 0 after 1");
}

}  // namespace
}  // namespace vicinal
