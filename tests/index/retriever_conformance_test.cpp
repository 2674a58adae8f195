// What NeighborsView, SearchControl and the Retriever concept promise, asked of every retriever.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <limits>
#include <map>
#include <memory>
#include <set>
#include <tuple>

#include "vicinal/core/executor.hpp"
#include "vicinal/index/range_search.hpp"
#include "retriever_cases.hpp"

namespace vicinal {
namespace {

constexpr std::size_t base_size = 700;
constexpr std::size_t dim = 20;
constexpr std::size_t query_count = 24;

const Rows& base_rows() {
  static const Rows rows = make_rows(base_size, dim, 11, 0);
  return rows;
}
const Rows& query_rows() {
  static const Rows rows = make_rows(query_count, dim, 11, 1);
  return rows;
}

class Conformance : public ::testing::TestWithParam<std::tuple<RetrieverCase, Metric>> {
 protected:
  void SetUp() override {
    // Graphs take a while to build: one for all the tests of a case.
    static std::map<std::pair<std::string, Metric>, AnyRetriever> built;
    AnyRetriever& slot = built[{made_by().name, metric()}];
    if (!slot.has_value()) slot = made_by().make(base_rows(), metric());
    retriever_ = slot;
  }
  [[nodiscard]] static const RetrieverCase& made_by() { return std::get<0>(GetParam()); }
  [[nodiscard]] static Metric metric() { return std::get<1>(GetParam()); }
  [[nodiscard]] static Id id_of(std::size_t row) {
    return made_by().own_ids ? case_id(row) : static_cast<Id>(row);
  }
  [[nodiscard]] static std::set<Id> all_ids() {
    std::set<Id> ids;
    for (std::size_t i = 0; i < base_size; ++i) ids.insert(id_of(i));
    return ids;
  }
  static std::size_t row_of(Id id) {
    for (std::size_t i = 0; i < base_size; ++i) {
      if (id_of(i) == id) return i;
    }
    ADD_FAILURE() << "id " << id << " is not in the base";
    return 0;
  }

  // The shape every answer has: real results in order, then padding.
  static void expect_well_formed(const Neighbors& found, const std::set<Id>& allowed) {
    for (std::size_t q = 0; q < found.size(); ++q) {
      const auto ids = found.ids()[q];
      const auto distances = found.distances()[q];
      const std::uint32_t count = found.counts()[q];
      ASSERT_LE(count, found.k());
      std::set<Id> seen;
      for (std::size_t i = 0; i < found.k(); ++i) {
        if (i >= count) {
          ASSERT_EQ(ids[i], no_id);
          ASSERT_EQ(distances[i], no_distance);
          continue;
        }
        ASSERT_TRUE(allowed.contains(ids[i])) << "query " << q << " id " << ids[i];
        ASSERT_TRUE(seen.insert(ids[i]).second) << "id " << ids[i] << " twice";
        if (i > 0) {
          ASSERT_LT(std::pair(distances[i - 1], ids[i - 1]), std::pair(distances[i], ids[i]));
        }
      }
    }
  }
  static void expect_counts(const Neighbors& found, std::size_t expected) {
    EXPECT_THAT(found.counts(), ::testing::Each(static_cast<std::uint32_t>(expected)));
  }

  // Every kind of filter that lets exactly `ids` pass finds min(k, ids) of them and nothing else.
  void expect_filtered(const std::set<Id>& ids, std::size_t k) const {
    const std::vector<Id> list(ids.begin(), ids.end());
    std::vector<std::uint64_t> words(ids.empty() ? 0 : static_cast<std::size_t>(*ids.rbegin()) / 64 + 1);
    for (const Id id : ids) words[static_cast<std::size_t>(id) / 64] |= std::uint64_t{1} << (id % 64);
    const std::array filters{Filter::bitmap(words), Filter::id_set(list),
                             Filter::predicate([&](Id id) { return ids.contains(id); })};
    std::optional<Neighbors> first;
    for (const Filter& filter : filters) {
      SearchControl control;
      control.filter = filter;
      const Neighbors found = retriever_.search(query_rows().view(), k, {}, control);
      expect_well_formed(found, ids);
      expect_counts(found, std::min(k, ids.size()));
    }
  }

