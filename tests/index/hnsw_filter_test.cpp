#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <map>
#include <numeric>
#include <set>

#include "vicinal/index/hnsw.hpp"
#include "vicinal/index/index.hpp"
#include "sample_data.hpp"

namespace {

using namespace vicinal;

constexpr FilterStrategy every_strategy[] = {FilterStrategy::automatic, FilterStrategy::scan,
                                             FilterStrategy::two_hop, FilterStrategy::post_filter};
constexpr GraphLayout every_layout[] = {GraphLayout::plain, GraphLayout::fused};

// Which rows pass, in each of the forms that a filter has.
struct Passing {
  std::vector<Id> ids;
  std::vector<std::uint64_t> words;
  std::vector<bool> flags;
  mutable std::map<std::size_t, std::vector<std::vector<Id>>>
      nearest;  // by k: of each query, once they were looked for

  Passing(std::size_t size, const std::function<bool(std::size_t)>& passes)
      : words((size + 63) / 64), flags(size) {
    for (std::size_t i = 0; i < size; ++i) {
      if (!passes(i)) continue;
      ids.push_back(static_cast<Id>(i));
      words[i / 64] |= std::uint64_t{1} << i % 64;
      flags[i] = true;
    }
  }
  [[nodiscard]] bool operator()(Id id) const { return flags[static_cast<std::size_t>(id)]; }
  [[nodiscard]] Filter bitmap() const { return Filter::bitmap(words); }
  [[nodiscard]] Filter id_set() const { return Filter::id_set(ids); }
  [[nodiscard]] Filter predicate() const {
    return Filter::predicate([this](Id id) { return flags[static_cast<std::size_t>(id)]; });
  }
};

Passing random_share(std::size_t size, double share, std::uint64_t seed) {
  RandomStream random(seed, 77);
  return {size, [&](std::size_t) { return random.next_unit() < share; }};
}

struct Sample {
  Rows base = make_rows(3000, 24, 5);
  Rows queries = make_rows(40, 24, 5, 9);
  std::map<GraphLayout, Hnsw> indexes;

  Sample() {
    const Codec codec = Codec::train({}, Metric::l2, base.view());
    for (const GraphLayout layout : every_layout) {
      const HnswOptions options{
          .m = 16, .ef_construction = 100, .layout = layout, .alpha = HnswOptions::default_alpha(layout)};
      indexes.emplace(layout, Hnsw::build(codec, base.view(), options));
    }
  }
  [[nodiscard]] Neighbors search(GraphLayout layout, FilterStrategy strategy, const Filter& filter,
                                 std::size_t k = 10, std::size_t ef = 96,
                                 SearchStats* stats = nullptr) const {
    SearchControl control;
    control.filter = filter;
    control.stats = stats;
    Neighbors found(queries.count, k);
    indexes.at(layout).search({queries.view()}, found.view(), {.ef = ef, .filter_strategy = strategy},
                              control);
    return found;
  }
  // Nothing fails, nothing is missing that must be there, distances are exact and in order. The share of the nearest that was found.
  [[nodiscard]] double checked_recall(const Neighbors& found, const Passing& passing) const {
    const std::size_t expected = std::min(found.k(), passing.ids.size());
    std::vector<std::vector<Id>>& nearest = passing.nearest[found.k()];
    for (std::size_t q = nearest.size(); q < queries.count; ++q) {
      nearest.emplace_back();
      for (const auto& [distance, id] :
           exact_neighbors(base, queries[q], Metric::l2, found.k(), [&](Id i) { return passing(i); })) {
        nearest.back().push_back(id);
      }
    }
    std::size_t hits = 0;
    for (std::size_t q = 0; q < queries.count; ++q) {
      EXPECT_EQ(found.counts()[q], expected);
      std::set<Id> seen;
      for (std::size_t i = 0; i < found.counts()[q]; ++i) {
        const Id id = found.ids()[q][i];
        EXPECT_TRUE(passing(id)) << id;
        EXPECT_TRUE(seen.insert(id).second) << id;
        const double exact = exact_distance(queries[q], base[static_cast<std::size_t>(id)], Metric::l2);
        EXPECT_NEAR(found.distances()[q][i], exact, 1e-4 * exact);
        EXPECT_TRUE(i == 0 || found.distances()[q][i - 1] <= found.distances()[q][i]);
      }
      for (const Id id : nearest[q]) hits += seen.count(id);
    }
    return passing.ids.empty() ? 1.0
                               : static_cast<double>(hits) / static_cast<double>(expected * queries.count);
  }
};

const Sample& sample() {
  static const Sample shared;
  return shared;
}

TEST(HnswFilter, EveryStrategyFindsWhatPassesAtAnyShare) {
  const Sample& s = sample();
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    for (const double share : {0.002, 0.02, 0.1, 0.3, 0.7, 0.98}) {
      const Passing passing = random_share(s.base.count, share, seed);
      for (const GraphLayout layout : every_layout) {
        for (const FilterStrategy strategy : every_strategy) {
          const double recall = s.checked_recall(s.search(layout, strategy, passing.bitmap()), passing);
          EXPECT_GE(recall, strategy == FilterStrategy::scan ? 1.0 : 0.95)
              << "share " << share << ", layout " << static_cast<int>(layout) << ", strategy "
              << static_cast<int>(strategy);
        }
      }
    }
  }
}

