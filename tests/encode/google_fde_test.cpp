#include "vicinal/encode/google_fde.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <fstream>
#include <limits>
#include <map>
#include <random>
#include <span>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "vicinal/core/error.hpp"
#include "vicinal/core/random.hpp"
#include "vicinal/encode/libstdcxx_random.hpp"

namespace vicinal {
namespace {

using testing::Each;
using testing::ElementsAreArray;

constexpr auto ams = GoogleFdeProjection::ams_sketch;

std::vector<float> random_tokens(std::size_t tokens, std::size_t dim, std::uint64_t seed) {
  RandomStream random(seed, dim * 1000 + tokens);
  std::vector<float> result(tokens * dim);
  for (float& value : result) value = static_cast<float>(2 * random.next_unit() - 1);
  return result;
}

// Whole numbers, whose sums are exact in any order.
std::vector<float> whole_tokens(std::size_t tokens, std::size_t dim, std::uint64_t seed) {
  RandomStream random(seed, 1);
  std::vector<float> result(tokens * dim);
  for (float& value : result) value = static_cast<float>(random.next_below(201)) - 100.0F;
  return result;
}

MatrixView<const float> rows(const std::vector<float>& values, std::size_t dim) {
  return {values.data(), values.size() / dim, dim};
}

std::vector<float> query(const GoogleFde& encoder, const std::vector<float>& tokens) {
  std::vector<float> out(encoder.output_dim(), 7.0F);
  encoder.encode_query(rows(tokens, encoder.dim()), out);
  return out;
}

std::vector<float> document(const GoogleFde& encoder, const std::vector<float>& tokens) {
  std::vector<float> out(encoder.output_dim(), 7.0F);
  encoder.encode_document(rows(tokens, encoder.dim()), out);
  return out;
}

template <class F>
std::string message_of(F f) {
  try {
    f();
  } catch (const InvalidArgument& error) {
    return error.what();
  }
  return "nothing was thrown";
}

// FNV-1a over the bytes of the values. Adding 0 makes all zeros positive.
std::uint64_t hash_of(const std::vector<float>& values) {
  std::uint64_t hash = 0xCBF29CE484222325;
  for (const float value : values) {
    const auto bits = std::bit_cast<std::uint32_t>(value + 0.0F);
    for (unsigned shift = 0; shift < 32; shift += 8) hash = (hash ^ (bits >> shift & 0xFFU)) * 0x100000001B3;
  }
  return hash;
}

// A line of the golden file: what the released encoder gave (google/graph-mining, compiled by GCC 12 -O2 for x86-64, Eigen
// 3.4.0; with Eigen 5.0.0 the same but for tokens = projection_dim = 1) for random_tokens(tokens, dim, seed).
struct Golden {
  GoogleFdeOptions options;
  std::size_t tokens = 0;
  std::string kind;  // query, average, fill
  std::size_t values = 0;
  std::uint64_t hash = 0;
  std::size_t position = 0;  // of the largest value
  float largest = 0;
};

std::vector<std::pair<std::string, Golden>> golden_lines() {
  std::ifstream file(VICINAL_GOLDEN_FOLDER "/fde/google_fde.txt");
  std::vector<std::pair<std::string, Golden>> result;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with('#')) continue;
    std::istringstream in(line);
    Golden golden;
    GoogleFdeOptions& o = golden.options;
    std::string largest;
    in >> o.dim >> golden.tokens >> o.repetitions >> o.simhash_bits >> o.projection_dim >> golden.kind >>
        o.final_dim >> o.seed >> golden.values >> std::hex >> golden.hash >> std::dec >> golden.position >>
        largest;
    EXPECT_FALSE(in.fail()) << line;
    golden.largest = std::stof(largest);
    if (o.projection_dim != 0) o.projection = ams;
    o.fill_empty = golden.kind == "fill";
    result.emplace_back(line, golden);
  }
  return result;
}

TEST(GoogleFde, GivesTheVectorsOfTheReleasedEncoder) {
  const auto lines = golden_lines();
  EXPECT_EQ(lines.size(), 2088U);
  for (const auto& [line, golden] : lines) {
    const GoogleFde encoder(golden.options);
    const std::vector<float> tokens = random_tokens(golden.tokens, golden.options.dim, golden.options.seed);
    const std::vector<float> out =
        golden.kind == "query" ? query(encoder, tokens) : document(encoder, tokens);
    ASSERT_EQ(out.size(), golden.values) << line;
    ASSERT_EQ(out[golden.position], golden.largest) << line;
    ASSERT_EQ(hash_of(out), golden.hash) << line;
  }
}

