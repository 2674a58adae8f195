#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <optional>
#include <stop_token>
#include <thread>
#include <vector>

#include "vicinal/index/index.hpp"
#include "vicinal/quant/kernels.hpp"
#include "random_rows.hpp"
#include "thread_executor.hpp"

namespace vicinal {
namespace {

constexpr std::size_t threads = 4;

// Everything here is meant to run under ThreadSanitizer: small, and each test shares what users share.
Index build(std::string_view spec, const RandomRows& base) {
  return Index::build(base.view(), spec, Metric::l2, {.calibrate = false});
}

bool same(const Neighbors& a, const Neighbors& b) {
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (!std::ranges::equal(a.ids()[i], b.ids()[i]) ||
        !std::ranges::equal(a.distances()[i], b.distances()[i]))
      return false;
  }
  return a.size() == b.size() && std::ranges::equal(a.counts(), b.counts());
}

class ConcurrentSearch : public testing::TestWithParam<const char*> {};

TEST_P(ConcurrentSearch, ManyThreadsGetWhatOneGets) {
  const RandomRows base(600, 20, 1), queries(40, 20, 2);
  const Index index = build(GetParam(), base);
  const Neighbors expected = index.search(queries.view(), 5);

  std::atomic<std::size_t> wrong = 0;
  {
    std::vector<std::jthread> searchers;
    for (std::size_t t = 0; t < threads; ++t) {
      searchers.emplace_back([&, copy = index] {
        for (int repetition = 0; repetition < 3; ++repetition) {
          if (!same(copy.search(queries.view(), 5), expected)) ++wrong;
        }
      });
    }
  }
  EXPECT_EQ(wrong, 0U);
}

TEST_P(ConcurrentSearch, QueriesOfOneBatchRunOnAPool) {
  const RandomRows base(600, 20, 3), queries(64, 20, 4);
  const Index index = build(GetParam(), base);
  const Neighbors expected = index.search(queries.view(), 5);

  ThreadExecutor pool(threads);
  SearchStats stats;
  SearchControl control;
  control.executor = pool;
  control.stats = &stats;
  EXPECT_TRUE(same(index.search(queries.view(), 5, {}, control), expected));
  EXPECT_EQ(stats.queries, queries.rows);
}

TEST_P(ConcurrentSearch, AStopFromAnotherThreadEndsTheSearch) {
  const RandomRows base(600, 20, 5), queries(2000, 20, 6);
  const Index index = build(GetParam(), base);
  ThreadExecutor pool(threads);
  std::stop_source source;
  SearchStats stats;
  SearchControl control;
  control.executor = pool;
  control.stop = source.get_token();
  control.stats = &stats;
  control.filter = Filter::predicate([&](Id) {
    source.request_stop();  // from whichever thread comes first, while the others search
    return true;
  });
  const Neighbors found = index.search(queries.view(), 5, {}, control);
  EXPECT_EQ(stats.stop, StopReason::cancelled);
  EXPECT_EQ(found.size(), queries.rows);
}

INSTANTIATE_TEST_SUITE_P(Specs, ConcurrentSearch,
                         testing::Values("flat", "i8 | flat", "hnsw(m=8, efc=40)",
                                         "i8 | hnsw(m=8, efc=40) | rerank(f16, 3x)"));

TEST(ConcurrentStart, TheKernelsAreChosenOnce) {
  std::vector<const Kernels*> chosen(threads);
  {
    std::vector<std::jthread> users;
    for (std::size_t t = 0; t < threads; ++t) users.emplace_back([&, t] { chosen[t] = &kernels(); });
  }
  for (const Kernels* each : chosen) EXPECT_EQ(each, chosen[0]);
}

TEST(ConcurrentLifetime, TheLastCopyMayDieOnAnyThread) {
  const RandomRows base(300, 12, 7), queries(8, 12, 8);
  std::optional<Index> index = build("i8 | hnsw(m=8, efc=40)", base);
  const Neighbors expected = index->search(queries.view(), 3);
  std::atomic<std::size_t> wrong = 0;
  {
    std::vector<std::jthread> holders;
    for (std::size_t t = 0; t < threads; ++t) {
      holders.emplace_back([&, copy = *index]() mutable {
        if (!same(copy.search(queries.view(), 3), expected)) ++wrong;
        copy = Index();
      });
    }
    index.reset();
  }
  EXPECT_EQ(wrong, 0U);
}

}  // namespace
}  // namespace vicinal
