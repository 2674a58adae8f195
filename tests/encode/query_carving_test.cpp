#include "vicinal/encode/query_carving.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

#include "vicinal/core/error.hpp"
#include "token_samples.hpp"

namespace vicinal {
namespace {

// Unit tokens around a few directions.
Tokens query_tokens(std::size_t count, std::size_t dim, std::uint64_t seed) {
  const Tokens directions = random_tokens(4, dim, seed);
  Tokens tokens = random_tokens(count, dim, seed + 1);
  RandomStream random(seed, 3);
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t direction = random.next_below(4);
    double squares = 0;
    for (std::size_t j = 0; j < dim; ++j) {
      float& value = tokens.values[i * dim + j];
      value = value * 0.7F + directions.values[direction * dim + j];
      squares += static_cast<double>(value) * static_cast<double>(value);
    }
    for (std::size_t j = 0; j < dim; ++j) {
      float& value = tokens.values[i * dim + j];
      value = static_cast<float>(static_cast<double>(value) / std::sqrt(squares));
    }
  }
  return tokens;
}

struct Carved {
  std::vector<float> rows;
  std::vector<std::uint32_t> sizes;
};

Carved carve(const Tokens& tokens, float tau) {
  Carved carved{std::vector<float>(tokens.values.size(), 7.0F),
                std::vector<std::uint32_t>(tokens.count(), 7)};
  const std::size_t rows =
      carve_query(tokens.view(), tau, {carved.rows.data(), tokens.count(), tokens.dim}, carved.sizes);
  for (std::size_t i = rows * tokens.dim; i < carved.rows.size(); ++i)
    EXPECT_EQ(carved.rows[i], 7.0F) << "written beyond the rows returned";
  carved.rows.resize(rows * tokens.dim);
  carved.sizes.resize(rows);
  return carved;
}

// As it is defined, in double: balls one after the other, then the largest first.
struct Ball {
  std::vector<double> sum;
  std::uint32_t size = 0;
};
std::vector<Ball> naive_balls(const Tokens& tokens, double tau) {
  const auto token = [&](std::size_t i) { return tokens.view()[i]; };
  std::vector<bool> absorbed(tokens.count(), false);
  std::vector<Ball> balls;
  for (std::size_t i = 0; i < tokens.count(); ++i) {
    if (absorbed[i]) continue;
    Ball ball{std::vector<double>(tokens.dim, 0.0)};
    for (std::size_t other = i; other < tokens.count(); ++other) {
      double product = 0;
      for (std::size_t j = 0; j < tokens.dim; ++j)
        product += static_cast<double>(token(i)[j]) * static_cast<double>(token(other)[j]);
      if (absorbed[other] || (other != i && product < tau)) continue;
      absorbed[other] = true;
      ++ball.size;
      for (std::size_t j = 0; j < tokens.dim; ++j) ball.sum[j] += static_cast<double>(token(other)[j]);
    }
    balls.push_back(ball);
  }
  std::stable_sort(balls.begin(), balls.end(), [](const Ball& a, const Ball& b) { return a.size > b.size; });
  return balls;
}

std::string message_of(const auto& call) {
  try {
    call();
  } catch (const InvalidArgument& error) {
    return error.what();
  }
  return "nothing was thrown";
}

TEST(QueryCarving, IsWhatItIsDefinedAs) {
  std::size_t fewer = 0;
  for (std::size_t count = 0; count <= 40; ++count) {
    for (const std::size_t dim : {2UL, 31UL, 128UL}) {
      for (const float tau : {-0.5F, 0.0F, 0.5F, 0.7F, 0.8F, 0.95F}) {
        const Tokens tokens = query_tokens(count, dim, count);
        const std::vector<Ball> expected = naive_balls(tokens, static_cast<double>(tau));
        const Carved carved = carve(tokens, tau);
        ASSERT_EQ(carved.sizes.size(), expected.size()) << count << " tokens of " << dim << ", tau " << tau;
        for (std::size_t row = 0; row < expected.size(); ++row) {
          ASSERT_EQ(carved.sizes[row], expected[row].size) << "row " << row;
          for (std::size_t j = 0; j < dim; ++j)
            ASSERT_NEAR(static_cast<double>(carved.rows[row * dim + j]), expected[row].sum[j], 1e-5);
        }
        if (expected.size() > 1 && expected.size() < count) ++fewer;
      }
    }
  }
  EXPECT_GT(fewer, 200U) << "the sample is too easy";
}

TEST(QueryCarving, KeepsTheSumOfAllTokens) {
  const Tokens tokens = query_tokens(32, 20, 5);
  for (const float tau : {-1.0F, 0.0F, 0.4F, 0.7F, 0.9F, 2.0F}) {
    const Carved carved = carve(tokens, tau);
    EXPECT_EQ(std::accumulate(carved.sizes.begin(), carved.sizes.end(), 0U), 32U);
    for (std::size_t j = 0; j < 20; ++j) {
      double before = 0;
      double after = 0;
      for (std::size_t i = j; i < tokens.values.size(); i += 20)
        before += static_cast<double>(tokens.values[i]);
      for (std::size_t i = j; i < carved.rows.size(); i += 20) after += static_cast<double>(carved.rows[i]);
      EXPECT_NEAR(after, before, 1e-5);
    }
  }
}

TEST(QueryCarving, MakesOneRowOfAllAtMinusOne) {
  EXPECT_EQ(carve(query_tokens(16, 9, 3), -1).sizes, std::vector<std::uint32_t>{16});
  // Of unit length but for rounding: the product of the two is less than -1.
  const Tokens opposite{{0.6F, 0.8000004F, -0.6F, -0.8000004F}, 2};
  EXPECT_EQ(carve(opposite, -1).sizes, std::vector<std::uint32_t>{2});
  EXPECT_EQ(carve(opposite, -0.9F).sizes, (std::vector<std::uint32_t>{1, 1}));
}

TEST(QueryCarving, LeavesEveryTokenApartAboveOne) {
  const Tokens tokens = query_tokens(32, 30, 4);
  const Carved carved = carve(tokens, 1.001F);
  EXPECT_EQ(carved.sizes, std::vector<std::uint32_t>(32, 1));
  EXPECT_TRUE(same_bits(carved.rows, tokens.values));
}

TEST(QueryCarving, PutsTheLargestBallsFirst) {
  const Tokens tokens{{1, 0, 0, 1, 0, 1, -1, 0, 0, 1, -1, 0}, 2};
  const Carved carved = carve(tokens, 0.9F);
  EXPECT_EQ(carved.sizes, (std::vector<std::uint32_t>{3, 2, 1}));
  EXPECT_EQ(carved.rows, (std::vector<float>{0, 3, -2, 0, 1, 0}));
}

TEST(QueryCarving, LeavesTokensWithoutLengthAlone) {
  const Tokens tokens{{0, 0, 1, 0, 0, 0, 1, 0}, 2};
  const Carved carved = carve(tokens, 0.5F);
  EXPECT_EQ(carved.sizes, (std::vector<std::uint32_t>{2, 1, 1}));
  EXPECT_EQ(carved.rows, (std::vector<float>{2, 0, 0, 0, 0, 0}));
}

TEST(QueryCarving, ReadsAndWritesRowsOfAnyStride) {
  const Tokens wide = query_tokens(12, 8, 9);
  Tokens dense{{}, 5};
  const MatrixView<const float> part(wide.values.data() + 1, 12, 5, 8);
  for (std::size_t i = 0; i < 12; ++i)
    dense.values.insert(dense.values.end(), part[i].begin(), part[i].end());
  const Carved expected = carve(dense, 0.3F);
  std::vector<float> out(14 * 7, 5.0F);
  const std::size_t rows = carve_query(part, 0.3F, {out.data(), 14, 5, 7});
  ASSERT_EQ(rows, expected.sizes.size());
  for (std::size_t i = 0; i < rows; ++i) {
    EXPECT_TRUE(std::equal(out.data() + i * 7, out.data() + i * 7 + 5, expected.rows.data() + i * 5));
    EXPECT_EQ(out[i * 7 + 5], 5.0F);
  }
}

TEST(QueryCarving, RefusesWhatItCannotCarve) {
  Tokens tokens = query_tokens(6, 4, 1);
  std::vector<float> out(24);
  std::vector<std::uint32_t> sizes(5);
  const MatrixView<float> room(out.data(), 6, 4);
  EXPECT_EQ(message_of([&] { carve_query(tokens.view(), std::nanf(""), room); }),
            "tau is nan, expected a finite number");
  EXPECT_EQ(message_of([&] { carve_query(tokens.view(), std::numeric_limits<float>::infinity(), room); }),
            "tau is inf, expected a finite number");
  EXPECT_EQ(message_of([&] {
              carve_query(tokens.view(), 0.7F, {out.data(), 5, 4});
            }),
            "out has 5 rows, expected at least 6, one for each token");
  EXPECT_EQ(message_of([&] {
              carve_query(tokens.view(), 0.7F, {out.data(), 6, 3});
            }),
            "out has 3 columns, the query has 4");
  EXPECT_EQ(message_of([&] { carve_query(tokens.view(), 0.7F, room, sizes); }),
            "sizes has 5 elements, expected at least 6, one for each token");
  tokens.values[3 * 4 + 2] = std::nanf("");
  EXPECT_EQ(message_of([&] { carve_query(tokens.view(), 0.7F, room); }),
            "query row 3 column 2 is nan, expected a finite number");
  EXPECT_EQ(out, std::vector<float>(24));
}

}  // namespace
}  // namespace vicinal
