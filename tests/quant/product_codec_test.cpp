// Product quantisation: what is learnt, what codes stand for, and the distances between them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <string>
#include <vector>

#include "vicinal/core/error.hpp"
#include "vicinal/core/executor.hpp"
#include "vicinal/quant/product_quantiser.hpp"
#include "codec_cases.hpp"
#include "sample_vectors.hpp"

namespace vicinal {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::ThrowsMessage;

CodecOptions product_options(CodecKind kind, std::size_t parts, bool rotated, std::uint64_t seed = 1) {
  return {kind, rotated, false, seed, false, {parts, 0}};
}

// Vectors whose directions of variance lie across the dimensions, and differ.
SampleVectors slanted_vectors(std::size_t rows, std::size_t dim, std::uint64_t seed) {
  RandomStream random(seed, 1);
  SampleVectors basis(dim, dim);
  RandomStream fixed(99, 1);
  for (std::size_t i = 0; i < dim; ++i) {
    for (float& v : basis[i]) v = draw_normal(fixed) * 3.0F / static_cast<float>(i + 1);
  }
  SampleVectors vectors(rows, dim);
  for (std::size_t row = 0; row < rows; ++row) {
    for (std::size_t i = 0; i < dim; ++i) {
      const float along = draw_normal(random);
      for (std::size_t j = 0; j < dim; ++j) vectors[row][j] += along * basis[i][j];
    }
  }
  return vectors;
}

double mean_error(const Codec& codec, const SampleVectors& vectors) {
  double sum = 0;
  for (std::size_t row = 0; row < vectors.size(); ++row)
    sum += l2_of(EncodedVector(codec, vectors[row]).decoded(codec), vectors[row]);
  return sum / static_cast<double>(vectors.size());
}

class ProductCodecs : public testing::TestWithParam<CodecCase> {
 protected:
  [[nodiscard]] static Codec trained_on(const SampleVectors& vectors) {
    return Codec::train(GetParam().options, GetParam().metric, vectors.view());
  }
  // Entries of a table are off by half a weight each at most, floats by a few roundings of what they sum.
  static double tolerance(const Codec& codec, double weight, double lengths) {
    return 0.5001 * weight * static_cast<double>(codec.product()->shape().parts) +
           2e-6 * (1 + lengths * lengths) * std::sqrt(static_cast<double>(codec.dim()));
  }
};

TEST_P(ProductCodecs, ScoreByTheVectorsThatCodesStandFor) {
  for (const std::size_t dim : {1UL, 2UL, 7UL, 33UL, 96UL}) {
    const SampleVectors base = clustered_vectors(300, dim, dim);
    const SampleVectors asked = clustered_vectors(10, dim, dim + 1);
    const Codec codec = trained_on(base);
    const CodeStore store = CodeStore::build(codec, base.view(), {});
    PreparedQuery prepared;
    std::vector<float> scores(base.size());
    for (std::size_t q = 0; q < asked.size(); ++q) {
      std::vector<float> query(asked[q].begin(), asked[q].end());
      if (codec.metric() == Metric::cosine) normalise(asked[q], query);
      Array<std::byte> entries;
      Array<float> scratch;
      ProductQuantiser::Tables tables{entries, scratch};
      codec.product()->prepare(asked[q], codec.metric(), tables);
      codec.prepare_query(asked[q], prepared);
      store.codec().score(prepared, store.records(), nullptr, nullptr, base.size(), scores.data());
      double worst = 0;
      for (std::size_t d = 0; d < base.size(); ++d) {
        std::vector<float> stored(dim);
        store.decode(d, stored);
        const double expected = codec.metric() == Metric::l2   ? l2_of(query, stored)
                                : codec.metric() == Metric::ip ? -dot_of(query, stored)
                                                               : 1 - dot_of(query, stored);
        const double bound =
            tolerance(codec, static_cast<double>(tables.weight), norm_of(query) + norm_of(stored));
        const double error = std::abs(static_cast<double>(scores[d]) - expected);
        ASSERT_LE(error, bound) << "dim " << dim << ", query " << q << ", document " << d;
        worst = std::max(worst, error / bound);
      }
      EXPECT_TRUE(dim <= 2 || worst > 0.002) << "the bound says nothing: " << worst;
    }
  }
}

TEST_P(ProductCodecs, ScoreRecordsSymmetricallyAndThemselvesZero) {
  for (const std::size_t dim : {1UL, 5UL, 33UL}) {
    const SampleVectors base = clustered_vectors(300, dim, dim);
    const Codec codec = trained_on(base);
    const CodeStore store = CodeStore::build(codec, base.view(), {});
    const std::size_t count = 40;
    std::vector<float> scores(count * count);
    PreparedQuery prepared;
    for (std::size_t a = 0; a < count; ++a) {
      codec.prepare_record(store.record(a), nullptr, prepared);
      codec.score(prepared, store.records(), nullptr, nullptr, count, scores.data() + a * count);
    }
    double largest = 0;
    for (std::size_t a = 0; a < count; ++a) {
      EXPECT_EQ(scores[a * count + a], 0.0F);
      for (std::size_t b = 0; b < a; ++b) {
        EXPECT_EQ(scores[a * count + b], scores[b * count + a]);
        largest = std::max(largest, static_cast<double>(scores[a * count + b]));
      }
    }
    // No two centroids are farther apart than all of two vectors: an entry's unit is at most that over the largest entry.
    const double unit = 4 * largest / 65535;
    for (std::size_t a = 0; a < count; ++a) {
      std::vector<float> one(dim);
      std::vector<float> other(dim);
      store.decode(a, one);
      for (std::size_t b = 0; b < a; ++b) {
        store.decode(b, other);
        EXPECT_NEAR(static_cast<double>(scores[a * count + b]), l2_of(one, other),
                    tolerance(codec, unit, norm_of(one) + norm_of(other)));
      }
    }
  }
}

TEST_P(ProductCodecs, ScoreTheSameInAnyCompany) {
  const SampleVectors base = clustered_vectors(70, 40, 5);
  const Codec codec = trained_on(base);
  const CodeStore store = CodeStore::build(codec, base.view(), {});
  PreparedQuery prepared;
  codec.prepare_query(base[0], prepared);
  std::vector<float> all(base.size());
  codec.score(prepared, store.records(), nullptr, nullptr, base.size(), all.data());
  std::vector<std::uint32_t> backwards(base.size());
  for (std::size_t i = 0; i < base.size(); ++i)
    backwards[i] = static_cast<std::uint32_t>(base.size() - 1 - i);
  std::vector<float> by_id(base.size());
  store.score(prepared, backwards.data(), base.size(), by_id.data());
  for (std::size_t i = 0; i < base.size(); ++i) {
    EXPECT_EQ(by_id[i], all[base.size() - 1 - i]);
    EXPECT_EQ(all[i], score_one(codec, prepared, EncodedVector(codec, base[i])));
  }
}

// Every code is that of the nearest centroid, tried one by one.
TEST_P(ProductCodecs, EncodeAsTheNearestCentroid) {
  constexpr std::size_t dim = 13;
  const SampleVectors base = clustered_vectors(400, dim, 3);
  const Codec codec = trained_on(base);
  const ProductQuantiser& product = *codec.product();
  const ProductShape& shape = product.shape();
  for (std::size_t row = 0; row < 50; ++row) {
    std::vector<float> vector(base[row].begin(), base[row].end());
    if (codec.metric() == Metric::cosine) normalise(base[row], vector);
    if (shape.rotated) {
      std::vector<float> turned(dim);
      for (std::size_t i = 0; i < dim; ++i)
        turned[i] = static_cast<float>(dot_of(product.directions().subspan(i * dim, dim), vector));
      vector = turned;
    }
    const EncodedVector encoded(codec, base[row]);
    for (std::size_t part = 0; part < shape.parts; ++part) {
      const auto error_of = [&](std::size_t c) {
        double sum = 0;
        for (std::size_t j = shape.begin(part); j < shape.begin(part + 1); ++j) {
          const double difference = static_cast<double>(vector[j]) -
                                    static_cast<double>(product.centroids()[j * shape.centroids() + c]);
          sum += difference * difference;
        }
        return sum;
      };
      double best = error_of(0);
      for (std::size_t c = 1; c < shape.centroids(); ++c) best = std::min(best, error_of(c));
      const auto byte = std::to_integer<std::size_t>(encoded.record[shape.bits == 8 ? part : part / 2]);
      const std::size_t code = shape.bits == 8 ? byte : byte >> (part % 2 * 4) & 15U;
      EXPECT_NEAR(error_of(code), best, 1e-5 * (1 + best)) << "row " << row << ", sub-space " << part;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Codecs, ProductCodecs, testing::ValuesIn(product_cases()),
                         [](const auto& tested) { return tested.param.name(); });

TEST(ProductShape, IsCheckedAgainstTheDimension) {
  const auto shape_of = [](ProductSize size, std::size_t dim, bool rotated = false) {
    return product_shape({CodecKind::pq8, rotated, false, 0, false, size}, dim);
  };
  EXPECT_EQ(shape_of({96, 0}, 384).parts, 96U);
  EXPECT_EQ(shape_of({0, 4}, 384).parts, 96U);
  EXPECT_EQ(shape_of({0, 4}, 385).parts, 97U);
  EXPECT_EQ(shape_of({0, 4}, 3).parts, 1U);
  EXPECT_EQ(shape_of({7, 0}, 7).parts, 7U);
  EXPECT_THAT(
      [&] {
        (void)shape_of({8, 0}, 7);
      },
      ThrowsMessage<InvalidArgument>(AllOf(HasSubstr("pq(8) has 8 sub-spaces"), HasSubstr("the 7"))));
  EXPECT_THAT([&] { (void)shape_of({}, 7, true); },
              ThrowsMessage<InvalidArgument>(HasSubstr("opq(0) has no sub-spaces")));
  EXPECT_THAT(
      [&] {
        (void)shape_of({4, 0}, most_rotated_dim + 1, true);
      },
      ThrowsMessage<InvalidArgument>(HasSubstr("at most 8192 dimensions, got 8193")));
  EXPECT_NO_THROW((void)shape_of({4, 0}, most_rotated_dim + 1));
  EXPECT_THAT(
      [&] {
        (void)shape_of({4, 0}, max_byte_dim + 1);
      },
      ThrowsMessage<InvalidArgument>(HasSubstr("at most 65536 dimensions")));
  EXPECT_THAT(
      [&] {
        (void)shape_of({most_product_parts + 1, 0}, max_byte_dim);
      },
      ThrowsMessage<InvalidArgument>(HasSubstr("expected at most 32768")));
  // As even as can be.
  const ProductShape uneven = shape_of({3, 0}, 11);
  EXPECT_EQ(uneven.begin(0), 0U);
  EXPECT_EQ(uneven.begin(1), 3U);
  EXPECT_EQ(uneven.begin(2), 7U);
  EXPECT_EQ(uneven.begin(3), 11U);
  EXPECT_EQ(product_shape({CodecKind::pq4, false, false, 0, false, {3, 0}}, 11).stride(), 2U);
}

// With a centroid for everyone nothing is lost, whatever the shape.
// But for those that lie nearer to one another than products, which tell what is near, are rounded.
RC_GTEST_PROP(ProductTraining, KeepsFewVectorsAsTheyAre, ()) {
  const auto rows = *rc::gen::inRange<std::size_t>(0, 17);
  const auto dim = *rc::gen::inRange<std::size_t>(1, 20);
  const auto parts = *rc::gen::inRange<std::size_t>(1, dim + 1);
  const bool rotated = *rc::gen::arbitrary<bool>();
  const SampleVectors base = clustered_vectors(rows, dim, *rc::gen::arbitrary<std::uint64_t>());
  const Codec codec = Codec::train(product_options(CodecKind::pq4, parts, rotated), Metric::l2, base.view());
  double largest = 0;
  for (std::size_t row = 0; row < rows; ++row) largest = std::max(largest, dot_of(base[row], base[row]));
  for (std::size_t row = 0; row < rows; ++row) {
    const double error = l2_of(EncodedVector(codec, base[row]).decoded(codec), base[row]);
    RC_ASSERT(error <= 1e-6 * largest);
  }
}

TEST(ProductTraining, TakesDegenerateData) {
  for (const bool rotated : {false, true}) {
    for (const CodecKind kind : {CodecKind::pq8, CodecKind::pq4}) {
      for (const Metric metric : {Metric::l2, Metric::ip, Metric::cosine}) {
        SampleVectors base = clustered_vectors(500, 10, 3);
        for (std::size_t row = 0; row < base.size(); ++row) {
          // A dimension of a constant, one of zeros, two that are the same, one of a single other value.
          base[row][0] = 7.0F;
          base[row][3] = 0.0F;
          base[row][5] = base[row][4];
          base[row][9] = row == 77 ? 1e6F : 0.0F;
        }
        const Codec codec = Codec::train(product_options(kind, 5, rotated), metric, base.view());
        PreparedQuery prepared;
        codec.prepare_query(base[77], prepared);
        for (const std::size_t row : {0UL, 77UL}) {
          EXPECT_TRUE(std::isfinite(score_one(codec, prepared, EncodedVector(codec, base[row]))));
        }
        // All vectors the same: one centroid says it all, exactly but for the mean's rounding.
        const SampleVectors one = clustered_vectors(1, 10, 4);
        SampleVectors same(300, 10);
        for (std::size_t row = 0; row < 300; ++row) std::ranges::copy(one[0], same[row].begin());
        EXPECT_LT(mean_error(Codec::train(product_options(kind, 5, rotated), Metric::l2, same.view()), same),
                  1e-9);
      }
    }
  }
}

TEST(ProductTraining, RefusesWhatFloatsCannotSquare) {
  SampleVectors base = clustered_vectors(30, 4, 1);
  base[7][2] = 0x1.0p60F;
  const CodecOptions options = product_options(CodecKind::pq8, 2, false);
  EXPECT_THAT([&] { (void)Codec::train(options, Metric::l2, base.view()); },
              ThrowsMessage<InvalidArgument>(AllOf(HasSubstr("row 7"), HasSubstr("2^54"))));
  EXPECT_NO_THROW((void)Codec::train(options, Metric::cosine, base.view()));
  const SampleVectors good = clustered_vectors(30, 4, 1);
  const Codec codec = Codec::train(options, Metric::ip, good.view());
  EXPECT_THROW((void)EncodedVector(codec, base[7]), InvalidArgument);
  PreparedQuery prepared;
  EXPECT_THROW(codec.prepare_query(base[7], prepared), InvalidArgument);
}

TEST(ProductTraining, NamesTheRowThatCannotBeEncoded) {
  for (const bool rotated : {false, true}) {
    SampleVectors base = clustered_vectors(200, 5, 1);
    const Codec codec = Codec::train(product_options(CodecKind::pq4, 2, rotated), Metric::l2, base.view());
    base[150][1] = -0x1.0p60F;
    EXPECT_THAT([&] { (void)CodeStore::build(codec, base.view(), {}); },
                ThrowsMessage<InvalidArgument>(AllOf(HasSubstr("row 150:"), HasSubstr("pq(2, bits=4)"))));
    const std::vector<std::uint32_t> order = {3, 150};
    EXPECT_THAT([&] { (void)CodeStore::build(codec, base.view(), order); },
                ThrowsMessage<InvalidArgument>(HasSubstr("row 150:")));
  }
}

TEST(ProductTraining, StopsWhenAsked) {
  const SampleVectors base = clustered_vectors(300, 20, 9);
  std::stop_source source;
  source.request_stop();
  BuildControl control;
  control.stop = source.get_token();
  for (const bool rotated : {false, true}) {
    EXPECT_THROW(
        (void)Codec::train(product_options(CodecKind::pq8, 5, rotated), Metric::l2, base.view(), control),
        Cancelled);
  }
}

// More sub-spaces, more bits and a rotation that follows the data: each makes the error smaller.
TEST(ProductTraining, LosesLessWithMore) {
  const SampleVectors base = slanted_vectors(3000, 24, 1);
  const auto error_of = [&](CodecKind kind, std::size_t parts, bool rotated) {
    return mean_error(Codec::train(product_options(kind, parts, rotated), Metric::l2, base.view()), base);
  };
  EXPECT_LT(error_of(CodecKind::pq8, 6, false), 0.8 * error_of(CodecKind::pq8, 3, false));
  EXPECT_LT(error_of(CodecKind::pq8, 3, false), 0.8 * error_of(CodecKind::pq4, 3, false));
  for (const CodecKind kind : {CodecKind::pq8, CodecKind::pq4})
    EXPECT_LT(error_of(kind, 6, true), 0.7 * error_of(kind, 6, false));
}

TEST(ProductTraining, LearnsARotation) {
  const SampleVectors base = slanted_vectors(2000, 24, 2);
  const Codec codec = Codec::train(product_options(CodecKind::pq8, 6, true), Metric::ip, base.view());
  const std::span<const float> directions = codec.product()->directions();
  for (std::size_t i = 0; i < 24; ++i) {
    for (std::size_t j = 0; j <= i; ++j) {
      EXPECT_NEAR(dot_of(directions.subspan(i * 24, 24), directions.subspan(j * 24, 24)), i == j ? 1.0 : 0.0,
                  1e-6);
    }
  }
}

// Corners of a cube, turned: no direction varies more than another, so that variances say nothing and only the rounds of k-means
// and Procrustes' problem can find the turn after which corners of four dimensions are sixteen centroids.
TEST(ProductTraining, FindsARotationThatVariancesDoNotShow) {
  constexpr std::size_t dim = 8;
  const Rotation turn(dim, 5);
  RandomStream random(8, 8);
  SampleVectors base(4000, dim);
  for (std::size_t row = 0; row < base.size(); ++row) {
    for (float& v : base[row]) v = (random.next_below(2) == 0 ? 1.0F : -1.0F) + 0.1F * draw_normal(random);
    turn.apply(base[row]);
  }
  const auto error_of = [&](bool rotated) {
    return mean_error(Codec::train(product_options(CodecKind::pq4, 2, rotated), Metric::l2, base.view()),
                      base);
  };
  EXPECT_LT(error_of(true), 0.9 * error_of(false));
}

TEST(ProductTraining, DependsOnTheSeedOfALargeSetAlone) {
  const SampleVectors base = clustered_vectors(700, 6, 2);
  const auto train = [&](std::uint64_t seed, bool rotated) {
    return Codec::train(product_options(CodecKind::pq4, 3, rotated, seed), Metric::l2, base.view());
  };
  EXPECT_EQ(train(1, false).fingerprint(), train(1, false).fingerprint());
  EXPECT_NE(train(1, false).fingerprint(), train(2, false).fingerprint());
  EXPECT_NE(train(1, false).fingerprint(), train(1, true).fingerprint());
  EXPECT_EQ(train(1, true).memory_bytes(), 6U * 16 * 4 + 6 * 6 * 4);
}

}  // namespace
}  // namespace vicinal