  AnyRetriever retriever_;
};

TEST_P(Conformance, DescribesItself) {
  EXPECT_EQ(retriever_.size(), base_size);
  EXPECT_EQ(retriever_.dim(), dim);
  EXPECT_EQ(retriever_.metric(), metric());
  EXPECT_GT(retriever_.memory_bytes(), base_size * dim / 2);
}

TEST_P(Conformance, FindsTheNearest) {
  const Neighbors found = retriever_.search(query_rows().view(), 10);
  expect_well_formed(found, all_ids());
  expect_counts(found, 10);
  EXPECT_GE(recall_of(found, base_rows(), query_rows(), metric(), id_of), made_by().least_recall);
}

TEST_P(Conformance, ReportsTheMetricsDistances) {
  const Neighbors found = retriever_.search(query_rows().view(), 10);
  for (std::size_t q = 0; q < query_count; ++q) {
    double scale = 1e-3;
    for (const float d : found.distances()[q]) scale = std::max(scale, std::abs(static_cast<double>(d)));
    for (std::size_t i = 0; i < 10; ++i) {
      const double exact = exact_distance(query_rows()[q], base_rows()[row_of(found.ids()[q][i])], metric());
      EXPECT_NEAR(found.distances()[q][i], exact, made_by().tolerance * std::max(scale, 1.0))
          << "query " << q << " rank " << i;
    }
  }
}

TEST_P(Conformance, PadsWhenThereAreFewerThanK) {
  const Neighbors found = retriever_.search(query_rows().view(), base_size + 9);
  expect_well_formed(found, all_ids());
  expect_counts(found, base_size);
}

TEST_P(Conformance, AFilterNeverLeaksAndNeverStarves) {
  const std::set<Id> all = all_ids();
  for (const std::size_t keep_one_in : {2U, 20U, 233U}) {
    std::set<Id> passing;
    std::size_t i = 0;
    for (const Id id : all) {
      if (i++ % keep_one_in == 1) passing.insert(id);
    }
    expect_filtered(passing, 10);
  }
}

TEST_P(Conformance, PagesGiveEverythingOnce) {
  constexpr std::size_t page_size = 7;
  for (std::size_t q = 0; q < 3; ++q) {
    const std::unique_ptr<Pages> pages = retriever_.pages(query_rows()[q], page_size);
    const Neighbors first = retriever_.search(query_rows().view().rows_from(q, 1), page_size);
    std::set<Id> given;
    std::size_t near = 0;  // of the first pages
    for (Page page;;) {
      SearchControl control;
      pages->next(page_size, page, control);
      ASSERT_EQ(page.ids.size(), page.distances.size());
      for (std::size_t i = 0; i < page.size(); ++i) {
        ASSERT_TRUE(given.insert(page.ids[i]).second) << "id " << page.ids[i] << " twice";
        if (i > 0) {
          ASSERT_LT(std::pair(page.distances[i - 1], page.ids[i - 1]),
                    std::pair(page.distances[i], page.ids[i]));
        }
      }
      if (given.size() == page_size) {
        for (const Id id : first.ids()[0]) near += given.contains(id) ? 1 : 0;
      }
      if (page.size() < page_size) break;
    }
    EXPECT_EQ(given, all_ids());
    EXPECT_GE(near, page_size - 1);
  }
}

TEST_P(Conformance, PagesPassTheFilter) {
  std::set<Id> passing;
  std::size_t row = 0;
  for (const Id id : all_ids()) {
    if (row++ % 3 == 1) passing.insert(id);
  }
  for (const std::size_t most : {passing.size(), std::size_t{4}, std::size_t{0}}) {
    while (passing.size() > most) passing.erase(passing.begin());
    const std::vector<Id> list(passing.begin(), passing.end());
    std::vector<std::uint64_t> words(passing.empty() ? 0 : static_cast<std::size_t>(list.back()) / 64 + 1);
    for (const Id id : list) words[static_cast<std::size_t>(id) / 64] |= std::uint64_t{1} << (id % 64);
    for (const Filter& filter : {Filter::bitmap(words), Filter::id_set(list),
                                 Filter::predicate([&](Id id) { return passing.contains(id); })}) {
      const std::unique_ptr<Pages> pages = retriever_.pages(query_rows()[5], 10, {}, filter);
      std::set<Id> given;
      Page page;
      do {
        pages->next(10, page, {});
        given.insert(page.ids.begin(), page.ids.end());
      } while (page.size() == 10);
      EXPECT_EQ(given, passing);
    }
  }
}

TEST_P(Conformance, CancelledPagesLoseNothing) {
  const std::unique_ptr<Pages> whole = retriever_.pages(query_rows()[1], 10);
  const std::unique_ptr<Pages> broken = retriever_.pages(query_rows()[1], 10);
  std::stop_source stop;
  stop.request_stop();
  SearchControl stopped;
  stopped.stop = stop.get_token();
  Page expected;
  Page page;
  for (int i = 0; i < 4; ++i) {
    SearchStats stats;
    stopped.stats = &stats;
    broken->next(10, page, stopped);
    EXPECT_EQ(page.size(), 0);
    EXPECT_EQ(stats.stop, StopReason::cancelled);
    whole->next(10, expected, {});
    broken->next(10, page, {});
    EXPECT_EQ(page.ids, expected.ids);
    EXPECT_EQ(page.distances, expected.distances);
  }
}

TEST_P(Conformance, ARangeHasWhatIsWithinIt) {
  const auto open = [&](std::span<const float> query, std::size_t page) {
    return retriever_.pages(query, page);
  };
  const Neighbors all = retriever_.search(query_rows().view(), base_size);
  const float radius = all.distances()[0][50];
  SearchStats stats;
  SearchControl control;
  ThreadPool pool(2);
  control.executor = pool;
  control.stats = &stats;
  const RangeNeighbors found = search_range(open, query_rows().view(), radius, control);
  ASSERT_EQ(found.size(), query_count);
  EXPECT_EQ(stats.queries, query_count);
  std::size_t expected = 0;
  std::size_t right = 0;
  for (std::size_t q = 0; q < query_count; ++q) {
    std::set<Id> within;
    for (std::size_t i = 0; i < base_size && all.distances()[q][i] <= radius; ++i)
      within.insert(all.ids()[q][i]);
    expected += within.size();
    for (std::size_t i = found.offsets[q]; i < found.offsets[q + 1]; ++i) {
      right += within.contains(found.ids[i]) ? 1 : 0;
      EXPECT_LE(found.distances[i], radius);
      if (i > found.offsets[q]) {
        EXPECT_LT(std::pair(found.distances[i - 1], found.ids[i - 1]),
                  std::pair(found.distances[i], found.ids[i]));
      }
    }
  }
  EXPECT_GE(static_cast<double>(right), (made_by().least_recall - 0.04) * static_cast<double>(expected));
  EXPECT_GE(right, 51U);
  EXPECT_EQ(search_range(open, query_rows().view(), -1e30F, {}).ids.size(), 0U);
  EXPECT_EQ(search_range(open, query_rows().view().rows_from(0, 1), no_distance, {}).ids.size(), base_size);
  EXPECT_THROW(search_range(open, query_rows().view(), std::nanf(""), {}), InvalidArgument);
}

TEST_P(Conformance, PagesRefuseWhatSearchesRefuse) {
  const std::vector<float> narrow(dim - 1);
  std::vector<float> bad(dim);
  bad[3] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THROW(static_cast<void>(retriever_.pages(narrow, 10)), InvalidArgument);
  EXPECT_THROW(static_cast<void>(retriever_.pages(bad, 10)), InvalidArgument);
  EXPECT_THROW(static_cast<void>(retriever_.pages(query_rows()[0], 0)), InvalidArgument);
}

TEST_P(Conformance, AFilterOfFarItemsFindsThem) {
  // What passes lies as far from the query as anything does, where a graph walk does not come by.
  auto exact = exact_neighbors(base_rows(), query_rows()[0], metric(), base_size, {}, id_of);
  std::set<Id> farthest;
  for (std::size_t i = base_size - 15; i < base_size; ++i) farthest.insert(exact[i].second);
  expect_filtered(farthest, 10);
}

TEST_P(Conformance, FilteredResultsAreTheNearestThatPass) {
  const auto passes = [](Id id) { return id % 3 == 0; };
  SearchControl control;
  control.filter = Filter::predicate(passes);
  const Neighbors found = retriever_.search(query_rows().view(), 10, {}, control);
  std::size_t hits = 0;
  for (std::size_t q = 0; q < query_count; ++q) {
    for (const auto& [distance, id] :
         exact_neighbors(base_rows(), query_rows()[q], metric(), 10, passes, id_of)) {
      hits += static_cast<std::size_t>(std::ranges::count(found.ids()[q], id));
    }
  }
  EXPECT_GE(static_cast<double>(hits) / (10.0 * query_count), made_by().least_recall - 0.05);
}

TEST_P(Conformance, AFilterThatLetsNothingPassFindsNothing) {
  expect_filtered({}, 5);
  SearchControl control;
  const std::vector<Id> unknown{1'000'000, 1'000'001};
  control.filter = Filter::id_set(unknown);
  expect_counts(retriever_.search(query_rows().view(), 5, {}, control), 0);
}

TEST_P(Conformance, ABatchIsItsQueriesOneByOne) {
  const Neighbors together = retriever_.search(query_rows().view(), 10);
  Neighbors apart(query_count, 10);
  for (std::size_t q = 0; q < query_count; ++q) {
    retriever_.search(query_rows().view().rows_from(q, 1), apart.view().rows_from(q, 1));
  }
  EXPECT_TRUE(same_results(together, apart));
}

TEST_P(Conformance, ReadsRowsThroughTheirStride) {
  std::vector<float> wide(query_count * (dim + 5), std::numeric_limits<float>::quiet_NaN());
  for (std::size_t q = 0; q < query_count; ++q)
    std::ranges::copy(query_rows()[q], wide.begin() + static_cast<std::ptrdiff_t>(q * (dim + 5)));
  const MatrixView<const float> strided(wide.data(), query_count, dim, dim + 5);
  EXPECT_TRUE(same_results(retriever_.search(strided, 10), retriever_.search(query_rows().view(), 10)));
}

TEST_P(Conformance, ThreadsDoNotMatter) {
  ThreadPool pool(4);
  SearchControl control;
  control.executor = pool;
  EXPECT_TRUE(same_results(retriever_.search(query_rows().view(), 10),
                           retriever_.search(query_rows().view(), 10, {}, control)));
  control.filter = Filter::predicate([](Id id) { return id % 5 != 0; });
  SearchControl inline_control;
  inline_control.filter = control.filter;
  EXPECT_TRUE(same_results(retriever_.search(query_rows().view(), 10, {20, {}}, inline_control),
                           retriever_.search(query_rows().view(), 10, {20, {}}, control)));
}

TEST_P(Conformance, FillsTheStatistics) {
  SearchStats stats;
  SearchControl control;
  control.stats = &stats;
  (void)retriever_.search(query_rows().view(), 10, {}, control);
  EXPECT_EQ(stats.queries, query_count);
  EXPECT_EQ(stats.stop, StopReason::complete);
  EXPECT_FALSE(stats.strategy.empty());
  if (made_by().obeys_budget) {
    EXPECT_GT(stats.distances, query_count * 10);
    EXPECT_GT(stats.bytes, stats.distances);
  }
  (void)retriever_.search(query_rows().view(), 10, {}, control);
  EXPECT_EQ(stats.queries, 2 * query_count) << "statistics are added to";
}

TEST_P(Conformance, AStoppedSearchReturnsPadding) {
  std::stop_source source;
  source.request_stop();
  SearchStats stats;
  SearchControl control;
  control.stats = &stats;
  control.stop = source.get_token();
  const Neighbors cancelled = retriever_.search(query_rows().view(), 10, {}, control);
  expect_well_formed(cancelled, all_ids());
  expect_counts(cancelled, 0);
  EXPECT_EQ(stats.stop, StopReason::cancelled);

  SearchStats late_stats;
  SearchControl late;
  late.stats = &late_stats;
  late.deadline = SearchControl::Clock::now() - std::chrono::seconds(1);
  const Neighbors nothing = retriever_.search(query_rows().view(), 10, {}, late);
  expect_well_formed(nothing, all_ids());
  expect_counts(nothing, 0);
  EXPECT_EQ(late_stats.stop, StopReason::deadline);
}

TEST_P(Conformance, ABudgetBoundsTheWork) {
  SearchStats stats;
  SearchControl control;
  control.stats = &stats;
  control.max_distances = 40;
  const Neighbors found = retriever_.search(query_rows().view(), 10, {}, control);
  expect_well_formed(found, all_ids());
  if (!made_by().obeys_budget) {
    expect_counts(found, 10);
    EXPECT_EQ(stats.stop, StopReason::complete);
    return;
  }
  EXPECT_EQ(stats.stop, StopReason::budget);
  // A list of neighbours is scored as a whole.
  EXPECT_LE(stats.distances, query_count * (40 + 64));
}

TEST_P(Conformance, MoreEffortIsNotWorse) {
  const Neighbors little = retriever_.search(query_rows().view(), 10, {10, {}});
  const Neighbors much = retriever_.search(query_rows().view(), 10, {500, {}});
  const double low = recall_of(little, base_rows(), query_rows(), metric(), id_of);
  const double high = recall_of(much, base_rows(), query_rows(), metric(), id_of);
  EXPECT_GE(high + 0.02, low);
  EXPECT_GE(high, made_by().least_recall);
}

TEST_P(Conformance, RefusesWhatDoesNotFit) {
  const std::vector<float> narrow(dim - 1);
  EXPECT_THROW((void)retriever_.search(MatrixView<const float>(narrow.data(), 1, dim - 1), 1),
               InvalidArgument);
  EXPECT_THROW((void)retriever_.search(query_rows().view(), 0), InvalidArgument);
  EXPECT_THROW((void)retriever_.search(query_rows().view(), 1, {0, std::string("params")}), InvalidArgument);
  std::vector<float> infinite(dim, std::numeric_limits<float>::infinity());
  EXPECT_THROW((void)retriever_.search(MatrixView<const float>(infinite.data(), 1, dim), 1), InvalidArgument);
}

TEST_P(Conformance, AnswersAnEmptyBatch) {
  EXPECT_EQ(retriever_.search(MatrixView<const float>(nullptr, 0, dim), 3).size(), 0U);
}

std::vector<std::tuple<RetrieverCase, Metric>> with_metrics(const std::vector<RetrieverCase>& cases) {
  std::vector<std::tuple<RetrieverCase, Metric>> all;
  for (const RetrieverCase& c : cases) {
    for (const Metric m : c.metrics) all.emplace_back(c, m);
  }
  return all;
}

std::string name_of(const ::testing::TestParamInfo<std::tuple<RetrieverCase, Metric>>& info) {
  return std::get<0>(info.param).name + "_" + std::string(to_string(std::get<1>(info.param)));
}

INSTANTIATE_TEST_SUITE_P(Own, Conformance, ::testing::ValuesIn(with_metrics(own_retriever_cases())), name_of);
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(Conformance);
INSTANTIATE_TEST_SUITE_P(Faiss, Conformance, ::testing::ValuesIn(with_metrics(faiss_retriever_cases())),
                         name_of);

}  // namespace
}  // namespace vicinal
