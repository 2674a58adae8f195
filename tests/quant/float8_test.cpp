// The three formats of one byte: every code, every tie between neighbours, and the codec's exponent.
#include "vicinal/quant/float8.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "vicinal/core/error.hpp"
#include "codec_cases.hpp"
#include "kernel_oracle.hpp"
#include "sample_vectors.hpp"

namespace vicinal {
namespace {

// The specifications' own examples.
static_assert(f8_to_f32<Float8Format::e4m3>(0x7E) == 448.0F &&
              f8_to_f32<Float8Format::e4m3>(0x01) == 0x1.0p-9F);
static_assert(f8_to_f32<Float8Format::e5m2>(0x7B) == 57344.0F &&
              f8_to_f32<Float8Format::e5m2>(0x01) == 0x1.0p-16F);
static_assert(f8_to_f32<Float8Format::e3m4>(0x6F) == 15.5F &&
              f8_to_f32<Float8Format::e3m4>(0x01) == 0x1.0p-6F);
static_assert(f32_to_f8<Float8Format::e4m3>(1.0F) == 0x38 && f32_to_f8<Float8Format::e5m2>(-1.0F) == 0xBC);

struct Format {
  const char* name;
  CodecKind kind;
  float (*decode)(std::uint8_t);
  std::uint8_t (*encode)(float);
  std::uint16_t (*half)(std::uint8_t);
  int mantissa_bits;
  int bias;
  int largest;   // code
  int infinity;  // code, or none (beyond 127)
};

const Format formats[] = {
    {"e4m3", CodecKind::e4m3, f8_to_f32<Float8Format::e4m3>, f32_to_f8<Float8Format::e4m3>,
     f8_to_f16_bits<Float8Format::e4m3>, 3, 7, 0x7E, 0xFF},
    {"e5m2", CodecKind::e5m2, f8_to_f32<Float8Format::e5m2>, f32_to_f8<Float8Format::e5m2>,
     f8_to_f16_bits<Float8Format::e5m2>, 2, 15, 0x7B, 0x7C},
    {"e3m4", CodecKind::e3m4, f8_to_f32<Float8Format::e3m4>, f32_to_f8<Float8Format::e3m4>,
     f8_to_f16_bits<Float8Format::e3m4>, 4, 3, 0x6F, 0x70},
};

class Float8 : public testing::TestWithParam<Format> {
 protected:
  [[nodiscard]] static double value(int code) {
    return f8_value(code, GetParam().mantissa_bits, GetParam().bias);
  }
  [[nodiscard]] static double largest() { return value(GetParam().largest); }
};

TEST_P(Float8, DecodesEveryCode) {
  for (int code = 0; code < 256; ++code) {
    const float decoded = GetParam().decode(static_cast<std::uint8_t>(code));
    ASSERT_EQ(std::signbit(decoded), code >= 128) << code;
    const int magnitude = code & 127;
    if (magnitude <= GetParam().largest) {
      ASSERT_EQ(static_cast<double>(decoded), value(code)) << code;
      const double half = f16_value(GetParam().half(static_cast<std::uint8_t>(code)));
      ASSERT_EQ(half * std::ldexp(1.0, 15 - GetParam().bias), value(code)) << code;
    } else if (magnitude == GetParam().infinity) {
      ASSERT_TRUE(std::isinf(decoded)) << code;
    } else {
      ASSERT_TRUE(std::isnan(decoded)) << code;
    }
  }
}

TEST_P(Float8, RoundsToTheNearestAndTiesToEven) {
  for (int code = 0; code < GetParam().largest; ++code) {
    const auto low = static_cast<float>(value(code));
    const auto high = static_cast<float>(value(code + 1));
    const float tie = low + (high - low) / 2;  // exact: one more bit
    for (const float sign : {1.0F, -1.0F}) {
      const int bit = sign < 0 ? 128 : 0;
      ASSERT_EQ(GetParam().encode(sign * low), bit | code);
      ASSERT_EQ(GetParam().encode(sign * std::nextafter(tie, low)), bit | code);
      ASSERT_EQ(GetParam().encode(sign * tie), bit | (code % 2 == 0 ? code : code + 1));
      ASSERT_EQ(GetParam().encode(sign * std::nextafter(tie, high)), bit | (code + 1));
    }
  }
}

TEST_P(Float8, SaturatesBeyondTheLargest) {
  const auto most = static_cast<float>(largest());
  for (const float beyond : {most, std::nextafter(most, 1e30F), 2 * most, std::numeric_limits<float>::max(),
                             std::numeric_limits<float>::infinity()}) {
    EXPECT_EQ(GetParam().encode(beyond), GetParam().largest) << beyond;
    EXPECT_EQ(GetParam().encode(-beyond), 128 | GetParam().largest) << beyond;
  }
  EXPECT_EQ(GetParam().encode(std::numeric_limits<float>::quiet_NaN()) & 127, 127);
  for (const float tiny : {0.0F, 1e-30F, std::numeric_limits<float>::denorm_min()}) {
    EXPECT_EQ(GetParam().encode(tiny), 0);
    EXPECT_EQ(GetParam().encode(-tiny), 128);
  }
}

// As many floats as a second allows, against the nearest of all codes' values.
TEST_P(Float8, IsTheNearestCodeOfAnyFloat) {
  std::vector<double> values;
  for (int code = 0; code <= GetParam().largest; ++code) values.push_back(value(code));
  RandomStream random(5, 1);
  for (int i = 0; i < 2'000'000; ++i) {
    const auto bits = static_cast<std::uint32_t>(random.next() & 0x7FFF'FFFFU);
    const float x = std::bit_cast<float>(bits);
    if (!std::isfinite(x)) continue;
    const auto above = std::lower_bound(values.begin(), values.end(), static_cast<double>(x));
    auto code = static_cast<int>(above - values.begin());
    if (above == values.end()) {
      code = GetParam().largest;
    } else if (code > 0) {
      const double to_above = *above - static_cast<double>(x);
      const double to_below = static_cast<double>(x) - values[static_cast<std::size_t>(code) - 1];
      if (to_below < to_above || (to_below == to_above && code % 2 == 1)) --code;
    }
    ASSERT_EQ(GetParam().encode(x), code) << x;
  }
}

TEST_P(Float8, TheExponentIsTheSmallestThatHoldsTheDocuments) {
  const auto exponent_of = [](float largest_value) {
    const std::vector<float> row = {largest_value / 3, -largest_value, 0};
    return Codec::train({GetParam().kind}, Metric::l2, {row.data(), 1, 3}).exponent();
  };
  const auto most = static_cast<float>(largest());
  EXPECT_EQ(exponent_of(most), 0);
  EXPECT_EQ(exponent_of(std::nextafter(most, 1e30F)), 1);
  EXPECT_EQ(exponent_of(most / 2), -1);
  EXPECT_EQ(exponent_of(std::nextafter(most / 2, 1e30F)), 0);
  EXPECT_EQ(exponent_of(0.0F), 0);
  EXPECT_LE(exponent_of(std::numeric_limits<float>::max()), 127);
  EXPECT_GE(exponent_of(std::numeric_limits<float>::denorm_min()), Codec::least_exponent);
}

TEST_P(Float8, TheErrorIsHalfAUnitInTheLastPlaceWhateverTheScale) {
  const SampleVectors vectors = clustered_vectors(300, 96, 11);
  const double bound = std::ldexp(1.0, -GetParam().mantissa_bits - 1);
  for (const float scale : {1.0F, 0x1.8p-40F, 3e30F}) {
    std::vector<float> values(vectors.size() * vectors.dim);
    for (std::size_t row = 0; row < vectors.size(); ++row) {
      for (std::size_t j = 0; j < vectors.dim; ++j) values[row * vectors.dim + j] = vectors[row][j] * scale;
    }
    const MatrixView<const float> rows{values.data(), vectors.size(), vectors.dim};
    const Codec codec = Codec::train({GetParam().kind}, Metric::l2, rows);
    const double unit = std::ldexp(value(1), codec.exponent());
    for (std::size_t row = 0; row < rows.rows(); ++row) {
      const std::vector<float> decoded = EncodedVector(codec, rows[row]).decoded(codec);
      for (std::size_t j = 0; j < rows.cols(); ++j) {
        const auto x = static_cast<double>(rows[row][j]);
        ASSERT_NEAR(static_cast<double>(decoded[j]), x, std::max(bound * std::abs(x), unit / 2)) << scale;
      }
    }
  }
}

TEST_P(Float8, WhatComesLaterSaturates) {
  const std::vector<float> row = {1, -0.5F, 0.25F};
  const Codec codec = Codec::train({GetParam().kind}, Metric::l2, {row.data(), 1, 3});
  const std::vector<float> later = {1e6F, -1e6F, 0.25F};
  const std::vector<float> decoded = EncodedVector(codec, later).decoded(codec);
  EXPECT_EQ(decoded[0], static_cast<float>(std::ldexp(largest(), codec.exponent())));
  EXPECT_EQ(decoded[1], -decoded[0]);
  EXPECT_EQ(decoded[2], 0.25F);
}

// Whole numbers serve queries and documents of ordinary size; beyond, floats do. Neither may show in the distances.
TEST_P(Float8, InnerProductsScaleWithTheQueryAndTheDocuments) {
  constexpr std::size_t dim = 70;
  const SampleVectors vectors = clustered_vectors(20, dim, 12);
  for (const int document_power : {-110, -60, 0, 60, 120}) {
    SampleVectors base = vectors;
    for (float& value : base.values) value = std::ldexp(value, document_power);
    const Codec codec = Codec::train({GetParam().kind}, Metric::ip, base.view());
    for (const int query_power : {-120, -90, -30, 0, 30, 110}) {
      if (std::abs(document_power + query_power) > 100) continue;  // not a float any more
      std::vector<float> query(vectors[3].begin(), vectors[3].end());
      for (float& value : query) value = std::ldexp(value, query_power);
      PreparedQuery prepared;
      codec.prepare_query(query, prepared);
      for (std::size_t d = 0; d < base.size(); ++d) {
        const EncodedVector encoded(codec, base[d]);
        const double expected = -dot_of(query, encoded.decoded(codec));
        const double lengths = norm_of(query) * norm_of(encoded.decoded(codec));
        ASSERT_NEAR(static_cast<double>(score_one(codec, prepared, encoded)), expected, 2e-4 * lengths)
            << document_power << ", " << query_power;
      }
    }
  }
}

TEST_P(Float8, AQueryOfZerosIsNoNumberOfItsOwn) {
  const SampleVectors base = clustered_vectors(9, 33, 13);
  const Codec codec = Codec::train({GetParam().kind}, Metric::ip, base.view());
  PreparedQuery prepared;
  codec.prepare_query(std::vector<float>(33, 0.0F), prepared);
  for (std::size_t d = 0; d < base.size(); ++d)
    EXPECT_EQ(score_one(codec, prepared, EncodedVector(codec, base[d])), 0.0F);
}

INSTANTIATE_TEST_SUITE_P(Formats, Float8, testing::ValuesIn(formats),
                         [](const testing::TestParamInfo<Format>& format) {
                           return std::string(format.param.name);
                         });

TEST(Float8Codec, RefusesAnExponentThatIsNone) {
  for (const int exponent : {Codec::least_exponent - 1, Codec::most_exponent + 1}) {
    EXPECT_THROW((void)Codec::restore({CodecKind::e4m3}, Metric::l2, 3, {}, exponent), InvalidArgument);
  }
  EXPECT_THROW((void)Codec::restore({CodecKind::f16}, Metric::l2, 3, {}, 1), InvalidArgument);
  EXPECT_EQ(Codec::restore({CodecKind::e4m3}, Metric::l2, 3, {}, -8).exponent(), -8);
}

}  // namespace
}  // namespace vicinal
