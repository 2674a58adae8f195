// What codes hold: each code, the error of coding, and what is refused.
#include "vicinal/quant/codec.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "vicinal/core/error.hpp"
#include "vicinal/core/executor.hpp"
#include "codec_cases.hpp"
#include "sample_vectors.hpp"

namespace vicinal {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::ThrowsMessage;

constexpr CodecOptions plain_i8 = {CodecKind::i8, false, false, 0};

TEST(CodecI8, HoldsEachOfThe255Codes) {
  std::vector<float> vector(255);
  for (int code = -127; code <= 127; ++code)
    vector[static_cast<std::size_t>(code + 127)] = static_cast<float>(code);
  const Codec codec = Codec::restore(plain_i8, Metric::l2, vector.size(), {});
  for (const float factor : {1.0F, 0.5F, 0x1.0p-60F, 0x1.0p40F}) {
    std::vector<float> scaled = vector;
    for (float& v : scaled) v *= factor;
    const EncodedVector encoded(codec, scaled);
    EXPECT_EQ(encoded.factors[0], factor);
    for (std::size_t j = 0; j < vector.size(); ++j)
      EXPECT_EQ(std::to_integer<int>(encoded.record[j]), static_cast<int>(j) + 1);
    // The padding stands for zero.
    for (std::size_t j = vector.size(); j < encoded.record.size(); ++j)
      EXPECT_EQ(std::to_integer<int>(encoded.record[j]), 128);
    EXPECT_EQ(encoded.decoded(codec), scaled);
  }
}

TEST(CodecI8, RoundsToTheNearestCodeAndTiesToEven) {
  std::vector<float> vector = {127.0F};
  for (int code = -127; code < 127; ++code) {
    const float tie = static_cast<float>(code) + 0.5F;
    vector.insert(vector.end(), {std::nextafter(tie, -1000.0F), tie, std::nextafter(tie, 1000.0F)});
  }
  const Codec codec = Codec::restore(plain_i8, Metric::ip, vector.size(), {});
  const EncodedVector encoded(codec, vector);
  for (int code = -127; code < 127; ++code) {
    const auto at = static_cast<std::size_t>(1 + 3 * (code + 127));
    EXPECT_EQ(std::to_integer<int>(encoded.record[at]) - 128, code);
    EXPECT_EQ(std::to_integer<int>(encoded.record[at + 1]) - 128, code % 2 == 0 ? code : code + 1);
    EXPECT_EQ(std::to_integer<int>(encoded.record[at + 2]) - 128, code + 1);
  }
}

// In the rotated space each coordinate is off by half a scale at most, and the largest is code 127 or -127.
RC_GTEST_PROP(CodecI8, IsOffByHalfAScaleAtMost, ()) {
  const auto dim = *rc::gen::inRange<std::size_t>(1, 400);
  const auto seed = *rc::gen::arbitrary<std::uint64_t>();
  const CodecOptions options = {CodecKind::i8, *rc::gen::arbitrary<bool>(), *rc::gen::arbitrary<bool>(),
                                seed};
  const float size = std::ldexp(1.0F, *rc::gen::inRange(-90, 45));
  SampleVectors base = clustered_vectors(20, dim, seed);
  for (float& v : base.values) v *= size;
  const Codec codec = Codec::train(options, Metric::l2, base.view());
  const EncodedVector encoded(codec, base[3]);
  std::vector<float> residual(base[3].begin(), base[3].end());
  for (std::size_t j = 0; j < codec.mean().size(); ++j) residual[j] -= codec.mean()[j];
  if (options.rotate) Rotation(dim, seed).apply(residual);
  const float scale = encoded.factors[0];
  int largest = 0;
  for (std::size_t j = 0; j < dim; ++j) {
    const int code = std::to_integer<int>(encoded.record[j]) - 128;
    largest = std::max(largest, std::abs(code));
    // Dividing by the scale rounds twice: a few 2^-24 of 127 codes.
    RC_ASSERT(std::abs(static_cast<float>(code) * scale - residual[j]) <= scale * (0.5F + 1e-4F));
  }
  RC_ASSERT(largest == 127);
}

struct Errors {
  double snr_db = 0;       // energy of the vectors about their mean over energy of the errors
  double bias = 0;         // mean error over the errors' deviation
  double worst_row = 0;    // largest |error| / |vector| of a row
  double correlation = 0;  // of errors and values
};

Errors errors_of(const CodecOptions& options, Metric metric, const SampleVectors& vectors) {
  const Codec codec = Codec::train(options, metric, vectors.view());
  std::vector<double> mean(vectors.dim, 0.0);
  for (std::size_t row = 0; row < vectors.size(); ++row) {
    for (std::size_t j = 0; j < vectors.dim; ++j) {
      mean[j] += static_cast<double>(vectors[row][j]) / static_cast<double>(vectors.size());
    }
  }
  double signal = 0;
  double noise = 0;
  double sum = 0;
  double product = 0;
  Errors errors;
  for (std::size_t row = 0; row < vectors.size(); ++row) {
    const std::vector<float> decoded = EncodedVector(codec, vectors[row]).decoded(codec);
    for (std::size_t j = 0; j < vectors.dim; ++j) {
      const double value = static_cast<double>(vectors[row][j]) - mean[j];
      const double error = static_cast<double>(decoded[j]) - static_cast<double>(vectors[row][j]);
      signal += value * value;
      noise += error * error;
      sum += error;
      product += error * value;
    }
    errors.worst_row =
        std::max(errors.worst_row, std::sqrt(l2_of(decoded, vectors[row])) / norm_of(vectors[row]));
  }
  const auto count = static_cast<double>(vectors.values.size());
  errors.snr_db = 10 * std::log10(signal / noise);
  errors.bias = sum / count / std::sqrt(noise / count);
  errors.correlation = product / std::sqrt(signal * noise);
  return errors;
}

// Uniform codes of step s have errors of energy s^2 / 12. The step is the largest of `dim` normal values over 127, about 2.6
// deviations for 128 dimensions: 12 (127 / 2.6)^2 is 44.6 dB.
TEST(CodecErrors, OfI8AreThoseOfUniformCodes) {
  const Errors errors =
      errors_of({CodecKind::i8, true, true, 1}, Metric::l2, clustered_vectors(2000, 128, 9));
  EXPECT_GT(errors.snr_db, 43.5);
  EXPECT_LT(errors.snr_db, 46.5);
  EXPECT_LT(std::abs(errors.bias), 0.01);
  EXPECT_LT(std::abs(errors.correlation), 0.01);
  EXPECT_LT(errors.worst_row, 0.01);
}

// Centring takes what all vectors have in common away before the scale is chosen.
TEST(CodecErrors, AreSmallerCentred) {
  SampleVectors vectors = clustered_vectors(1000, 128, 9);
  for (std::size_t row = 0; row < vectors.size(); ++row) {
    for (std::size_t j = 0; j < vectors.dim; ++j) vectors[row][j] += j % 3 == 0 ? 20.0F : 0.0F;
  }
  const double with = errors_of({CodecKind::i8, true, true, 1}, Metric::l2, vectors).snr_db;
  const double without = errors_of({CodecKind::i8, true, false, 1}, Metric::l2, vectors).snr_db;
  EXPECT_GT(with, without + 6.0);
}

// One large coordinate spoils the scale of all the others, until the rotation spreads it.
TEST(CodecErrors, AreSmallerRotatedWhereOneCoordinateIsLarge) {
  SampleVectors vectors = clustered_vectors(1000, 128, 9);
  RandomStream random(4, 4);
  for (std::size_t row = 0; row < vectors.size(); ++row) vectors[row][random.next_below(128)] += 60.0F;
  const double with = errors_of({CodecKind::i8, true, true, 1}, Metric::l2, vectors).snr_db;
  const double without = errors_of({CodecKind::i8, false, true, 1}, Metric::l2, vectors).snr_db;
  EXPECT_GT(with, without + 6.0);
}

// Half a unit in the last place: 2^-11 of the value with 11 bits, 2^-8 with 8.
TEST(CodecErrors, OfSixteenBitsAreOneRounding) {
  const SampleVectors vectors = clustered_vectors(500, 100, 5);
  for (const auto& [kind, bound] :
       {std::pair{CodecKind::f16, 0x1.0p-11}, std::pair{CodecKind::bf16, 0x1.0p-8}}) {
    const Codec codec = Codec::train({kind, true, true, 0}, Metric::l2, vectors.view());
    for (std::size_t row = 0; row < vectors.size(); ++row) {
      const std::vector<float> decoded = EncodedVector(codec, vectors[row]).decoded(codec);
      for (std::size_t j = 0; j < vectors.dim; ++j) {
        const auto value = static_cast<double>(vectors[row][j]);
        ASSERT_NEAR(static_cast<double>(decoded[j]), value, bound * std::max(std::abs(value), 0x1.0p-14));
      }
    }
    const Errors errors = errors_of({kind, true, true, 0}, Metric::l2, vectors);
    EXPECT_LT(std::abs(errors.bias), 0.02);
    EXPECT_LT(std::abs(errors.correlation), 0.02);
  }
  const Codec exact = Codec::train({}, Metric::l2, vectors.view());
  EXPECT_EQ(EncodedVector(exact, vectors[7]).decoded(exact),
            std::vector<float>(vectors[7].begin(), vectors[7].end()));
}

std::set<std::size_t> nearest(const CodeStore& store, std::span<const float> query, std::size_t k) {
  PreparedQuery prepared;
  store.codec().prepare_query(query, prepared);
  std::vector<float> distances(store.size());
  store.codec().score(prepared, store.records(), store.factors(), nullptr, store.size(), distances.data());
  std::vector<std::size_t> ranked(store.size());
  std::iota(ranked.begin(), ranked.end(), std::size_t{0});
  const auto end = ranked.begin() + static_cast<std::ptrdiff_t>(k);
  std::partial_sort(ranked.begin(), end, ranked.end(),
                    [&](std::size_t a, std::size_t b) { return distances[a] < distances[b]; });
  return {ranked.begin(), end};
}

// Ranking is what codes are for.
TEST(CodecErrors, OfI8HardlyChangeTheNearest) {
  constexpr std::size_t k = 10;
  const SampleVectors all = clustered_vectors(2050, 96, 21);
  const MatrixView<const float> base = all.view().rows_from(0, 2000);
  const MatrixView<const float> queries = all.view().rows_from(2000, 50);
  for (const Metric metric : {Metric::l2, Metric::ip, Metric::cosine}) {
    const Codec f32 = Codec::train({}, metric, base);
    const Codec i8 = Codec::train({CodecKind::i8, true, true, 0}, metric, base);
    const CodeStore precise = CodeStore::build(f32, base, {});
    const CodeStore codes = CodeStore::build(i8, base, {});
    std::size_t kept = 0;
    for (std::size_t q = 0; q < queries.rows(); ++q) {
      const std::set<std::size_t> exact = nearest(precise, queries[q], k);
      for (const std::size_t id : nearest(codes, queries[q], k)) kept += exact.count(id);
    }
    EXPECT_GE(kept, queries.rows() * k * 9 / 10) << to_string(metric);
  }
}

// Squares of small values lose bits and those of large ones overflow; the length must not.
TEST(Normalise, GivesUnitLengthAtAnySize) {
  for (const std::size_t dim : {1UL, 3UL, 100UL}) {
    const SampleVectors vectors = clustered_vectors(1, dim, dim);
    for (int exponent = -145; exponent <= 122; ++exponent) {
      std::vector<float> vector(vectors[0].begin(), vectors[0].end());
      for (float& v : vector) v = std::ldexp(v, exponent);
      const double length = norm_of(vector);
      if (length == 0) continue;
      std::vector<float> out(dim);
      normalise(vector, out);
      ASSERT_NEAR(norm_of(out), 1.0, 1e-6) << "dim " << dim << ", 2^" << exponent;
      for (std::size_t j = 0; j < dim; ++j) {
        ASSERT_NEAR(static_cast<double>(out[j]), static_cast<double>(vector[j]) / length, 1e-6) << exponent;
      }
    }
  }
  std::vector<float> zero(5, 1.0F);
  normalise(std::vector<float>(5, 0.0F), zero);
  EXPECT_EQ(zero, std::vector<float>(5, 0.0F));
}

TEST(CodecLimits, RefuseWhatF16AndBf16CannotHold) {
  const Codec f16 = Codec::restore({CodecKind::f16, true, true, 0}, Metric::l2, 3, {});
  EXPECT_NO_THROW(EncodedVector(f16, std::vector<float>{0.0F, 65519.0F, -65504.0F}));
  EXPECT_THAT(
      [&] {
        EncodedVector(f16, std::vector<float>{0.0F, 1.0F, -65520.0F});
      },
      ThrowsMessage<InvalidArgument>(AllOf(HasSubstr("-65520"), HasSubstr("column 2"), HasSubstr("f16"))));
  const Codec bf16 = Codec::restore({CodecKind::bf16, true, true, 0}, Metric::l2, 2, {});
  EXPECT_NO_THROW(EncodedVector(bf16, std::vector<float>{0x1.FEp127F, 1.0F}));
  EXPECT_THAT(
      [&] {
        EncodedVector(bf16, std::vector<float>{1.0F, std::numeric_limits<float>::max()});
      },
      ThrowsMessage<InvalidArgument>(AllOf(HasSubstr("column 1"), HasSubstr("bf16"))));
}

TEST(CodecLimits, RefuseWhatI8CannotHold) {
  for (const bool rotate : {false, true}) {
    for (const Metric metric : {Metric::l2, Metric::ip}) {
      const Codec codec = Codec::restore({CodecKind::i8, rotate, false, 0}, metric, 100, {});
      for (const float value : {0x1.0p60F, 1e30F, std::numeric_limits<float>::max()}) {
        const std::vector<float> vector(100, value);
        EXPECT_THAT([&] { EncodedVector(codec, vector); }, ThrowsMessage<InvalidArgument>(HasSubstr("i8")))
            << value;
        PreparedQuery prepared;
        EXPECT_THAT([&] { codec.prepare_query(vector, prepared); },
                    ThrowsMessage<InvalidArgument>(HasSubstr("i8")))
            << value;
      }
    }
  }
}

// The other side of the limit: at 2^54 in the most dimensions nothing overflows.
TEST(CodecLimits, KeepDistancesFinite) {
  for (const Metric metric : {Metric::l2, Metric::ip}) {
    const Codec codec = Codec::restore(plain_i8, metric, max_byte_dim, {});
    const EncodedVector most(codec, std::vector<float>(max_byte_dim, 0x1.0p54F));
    const std::vector<float> opposite(max_byte_dim, -0x1.0p54F);
    PreparedQuery prepared;
    codec.prepare_query(opposite, prepared);
    const auto exact = metric == Metric::l2 ? 0x1.0p126F : 0x1.0p124F;
    EXPECT_NEAR(score_one(codec, prepared, most), exact, exact * 1e-6F);
  }
}

TEST(CodecLimits, OfDimensions) {
  for (const CodecKind kind : {CodecKind::f32, CodecKind::f16, CodecKind::bf16, CodecKind::i8}) {
    EXPECT_THAT(
        [&] {
          (void)Codec::train({kind, true, true, 0}, Metric::l2, {});
        },
        ThrowsMessage<InvalidArgument>(HasSubstr("0 dimensions")));
  }
  EXPECT_NO_THROW((void)Codec::restore(plain_i8, Metric::l2, max_byte_dim, {}));
  EXPECT_THAT([] { (void)Codec::restore(plain_i8, Metric::l2, max_byte_dim + 1, {}); },
              ThrowsMessage<InvalidArgument>(AllOf(HasSubstr("65536"), HasSubstr("65537"))));
  EXPECT_NO_THROW((void)Codec::restore({}, Metric::l2, max_byte_dim + 1, {}));
  EXPECT_THAT(
      [] {
        (void)Codec::restore({CodecKind::i8, true, true, 0}, Metric::l2, 3, std::vector<float>(2));
      },
      ThrowsMessage<InvalidArgument>(AllOf(HasSubstr("2 values"), HasSubstr("expected 3"))));
}

TEST(CodecMean, IsTheSameForAnyNumberOfThreads) {
  const SampleVectors vectors = clustered_vectors(20'000, 7, 2);
  for (const Metric metric : {Metric::l2, Metric::cosine}) {
    const Codec inline_codec = Codec::train({CodecKind::i8, true, true, 0}, metric, vectors.view());
    std::vector<double> sums(7, 0.0);
    std::vector<float> unit(7);
    for (std::size_t row = 0; row < vectors.size(); ++row) {
      if (metric == Metric::cosine) normalise(vectors[row], unit);
      for (std::size_t j = 0; j < 7; ++j)
        sums[j] += static_cast<double>(metric == Metric::cosine ? unit[j] : vectors[row][j]);
    }
    for (std::size_t j = 0; j < 7; ++j)
      EXPECT_NEAR(static_cast<double>(inline_codec.mean()[j]), sums[j] / 20'000, 1e-6);
    for (const std::size_t threads : {1UL, 2UL, 4UL}) {
      ThreadPool pool(threads);
      BuildControl control;
      control.executor = pool;
      const Codec codec = Codec::train({CodecKind::i8, true, true, 0}, metric, vectors.view(), control);
      EXPECT_TRUE(std::ranges::equal(codec.mean(), inline_codec.mean()));
    }
  }
}

TEST(CodecFingerprint, DiffersWhereRecordsCannotBeCompared) {
  const SampleVectors one = clustered_vectors(50, 20, 1);
  const SampleVectors other = clustered_vectors(50, 20, 2);
  const SampleVectors wider = clustered_vectors(50, 21, 1);
  constexpr std::uint64_t last_seed = std::numeric_limits<std::uint64_t>::max();
  std::vector<std::uint64_t> prints;
  for (const Metric metric : {Metric::l2, Metric::ip, Metric::cosine}) {
    for (const CodecKind kind : {CodecKind::f32, CodecKind::f16, CodecKind::bf16}) {
      prints.push_back(Codec::train({kind, true, true, 0}, metric, one.view()).fingerprint());
      prints.push_back(Codec::train({kind, true, true, 0}, metric, wider.view()).fingerprint());
    }
    for (const bool centre : {false, true}) {
      prints.push_back(Codec::train({CodecKind::i8, false, centre, 0}, metric, one.view()).fingerprint());
      for (const std::uint64_t seed : {std::uint64_t{0}, std::uint64_t{1}, last_seed}) {
        prints.push_back(Codec::train({CodecKind::i8, true, centre, seed}, metric, one.view()).fingerprint());
      }
    }
    prints.push_back(Codec::train({CodecKind::i8, true, true, 0}, metric, other.view()).fingerprint());
    prints.push_back(Codec::train({CodecKind::i8, true, true, 0}, metric, wider.view()).fingerprint());
  }
  EXPECT_EQ(std::set<std::uint64_t>(prints.begin(), prints.end()).size(), prints.size());
}

TEST(CodecFingerprint, IsTheSameWhereTheyCan) {
  const SampleVectors one = clustered_vectors(50, 20, 1);
  const SampleVectors other = clustered_vectors(50, 20, 2);
  const CodecOptions options = {CodecKind::i8, true, true, 5};
  const Codec codec = Codec::train(options, Metric::l2, one.view());
  EXPECT_EQ(codec.fingerprint(), Codec::train(options, Metric::l2, one.view()).fingerprint());
  EXPECT_EQ(codec.fingerprint(), Codec::restore(options, Metric::l2, 20, codec.mean()).fingerprint());
  // Without a rotation its seed is nothing, and float codecs learn nothing.
  EXPECT_EQ(Codec::train({CodecKind::i8, false, true, 1}, Metric::l2, one.view()).fingerprint(),
            Codec::train({CodecKind::i8, false, true, 2}, Metric::l2, one.view()).fingerprint());
  EXPECT_EQ(Codec::train({CodecKind::f16, true, true, 1}, Metric::l2, one.view()).fingerprint(),
            Codec::train({CodecKind::f16, false, false, 2}, Metric::l2, other.view()).fingerprint());
}

}  // namespace
}  // namespace vicinal