TEST(HnswFilter, OneIdNoneAndAll) {
  const Sample& s = sample();
  const Passing one(s.base.count, [](std::size_t i) { return i == 1234; });
  const Passing none(s.base.count, [](std::size_t) { return false; });
  const Passing all(s.base.count, [](std::size_t) { return true; });
  for (const GraphLayout layout : every_layout) {
    for (const FilterStrategy strategy : every_strategy) {
      for (const Passing* passing : {&one, &none, &all}) {
        for (const Filter& filter : {passing->bitmap(), passing->id_set(), passing->predicate()}) {
          const double recall = s.checked_recall(s.search(layout, strategy, filter), *passing);
          EXPECT_GE(recall, passing == &all ? 0.95 : 1.0);
        }
      }
    }
  }
}

TEST(HnswFilter, KindsOfFilterGiveTheSameAnswer) {
  const Sample& s = sample();
  for (const double share : {0.01, 0.15, 0.6}) {
    const Passing passing = random_share(s.base.count, share, 4);
    for (const GraphLayout layout : every_layout) {
      for (const FilterStrategy strategy : every_strategy) {
        const Neighbors by_bitmap = s.search(layout, strategy, passing.bitmap());
        EXPECT_TRUE(same_results(by_bitmap, s.search(layout, strategy, passing.id_set())));
        EXPECT_TRUE(same_results(by_bitmap, s.search(layout, strategy, passing.predicate())));
      }
    }
  }
}

// What passes is one region, and the queries come from all others.
TEST(HnswFilter, CorrelatedFiltersKeepRecall) {
  const Sample& s = sample();
  for (const double share : {0.05, 0.15, 0.4}) {
    std::vector<std::pair<double, Id>> near = exact_neighbors(
        s.base, s.base[0], Metric::l2, static_cast<std::size_t>(share * static_cast<double>(s.base.count)));
    std::set<Id> region;
    for (const auto& [distance, id] : near) region.insert(id);
    const Passing passing(s.base.count, [&](std::size_t i) { return region.contains(static_cast<Id>(i)); });
    for (const GraphLayout layout : every_layout) {
      for (const FilterStrategy strategy : every_strategy) {
        const double recall = s.checked_recall(s.search(layout, strategy, passing.bitmap()), passing);
        EXPECT_GE(recall, 0.95) << "share " << share << ", layout " << static_cast<int>(layout)
                                << ", strategy " << static_cast<int>(strategy);
      }
    }
  }
}

