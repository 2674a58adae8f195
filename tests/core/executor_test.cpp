#include "vicinal/core/executor.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <numeric>
#include <stdexcept>
#include <thread>
#include <vector>

#include "vicinal/core/error.hpp"

namespace vicinal {
namespace {

// Whether `count` tasks are at some time running together: each waits until it has seen all the others.
bool run_together(ThreadPool& pool, std::size_t count) {
  std::atomic<std::size_t> arrived{0};
  std::atomic<bool> together{true};
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  pool.for_each(count, [&](std::size_t, std::size_t) {
    ++arrived;
    while (arrived < count && together) {
      if (std::chrono::steady_clock::now() > give_up) together = false;
      std::this_thread::yield();
    }
  });
  return together;
}

// Every task once, and no worker number used twice at one time.
void expect_contract(ThreadPool& pool, std::size_t count) {
  std::vector<std::atomic<int>> runs(count);
  std::vector<std::atomic<int>> busy(pool.concurrency());
  std::atomic<int> faults{0};
  pool.for_each(count, [&](std::size_t task, std::size_t worker) {
    if (worker >= pool.concurrency() || busy[worker]++ != 0) ++faults;
    ++runs[task];
    if (task % 16 == 0) std::this_thread::yield();
    --busy[worker];
  });
  EXPECT_EQ(faults, 0);
  for (std::size_t i = 0; i < count; ++i) ASSERT_EQ(runs[i], 1) << "task " << i;
}

TEST(ExecutorRef, RunsInlineAndInOrderByDefault) {
  const ExecutorRef executor;
  EXPECT_EQ(executor.concurrency(), 1U);
  std::vector<std::size_t> tasks;
  const auto caller = std::this_thread::get_id();
  executor.for_each(5, [&](std::size_t task, std::size_t worker) {
    EXPECT_EQ(worker, 0U);
    EXPECT_EQ(std::this_thread::get_id(), caller);
    tasks.push_back(task);
  });
  EXPECT_EQ(tasks, (std::vector<std::size_t>{0, 1, 2, 3, 4}));
}

TEST(ExecutorRef, ForwardsToTheExecutor) {
  ThreadPool pool(3);
  const ExecutorRef executor(pool);
  EXPECT_EQ(executor.concurrency(), 3U);
  std::atomic<std::size_t> sum{0};
  executor.for_each(100, [&](std::size_t task, std::size_t) { sum += task; });
  EXPECT_EQ(sum, 4950U);
}

TEST(ThreadPool, RunsEveryTaskOnceWithUniqueWorkers) {
  for (const std::size_t threads : {1U, 2U, 3U, 4U, 8U}) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.concurrency(), threads);
    for (const std::size_t count : {0U, 1U, 2U, 7U, 1000U}) expect_contract(pool, count);
  }
}

TEST(ThreadPool, RunsAsManyTasksTogetherAsItHasThreads) {
  // More threads than the machine may have cores, and pools beside it that must not hold it back.
  ThreadPool one(1);
  ThreadPool pool(4);
  ThreadPool two(2);
  EXPECT_TRUE(run_together(pool, 4));
  EXPECT_TRUE(run_together(two, 2));
  ThreadPool large(9);
  EXPECT_TRUE(run_together(large, 9));
  EXPECT_TRUE(run_together(pool, 4));
}

TEST(ThreadPool, StillRunsAllItsThreadsAfterAnotherPoolIsGone) {
  ThreadPool pool(4);
  { ThreadPool other(6); }
  EXPECT_TRUE(run_together(pool, 4));
}

TEST(ThreadPool, IsUsableFromSeveralThreadsAtOnce) {
  ThreadPool pool(4);
  std::vector<std::atomic<int>> busy(pool.concurrency());
  std::atomic<int> faults{0};
  std::atomic<std::size_t> tasks{0};
  std::vector<std::jthread> callers;
  for (int caller = 0; caller < 6; ++caller) {
    callers.emplace_back([&] {
      for (int round = 0; round < 20; ++round) {
        pool.for_each(50, [&](std::size_t task, std::size_t worker) {
          if (worker >= busy.size() || busy[worker]++ != 0) ++faults;
          ++tasks;
          if (task % 16 == 0) std::this_thread::yield();
          --busy[worker];
        });
      }
    });
  }
  callers.clear();
  EXPECT_EQ(faults, 0);
  EXPECT_EQ(tasks, 6U * 20U * 50U);
}

TEST(ThreadPool, NestedCallsFinishAndDoNotShareAWorkerOfTheOuterCall) {
  // More threads than cores and many short rounds: without isolation a thread that waits for an inner call takes up outer tasks.
  ThreadPool pool(8);
  std::vector<std::atomic<int>> busy(pool.concurrency());
  std::atomic<int> faults{0};
  std::atomic<int> inner{0};
  for (int round = 0; round < 150; ++round) {
    pool.for_each(16, [&](std::size_t, std::size_t worker) {
      if (busy[worker]++ != 0) ++faults;
      pool.for_each(8, [&](std::size_t task, std::size_t) {
        ++inner;
        if (task == 0) std::this_thread::yield();
      });
      --busy[worker];
    });
  }
  EXPECT_EQ(faults, 0);
  EXPECT_EQ(inner, 150 * 16 * 8);
}

TEST(ThreadPool, RethrowsATasksExceptionAndStaysUsable) {
  ThreadPool pool(4);
  std::atomic<int> begun{0};
  EXPECT_THAT(
      [&] {
        pool.for_each(100000, [&](std::size_t task, std::size_t) {
          ++begun;
          if (task == 10) throw std::runtime_error("task 10");
          std::this_thread::sleep_for(std::chrono::microseconds(50));
        });
      },
      testing::ThrowsMessage<std::runtime_error>("task 10"));
  EXPECT_LT(begun, 100000);  // The rest was not begun.
  expect_contract(pool, 100);
}

TEST(ThreadPool, RefusesNoThreads) {
  EXPECT_THAT([] { ThreadPool pool(0); },
              testing::ThrowsMessage<InvalidArgument>(testing::HasSubstr("0 threads")));
  EXPECT_THROW(ThreadPool(std::size_t{1} << 40), InvalidArgument);
}

}  // namespace
}  // namespace vicinal
