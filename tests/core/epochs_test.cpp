#include "vicinal/core/epochs.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <optional>
#include <thread>
#include <vector>

namespace vicinal {
namespace {

TEST(Epochs, PassWhenNobodyIsPinned) {
  Epochs epochs;
  const std::uint64_t then = epochs.now();
  EXPECT_FALSE(epochs.has_passed(then));
  EXPECT_TRUE(epochs.try_advance());
  EXPECT_FALSE(epochs.has_passed(then));
  EXPECT_TRUE(epochs.try_advance());
  EXPECT_TRUE(epochs.has_passed(then));
}

TEST(Epochs, WaitForWhoeverIsPinned) {
  Epochs epochs;
  {
    const Epochs::Pin pin = epochs.pin();
    const std::uint64_t then = epochs.now();
    for (int i = 0; i < 5; ++i) epochs.try_advance();
    EXPECT_FALSE(epochs.has_passed(then));
  }
  const std::uint64_t then = epochs.now();
  while (!epochs.has_passed(then)) ASSERT_TRUE(epochs.try_advance());
}

TEST(Epochs, APinOfANewEpochDoesNotHoldUpAnOldOne) {
  Epochs epochs;
  const std::uint64_t then = epochs.now();
  epochs.try_advance();
  const Epochs::Pin pin = epochs.pin();
  epochs.try_advance();
  EXPECT_TRUE(epochs.has_passed(then));
}

// A reader that is pinned must never see what was reclaimed.
TEST(Epochs, ManyReadersNeverSeeWhatWasReused) {
  constexpr int slots = 4;
  Epochs epochs;
  std::atomic<int> current = 0;
  std::atomic<int> contents[slots] = {1, 0, 0, 0};  // 0: free
  std::atomic<bool> stop = false;
  std::atomic<int> wrong = 0;
  {
    std::vector<std::jthread> readers;
    for (int t = 0; t < 3; ++t) {
      readers.emplace_back([&] {
        while (!stop) {
          const Epochs::Pin pin = epochs.pin();
          const int slot = current;
          for (int i = 0; i < 20; ++i) wrong += contents[slot] == 0 ? 1 : 0;
        }
      });
    }
    int retired = -1;
    std::uint64_t retired_in = 0;
    for (int change = 0; change < 20'000; ++change) {
      epochs.try_advance();
      if (retired >= 0) {
        if (!epochs.has_passed(retired_in)) continue;
        contents[retired] = 0;
        retired = -1;
      }
      const int old = current;
      const int next = (old + 1) % slots;
      contents[next] = 1;
      current = next;
      retired = old;
      retired_in = epochs.now();
    }
    stop = true;
  }
  EXPECT_EQ(wrong, 0);
}

}  // namespace
}  // namespace vicinal