// Two regions far from one another, and more wanted than either has.
TEST(HnswFilter, MatchesInPiecesAreAllFound) {
  const Sample& s = sample();
  const auto order = exact_neighbors(s.base, s.queries[0], Metric::l2, s.base.count);
  std::set<Id> pieces;
  for (std::size_t i = 0; i < 30; ++i) {
    pieces.insert(order[i].second);
    pieces.insert(order[order.size() - 1 - i].second);
  }
  const Passing passing(s.base.count, [&](std::size_t i) { return pieces.contains(static_cast<Id>(i)); });
  for (const GraphLayout layout : every_layout) {
    for (const FilterStrategy strategy : every_strategy) {
      EXPECT_EQ(s.checked_recall(s.search(layout, strategy, passing.bitmap(), 100, 100), passing), 1.0);
      (void)s.checked_recall(s.search(layout, strategy, passing.bitmap(), 50, 50), passing);
    }
  }
}

// A sample that misleads: what is asked about first passes and nothing else does, or the other way round.
TEST(HnswFilter, PredicatesUnlikeTheirSampleAreAnsweredInFull) {
  const Sample& s = sample();
  for (const bool sampled_pass : {true, false}) {
    std::size_t asked = 0;
    std::set<Id> first;
    SearchControl probe;
    probe.filter = Filter::predicate([&](Id id) {
      if (++asked <= 512) first.insert(id);
      return true;
    });
    for (const GraphLayout layout : every_layout) {
      const Hnsw& index = s.indexes.at(layout);
      Neighbors found(1, 10);
      asked = 0;
      first.clear();
      index.search({s.queries.view().rows_from(0, 1)}, found.view(), {.ef = 16}, probe);
      ASSERT_EQ(first.size(), 512U);
      const Passing passing(s.base.count, [&](std::size_t i) {
        return first.contains(static_cast<Id>(i)) == sampled_pass && (sampled_pass || i % 50 == 0);
      });
      SearchControl control;
      control.filter = passing.predicate();
      for (std::size_t q = 0; q < s.queries.count; ++q) {
        index.search({s.queries.view().rows_from(q, 1)}, found.view(), {.ef = 16}, control);
        ASSERT_EQ(found.counts()[0], 10U);
        for (const Id id : found.ids()[0]) EXPECT_TRUE(passing(id));
      }
    }
  }
}

TEST(HnswFilter, SayWhichWayWasTaken) {
  const Sample& s = sample();
  const Passing half = random_share(s.base.count, 0.5, 1);
  const auto said = [&](GraphLayout layout, FilterStrategy strategy) {
    SearchStats stats;
    (void)s.search(layout, strategy, half.bitmap(), 10, 20, &stats);
    return stats.strategy;
  };
  EXPECT_EQ(said(GraphLayout::plain, FilterStrategy::scan), "hnsw(scan of what passes)");
  EXPECT_EQ(said(GraphLayout::plain, FilterStrategy::two_hop), "hnsw(two-hop, ef=20)");
  EXPECT_EQ(said(GraphLayout::plain, FilterStrategy::post_filter), "hnsw(post-filter, ef=20)");
  EXPECT_EQ(said(GraphLayout::fused, FilterStrategy::two_hop), "hnsw(fused, two-hop, ef=20)");
  EXPECT_EQ(said(GraphLayout::fused, FilterStrategy::post_filter), "hnsw(fused, post-filter, ef=20)");
}

TEST(HnswFilter, AbsentRowsStayAway) {
  const Sample& s = sample();
  const Passing passing = random_share(s.base.count, 0.4, 2);
  const std::size_t count = 200;
  std::vector<std::uint32_t> absent(count);
  std::iota(absent.begin(), absent.end(), 0U);
  SearchControl control;
  control.filter = passing.bitmap();
  for (const GraphLayout layout : every_layout) {
    for (const FilterStrategy strategy : every_strategy) {
      Neighbors found(count, 5);
      s.indexes.at(layout).search_without({s.base.view().rows_from(0, count)}, absent, found.view(),
                                          {.ef = 40, .filter_strategy = strategy}, control);
      for (std::size_t q = 0; q < count; ++q) {
        EXPECT_EQ(found.counts()[q], 5U);
        for (const Id id : found.ids()[q]) EXPECT_TRUE(passing(id) && id != static_cast<Id>(q));
      }
    }
  }
}