// Later versions of libstdc++ may compute something else; the encoder does not follow.
#if defined(_GLIBCXX_RELEASE) && _GLIBCXX_RELEASE >= 11 && _GLIBCXX_RELEASE <= 14
TEST(LibstdcxxRandom, DrawsWhatLibstdcxxDraws) {
  for (std::uint32_t seed = 0; seed < 20; ++seed) {
    std::mt19937 engine(seed);
    LibstdcxxRandom random(seed);
    std::normal_distribution<float> normal(0.0F, 1.0F);
    for (int i = 0; i < 5001; ++i) ASSERT_EQ(random.next_normal(), normal(engine)) << seed << " " << i;
    std::bernoulli_distribution coin(0.5);
    for (const std::uint32_t bound : {1U, 2U, 3U, 16U, 1000U, 65536U, 1500000000U, 2147483647U}) {
      std::uniform_int_distribution<std::size_t> index(0, bound - 1);
      std::uniform_int_distribution<std::int32_t> narrow_index(0, static_cast<std::int32_t>(bound - 1));
      for (int i = 0; i < 500; ++i) {
        ASSERT_EQ(random.next_below(bound), index(engine)) << seed << " " << bound;
        ASSERT_EQ(random.next_below(bound), static_cast<std::uint32_t>(narrow_index(engine)));
        ASSERT_EQ(random.next_bool(), coin(engine)) << seed << " " << bound;
      }
    }
  }
}
#endif

TEST(GoogleFde, TheSameOptionsGiveTheSameEncoder) {
  const GoogleFdeOptions options{.dim = 37,
                                 .repetitions = 3,
                                 .simhash_bits = 4,
                                 .seed = 9,
                                 .projection = ams,
                                 .projection_dim = 8,
                                 .fill_empty = true,
                                 .final_dim = 50};
  const GoogleFde encoder(options);
  EXPECT_EQ(encoder.options(), options);
  EXPECT_EQ(encoder.dim(), 37U);
  EXPECT_EQ(encoder.output_dim(), 50U);
  const std::vector<float> tokens = random_tokens(21, 37, 1);
  const std::vector<float> once = document(encoder, tokens);
  EXPECT_EQ(document(encoder, tokens), once);
  EXPECT_EQ(document(GoogleFde(options), tokens), once);
  EXPECT_EQ(GoogleFde(options).fingerprint(), encoder.fingerprint());
  EXPECT_EQ(GoogleFde({.dim = 37, .repetitions = 3, .simhash_bits = 4}).output_dim(), 3U * 16U * 37U);
}

TEST(GoogleFde, RowsMayBeApart) {
  const GoogleFde encoder({.dim = 37, .repetitions = 2, .simhash_bits = 3});
  const std::vector<float> tokens = random_tokens(10, 37, 1);
  std::vector<float> spread(10 * 40, std::numeric_limits<float>::quiet_NaN());
  for (std::size_t i = 0; i < 10; ++i) std::copy_n(tokens.data() + i * 37, 37, spread.data() + i * 40);
  std::vector<float> out(encoder.output_dim());
  encoder.encode_document({spread.data(), 10, 37, 40}, out);
  EXPECT_EQ(out, document(encoder, tokens));
}

TEST(GoogleFde, AQueryDoesNotDependOnTheOrderOfExactTokens) {
  for (const std::size_t projection_dim : {0U, 16U}) {
    const GoogleFde encoder({.dim = 64,
                             .repetitions = 4,
                             .simhash_bits = 5,
                             .projection = projection_dim == 0 ? GoogleFdeProjection::identity : ams,
                             .projection_dim = projection_dim});
    const std::vector<float> tokens = whole_tokens(29, 64, 3);
    const std::vector<float> expected = query(encoder, tokens);
    for (std::size_t shift = 1; shift < 29; shift += 3) {
      std::vector<float> turned = tokens;
      std::rotate(turned.begin(), turned.begin() + static_cast<std::ptrdiff_t>(64 * shift), turned.end());
      EXPECT_EQ(query(encoder, turned), expected) << shift;
    }
  }
}

