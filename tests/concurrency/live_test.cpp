#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <numeric>
#include <thread>
#include <vector>

#include "vicinal/index/live_index.hpp"
#include "../core/temporary_folder.hpp"
#include "random_rows.hpp"
#include "thread_executor.hpp"

namespace vicinal {
namespace {

constexpr std::size_t dim = 8;

LiveIndex make_index(const std::filesystem::path& path) {
  return LiveIndex::create(path, dim, "i8 | hnsw(m=4, efc=20, alpha=1.2) | rerank(f16, 2x)", Metric::l2);
}

std::vector<Id> numbers(std::size_t count, std::size_t first) {
  std::vector<Id> ids(count);
  std::iota(ids.begin(), ids.end(), static_cast<Id>(first));
  return ids;
}

// Generation g of id i is the point (i, g, g, ...). A change replaces a pair of ids by the next generation at once, so whoever sees one id of
// a pair must see both, and of one generation: their distance to a query far away tells.
TEST(LiveIndexWithThreads, EverySearchSeesChangesWholeAndNothingTwice) {
  constexpr std::size_t pairs = 40, changes = 300, readers = 3;
  const TemporaryFolder folder;
  LiveIndex index = make_index(folder / "live.vcn");
  const auto rows_of = [](std::size_t pair, std::size_t generation) {
    std::vector<float> rows(2 * dim, static_cast<float>(generation % 100));
    rows[0] = rows[dim] = static_cast<float>(1000 * pair);
    return rows;
  };
  for (std::size_t pair = 0; pair < pairs; ++pair) {
    const std::vector<float> rows = rows_of(pair, 0);
    index.add(MatrixView<const float>(rows.data(), 2, dim), numbers(2, 2 * pair));
  }
  std::atomic<bool> stop = false;
  std::atomic<std::size_t> wrong = 0, searches = 0;
  {
    std::vector<std::jthread> searchers;
    for (std::size_t t = 0; t < readers; ++t) {
      searchers.emplace_back([&, t] {
        for (std::size_t i = t; !stop; ++i) {
          const std::size_t pair = i % pairs;
          std::vector<float> query(dim, 0.0F);
          query[0] = static_cast<float>(1000 * pair);
          const Neighbors found = index.search(MatrixView<const float>(query.data(), 1, dim), 4,
                                               {.effort = i % 2 == 0 ? 200U : 8U});
          ++searches;
          const std::span<const Id> ids = found.ids()[0];
          if (found.counts()[0] != 4) ++wrong;
          std::vector<Id> sorted(ids.begin(), ids.end());
          std::ranges::sort(sorted);
          if (std::ranges::adjacent_find(sorted) != sorted.end()) ++wrong;
          // The pair itself is nearest by far, where the search is exact.
          if (i % 2 == 0 && (std::min(ids[0], ids[1]) != static_cast<Id>(2 * pair) ||
                             std::max(ids[0], ids[1]) != static_cast<Id>(2 * pair + 1) ||
                             found.distances()[0][0] != found.distances()[0][1]))
            ++wrong;
        }
      });
    }
    // A saver besides.
    std::jthread saver([&] {
      while (!stop) {
        index.compact(false);
        (void)index.ids();
        (void)index.memory_bytes();
        (void)index.contains(3);
      }
    });
    ThreadExecutor executor(2);
    BuildControl control;
    control.executor = executor;
    for (std::size_t change = 0; change < changes; ++change) {
      const std::size_t pair = change * 7 % pairs;
      const std::vector<float> rows = rows_of(pair, change);
      index.apply({MatrixView<const float>(rows.data(), 2, dim), numbers(2, 2 * pair), {}, false}, control);
      if (change % 10 == 0) index.consolidate(20, control);
    }
    while (searches < 50) std::this_thread::yield();
    stop = true;
  }
  EXPECT_EQ(wrong, 0U);
  EXPECT_EQ(index.size(), 2 * pairs);
}

TEST(LiveIndexWithThreads, ManyWritersOfTheirOwnIds) {
  constexpr std::size_t writers = 3, rounds = 40, own = 50;
  LiveIndex index = LiveIndex::create(dim, "f32 | hnsw(m=4, efc=20)", Metric::l2);
  const RandomRows rows(writers * own, dim, 3);
  std::atomic<bool> stop = false;
  {
    std::jthread reader([&] {
      const RandomRows queries(4, dim, 4);
      while (!stop) (void)index.search(queries.view(), 5, {.effort = 10});
    });
    std::vector<std::jthread> threads;
    for (std::size_t w = 0; w < writers; ++w) {
      threads.emplace_back([&, w] {
        for (std::size_t round = 0; round < rounds; ++round) {
          index.upsert(rows.view().rows_from(w * own, own), numbers(own, w * own));
          index.remove(numbers(own / 2, w * own));
        }
      });
    }
    threads.clear();
    stop = true;
  }
  EXPECT_EQ(index.size(), writers * (own - own / 2));
  for (std::size_t w = 0; w < writers; ++w) {
    const Neighbors found = index.search(rows.view().rows_from(w * own + own - 1, 1), 1, {.effort = 300});
    EXPECT_EQ(found.ids()[0][0], static_cast<Id>(w * own + own - 1));
  }
}

}  // namespace
}  // namespace vicinal
