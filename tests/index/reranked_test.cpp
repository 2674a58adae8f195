#include "vicinal/index/reranked.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <limits>
#include <thread>

#include "vicinal/core/executor.hpp"
#include "vicinal/index/flat.hpp"
#include "vicinal/index/hnsw.hpp"
#include "sample_data.hpp"

namespace vicinal {
namespace {

using ::testing::HasSubstr;

CodeStore store_of(CodecKind kind, const Rows& base, Metric metric) {
  CodecOptions options;
  options.kind = kind;
  return CodeStore::build(Codec::train(options, metric, base.view()), base.view(), {});
}

// Answers every query with the rows 0, 1, 2, ..., as many as are asked for, and notes how many those were.
struct FirstRows {
  static constexpr std::string_view kind = "first_rows";
  struct Params {
    std::size_t effort = 0;
    static Params from_effort(std::size_t e) { return {e}; }
    void validate() const {}
    friend bool operator==(const Params&, const Params&) = default;
  };
  std::size_t count = 0;
  std::shared_ptr<std::atomic<std::size_t>> asked = std::make_shared<std::atomic<std::size_t>>(0);
  std::vector<Id> stray = {};  ///< returned first, whatever they are

  [[nodiscard]] std::size_t size() const { return count; }
  [[nodiscard]] std::size_t dim() const { return 8; }
  [[nodiscard]] Metric metric() const { return Metric::l2; }
  [[nodiscard]] std::size_t memory_bytes() const { return 0; }
  void search(const VectorBatch& queries, NeighborsView out, const Params&,
              const SearchControl& control) const {
    *asked = out.k();
    for (std::size_t q = 0; q < queries.size(); ++q) {
      std::uint32_t found = 0;
      for (const Id id : stray) out.ids[q][found++] = id;
      for (Id row = 0; found < out.k() && row < static_cast<Id>(count); ++row) out.ids[q][found++] = row;
      out.counts[q] = found;
    }
    if (control.stats != nullptr) control.stats->strategy = "first";
  }
};

class RerankedTest : public ::testing::Test {
 protected:
  Rows base_ = make_rows(100, 8, 4);
  Rows queries_ = make_rows(5, 8, 4, 1);
};

TEST_F(RerankedTest, ReportsTheExactOrderAndDistancesOfTheCandidates) {
  const Reranked reranked(FirstRows{100}, store_of(CodecKind::f32, base_, Metric::l2), 4);
  const Neighbors found = AnyRetriever(reranked).search(queries_.view(), 5);
  for (std::size_t q = 0; q < queries_.count; ++q) {
    const auto expected = exact_neighbors(base_, queries_[q], Metric::l2, 5, [](Id id) { return id < 20; });
    for (std::size_t i = 0; i < 5; ++i) {
      EXPECT_EQ(found.ids()[q][i], expected[i].second);
      EXPECT_NEAR(found.distances()[q][i], expected[i].first, 1e-4);
    }
  }
}

TEST_F(RerankedTest, TakesDepthTimesKCandidates) {
  const FirstRows inner{100};
  const AnyRetriever reranked(Reranked(inner, store_of(CodecKind::f16, base_, Metric::l2), 2.5));
  const auto asked = [&](std::size_t k, const SearchOptions& options) {
    (void)reranked.search(queries_.view(), k, options);
    return inner.asked->load();
  };
  EXPECT_EQ(asked(10, {}), 25U);
  EXPECT_EQ(asked(3, {}), 8U) << "rounded up";
  EXPECT_EQ(asked(10, {0, Reranked::Params{{}, 1.1}}), 11U) << "not 12 because 1.1 x 10 is a hair above 11";
  EXPECT_EQ(asked(10, {15, {}}), 15U) << "no more than the effort";
  EXPECT_EQ(asked(10, {4, {}}), 10U) << "but k";
  EXPECT_EQ(asked(10, {200, {}}), 25U);
  EXPECT_EQ(asked(90, {}), 100U) << "no more than there are";
  EXPECT_EQ(asked(1000, {}), 100U);
}

TEST_F(RerankedTest, ImprovesOnCoarseCodes) {
  const Rows base = make_rows(2000, 32, 8);
  const Rows queries = make_rows(50, 32, 8, 1);
  for (const Metric metric : {Metric::l2, Metric::ip, Metric::cosine}) {
    const AnyRetriever coarse(Flat(store_of(CodecKind::i8, base, metric)));
    const AnyRetriever reranked(Reranked(coarse, store_of(CodecKind::f32, base, metric), 3));
    const double before = recall_of(coarse.search(queries.view(), 10), base, queries, metric);
    const double after = recall_of(reranked.search(queries.view(), 10), base, queries, metric);
    EXPECT_LT(before, 0.999) << to_string(metric) << ": nothing to improve";
    EXPECT_GT(after, 0.999) << to_string(metric);
  }
}

TEST_F(RerankedTest, IgnoresCandidatesThatAreNoRowsOrDoNotPass) {
  const FirstRows inner{
      100, std::make_shared<std::atomic<std::size_t>>(0), {-1, 100, std::numeric_limits<Id>::max(), 7}};
  const AnyRetriever reranked(Reranked(inner, store_of(CodecKind::f32, base_, Metric::l2), 1));
  SearchControl control;
  control.filter = Filter::predicate([](Id id) { return id != 7; });  // The inner one does not look at it.
  const Neighbors found = reranked.search(queries_.view(), 8, {}, control);
  for (std::size_t q = 0; q < queries_.count; ++q) {
    EXPECT_EQ(found.counts()[q], 4U);
    EXPECT_THAT(std::vector<Id>(found.ids()[q].begin(), found.ids()[q].begin() + 4),
                ::testing::UnorderedElementsAre(0, 1, 2, 3));
    EXPECT_EQ(found.ids()[q][4], no_id);
  }
}

TEST_F(RerankedTest, ComposesTheStatistics) {
  const AnyRetriever reranked(Reranked(FirstRows{100}, store_of(CodecKind::f16, base_, Metric::l2), 3));
  SearchStats stats;
  SearchControl control;
  control.stats = &stats;
  (void)reranked.search(queries_.view(), 10, {}, control);
  EXPECT_EQ(stats.strategy, "rerank(f16, 30) > first");
  EXPECT_EQ(stats.reranked, 5U * 30U);
  EXPECT_EQ(stats.bytes, 5U * 30U * 16U);
}

TEST_F(RerankedTest, ComparesInTheRowsOrderWhenManySearchAtOnce) {
  const AnyRetriever reranked(Reranked(Flat(store_of(CodecKind::i8, base_, Metric::l2)),
                                       store_of(CodecKind::f32, base_, Metric::l2), 3));
  const Neighbors expected = reranked.search(queries_.view(), 10);
  std::atomic<int> different{0};
  std::vector<std::jthread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 200; ++i)
        different += same_results(reranked.search(queries_.view(), 10), expected) ? 0 : 1;
    });
  }
  threads.clear();
  EXPECT_EQ(different, 0);
}

