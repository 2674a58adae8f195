// Distances on codes against the same distances computed in double from what the codes stand for.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <vector>

#include "codec_cases.hpp"
#include "sample_vectors.hpp"

namespace vicinal {
namespace {

constexpr double u = 0x1.0p-24;  // one rounding

std::vector<float> unit(std::span<const float> vector) {
  const double norm = norm_of(vector);
  std::vector<float> result(vector.size());
  for (std::size_t j = 0; j < vector.size(); ++j)
    result[j] = static_cast<float>(static_cast<double>(vector[j]) / norm);
  return result;
}

double distance_of(Metric metric, std::span<const float> query, std::span<const float> stored) {
  switch (metric) {
    case Metric::l2: return l2_of(query, stored);
    case Metric::ip: return -dot_of(query, stored);
    case Metric::cosine: return 1.0 - dot_of(query, stored);
  }
  return 0;
}

class CodecScores : public testing::TestWithParam<CodecCase> {
 protected:
  static constexpr std::size_t documents = 60;
  static constexpr std::size_t queries = 20;

  [[nodiscard]] static bool integer() { return is_integer(GetParam().options.kind); }
  [[nodiscard]] static Metric metric() { return GetParam().metric; }
  [[nodiscard]] static std::vector<float> as_scored(std::span<const float> vector) {
    return metric() == Metric::cosine ? unit(vector) : std::vector<float>(vector.begin(), vector.end());
  }
};

// How an integer codec takes a query: `along` times the documents' mean, which is scored exactly, and the rest as bytes. For l2 the
// mean is subtracted once, as from the documents.
struct SplitQuery {
  SplitQuery(const CodecCase& which, const Codec& codec, std::span<const float> query) : rest(query.size()) {
    const std::span<const float> mean = codec.mean();
    if (!mean.empty()) {
      along = 1.0F;
      if (which.metric != Metric::l2) {
        // In the library's own arithmetic: one bit more or less could move a byte of the rest.
        Array<float> padded((query.size() + 31) / 32 * 32);
        std::copy(query.begin(), query.end(), padded.data());
        float product = 0;
        kernels().dot_f32(padded.data(), query.size(),
                          {reinterpret_cast<const std::byte*>(mean.data()), 0, nullptr}, 1, &product);
        const auto norm = static_cast<float>(dot_of(mean, mean));
        along = norm > 0 ? product / norm : 0.0F;
      }
    }
    for (std::size_t j = 0; j < query.size(); ++j)
      rest[j] = mean.empty() ? query[j] : query[j] - along * mean[j];
    CodecOptions options = which.options;
    options.kind = CodecKind::i8;  // whatever the documents are
    options.centre = false;
    const Codec plain = Codec::restore(options, Metric::l2, codec.dim(), {});
    const EncodedVector encoded(plain, rest);
    scale = encoded.factors[0];
    seen = encoded.decoded(plain);
  }