TEST(HnswFilter, BudgetsEndEveryStrategyEarly) {
  const Sample& s = sample();
  const Passing passing = random_share(s.base.count, 0.5, 3);
  for (const GraphLayout layout : every_layout) {
    for (const FilterStrategy strategy : every_strategy) {
      SearchStats stats;
      SearchControl control;
      control.filter = passing.bitmap();
      control.max_distances = 150;
      control.stats = &stats;
      Neighbors found(1, 10);
      s.indexes.at(layout).search({s.queries.view().rows_from(0, 1)}, found.view(),
                                  {.ef = 400, .filter_strategy = strategy}, control);
      EXPECT_EQ(stats.stop, StopReason::budget);
      EXPECT_LT(stats.distances, 150 + 512U);
    }
  }
}

// A search that is stopped while its filter is asked about all rows answers nothing, and stops asking.
TEST(HnswFilter, AStopEndsAskingAFilter) {
  const Rows base = make_rows(20'000, 4, 21);
  const Hnsw index = Hnsw::build(Codec::train({.kind = CodecKind::i8}, Metric::l2, base.view()), base.view(),
                                 {.m = 8, .ef_construction = 16, .layout = GraphLayout::fused});
  std::stop_source source;
  std::uint64_t asked = 0;
  SearchStats stats;
  SearchControl control;
  control.stop = source.get_token();
  control.stats = &stats;
  control.filter = Filter::predicate([&](Id) {
    if (++asked == 700) source.request_stop();
    return true;
  });
  Neighbors found(60, 10);
  index.search({make_rows(60, 4, 21, 3).view()}, found.view(), {.ef = 100}, control);
  EXPECT_EQ(stats.stop, StopReason::cancelled);
  EXPECT_EQ(stats.queries, 60U);
  EXPECT_EQ(found.counts()[0], 0U);
  EXPECT_LT(asked, 10'000U);
}

// Ids of their own, with gaps: masks are by id, whether few or many are set, for one query or many.
TEST(HnswFilter, MasksByIdAreMasksByRow) {
  const Sample& s = sample();
  std::vector<Id> ids(s.base.count);
  for (std::size_t row = 0; row < ids.size(); ++row) ids[row] = static_cast<Id>(3 * row + row % 2);
  const Index index = Index::build(s.base.view(), "hnsw", Metric::l2, {.calibrate = false, .ids = ids});
  const Index by_row = Index::build(s.base.view(), "hnsw", Metric::l2, {.calibrate = false});
  for (const double share : {0.01, 0.3, 0.9}) {
    const Passing rows = random_share(s.base.count, share, 6);
    std::vector<std::uint64_t> words(3 * ids.size() / 64 + 2);
    for (const Id row : rows.ids) {
      const auto id = static_cast<std::size_t>(ids[static_cast<std::size_t>(row)]);
      words[id / 64] |= std::uint64_t{1} << id % 64;
    }
    words[0] |= 4;  // Id 2 is not there.
    for (const std::size_t count : {std::size_t{1}, s.queries.count}) {
      const VectorBatch queries{s.queries.view().rows_from(0, count)};
      SearchControl control;
      control.filter = Filter::bitmap(words);
      Neighbors found = index.search(queries, 10, {}, control);
      control.filter = rows.bitmap();
      const Neighbors expected = by_row.search(queries, 10, {}, control);
      for (std::size_t q = 0; q < count; ++q) {
        ASSERT_EQ(found.counts()[q], 10U);
        for (std::size_t i = 0; i < 10; ++i)
          EXPECT_EQ(found.ids()[q][i], ids[static_cast<std::size_t>(expected.ids()[q][i])]);
      }
    }
  }
}

}  // namespace
