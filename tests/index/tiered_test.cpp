// Rows in tiers of popularity: a tier has its codec, an answer is merged from all.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

#include "vicinal/core/executor.hpp"
#include "vicinal/index/index.hpp"
#include "vicinal/index/tiered.hpp"
#include "../core/temporary_folder.hpp"
#include "sample_data.hpp"

namespace vicinal {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<std::uint32_t> copy_of(const Array<std::uint32_t>& rows) {
  return {rows.span().begin(), rows.span().end()};
}

TEST(TierRows, GoToThePopularFirst) {
  const std::vector<TierOptions> tiers{{CodecKind::f16, 0.2}, {CodecKind::i8, 0.3}, {CodecKind::i4, 0}};
  const std::vector<float> popularity{1, 5, 0, 5, 9, 0, 0, 1, 0, 1};
  const auto rows = tier_rows(tiers, 10, popularity);
  ASSERT_EQ(rows.size(), 3U);
  EXPECT_THAT(copy_of(rows[0]), ElementsAre(1, 4)) << "of rows as popular as each other the first";
  EXPECT_THAT(copy_of(rows[1]), ElementsAre(0, 3, 7));
  EXPECT_THAT(copy_of(rows[2]), ElementsAre(2, 5, 6, 8, 9));
}

TEST(TierRows, RoundWhereTiersMeet) {
  const std::vector<TierOptions> tiers{{CodecKind::f16, 0.25}, {CodecKind::i8, 0.25}, {CodecKind::i4, 0}};
  EXPECT_THAT(tier_sizes(tiers, 1), ElementsAre(0, 1, 0));
  EXPECT_THAT(tier_sizes(tiers, 2), ElementsAre(1, 0, 1));
  EXPECT_THAT(tier_sizes(tiers, 5), ElementsAre(1, 2, 2));
  EXPECT_THAT(tier_sizes(tiers, 1000), ElementsAre(250, 250, 500));
}

class TieredIndex : public ::testing::TestWithParam<Metric> {
 protected:
  static constexpr std::size_t count = 400, dim = 24;
  static std::vector<float> popular() {
    std::vector<float> popularity(count);
    for (std::size_t row = 0; row < count; ++row) popularity[row] = static_cast<float>((row * 37) % 101);
    return popularity;
  }
  [[nodiscard]] Index build(const std::string& spec, std::span<const Id> ids = {},
                            const BuildControl& control = {}) const {
    IndexOptions options;
    options.ids = ids;
    options.popularity = popularity_;
    return Index::build(base_.view(), spec, GetParam(), options, control);
  }

