#include "vicinal/index/hnsw.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "sample_data.hpp"

namespace {

using namespace vicinal;

constexpr HnswOptions small{.m = 8, .ef_construction = 80, .seed = 1};

struct Fixture {
  Rows base = make_rows(2500, 24, 1);
  Rows queries = make_rows(80, 24, 1, 5);
  Hnsw index;

  explicit Fixture(CodecKind kind = CodecKind::f32, Metric metric = Metric::l2)
      : index(Hnsw::build(Codec::train({.kind = kind}, metric, base.view()), base.view(), small)) {}

  [[nodiscard]] Neighbors search(std::size_t k, std::size_t ef, const SearchControl& control = {}) const {
    Neighbors found(queries.count, k);
    index.search({queries.view()}, found.view(), {.ef = ef}, control);
    return found;
  }
};

TEST(Hnsw, RecallGrowsWithEffortToNearlyOne) {
  for (const Metric metric : {Metric::l2, Metric::ip, Metric::cosine}) {
    const Fixture f(CodecKind::f32, metric);
    const double low = recall_of(f.search(10, 10), f.base, f.queries, metric);
    const double high = recall_of(f.search(10, 300), f.base, f.queries, metric);
    EXPECT_GT(high, 0.99) << to_string(metric);
    EXPECT_LT(low, high) << to_string(metric);
  }
}

TEST(Hnsw, PagesGoOnWhereTheWalkStopped) {
  const Fixture f(CodecKind::i8);
  constexpr std::size_t page_size = 10;
  constexpr std::size_t ef = 40;
  std::size_t found = 0;
  for (std::size_t q = 0; q < f.queries.count; ++q) {
    const auto pages = f.index.pages(f.queries[q], page_size, {.ef = ef}, {});
    SearchStats so_far;
    SearchControl counted;
    counted.stats = &so_far;
    std::set<Id> given;
    Page page;
    for (std::size_t before = 0; before < 100; before += page_size) {
      pages->next(page_size, page, counted);
      given.insert(page.ids.begin(), page.ids.end());
      // A search with a pool that is wider by what was given before has looked at the same, and no more.
      SearchStats whole;
      SearchControl control;
      control.stats = &whole;
      Neighbors all(1, before + page_size);
      f.index.search({f.queries.view().rows_from(q, 1)}, all.view(), {.ef = ef + before}, control);
      EXPECT_EQ(so_far.distances, whole.distances) << "query " << q << " after " << before;
      if (before == 0) {
        EXPECT_TRUE(std::ranges::equal(page.ids, all.ids()[0]));
        EXPECT_TRUE(std::ranges::equal(page.distances, all.distances()[0]));
      } else if (before + page_size == 100) {
        for (const Id id : all.ids()[0]) found += given.contains(id) ? 1 : 0;
      }
    }
  }
  EXPECT_GE(found, f.queries.count * 97);
}

TEST(Hnsw, PagesEndByTheBudgetAndGoOn) {
  const Fixture f;
  const auto pages = f.index.pages(f.queries[0], 10, {.ef = 40}, {});
  SearchStats stats;
  SearchControl control;
  control.stats = &stats;
  control.max_distances = 30;
  std::set<Id> given;
  std::size_t ended_early = 0;
  Page page;
  do {
    stats = {};
    pages->next(10, page, control);
    given.insert(page.ids.begin(), page.ids.end());
    ASSERT_LE(stats.distances, 200U);  // the budget, the last hop, and the way down through the levels
    ended_early += stats.stop == StopReason::budget ? 1 : 0;
  } while (page.size() == 10 || stats.stop != StopReason::complete);
  EXPECT_GT(ended_early, 10U);
  EXPECT_EQ(given.size(), f.base.count);
}

TEST(Hnsw, FindsRowsByTheirOwnVector) {
  const Fixture f;
  Neighbors found(f.base.count, 1);
  f.index.search({f.base.view()}, found.view(), {.ef = 32}, {});
  std::size_t own = 0;
  for (std::size_t row = 0; row < f.base.count; ++row)
    own += found.ids()[row][0] == static_cast<Id>(row) ? 1 : 0;
  EXPECT_GE(own, f.base.count * 999 / 1000);
}

TEST(Hnsw, CountsItsWork) {
  const Fixture f;
  SearchStats stats;
  SearchControl control;
  control.stats = &stats;
  (void)f.search(10, 50, control);
  EXPECT_EQ(stats.queries, f.queries.count);
  EXPECT_GT(stats.hops, f.queries.count * 50);
  EXPECT_GT(stats.distances, stats.hops);
  EXPECT_LT(stats.distances, f.queries.count * f.base.count);
  EXPECT_EQ(stats.bytes,
            stats.distances * f.index.codes().bytes_per_vector() + stats.hops * 16 * sizeof(std::uint32_t));
  EXPECT_EQ(stats.strategy, "hnsw(ef=50)");
}

TEST(Hnsw, RareFilterIsScannedAndExact) {
  const Fixture f;
  std::vector<std::uint64_t> words((f.base.count + 63) / 64, 0);
  for (std::size_t row = 0; row < f.base.count; row += 97) words[row / 64] |= std::uint64_t{1} << row % 64;
  SearchStats stats;
  SearchControl control;
  control.stats = &stats;
  control.filter = Filter::bitmap(words);
  const Neighbors found = f.search(10, 50, control);
  EXPECT_EQ(stats.strategy, "hnsw(scan of what passes)");
  for (std::size_t q = 0; q < f.queries.count; ++q) {
    const auto exact =
        exact_neighbors(f.base, f.queries[q], Metric::l2, 10, [](Id id) { return id % 97 == 0; });
    for (std::size_t i = 0; i < exact.size(); ++i) EXPECT_EQ(found.ids()[q][i], exact[i].second);
  }
}

TEST(Hnsw, FrequentFilterIsWalkedAtTheSameRecall) {
  const Fixture f;
  SearchStats stats;
  SearchControl control;
  control.stats = &stats;
  control.filter = Filter::predicate([](Id id) { return id % 5 < 3; });
  const Neighbors found = f.search(5, 20, control);
  EXPECT_EQ(stats.strategy, "hnsw(post-filter, ef=20)");
  std::size_t hits = 0;
  for (std::size_t q = 0; q < f.queries.count; ++q) {
    for (const auto& [distance, id] :
         exact_neighbors(f.base, f.queries[q], Metric::l2, 5, [](Id i) { return i % 5 < 3; })) {
      hits += static_cast<std::size_t>(std::count(found.ids()[q].begin(), found.ids()[q].end(), id));
    }
    EXPECT_EQ(found.counts()[q], 5U);
  }
  EXPECT_GT(static_cast<double>(hits), 0.93 * 5 * static_cast<double>(f.queries.count));
}

// Passing rows that all lie far from the query: the walk around the query meets none of them, and none may be missing.
TEST(Hnsw, FilterOnTheFarSideStillGivesEveryMatch) {
  const Fixture f;
  std::vector<std::pair<double, Id>> all = exact_neighbors(f.base, f.queries[0], Metric::l2, f.base.count);
  std::set<Id> far;
  for (std::size_t i = all.size() / 2; i < all.size(); ++i) far.insert(all[i].second);
  SearchControl control;
  control.filter = Filter::predicate([&](Id id) { return far.contains(id); });
  Neighbors found(1, 10);
  f.index.search({f.queries.view().rows_from(0, 1)}, found.view(), {.ef = 10}, control);
  ASSERT_EQ(found.counts()[0], 10U);
  for (const Id id : found.ids()[0]) EXPECT_TRUE(far.contains(id));
}

TEST(Hnsw, AbsentRowsAreNeitherFoundNorWalkedThrough) {
  const Fixture f;
  std::vector<std::uint32_t> absent(f.base.count);
  for (std::uint32_t row = 0; row < absent.size(); ++row) absent[row] = row;
  Neighbors found(f.base.count, 5);
  f.index.search_without({f.base.view()}, absent, found.view(), {.ef = 60}, {});
  double hits = 0;
  for (std::size_t row = 0; row < f.base.count; ++row) {
    const auto ids = found.ids()[row];
    EXPECT_EQ(std::count(ids.begin(), ids.end(), static_cast<Id>(row)), 0);
    if (row % 10 != 0) continue;
    for (const auto& [distance, id] : exact_neighbors(f.base, f.base[row], Metric::l2, 5,
                                                      [&](Id i) { return i != static_cast<Id>(row); })) {
      hits += static_cast<double>(std::count(ids.begin(), ids.end(), id));
    }
  }
  EXPECT_GT(hits / (5.0 * static_cast<double>((f.base.count + 9) / 10)), 0.9);
}

TEST(Hnsw, AloneInTheIndexAnAbsentRowLeavesNothing) {
  const Rows one = make_rows(1, 4, 1);
  const Hnsw index = Hnsw::build(Codec::train({}, Metric::l2, one.view()), one.view(), small);
  Neighbors found(1, 3);
  index.search_without({one.view()}, std::vector<std::uint32_t>{0}, found.view(), {}, {});
  EXPECT_EQ(found.counts()[0], 0U);
  index.search({one.view()}, found.view(), {}, {});
  EXPECT_EQ(found.counts()[0], 1U);
  EXPECT_EQ(found.ids()[0][0], 0);
}

TEST(Hnsw, TiesAreOrderedByRow) {
  Rows rows = make_rows(300, 6, 3);
  for (std::size_t i = 0; i < rows.count; ++i)
    std::ranges::copy(rows[i % 30], rows.values.data() + i * rows.dim);
  const Hnsw index = Hnsw::build(Codec::train({}, Metric::l2, rows.view()), rows.view(), small);
  Neighbors found(30, 10);
  index.search({rows.view().rows_from(0, 30)}, found.view(), {.ef = 300}, {});
  for (std::size_t q = 0; q < 30; ++q) {
    for (std::size_t i = 0; i < 10; ++i) EXPECT_EQ(found.ids()[q][i], static_cast<Id>(q + 30 * i));
  }
}

}  // namespace
