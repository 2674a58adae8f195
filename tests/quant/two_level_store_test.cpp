// Two levels of codes: distances are those to the sum, which is nearer to the vector than the first level.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "vicinal/core/error.hpp"
#include "vicinal/core/executor.hpp"
#include "vicinal/quant/two_level_store.hpp"
#include "codec_cases.hpp"
#include "sample_vectors.hpp"

namespace vicinal {
namespace {

struct Levels {
  CodecKind first, second;
  bool rotate, centre;
  Metric metric;
};

void PrintTo(const Levels& levels, std::ostream* out) {  // NOLINT: GoogleTest's name
  *out << to_string(levels.first) << "+" << to_string(levels.second) << (levels.rotate ? " rotated" : "")
       << (levels.centre ? " centred " : " ") << to_string(levels.metric);
}

std::vector<Levels> all_levels() {
  std::vector<Levels> all;
  for (const Metric metric : {Metric::l2, Metric::ip, Metric::cosine}) {
    for (const CodecKind first : {CodecKind::i8, CodecKind::i4, CodecKind::b2, CodecKind::b1}) {
      for (const CodecKind second : {CodecKind::i8, CodecKind::i4}) {
        all.push_back({first, second, true, true, metric});
        all.push_back({first, second, false, false, metric});
      }
    }
  }
  return all;
}

class TwoLevels : public testing::TestWithParam<Levels> {
 protected:
  static constexpr std::size_t documents = 50, queries = 12;

