// Float8 whose vectors keep their length: one factor beside a record, for ip and cosine.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "vicinal/quant/code_store.hpp"
#include "codec_cases.hpp"
#include "sample_vectors.hpp"

namespace vicinal {
namespace {

constexpr std::size_t dim = 70;
constexpr std::size_t documents = 60;

CodecOptions with_norm(CodecKind kind, bool norm = true) {
  CodecOptions options{kind};
  options.norm = norm;
  return options;
}

class Float8Norm : public testing::TestWithParam<CodecKind> {
 protected:
  SampleVectors base_ = clustered_vectors(documents, dim, 1);
  SampleVectors asked_ = clustered_vectors(10, dim, 2);
};

TEST_P(Float8Norm, RecordsStandForVectorsOfTheRightLength) {
  for (const Metric metric : {Metric::ip, Metric::cosine}) {
    const Codec codec = Codec::train(with_norm(GetParam()), metric, base_.view());
    EXPECT_EQ(codec.factor_count(), 1U);
    for (std::size_t d = 0; d < documents; ++d) {
      const EncodedVector encoded(codec, base_[d]);
      const double length = metric == Metric::cosine ? 1.0 : norm_of(base_[d]);
      ASSERT_NEAR(norm_of(encoded.decoded(codec)), length, 1e-6 * length) << d;
    }
  }
}

TEST_P(Float8Norm, TheCodesAreThoseWithoutIt) {
  const Codec codec = Codec::train(with_norm(GetParam()), Metric::ip, base_.view());
  const Codec plain = Codec::train(with_norm(GetParam(), false), Metric::ip, base_.view());
  EXPECT_NE(codec.fingerprint(), plain.fingerprint());
  EXPECT_EQ(plain.factor_count(), 0U);
  for (std::size_t d = 0; d < documents; ++d)
    ASSERT_EQ(EncodedVector(codec, base_[d]).record, EncodedVector(plain, base_[d]).record) << d;
}

// By whole numbers, and with queries so small that floats take their place.
TEST_P(Float8Norm, DistancesAreThoseToWhatRecordsStandFor) {
  for (const Metric metric : {Metric::ip, Metric::cosine}) {
    for (const int power : {0, -100}) {
      if (metric == Metric::cosine && power != 0) continue;
      const Codec codec = Codec::train(with_norm(GetParam()), metric, base_.view());
      const CodeStore store = CodeStore::build(codec, base_.view(), {});
      EXPECT_EQ(store.bytes_per_vector(), dim + sizeof(float));
      std::vector<std::uint32_t> backwards(documents);
      for (std::size_t i = 0; i < documents; ++i)
        backwards[i] = static_cast<std::uint32_t>(documents - 1 - i);
      PreparedQuery prepared;
      for (std::size_t q = 0; q < asked_.size(); ++q) {
        std::vector<float> query(asked_[q].begin(), asked_[q].end());
        for (float& value : query) value = std::ldexp(value, power);
        codec.prepare_query(query, prepared);
        if (metric == Metric::cosine) {
          std::vector<float> unit(dim);
          normalise(query, unit);
          query = unit;
        }
        std::vector<float> in_order(documents);
        std::vector<float> by_id(documents);
        codec.score(prepared, store.records(), store.factors(), nullptr, documents, in_order.data());
        store.score(prepared, backwards.data(), documents, by_id.data());
        std::vector<float> stored(dim);
        for (std::size_t d = 0; d < documents; ++d) {
          store.decode(d, stored);
          const double product = dot_of(query, stored);
          ASSERT_NEAR(static_cast<double>(in_order[d]), metric == Metric::cosine ? 1 - product : -product,
                      2e-4 * norm_of(query) * norm_of(stored));
          ASSERT_EQ(in_order[d], by_id[documents - 1 - d]);
        }
      }
    }
  }
}

TEST_P(Float8Norm, InnerProductsAreNearerTheTruth) {
  const Codec codec = Codec::train(with_norm(GetParam()), Metric::ip, base_.view());
  const Codec plain = Codec::train(with_norm(GetParam(), false), Metric::ip, base_.view());
  PreparedQuery prepared;
  PreparedQuery plain_prepared;
  double error = 0;
  double plain_error = 0;
  // Documents as queries: the part along a document is what its length decides.
  for (std::size_t d = 0; d < documents; ++d) {
    codec.prepare_query(base_[d], prepared);
    plain.prepare_query(base_[d], plain_prepared);
    const EncodedVector encoded(codec, base_[d]);
    const double exact = -dot_of(base_[d], base_[d]);
    error += std::abs(static_cast<double>(score_one(codec, prepared, encoded)) - exact);
    plain_error += std::abs(static_cast<double>(score_one(plain, plain_prepared, encoded)) - exact);
  }
  EXPECT_LT(error, 0.5 * plain_error);
}

TEST_P(Float8Norm, SquaredDistancesDoWithoutFactors) {
  const Codec codec = Codec::train(with_norm(GetParam()), Metric::l2, base_.view());
  const Codec plain = Codec::train(with_norm(GetParam(), false), Metric::l2, base_.view());
  EXPECT_EQ(codec.factor_count(), 0U);
  EXPECT_EQ(codec.fingerprint(), plain.fingerprint());
  PreparedQuery prepared;
  PreparedQuery plain_prepared;
  codec.prepare_query(asked_[0], prepared);
  plain.prepare_query(asked_[0], plain_prepared);
  for (std::size_t d = 0; d < documents; ++d) {
    const EncodedVector encoded(codec, base_[d]);
    ASSERT_EQ(score_one(codec, prepared, encoded), score_one(plain, plain_prepared, encoded));
  }
}

TEST_P(Float8Norm, TheFactorIsOneWhereCodesAreExactOrZeroAndBounded) {
  const Codec codec = Codec::restore(with_norm(GetParam()), Metric::ip, 4, {}, 3);
  // Values that every format has, times 2^3; zeros; what no code is small enough for; what no code is large enough for.
  const std::vector<std::pair<std::vector<float>, float>> expected = {
      {{8.0F, -12.0F, 0.0F, 4.0F}, 1.0F},
      {{0.0F, 0.0F, 0.0F, 0.0F}, 1.0F},
      {{1e-30F, 0.0F, 0.0F, 0.0F}, 1.0F},
      {{1e30F, 1.0F, 0.0F, 0.0F}, Codec::largest_norm_factor}};
  for (const auto& [vector, factor] : expected) {
    const EncodedVector encoded(codec, vector);
    EXPECT_EQ(encoded.factors[0], factor) << vector[0];
    PreparedQuery prepared;
    codec.prepare_query(std::vector<float>{1.0F, 1.0F, 1.0F, 1.0F}, prepared);
    EXPECT_TRUE(std::isfinite(score_one(codec, prepared, encoded)));
  }
}

TEST_P(Float8Norm, ComesBackFromAFile) {
  const Codec codec = Codec::train(with_norm(GetParam()), Metric::ip, base_.view());
  const Codec restored = Codec::restore(with_norm(GetParam()), Metric::ip, dim, {}, codec.exponent());
  EXPECT_EQ(restored.fingerprint(), codec.fingerprint());
  EXPECT_EQ(restored.factor_count(), 1U);
}

INSTANTIATE_TEST_SUITE_P(Formats, Float8Norm,
                         testing::Values(CodecKind::e4m3, CodecKind::e5m2, CodecKind::e3m4),
                         [](const auto& tested) { return std::string(to_string(tested.param)); });

}  // namespace
}  // namespace vicinal