TEST_F(RerankedTest, RefusesPartsThatDoNotFit) {
  const auto message = [](auto make) {
    try {
      make();
    } catch (const InvalidArgument& error) {
      return std::string(error.what());
    }
    return std::string("no error");
  };
  const CodeStore rows = store_of(CodecKind::f32, base_, Metric::l2);
  EXPECT_THAT(message([&] { Reranked(FirstRows{99}, rows, 3); }),
              HasSubstr("100 rows to rerank on, the inner retriever has 99 items"));
  EXPECT_THAT(message([&] { Reranked(FirstRows{100}, store_of(CodecKind::f32, base_, Metric::ip), 3); }),
              HasSubstr("metric ip"));
  const Rows narrow = make_rows(100, 7, 4);
  EXPECT_THAT(message([&] { Reranked(FirstRows{100}, store_of(CodecKind::f32, narrow, Metric::l2), 3); }),
              HasSubstr("dimension 7"));
  EXPECT_THAT(message([&] { Reranked(FirstRows{100}, rows, 0.5); }), HasSubstr("0.5"));
  EXPECT_THAT(message([&] { Reranked(FirstRows{100}, rows, std::numeric_limits<double>::quiet_NaN()); }),
              HasSubstr("nan"));
  EXPECT_THAT(message([&] { Reranked({}, rows, 3); }), HasSubstr("empty"));
  const AnyRetriever reranked(Reranked(FirstRows{100}, rows, 3));
  EXPECT_THAT(message([&] {
                (void)reranked.search(queries_.view(), 1, {0, Reranked::Params{{}, 0.5}});
              }),
              HasSubstr("depth is 0.5"));
}

TEST_F(RerankedTest, SearchWithoutActsAsIfTheRowWereAbsent) {
  const Rows base = make_rows(600, 16, 21);
  const CodeStore rows = store_of(CodecKind::f32, base, Metric::l2);
  const Hnsw hnsw = Hnsw::build(Codec::train({.kind = CodecKind::i8}, Metric::l2, base.view()), base.view(),
                                {.m = 16, .ef_construction = 100});
  const Reranked reranked(hnsw, rows, 3);
  const std::vector<std::uint32_t> absent{3, 77, 599, 0};
  Rows queries{4, 16, {}};
  for (const std::uint32_t row : absent)
    queries.values.insert(queries.values.end(), base[row].begin(), base[row].end());

  Neighbors with(4, 10);
  reranked.search(queries.view(), with.view(), {}, {});
  Neighbors without(4, 10);
  reranked.search_without(queries.view(), absent, without.view(), Reranked::Params::from_effort(200), {});
  for (std::size_t q = 0; q < 4; ++q) {
    EXPECT_EQ(with.ids()[q][0], absent[q]);
    const auto expected =
        exact_neighbors(base, queries[q], Metric::l2, 10, [&](Id id) { return id != absent[q]; });
    for (std::size_t i = 0; i < 10; ++i) EXPECT_EQ(without.ids()[q][i], expected[i].second) << q << " " << i;
  }
  const Reranked over_flat(Flat(rows), rows, 3);
  EXPECT_THROW(over_flat.search_without(queries.view(), absent, without.view(), {}, {}), Unsupported);
}

}  // namespace
}  // namespace vicinal