  Rows base_ = make_rows(count, dim, 31);
  Rows queries_ = make_rows(25, dim, 31, 1);
  std::vector<float> popularity_ = popular();
};

// f32 everywhere is what tiers of formats without loss must agree with: here f32 and the rest in f32 again is not possible, so
// each row is compared with the index of its own codec.
TEST_P(TieredIndex, GivesEachRowTheDistanceOfItsCodec) {
  const Index index = build("tiers(f16=0.1, bf16=0.25, f32) | flat");
  const std::vector<TierOptions> tiers = index.spec().tiers;
  const auto rows = tier_rows(tiers, count, popularity_);
  std::vector<Index> whole;
  for (const TierOptions& tier : tiers)
    whole.push_back(Index::build(base_.view(), std::string(to_string(tier.kind)), GetParam()));
  const Neighbors found = index.search(queries_.view(), count);
  for (std::size_t q = 0; q < queries_.count; ++q) {
    std::vector<std::pair<float, Id>> expected;
    for (std::size_t t = 0; t < tiers.size(); ++t) {
      SearchControl control;
      const std::vector<Id> of_tier(rows[t].span().begin(), rows[t].span().end());
      control.filter = Filter::id_set(of_tier);
      const Neighbors part = whole[t].search(queries_.view().rows_from(q, 1), count, {}, control);
      for (std::size_t i = 0; i < part.counts()[0]; ++i)
        expected.emplace_back(part.distances()[0][i], part.ids()[0][i]);
    }
    std::ranges::sort(expected);
    ASSERT_EQ(found.counts()[q], count);
    for (std::size_t i = 0; i < count; ++i) {
      EXPECT_EQ(found.ids()[q][i], expected[i].second) << q << " " << i;
      EXPECT_EQ(found.distances()[q][i], expected[i].first);
    }
  }
}

TEST_P(TieredIndex, BreaksTiesByIdAcrossTiers) {
  // The same vector in every tier.
  Rows base{60, 4, {}};
  std::vector<float> popularity;
  for (std::size_t row = 0; row < 60; ++row) {
    base.values.insert(base.values.end(), {1.0F, 0.0F, 0.0F, 0.0F});
    popularity.push_back(static_cast<float>((row * 7) % 13));
  }
  IndexOptions options;
  options.popularity = popularity;
  const Index index = Index::build(base.view(), "tiers(f32=0.3, f16=0.3, bf16)", GetParam(), options);
  const Neighbors found = index.search(base.view().rows_from(0, 1), 20);
  for (Id id = 0; id < 20; ++id) EXPECT_EQ(found.ids()[0][static_cast<std::size_t>(id)], id);
}

TEST_P(TieredIndex, FindsWithFiltersAndIds) {
  std::vector<Id> ids(count);
  for (std::size_t row = 0; row < count; ++row) ids[row] = static_cast<Id>((row * 51) % count) * 5 + 2;
  const Index index = build("tiers(f32=0.5, f16) | flat", ids);
  SearchControl control;
  control.filter = Filter::predicate([](Id id) { return id % 3 == 0; });
  const Neighbors found = index.search(queries_.view(), 10, {}, control);
  for (std::size_t q = 0; q < queries_.count; ++q) {
    const auto expected = exact_neighbors(base_, queries_[q], GetParam(), 10, [&](Id row) {
      return ids[static_cast<std::size_t>(row)] % 3 == 0;
    });
    std::size_t agree = 0;
    for (std::size_t i = 0; i < 10; ++i) {
      EXPECT_EQ(found.ids()[q][i] % 3, 0);
      agree += found.ids()[q][i] == ids[static_cast<std::size_t>(expected[i].second)] ? 1 : 0;
    }
    EXPECT_GE(agree, 8U);
  }
}

TEST_P(TieredIndex, GivesVectorsBackAsTheirTierHasThem) {
  const Index index = build("tiers(f32=0.1, i4) | flat");
  std::vector<Id> ids(count);
  std::iota(ids.begin(), ids.end(), Id{0});
  std::vector<float> values(count * dim);
  index.reconstruct(ids, MatrixView<float>(values.data(), count, dim));
  const auto rows = tier_rows(index.spec().tiers, count, popularity_);
  for (std::uint32_t row = 0; row < count; ++row) {
    std::vector<float> expected(base_[row].begin(), base_[row].end());
    if (GetParam() == Metric::cosine) normalise(base_[row], expected);
    const bool same = std::ranges::equal(expected, std::span(values).subspan(row * dim, dim));
    EXPECT_EQ(same, std::ranges::binary_search(rows[0].span(), row)) << row;
  }
}

TEST_P(TieredIndex, SavesAndOpens) {
  const TemporaryFolder folder;
  for (const std::string spec :
       {"tiers(f16=0.05, i8=0.2, i4) | flat", "tiers(i8=0.0001, b1) | flat | rerank(f16)",
        "pca(8) | tiers(i8=0.5, b2) | flat", "dedup | tiers(e4m3=0.5, b1) | flat"}) {
    const Index index = build(spec);
    index.save(folder / "index.vcn");
    for (const OpenMode mode : {OpenMode::load, OpenMode::map}) {
      const Index opened = Index::open(folder / "index.vcn", mode);
      EXPECT_EQ(to_string(opened.spec()), to_string(index.spec()));
      EXPECT_EQ(opened.memory_bytes(), index.memory_bytes());
      EXPECT_TRUE(same_results(opened.search(queries_.view(), 30), index.search(queries_.view(), 30)))
          << spec;
    }
  }
}

TEST_P(TieredIndex, DoesNotDependOnThreads) {
  const TemporaryFolder folder;
  ThreadPool threads(3);
  BuildControl control;
  control.executor = threads;
  build("tiers(f16=0.05, i8=0.2, i4)").save(folder / "one.vcn");
  build("tiers(f16=0.05, i8=0.2, i4)", {}, control).save(folder / "several.vcn");
  EXPECT_EQ(read_bytes(folder / "one.vcn"), read_bytes(folder / "several.vcn"));
}

TEST_P(TieredIndex, CountsItsWork) {
  const Index index = build("tiers(f16=0.05, i8=0.2, i4) | flat");
  SearchStats stats;
  SearchControl control;
  control.stats = &stats;
  (void)index.search(queries_.view().rows_from(0, 2), 5, {}, control);
  EXPECT_EQ(stats.strategy, "tiers(f16 20, i8 80, i4 300) > flat(scan)");
  EXPECT_EQ(stats.queries, 2U);
  EXPECT_EQ(stats.distances, 2 * count);
  stats = {};
  control.max_distances = 60;
  (void)index.search(queries_.view().rows_from(0, 1), 5, {}, control);
  EXPECT_EQ(stats.distances, 60U) << "the first tier, then a part of the second";
  EXPECT_EQ(stats.stop, StopReason::budget);
}

INSTANTIATE_TEST_SUITE_P(Metrics, TieredIndex, ::testing::Values(Metric::l2, Metric::ip, Metric::cosine));

TEST(TieredDedup, AddsUpThePopularityOfAClass) {
  // Rows 0 and 3 are the same and together the most popular.
  const Rows base{4, 2, {1, 0, 0, 1, 1, 1, 1, 0}};
  const std::vector<float> popularity{2, 3, 1, 2};
  IndexOptions options;
  options.popularity = popularity;
  const Index index = Index::build(base.view(), "dedup | tiers(f32=0.34, b1) | flat", Metric::l2, options);
  std::vector<float> values(2);
  const std::vector<Id> wanted{3};
  index.reconstruct(wanted, MatrixView<float>(values.data(), 1, 2));
  EXPECT_THAT(values, ElementsAre(1, 0)) << "exact, so of the first tier";
}

// Codes that fit best make vectors shorter: among rows of more exact codes those of i4 would be found too seldom, or too often.
TEST(TieredIndexBias, ScalesAreWithoutBias) {
  const Rows base = make_rows(3000, 32, 8);
  const Rows queries = make_rows(40, 32, 8, 1);
  std::vector<float> popularity(base.count);
  for (std::size_t row = 0; row < base.count; ++row) popularity[row] = static_cast<float>(row % 2);
  IndexOptions options;
  options.popularity = popularity;
  for (const Metric metric : {Metric::l2, Metric::ip, Metric::cosine}) {
    const Index index = Index::build(base.view(), "tiers(f32=0.5, i4)", metric, options);
    const Index exact = Index::build(base.view(), "f32 | flat", metric);
    const Index plain = Index::build(base.view(), "i4 | flat", metric);
    // The mean error of distances to rows of i4, against that of the codec as it is.
    double error = 0;
    double before = 0;
    const auto by_row = [&](const Index& of, std::size_t q) {
      const Neighbors found = of.search(queries.view().rows_from(q, 1), base.count);
      std::vector<double> distances(base.count);
      for (std::size_t i = 0; i < base.count; ++i)
        distances[static_cast<std::size_t>(found.ids()[0][i])] = static_cast<double>(found.distances()[0][i]);
      return distances;
    };
    for (std::size_t q = 0; q < queries.count; ++q) {
      const auto a = by_row(index, q);
      const auto b = by_row(plain, q);
      const auto truth = by_row(exact, q);
      // Of the near ones, where all that is lost has one sign.
      std::vector<std::size_t> order(base.count);
      std::iota(order.begin(), order.end(), std::size_t{0});
      std::ranges::sort(order, {}, [&](std::size_t row) { return truth[row]; });
      for (const std::size_t row : std::span(order).first(100)) {
        if (row % 2 == 1) continue;
        error += a[row] - truth[row];
        before += b[row] - truth[row];
      }
    }
    EXPECT_LT(3 * std::abs(error), std::abs(before)) << to_string(metric);
  }
}

TEST(TieredErrors, SayWhatIsWrong) {
  const Rows base = make_rows(10, 4, 1);
  const auto message = [&](const std::string& spec, std::vector<float> popularity) {
    IndexOptions options;
    options.popularity = popularity;
    try {
      (void)Index::build(base.view(), spec, Metric::l2, options);
    } catch (const InvalidArgument& error) {
      return std::string(error.what());
    }
    return std::string("no error");
  };
  const std::string tiers = "tiers(f16=0.5, i8)";
  EXPECT_THAT(message(tiers, {}), HasSubstr("give a popularity, a number of 0 or more for each row"));
  EXPECT_THAT(message(tiers, {1, 2}), HasSubstr("popularity has 2 values for 10 rows"));
  std::vector<float> wrong(10, 1.0F);
  wrong[7] = -1;
  EXPECT_THAT(message(tiers, wrong), HasSubstr("the popularity of row 7 is -1"));
  wrong[7] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(message(tiers, wrong), HasSubstr("the popularity of row 7 is nan"));
  wrong[7] = 0;
  EXPECT_EQ(message(tiers, wrong), "no error");
  EXPECT_THAT(message("i8 | flat", wrong), HasSubstr("the spec has no tiers"));
}

}  // namespace
}  // namespace vicinal
