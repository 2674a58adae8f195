// b1 and b2: codes, an unbiased estimate of distances, and a bound on its error.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "vicinal/core/error.hpp"
#include "codec_cases.hpp"
#include "sample_vectors.hpp"

namespace vicinal {
namespace {

constexpr Metric metrics[] = {Metric::l2, Metric::ip, Metric::cosine};

constexpr CodecKind kinds[] = {CodecKind::b1, CodecKind::b2};

CodecOptions bits(CodecKind kind, bool rotate, bool centre, std::uint64_t seed = 1) {
  return {kind, rotate, centre, seed};
}

// The codes of a record by their definition: 1 and -1, or odd numbers from -3 to 3; of padding too.
std::vector<int> codes_of(const Codec& codec, const std::vector<std::byte>& record) {
  std::vector<int> codes;
  if (codec.kind() == CodecKind::b1) {
    for (std::size_t j = 0; j < codec.stride() * 8; ++j)
      codes.push_back(2 * (std::to_integer<int>(record[j / 8]) >> (j % 8) & 1) - 1);
  } else {
    for (std::size_t j = 0; j < codec.stride() * 4; ++j)
      codes.push_back(2 * (std::to_integer<int>(record[j / 64 * 16 + j % 16]) >> (j % 64 / 16 * 2) & 3) - 3);
  }
  return codes;
}

std::vector<float> as_scored(Metric metric, std::span<const float> vector) {
  std::vector<float> result(vector.begin(), vector.end());
  if (metric == Metric::cosine) normalise(vector, result);
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

TEST(BitCodec, HoldsSignsAndTheirTwoFactors) {
  for (const CodecKind kind : kinds) {
    for (const std::size_t dim : {1UL, 7UL, 8UL, 63UL, 64UL, 65UL, 384UL}) {
      const SampleVectors vectors = clustered_vectors(20, dim, dim);
      for (const Metric metric : metrics) {
        const Codec codec = Codec::train(bits(kind, false, true), metric, vectors.view());
        EXPECT_EQ(codec.stride(), (dim + 63) / 64 * (kind == CodecKind::b1 ? 8 : 16));
        for (std::size_t row = 0; row < vectors.size(); ++row) {
          const EncodedVector encoded(codec, vectors[row]);
          const std::vector<int> codes = codes_of(codec, encoded.record);
          const std::vector<float> vector = as_scored(metric, vectors[row]);
          double product = 0;
          double squares = 0;
          double along = 0;
          for (std::size_t j = 0; j < dim; ++j) {
            const float residual = vector[j] - codec.mean()[j];
            ASSERT_EQ(codes[j] > 0, residual >= 0) << "dim " << dim << ", element " << j;
            product += static_cast<double>(residual) * codes[j];
            squares += static_cast<double>(residual) * static_cast<double>(residual);
            along += static_cast<double>(residual) * static_cast<double>(codec.mean()[j]);
          }
          for (std::size_t j = dim; j < codes.size(); ++j)
            ASSERT_EQ(codes[j], kind == CodecKind::b1 ? -1 : -3) << "padding is not 0";
          EXPECT_NEAR(static_cast<double>(encoded.factors[0]), squares / product, 1e-6 * squares / product);
          const double offset = metric == Metric::l2 ? squares : -along;
          EXPECT_NEAR(static_cast<double>(encoded.factors[1]), offset, 1e-6 * (squares + std::abs(offset)));
        }
      }
    }
  }
}

// Its large elements are those of largest magnitude, and no other number of them would make the cosine much larger.
TEST(TwoBitCodec, ChoosesTheCodeClosestInDirection) {
  for (const std::size_t dim : {2UL, 40UL, 384UL}) {
    const SampleVectors vectors = clustered_vectors(50, dim, dim);
    const Codec codec = Codec::restore(bits(CodecKind::b2, false, false), Metric::l2, dim, {});
    double ratio_sum = 0;
    for (std::size_t row = 0; row < vectors.size(); ++row) {
      const EncodedVector encoded(codec, vectors[row]);
      const std::vector<int> codes = codes_of(codec, encoded.record);
      std::vector<double> magnitudes;
      double product = 0;
      double norm = 0;
      double total = 0;
      for (std::size_t j = 0; j < dim; ++j) {
        magnitudes.push_back(std::abs(static_cast<double>(vectors[row][j])));
        product += static_cast<double>(vectors[row][j]) * codes[j];
        norm += codes[j] * codes[j];
        total += magnitudes.back();
      }
      for (std::size_t a = 0; a < dim; ++a) {
        for (std::size_t b = 0; b < dim && std::abs(codes[a]) == 3; ++b) {
          if (std::abs(codes[b]) == 1) {
            ASSERT_GE(magnitudes[a], magnitudes[b]);
          }
        }
      }
      // The best over all thresholds: after sorting, the m largest are 3.
      std::sort(magnitudes.rbegin(), magnitudes.rend());
      double best = total / std::sqrt(static_cast<double>(dim));
      double above = 0;
      for (std::size_t m = 0; m < dim; ++m) {
        above += magnitudes[m];
        best = std::max(
            best, (total + 2 * above) / std::sqrt(static_cast<double>(dim) + 8 * static_cast<double>(m + 1)));
      }
      const double ratio = product / std::sqrt(norm) / best;
      EXPECT_GT(ratio, dim < 10 ? 0.85 : 0.99) << "dim " << dim << ", row " << row;
      ratio_sum += ratio;
    }
    EXPECT_GT(ratio_sum / static_cast<double>(vectors.size()), dim < 10 ? 0.95 : 0.999) << "dim " << dim;
  }
}

// What a record is decoded to: no other multiple of its code is closer.
TEST(BitCodec, DecodesToTheClosestMultipleOfTheCode) {
  constexpr std::size_t dim = 96;
  const SampleVectors vectors = clustered_vectors(30, dim, 2);
  for (const CodecKind kind : kinds) {
    const Codec codec = Codec::train(bits(kind, true, true), Metric::l2, vectors.view());
    for (std::size_t row = 0; row < vectors.size(); ++row) {
      const EncodedVector encoded(codec, vectors[row]);
      const std::vector<float> decoded = encoded.decoded(codec);
      const double error = l2_of(vectors[row], decoded);
      for (const float factor : {0.98F, 1.02F}) {
        std::vector<float> other = decoded;
        for (std::size_t j = 0; j < dim; ++j)
          other[j] = codec.mean()[j] + factor * (decoded[j] - codec.mean()[j]);
        EXPECT_LT(error, l2_of(vectors[row], other));
      }
    }
  }
}

// With inner products the records keep no length, so what they are decoded to is scaled by what a random rotation makes likely.
TEST(BitCodec, DecodesNearlyAsWellWithoutLengths) {
  constexpr std::size_t dim = 384;
  const SampleVectors vectors = clustered_vectors(60, dim, 2);
  for (const CodecKind kind : kinds) {
    const Codec with = Codec::train(bits(kind, true, true), Metric::l2, vectors.view());
    const Codec without = Codec::train(bits(kind, true, true), Metric::ip, vectors.view());
    double error = 0;
    double least = 0;
    for (std::size_t row = 0; row < vectors.size(); ++row) {
      error += l2_of(vectors[row], EncodedVector(without, vectors[row]).decoded(without));
      least += l2_of(vectors[row], EncodedVector(with, vectors[row]).decoded(with));
    }
    EXPECT_LT(error, 1.01 * least) << to_string(kind);
    EXPECT_GE(error, least) << to_string(kind);
  }
}

// Without a rotation the whole estimate can be written down: bytes for the query, of -31 to 31 against signs, codes for the document.
void expect_estimates(CodecKind kind, float most) {
  for (const std::size_t dim : {1UL, 5UL, 64UL, 100UL, 384UL}) {
    const SampleVectors base = clustered_vectors(40, dim, dim);
    const SampleVectors asked = clustered_vectors(10, dim, dim + 7);
    for (const Metric metric : {Metric::l2, Metric::ip}) {
      const Codec codec = Codec::train(bits(kind, false, false), metric, base.view());
      for (std::size_t q = 0; q < asked.size(); ++q) {
        PreparedQuery prepared;
        codec.prepare_query(asked[q], prepared);
        float largest = 0;
        for (const float v : asked[q]) largest = std::max(largest, std::abs(v));
        std::vector<double> query(dim);
        double norm = 0;
        for (std::size_t j = 0; j < dim; ++j) {
          const float code = std::nearbyint(asked[q][j] * (most / largest));
          query[j] = static_cast<double>(code) * static_cast<double>(largest) / static_cast<double>(most);
          norm += query[j] * query[j];
        }
        for (std::size_t d = 0; d < base.size(); ++d) {
          const EncodedVector encoded(codec, base[d]);
          const std::vector<int> codes = codes_of(codec, encoded.record);
          double product = 0;
          double along = 0;
          double squares = 0;
          for (std::size_t j = 0; j < dim; ++j) {
            const auto x = static_cast<double>(base[d][j]);
            product += query[j] * codes[j];
            along += x * codes[j];
            squares += x * x;
          }
          product *= squares / along;
          const double expected = metric == Metric::l2 ? norm + squares - 2 * product : -product;
          ASSERT_NEAR(static_cast<double>(score_one(codec, prepared, encoded)), expected,
                      2e-6 * (norm + squares + std::abs(product)))
              << "dim " << dim << ", query " << q << ", document " << d;
        }
      }
    }
  }
}

TEST(BitCodec, ScoresAreTheEstimateOfItsDefinition) { expect_estimates(CodecKind::b1, 31.0F); }
TEST(TwoBitCodec, ScoresAreTheEstimateOfItsDefinition) { expect_estimates(CodecKind::b2, 31.0F); }

// Over many rotations the estimates of one distance average to it, with the spread that the bound promises.
void expect_no_bias(CodecKind kind) {
  constexpr std::size_t dim = 64;
  constexpr int rotations = 400;
  const SampleVectors base = clustered_vectors(100, dim, 5);
  for (const Metric metric : metrics) {
    for (const std::size_t d : {3UL, 40UL, 77UL}) {
      const double exact = distance_of(metric, as_scored(metric, base[0]), as_scored(metric, base[d]));
      double sum = 0;
      double squares = 0;
      double bound = 0;
      for (int seed = 0; seed < rotations; ++seed) {
        const Codec codec =
            Codec::train(bits(kind, true, true, static_cast<std::uint64_t>(seed)), metric, base.view());
        PreparedQuery prepared;
        codec.prepare_query(base[0], prepared);
        const EncodedVector encoded(codec, base[d]);
        const double error = static_cast<double>(score_one(codec, prepared, encoded)) - exact;
        sum += error;
        squares += error * error;
        bound += static_cast<double>(
            codec.error_bound(prepared, encoded.record.data(), encoded.factors.data(), 1.0F));
      }
      const double deviation = std::sqrt(squares / rotations);
      EXPECT_LT(std::abs(sum / rotations), 4 * deviation / std::sqrt(rotations))
          << to_string(metric) << " " << d;
      EXPECT_LT(deviation, 1.1 * bound / rotations) << to_string(metric) << " " << d;
    }
  }
}

TEST(BitCodec, EstimatesHaveNoBias) { expect_no_bias(CodecKind::b1); }
TEST(TwoBitCodec, EstimatesHaveNoBias) { expect_no_bias(CodecKind::b2); }

// The bound fails as often as a normal deviate exceeds epsilon, at most, and not never.
void expect_bounds_hold(CodecKind kind) {
  for (const std::size_t dim : {32UL, 100UL, 384UL}) {
    const SampleVectors base = clustered_vectors(400, dim, dim);
    const SampleVectors asked = clustered_vectors(60, dim, dim + 1);
    for (const Metric metric : metrics) {
      for (const float epsilon : {1.0F, 1.9F, 3.0F}) {
        std::size_t beyond = 0;
        std::size_t pairs = 0;
        // Errors under one rotation hang together, so several.
        for (std::uint64_t seed = 0; seed < 8; ++seed) {
          const Codec codec = Codec::train(bits(kind, true, true, seed), metric, base.view());
          for (std::size_t q = 0; q < asked.size(); ++q) {
            PreparedQuery prepared;
            codec.prepare_query(asked[q], prepared);
            const std::vector<float> query = as_scored(metric, asked[q]);
            for (std::size_t d = q % 7; d < base.size(); d += 7) {
              const EncodedVector encoded(codec, base[d]);
              const double exact = distance_of(metric, query, as_scored(metric, base[d]));
              const double error = std::abs(static_cast<double>(score_one(codec, prepared, encoded)) - exact);
              beyond += error > static_cast<double>(codec.error_bound(prepared, encoded.record.data(),
                                                                      encoded.factors.data(), epsilon))
                            ? 1
                            : 0;
              ++pairs;
            }
          }
        }
        const double rate = static_cast<double>(beyond) / static_cast<double>(pairs);
        const double promised = std::erfc(static_cast<double>(epsilon) / std::sqrt(2.0));
        const std::string where = std::string(to_string(metric)) + ", dim " + std::to_string(dim);
        EXPECT_LT(rate, 1.15 * promised + 0.001) << where;
        if (epsilon < 2) {
          EXPECT_GT(rate, 0.2 * promised) << where << ": the bound says little";
        }
      }
    }
  }
}

TEST(BitCodec, BoundsHoldAtTheirRate) { expect_bounds_hold(CodecKind::b1); }
TEST(TwoBitCodec, BoundsHoldAtTheirRate) { expect_bounds_hold(CodecKind::b2); }

TEST(BitCodec, OfNothingIsNothing) {
  for (const CodecKind kind : kinds) {
    const std::vector<float> zero(20, 0.0F);
    const Codec codec = Codec::restore(bits(kind, true, false), Metric::l2, 20, {});
    const EncodedVector encoded(codec, zero);
    EXPECT_EQ(encoded.factors, (std::vector<float>{0.0F, 0.0F}));
    EXPECT_EQ(encoded.decoded(codec), zero);
    PreparedQuery prepared;
    codec.prepare_query(zero, prepared);
    EXPECT_EQ(score_one(codec, prepared, encoded), 0.0F);
    EXPECT_EQ(codec.error_bound(prepared, encoded.record.data(), encoded.factors.data()), 0.0F);
    std::vector<float> huge(20, 1.0F);
    huge[3] = 1e30F;
    EXPECT_THROW(EncodedVector(codec, huge), InvalidArgument);
    EXPECT_THROW(codec.prepare_query(huge, prepared), InvalidArgument);
  }
}

TEST(BitCodec, OfOneDimensionIsExactButForTheQuerysRounding) {
  for (const CodecKind kind : kinds) {
    const Codec codec = Codec::restore(bits(kind, true, false), Metric::ip, 1, {});
    for (const float x : {-2.5F, 0.25F, 7.0F}) {
      const EncodedVector encoded(codec, std::vector<float>{x});
      PreparedQuery prepared;
      codec.prepare_query(std::vector<float>{3.0F}, prepared);
      EXPECT_NEAR(score_one(codec, prepared, encoded), -3.0F * x, 1e-5F);
    }
  }
}

// At twice the bytes errors are less than half.
TEST(TwoBitCodec, IsMoreThanTwiceAsExactAsOneBit) {
  constexpr std::size_t dim = 384;
  const SampleVectors base = clustered_vectors(200, dim, 5);
  double errors[2] = {};
  for (const CodecKind kind : kinds) {
    const Codec codec = Codec::train(bits(kind, true, true), Metric::ip, base.view());
    PreparedQuery prepared;
    codec.prepare_query(base[0], prepared);
    for (std::size_t d = 0; d < base.size(); ++d) {
      const double error = static_cast<double>(score_one(codec, prepared, EncodedVector(codec, base[d]))) +
                           dot_of(base[0], base[d]);
      errors[kind == CodecKind::b2 ? 1 : 0] += error * error;
    }
  }
  EXPECT_LT(std::sqrt(errors[1]), 0.5 * std::sqrt(errors[0]));
}

TEST(ErrorBound, IsRefusedByCodecsThatKeepNone) {
  for (const CodecKind kind : {CodecKind::f32, CodecKind::i8, CodecKind::i4, CodecKind::e4m3}) {
    const Codec codec = Codec::restore({kind, false, false, 0}, Metric::l2, 4, {});
    const float factors[2] = {1, 1};
    const std::vector<std::byte> record(codec.stride());
    EXPECT_THROW((void)codec.error_bound(PreparedQuery(), record.data(), factors), Unsupported);
  }
}

}  // namespace
}  // namespace vicinal