  static CodeStore first_level(const SampleVectors& vectors, std::span<const std::uint32_t> order = {}) {
    const auto& [first, second, rotate, centre, metric] = GetParam();
    const MatrixView<const float> base = vectors.view().rows_from(0, documents);
    return CodeStore::build(Codec::train({first, rotate, centre, 7}, metric, base), base, order);
  }
  static TwoLevelStore levels_of(const SampleVectors& vectors, std::span<const std::uint32_t> order = {}) {
    return TwoLevelStore::build(first_level(vectors, order), GetParam().second,
                                vectors.view().rows_from(0, documents), order);
  }
  static std::vector<float> as_scored(std::span<const float> vector) {
    std::vector<float> result(vector.begin(), vector.end());
    if (GetParam().metric == Metric::cosine) normalise(vector, result);
    return result;
  }
};

// The distance to the sum; for inner products the part of the query along the mean m counts <m, x> of the document itself.
double distance_to_sum(const Codec& first, std::span<const float> query, std::span<const float> vector,
                       std::span<const float> sum) {
  if (first.metric() == Metric::l2) return l2_of(query, sum);
  double product = dot_of(query, sum);
  if (!first.mean().empty()) {
    const double along = dot_of(query, first.mean()) / dot_of(first.mean(), first.mean());
    product += along * (dot_of(first.mean(), vector) - dot_of(first.mean(), sum));
  }
  return (first.metric() == Metric::cosine ? 1.0 : 0.0) - product;
}

TEST_P(TwoLevels, ScoreDistancesToTheSum) {
  for (const std::size_t dim : {1UL, 7UL, 33UL, 64UL, 100UL, 200UL, 384UL}) {
    const SampleVectors vectors = clustered_vectors(documents + queries, dim, dim);
    const TwoLevelStore store = levels_of(vectors);
    std::vector<std::uint32_t> slots;
    for (std::uint32_t i = 0; i < documents; ++i) slots.push_back(i * 31 % documents);
    std::vector<float> found(documents);
    std::vector<float> sum(dim);
    TwoLevelQuery prepared;
    for (std::size_t q = documents; q < vectors.size(); ++q) {
      store.prepare_query(vectors[q], prepared);
      store.score(prepared, slots.data(), documents, found.data());
      const std::vector<float> query = as_scored(vectors[q]);
      for (std::size_t i = 0; i < documents; ++i) {
        store.decode(slots[i], sum);
        const std::vector<float> vector = as_scored(vectors[slots[i]]);
        const double expected = distance_to_sum(store.first().codec(), query, vector, sum);
        // What is left of the rounding of the query: a half of 1 / (31 x 62) of its largest value at worst, for b1.
        const double size = norm_of(query) * (norm_of(vector) + norm_of(query));
        const double step = GetParam().first == CodecKind::b1 ? 1.0 / (31 * 62) : 1.0 / (127 * 254);
        EXPECT_NEAR(found[i], expected, size * (2e-6 + 2 * step)) << dim << " " << q << " " << slots[i];
      }
    }
  }
}

TEST_P(TwoLevels, AreNearerThanTheFirst) {
  constexpr std::size_t dim = 128;
  const SampleVectors vectors = clustered_vectors(documents + queries, dim, 3);
  const TwoLevelStore store = levels_of(vectors);
  double first_error = 0;
  double error = 0;
  std::vector<float> decoded(dim);
  for (std::uint32_t slot = 0; slot < documents; ++slot) {
    const std::vector<float> vector = as_scored(vectors[slot]);
    store.first().decode(slot, decoded);
    first_error += l2_of(vector, decoded);
    store.decode(slot, decoded);
    error += l2_of(vector, decoded);
  }
  const double least = GetParam().second == CodecKind::i8 ? 3000 : 30;  // of the squared error
  EXPECT_LT(error * least, first_error);
}

TEST_P(TwoLevels, KeepTheSlotsOfTheFirst) {
  const SampleVectors vectors = clustered_vectors(documents + queries, 40, 5);
  std::vector<std::uint32_t> row_of_slot;
  for (std::uint32_t i = 0; i < documents; ++i) row_of_slot.push_back(i * 7 % documents);
  const TwoLevelStore plain = levels_of(vectors);
  const TwoLevelStore ordered = levels_of(vectors, row_of_slot);
  std::vector<float> a(40);
  std::vector<float> b(40);
  for (std::uint32_t slot = 0; slot < documents; ++slot) {
    ordered.decode(slot, a);
    plain.decode(row_of_slot[slot], b);
    EXPECT_EQ(a, b);
  }
}

INSTANTIATE_TEST_SUITE_P(All, TwoLevels, testing::ValuesIn(all_levels()));

TEST(TwoLevelStore, CopesWithWhatTheFirstLevelHoldsExactly) {
  const SampleVectors zeros(3, 20);
  for (const Metric metric : {Metric::l2, Metric::ip, Metric::cosine}) {
    for (const CodecKind kind : {CodecKind::i8, CodecKind::i4, CodecKind::b2, CodecKind::b1}) {
      CodeStore first = CodeStore::build(Codec::train({kind}, metric, zeros.view()), zeros.view(), {});
      const TwoLevelStore store = TwoLevelStore::build(std::move(first), CodecKind::i4, zeros.view(), {});
      const SampleVectors query = clustered_vectors(1, 20, 9);
      TwoLevelQuery prepared;
      store.prepare_query(query[0], prepared);
      const std::uint32_t slot = 2;
      float distance = -1;
      store.score(prepared, &slot, 1, &distance);
      const double expected = metric == Metric::l2   ? dot_of(query[0], query[0])
                              : metric == Metric::ip ? 0
                                                     : 1;
      EXPECT_NEAR(distance, expected, 1e-5 * std::max(1.0, expected)) << to_string(kind);
    }
  }
}

TEST(TwoLevelStore, DoesNotDependOnThreads) {
  constexpr std::size_t rows = 1500;
  const SampleVectors vectors = clustered_vectors(rows, 24, 6);
  const auto first = [&] {
    return CodeStore::build(Codec::train({CodecKind::i4}, Metric::l2, vectors.view()), vectors.view(), {});
  };
  ThreadPool threads(3);
  BuildControl control;
  control.executor = threads;
  const TwoLevelStore one = TwoLevelStore::build(first(), CodecKind::i8, vectors.view(), {});
  const TwoLevelStore several = TwoLevelStore::build(first(), CodecKind::i8, vectors.view(), {}, control);
  EXPECT_TRUE(std::equal(one.second().records(), one.second().record(rows), several.second().records()));
  EXPECT_TRUE(
      std::equal(one.second().factors(), one.second().factors() + 2 * rows, several.second().factors()));
}

TEST(TwoLevelStore, RefusesWhatDoesNotFit) {
  const SampleVectors vectors = clustered_vectors(10, 16, 1);
  const auto first = [&](CodecKind kind) {
    return CodeStore::build(Codec::train({kind}, Metric::ip, vectors.view()), vectors.view(), {});
  };
  for (const CodecKind kind : {CodecKind::f32, CodecKind::f16, CodecKind::e4m3})
    EXPECT_THROW((void)TwoLevelStore::build(first(kind), CodecKind::i8, vectors.view(), {}), InvalidArgument);
  for (const CodecKind kind : {CodecKind::f32, CodecKind::b1, CodecKind::b2, CodecKind::e4m3})
    EXPECT_THROW((void)TwoLevelStore::build(first(CodecKind::i4), kind, vectors.view(), {}), InvalidArgument);
  EXPECT_THROW(
      (void)TwoLevelStore::build(first(CodecKind::i4), CodecKind::i8, vectors.view().rows_from(0, 9), {}),
      InvalidArgument);
  EXPECT_THROW(TwoLevelStore(first(CodecKind::i4), first(CodecKind::i8)), InvalidArgument) << "centred";
  const std::vector<std::uint32_t> beyond{0, 1, 2, 3, 4, 5, 6, 7, 8, 10};
  EXPECT_THROW((void)TwoLevelStore::build(first(CodecKind::i4), CodecKind::i8, vectors.view(), beyond),
               InvalidArgument);
}

}  // namespace
}  // namespace vicinal