  float along = 0.0F;
  std::vector<float> rest;  // before it is rounded
  std::vector<float> seen;  // after
  float scale = 0.0F;
};

// What the distance of a query to a record should be, given what is seen of the query beside the mean.
double expected_distance(const Codec& codec, std::span<const float> query, const SplitQuery& split,
                         std::span<const float> beside, const EncodedVector& encoded) {
  std::vector<float> residual = encoded.decoded(codec);
  const std::span<const float> mean = codec.mean();
  for (std::size_t j = 0; j < mean.size(); ++j) residual[j] -= mean[j];
  if (codec.metric() == Metric::l2) return l2_of(beside, residual);
  double product = dot_of(beside, residual);
  if (!mean.empty()) {
    product +=
        dot_of(query, mean) - static_cast<double>(split.along) * static_cast<double>(encoded.factors[1]);
  }
  return (codec.metric() == Metric::cosine ? 1.0 : 0.0) - product;
}

// What whole numbers add to inner products with float8: each coordinate of the query is off by one of 32,512 parts of the largest at
// most, each code of e4m3 by less than one unit. By Cauchy and Schwarz.
double whole_number_error(const Codec& codec, std::span<const float> query, std::span<const float> stored) {
  const bool e4m3 = codec.kind() == CodecKind::e4m3;
  if ((!e4m3 && codec.kind() != CodecKind::e3m4) || codec.metric() == Metric::l2) return 0;
  double largest = 0;
  for (const float v : query) largest = std::max(largest, std::abs(static_cast<double>(v)));
  const double part = largest / 32'512;
  const double unit = e4m3 ? std::ldexp(1.0, codec.exponent() - 6) : 0.0;
  return std::sqrt(static_cast<double>(codec.dim())) *
         (part * norm_of(stored) + unit * (norm_of(query) + part));
}

// Nothing but rounding lies between score() and double arithmetic on the same codes. For floats that is the kernels' bound; for
// bytes the sum is exact, and what rounds is the inverse rotation in decode() (2 log2(dim) + 4 additions a coordinate) and the few
// operations on norms, scales and the mean.
TEST_P(CodecScores, AreTheDistancesToWhatTheCodesStandFor) {
  for (const std::size_t dim : {1UL, 2UL, 3UL, 31UL, 64UL, 100UL, 784UL}) {
    const SampleVectors base = clustered_vectors(documents, dim, dim);
    const SampleVectors asked = clustered_vectors(queries, dim, dim + 1000);
    const Codec codec = Codec::train(GetParam().options, metric(), base.view());
    const std::span<const float> mean = codec.mean();
    PreparedQuery prepared;
    for (std::size_t q = 0; q < queries; ++q) {
      codec.prepare_query(asked[q], prepared);
      const std::vector<float> query = as_scored(asked[q]);
      const SplitQuery split(GetParam(), codec, query);
      for (std::size_t d = 0; d < documents; ++d) {
        const EncodedVector encoded(codec, base[d]);
        const std::vector<float> stored = encoded.decoded(codec);
        const double expected = integer() ? expected_distance(codec, query, split, split.seen, encoded)
                                          : distance_of(metric(), query, stored);
        const double lengths =
            norm_of(query) + norm_of(stored) + norm_of(mean) + (metric() == Metric::cosine ? 1.0 : 0.0);
        const double roundings =
            integer() ? 2 * std::log2(static_cast<double>(dim)) + 20 : static_cast<double>(dim) / 32 + 12;
        ASSERT_NEAR(static_cast<double>(score_one(codec, prepared, encoded)), expected,
                    roundings * u * lengths * lengths + whole_number_error(codec, query, stored))
            << "dim " << dim << ", query " << q << ", document " << d;
      }
    }
  }
}

class IntegerCodecScores : public CodecScores {};

// What quantising the query costs: each rotated coordinate is off by half a scale at most, so by Cauchy and Schwarz an inner
// product with x by scale / 2 x sqrt(dim) x |x|.
TEST_P(IntegerCodecScores, AreOffByTheQuerysQuantisationAtMost) {
  constexpr std::size_t dim = 96;
  const SampleVectors base = clustered_vectors(documents, dim, 1);
  const SampleVectors asked = clustered_vectors(queries, dim, 2);
  const Codec codec = Codec::train(GetParam().options, metric(), base.view());
  double worst = 0;
  for (std::size_t q = 0; q < queries; ++q) {
    PreparedQuery prepared;
    codec.prepare_query(asked[q], prepared);
    const std::vector<float> query = as_scored(asked[q]);
    const SplitQuery split(GetParam(), codec, query);
    const double moved = static_cast<double>(split.scale) / 2 * std::sqrt(static_cast<double>(dim));
    for (std::size_t d = 0; d < documents; ++d) {
      const EncodedVector encoded(codec, base[d]);
      std::vector<float> stored = encoded.decoded(codec);
      const double exact = expected_distance(codec, query, split, split.rest, encoded);
      double bound = moved * (2 * std::sqrt(l2_of(query, stored)) + moved);
      if (metric() != Metric::l2) {
        // Only the product with the residual suffers: the mean's part is computed from the query itself.
        for (std::size_t j = 0; j < codec.mean().size(); ++j) stored[j] -= codec.mean()[j];
        bound = moved * norm_of(stored);
      }
      const double error = std::abs(static_cast<double>(score_one(codec, prepared, encoded)) - exact);
      ASSERT_LE(error, bound * (1 + 1e-5) + 1e-6 * std::abs(exact)) << "query " << q << ", document " << d;
      worst = std::max(worst, error / bound);
    }
  }
  EXPECT_GT(worst, 0.001) << "the bound says nothing";
}

// Whatever the metric: that is what a graph is built on.
// As squared distances between records see it.
EncodedVector without_norm(const Codec& codec, std::span<const float> vector) {
  EncodedVector encoded(codec, vector);
  if (codec.factor_count() == 1) encoded.factors[0] = 1;
  return encoded;
}

TEST_P(CodecScores, OfRecordsAreSquaredDistancesBetweenThem) {
  for (const std::size_t dim : {1UL, 33UL, 100UL, 384UL}) {
    const SampleVectors base = clustered_vectors(documents, dim, dim);
    const Codec codec = Codec::train(GetParam().options, metric(), base.view());
    PreparedQuery prepared;
    for (std::size_t a = 0; a < documents; a += 5) {
      const EncodedVector first = without_norm(codec, base[a]);
      codec.prepare_record(first.record.data(), l2_factors(codec, first).data(), prepared);
      const std::vector<float> one = first.decoded(codec);
      for (std::size_t b = 0; b < documents; ++b) {
        const EncodedVector second = without_norm(codec, base[b]);
        const std::vector<float> other = second.decoded(codec);
        const double lengths = norm_of(one) + norm_of(other) + norm_of(codec.mean());
        const float score = score_one(codec, prepared, second, l2_factors(codec, second));
        ASSERT_NEAR(static_cast<double>(score), l2_of(one, other),
                    (static_cast<double>(dim) / 32 + 40) * u * lengths * lengths)
            << "dim " << dim << ", records " << a << " and " << b;
        if (a == b) {
          ASSERT_EQ(score, 0.0F) << "of a record to itself";
        }
      }
    }
  }
}

TEST_P(CodecScores, AreTheSameInAnyCompany) {
  constexpr std::size_t dim = 70;
  const SampleVectors base = clustered_vectors(documents, dim, 5);
  const Codec codec = Codec::train(GetParam().options, metric(), base.view());
  const CodeStore store = CodeStore::build(codec, base.view(), {});
  PreparedQuery prepared;
  codec.prepare_query(base[0], prepared);
  std::vector<float> all(documents);
  codec.score(prepared, store.records(), store.factors(), nullptr, documents, all.data());
  std::vector<std::uint32_t> backwards(documents);
  for (std::size_t i = 0; i < documents; ++i) backwards[i] = static_cast<std::uint32_t>(documents - 1 - i);
  std::vector<float> by_id(documents);
  store.score(prepared, backwards.data(), documents, by_id.data());
  for (std::size_t i = 0; i < documents; ++i) {
    ASSERT_EQ(by_id[i], all[documents - 1 - i]) << i;
    ASSERT_EQ(all[i], score_one(codec, prepared, EncodedVector(codec, base[i]))) << i;
  }
}

std::vector<CodecCase> integer_cases() {
  std::vector<CodecCase> cases = codec_cases();
  std::erase_if(cases, [](const CodecCase& which) { return !is_integer(which.options.kind); });
  return cases;
}

INSTANTIATE_TEST_SUITE_P(Codecs, IntegerCodecScores, testing::ValuesIn(integer_cases()),
                         [](const auto& tested) { return tested.param.name(); });
INSTANTIATE_TEST_SUITE_P(Codecs, CodecScores, testing::ValuesIn(codec_cases()),
                         [](const auto& tested) { return tested.param.name(); });

// Symmetric to the bit, and zero for a record and itself: the terms commute, and the doubled product is an exact doubling.
RC_GTEST_PROP(RecordScores, AreSymmetricToTheBit, ()) {
  const std::vector<CodecCase> cases = codec_cases();
  const CodecCase& which = cases[*rc::gen::inRange<std::size_t>(0, cases.size())];
  const auto dim = *rc::gen::inRange<std::size_t>(1, 300);
  const SampleVectors base = clustered_vectors(8, dim, *rc::gen::arbitrary<std::uint64_t>());
  const Codec codec = Codec::train(which.options, which.metric, base.view());
  const EncodedVector a(codec, base[0]);
  const EncodedVector b(codec, base[1]);
  PreparedQuery from_a;
  PreparedQuery from_b;
  codec.prepare_record(a.record.data(), l2_factors(codec, a).data(), from_a);
  codec.prepare_record(b.record.data(), l2_factors(codec, b).data(), from_b);
  RC_ASSERT(score_one(codec, from_a, b, l2_factors(codec, b)) ==
            score_one(codec, from_b, a, l2_factors(codec, a)));
  RC_ASSERT(score_one(codec, from_a, a, l2_factors(codec, a)) == 0.0F);
}

// Whole numbers, and a query that is exactly twice the mean but for codes where the mean is zero: nothing is rounded, so the two
// terms of the centring must make the inner product exact.
TEST(CodecCentring, IsExactForInnerProducts) {
  constexpr std::size_t dim = 40;
  RandomStream random(1, 1);
  std::vector<float> mean(dim);
  for (std::size_t j = 0; j < dim / 2; ++j) mean[j] = static_cast<float>(random.next_below(1001)) - 500.0F;
  const auto draw_codes = [&](std::size_t first) {
    std::vector<float> codes(dim);
    for (std::size_t j = first; j < dim; ++j) codes[j] = static_cast<float>(random.next_below(255)) - 127.0F;
    codes[dim - 1 - random.next_below(dim / 2)] = 127.0F;
    return codes;
  };
  const Codec codec = Codec::restore({CodecKind::i8, false, true, 0}, Metric::ip, dim, mean);
  const Codec whole = Codec::restore({CodecKind::i8, false, true, 0}, Metric::ip, dim, mean, 0, false);
  EXPECT_TRUE(codec.splits_queries());
  EXPECT_FALSE(whole.splits_queries());
  EXPECT_NE(codec.fingerprint(), whole.fingerprint());
  for (int round = 0; round < 50; ++round) {
    std::vector<float> document = draw_codes(0);
    std::transform(document.begin(), document.end(), mean.begin(), document.begin(), std::plus<>());
    std::vector<float> query = draw_codes(dim / 2);
    for (std::size_t j = 0; j < dim; ++j) query[j] += 2 * mean[j];
    PreparedQuery prepared;
    codec.prepare_query(query, prepared);
    ASSERT_EQ(static_cast<double>(score_one(codec, prepared, EncodedVector(codec, document))),
              -dot_of(query, document));
    // As it was in the first files: offsets of 0 and the query whole, which must then fit in bytes.
    const EncodedVector old(whole, document);
    EXPECT_EQ(old.factors[1], 0.0F);
    const std::vector<float> codes = draw_codes(0);
    whole.prepare_query(codes, prepared);
    ASSERT_EQ(static_cast<double>(score_one(whole, prepared, old)), -dot_of(codes, document));
  }
}

// Rounding the codes cannot touch what a query has along the mean.
TEST(CodecCentring, MakesTheMeanItselfAnExactQuery) {
  constexpr std::size_t dim = 64;
  SampleVectors base = clustered_vectors(50, dim, 4);
  for (float& value : base.values) value += 3.0F;
  for (const CodecKind kind : {CodecKind::i8, CodecKind::i4, CodecKind::b1, CodecKind::b2}) {
    const Codec codec = Codec::train({kind, true, true, 1}, Metric::ip, base.view());
    std::vector<float> query(codec.mean().begin(), codec.mean().end());
    for (float& value : query) value *= -2.5F;
    PreparedQuery prepared;
    codec.prepare_query(query, prepared);
    for (std::size_t d = 0; d < base.size(); ++d) {
      const double exact = -dot_of(query, base[d]);
      EXPECT_NEAR(static_cast<double>(score_one(codec, prepared, EncodedVector(codec, base[d]))), exact,
                  1e-5 * std::abs(exact));
    }
  }
}

TEST(CodecCosine, PutsAZeroVectorAtDistanceOne) {
  constexpr std::size_t dim = 50;
  const SampleVectors base = clustered_vectors(40, dim, 3);
  const std::vector<float> zero(dim, 0.0F);
  for (const CodecCase& which : codec_cases()) {
    if (which.metric != Metric::cosine) continue;
    const Codec codec = Codec::train(which.options, which.metric, base.view());
    PreparedQuery prepared;
    codec.prepare_query(zero, prepared);
    for (std::size_t d = 0; d < base.size(); ++d) {
      ASSERT_EQ(score_one(codec, prepared, EncodedVector(codec, base[d])), 1.0F) << which.name();
    }
    const EncodedVector encoded(codec, zero);
    // A centred code stands for zero only to within half a scale a coordinate, and so does the query's.
    const double tolerance = is_integer(which.options.kind) && which.options.centre
                                 ? 0.5 * static_cast<double>(encoded.factors[0]) * std::sqrt(50.0) +
                                       0.5 / 127 * std::sqrt(50.0) * norm_of(codec.mean())
                                 : 0.0;
    for (std::size_t q = 0; q < base.size(); ++q) {
      codec.prepare_query(base[q], prepared);
      ASSERT_NEAR(static_cast<double>(score_one(codec, prepared, encoded)), 1.0, tolerance) << which.name();
    }
  }
}

// Cosine does not see lengths.
TEST(CodecCosine, IsTheSameForAnyLength) {
  constexpr std::size_t dim = 50;
  const SampleVectors base = clustered_vectors(40, dim, 3);
  SampleVectors longer = base;
  for (std::size_t row = 0; row < base.size(); ++row) {
    for (float& v : longer[row]) v *= std::ldexp(1.0F, static_cast<int>(row % 40) - 20);
  }
  for (const CodecCase& which : codec_cases()) {
    if (which.metric != Metric::cosine) continue;
    const Codec codec = Codec::train(which.options, which.metric, base.view());
    for (std::size_t row = 0; row < base.size(); ++row) {
      ASSERT_EQ(EncodedVector(codec, base[row]).record, EncodedVector(codec, longer[row]).record)
          << which.name() << " " << row;
    }
  }
}

// A query may be used with one codec after another; what the first left in the padding must not be scored.
TEST(PreparedQueries, CanBeUsedWithAnotherCodec) {
  for (const CodecCase& which : codec_cases()) {
    const SampleVectors wide = clustered_vectors(5, 62, 1);
    const SampleVectors narrow = clustered_vectors(5, 35, 2);
    const Codec wide_codec = Codec::train(which.options, which.metric, wide.view());
    const Codec narrow_codec = Codec::train(which.options, which.metric, narrow.view());
    PreparedQuery used;
    PreparedQuery fresh;
    wide_codec.prepare_query(wide[0], used);
    narrow_codec.prepare_query(narrow[0], used);
    narrow_codec.prepare_query(narrow[0], fresh);
    const EncodedVector encoded(narrow_codec, narrow[1]);
    EXPECT_EQ(score_one(narrow_codec, used, encoded), score_one(narrow_codec, fresh, encoded))
        << which.name();
    const EncodedVector from(wide_codec, wide[2]);
    const EncodedVector to(narrow_codec, narrow[2]);
    wide_codec.prepare_record(from.record.data(), l2_factors(wide_codec, from).data(), used);
    narrow_codec.prepare_record(to.record.data(), l2_factors(narrow_codec, to).data(), used);
    EXPECT_EQ(score_one(narrow_codec, used, to, l2_factors(narrow_codec, to)), 0.0F) << which.name();
  }
}

}  // namespace
}  // namespace vicinal