TEST(GoogleFde, AQueryIsTheSumOfItsPartsAndADocumentTheAverage) {
  const GoogleFde encoder({.dim = 64, .repetitions = 3, .simhash_bits = 4});
  std::vector<float> both = whole_tokens(20, 64, 5);
  const std::vector<float> all = query(encoder, both);
  const std::vector<float> average = document(encoder, both);
  const std::vector<float> tail(both.begin() + 64 * 11, both.end());
  both.resize(64 * 11);
  const std::vector<float> head_sum = query(encoder, both);
  const std::vector<float> tail_sum = query(encoder, tail);
  for (std::size_t i = 0; i < all.size(); ++i) EXPECT_EQ(all[i], head_sum[i] + tail_sum[i]);

  // Every bucket of the document is that of the query over a whole number.
  for (std::size_t bucket = 0; bucket < all.size() / 64; ++bucket) {
    const std::vector<float> sums(all.begin() + static_cast<std::ptrdiff_t>(bucket * 64),
                                  all.begin() + static_cast<std::ptrdiff_t>(bucket * 64 + 64));
    std::size_t counts = 0;  // that fit
    for (int tokens = 1; tokens <= 20; ++tokens) {
      std::vector<float> expected = sums;
      for (float& value : expected) value /= static_cast<float>(tokens);
      if (std::equal(expected.begin(), expected.end(),
                     average.begin() + static_cast<std::ptrdiff_t>(bucket * 64)))
        ++counts;
    }
    EXPECT_GE(counts, 1U) << bucket;
  }
}

// With no more planes than one, an empty bucket has a single candidate of sides, whose first token it gets.
TEST(GoogleFde, AnEmptyBucketGetsTheFirstOfTheNearestTokens) {
  const GoogleFde encoder({.dim = 32, .simhash_bits = 1, .fill_empty = true});
  std::vector<float> token = random_tokens(1, 32, 8);
  std::vector<float> tokens = token;
  for (const float scale : {2.0F, 4.0F})
    for (const float value : token) tokens.push_back(scale * value);
  const std::vector<float> out = document(encoder, tokens);
  const std::span<const float> low(out.data(), 32);
  const std::span<const float> high(out.data() + 32, 32);
  const std::span<const float> filled = low[0] == token[0] ? low : high;
  EXPECT_THAT(filled, ElementsAreArray(token));
  const std::span<const float> averaged = low[0] == token[0] ? high : low;
  EXPECT_NEAR(averaged[0], token[0] * 7 / 3, 1e-6);
}

// Also a token on a plane is on the side of the lower bucket.
TEST(GoogleFde, AZeroTokenIsInTheFirstBucket) {
  const GoogleFde encoder({.dim = 32, .simhash_bits = 1});
  std::vector<float> token = random_tokens(1, 32, 8);
  if (query(encoder, token)[0] != 0.0F)
    for (float& value : token) value = -value;
  token.resize(64);
  const std::vector<float> out = document(encoder, token);
  EXPECT_THAT(std::span(out).first(32), Each(0.0F));
  EXPECT_THAT(std::span(out).last(32), ElementsAreArray(std::span(token).first(32)));
}

TEST(GoogleFde, WithoutFillADocumentHasTheEmptyBucketsOfItsQuery) {
  const GoogleFde plain({.dim = 37, .simhash_bits = 6});
  const GoogleFde filling({.dim = 37, .simhash_bits = 6, .fill_empty = true});
  const std::vector<float> tokens = random_tokens(9, 37, 2);
  const std::vector<float> sums = query(filling, tokens);
  EXPECT_EQ(sums, query(plain, tokens));
  const std::vector<float> averages = document(plain, tokens);
  const std::vector<float> filled = document(filling, tokens);
  std::size_t empty = 0;
  for (std::size_t i = 0; i < sums.size(); ++i) {
    if (sums[i] == 0.0F) {
      ++empty;
      EXPECT_EQ(averages[i], 0.0F);
      EXPECT_NE(filled[i], 0.0F);
    } else {
      EXPECT_EQ(filled[i], averages[i]);
    }
  }
  EXPECT_GE(empty, 55U * 37U);
}

TEST(GoogleFde, NoTokensGiveZeros) {
  for (const std::size_t bits : {0U, 3U}) {
    for (const std::size_t final_dim : {0U, 20U}) {
      const GoogleFde encoder(
          {.dim = 8, .repetitions = 2, .simhash_bits = bits, .fill_empty = true, .final_dim = final_dim});
      EXPECT_THAT(document(encoder, {}), Each(0.0F));
      EXPECT_THAT(query(encoder, {}), Each(0.0F));
      std::vector<float> out(encoder.output_dim(), 7.0F);
      encoder.encode_document({}, out);
      EXPECT_THAT(out, Each(0.0F));
    }
  }
}

TEST(GoogleFde, RefusesTokensAndWritesNothing) {
  const GoogleFde encoder({.dim = 20, .simhash_bits = 2});
  std::vector<float> tokens = random_tokens(6, 20, 1);
  std::vector<float> out(encoder.output_dim(), 7.0F);
  std::vector<float> narrow(encoder.output_dim() - 1, 7.0F);
  EXPECT_EQ(message_of([&] { encoder.encode_query(rows(tokens, 20), narrow); }),
            "the output has 79 values, expected 80");
  EXPECT_EQ(message_of([&] { encoder.encode_document(rows(tokens, 10), out); }),
            "tokens have 10 columns, the encoder has dimension 20");
  tokens[3 * 20 + 17] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(message_of([&] { encoder.encode_document(rows(tokens, 20), out); }),
            "tokens row 3 column 17 is nan, expected a finite number");
  tokens[2 * 20 + 1] = -std::numeric_limits<float>::infinity();
  EXPECT_EQ(message_of([&] { encoder.encode_query(rows(tokens, 20), out); }),
            "tokens row 2 column 1 is -inf, expected a finite number");
  EXPECT_THAT(out, Each(7.0F));
  EXPECT_THAT(narrow, Each(7.0F));
}

TEST(GoogleFde, RefusesOptions) {
  const auto message = [](const GoogleFdeOptions& options) {
    return message_of([&] { const GoogleFde encoder(options); });
  };
  EXPECT_EQ(message({.dim = 0}), "dim is 0, expected 1 to 2147483647");
  EXPECT_EQ(message({.dim = 2147483648}), "dim is 2147483648, expected 1 to 2147483647");
  EXPECT_EQ(message({.dim = 8, .repetitions = 0}), "repetitions is 0, expected 1 to 2147483647");
  EXPECT_EQ(message({.dim = 8, .simhash_bits = 31}), "simhash_bits is 31, expected 0 to 30");
  EXPECT_EQ(message({.dim = 8, .final_dim = 2147483648}),
            "final_dim is 2147483648, expected 0 to 2147483647");
  EXPECT_EQ(message({.dim = 8, .projection = ams}), "projection_dim is 0, expected 1 to 2147483647");
  EXPECT_EQ(message({.dim = 8, .projection_dim = 4}),
            "projection_dim is 4 without a projection, expected 0 or dim, 8");
  EXPECT_EQ(message({.dim = 8, .projection = static_cast<GoogleFdeProjection>(2)}),
            "projection is 2, expected 0 (identity) or 1 (ams_sketch)");
  EXPECT_EQ(
      message({.dim = 8, .repetitions = 2, .simhash_bits = 27}),
      "2 repetitions of 2^27 buckets of 8 values are more than 2147483647 values, the most that the encoder "
      "can count");
  EXPECT_EQ(message({.dim = 2147483647,
                     .repetitions = 1 << 10,
                     .simhash_bits = 10,
                     .projection = ams,
                     .projection_dim = 1}),
            "1024 repetitions of 10 planes in 2147483647 dimensions need a table of 21990232545280 values, "
            "expected "
            "274877906944 at most");
  EXPECT_EQ(message({.dim = 2147483647, .repetitions = 2147483647, .projection = ams, .projection_dim = 1}),
            "2147483647 repetitions of 0 planes in 2147483647 dimensions need a table of 4611686014132420609 "
            "values, "
            "expected 274877906944 at most");
  EXPECT_EQ(message({.dim = 8, .projection_dim = 8}), "nothing was thrown");
  EXPECT_EQ(message({.dim = 1, .simhash_bits = 30}), "nothing was thrown");
}

// An index stores it: what it is for given options never changes.
TEST(GoogleFde, AFingerprintTellsOptionsApart) {
  const GoogleFdeOptions base{.dim = 16,
                              .repetitions = 2,
                              .simhash_bits = 3,
                              .seed = 1,
                              .projection = ams,
                              .projection_dim = 16,
                              .fill_empty = false,
                              .final_dim = 0};
  std::vector<GoogleFdeOptions> all(9, base);
  all[1].dim = 17;
  all[2].repetitions = 3;
  all[3].simhash_bits = 2;
  all[4].seed = 2;
  all[5].projection = GoogleFdeProjection::identity;
  all[6].projection_dim = 8;
  all[7].fill_empty = true;
  all[8].final_dim = 100;
  std::map<std::uint64_t, std::size_t> seen;
  for (std::size_t i = 0; i < all.size(); ++i)
    EXPECT_TRUE(seen.emplace(GoogleFde(all[i]).fingerprint(), i).second) << i;
  EXPECT_EQ(GoogleFde({.dim = 16}).fingerprint(), GoogleFde({.dim = 16, .projection_dim = 16}).fingerprint());
  EXPECT_EQ(GoogleFde(base).fingerprint(), 14588095717466064205U);
}

}  // namespace
}  // namespace vicinal
