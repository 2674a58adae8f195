#include "vicinal/index/filter_plan.hpp"

#include <gtest/gtest.h>

#include <numeric>

#include "vicinal/core/random.hpp"
#include "vicinal/index/two_level.hpp"

namespace {

using namespace vicinal;

// Slots that are rows in another order, and a filter on every n-th row.
struct Slots {
  std::vector<std::uint32_t> row_of_slot;
  Array<std::uint32_t> slot_of_row;
  std::vector<std::uint64_t> words;
  std::vector<Id> ids;

  Slots(std::size_t size, std::size_t step) : row_of_slot(size), words((size + 63) / 64) {
    std::iota(row_of_slot.begin(), row_of_slot.end(), 0U);
    RandomStream random(1, 0);
    for (std::size_t i = size; i-- > 1;) std::swap(row_of_slot[i], row_of_slot[random.next_below(i + 1)]);
    slot_of_row = slots_of_rows(row_of_slot);
    for (std::size_t row = 0; row < size; row += step) {
      words[row / 64] |= std::uint64_t{1} << row % 64;
      ids.push_back(static_cast<Id>(row));
    }
  }
  [[nodiscard]] FilterPlan plan(std::size_t ef, std::size_t queries = 100, bool fused = false) const {
    const Filter filter = Filter::bitmap(words);
    const PassingSlots passing(filter, row_of_slot, [this] { return slot_of_row.span(); });
    return plan_filter(passing, {.degree = 32, .links = 30, .record_bytes = 392, .fused = fused},
                       {.k = 10, .ef = ef, .queries = queries});
  }
};

TEST(FilterPlan, FewAreScannedManyAreWalkedPast) {
  for (const bool fused : {false, true}) {
    EXPECT_EQ(Slots(100'000, 1000).plan(64, 100, fused).strategy, FilterStrategy::scan);
    EXPECT_EQ(Slots(100'000, 50).plan(64, 100, fused).strategy, FilterStrategy::scan);
    EXPECT_EQ(Slots(100'000, 2).plan(64, 100, fused).strategy, FilterStrategy::post_filter);
    EXPECT_EQ(Slots(100'000, 1).plan(64, 100, fused).strategy, FilterStrategy::post_filter);
  }
}

TEST(FilterPlan, InLargeSetsWhatIsTooManyToScanAndTooFewToWalkPastIsReachedInTwoHops) {
  EXPECT_EQ(Slots(1'000'000, 15).plan(16).strategy, FilterStrategy::two_hop);
  EXPECT_EQ(Slots(1'000'000, 15).plan(64, 100, true).strategy, FilterStrategy::two_hop);
}

TEST(FilterPlan, MoreEffortBringsTheScanForward) {
  const Slots tenth(60'000, 10);
  EXPECT_NE(tenth.plan(10).strategy, FilterStrategy::scan);
  EXPECT_EQ(tenth.plan(500).strategy, FilterStrategy::scan);
}

TEST(FilterPlan, BitsPayForManyQueriesOnly) {
  const Slots half(200'000, 2);
  EXPECT_FALSE(half.plan(64, 1).bits);
  EXPECT_TRUE(half.plan(64, 10'000).bits);
}

TEST(FilterPlan, WalksAreBounded) {
  const Slots half(200'000, 2);
  const FilterPlan plan = half.plan(64);
  EXPECT_GT(plan.most_work, 1000U);
  EXPECT_LT(plan.most_work, 200'000U);
}

TEST(PassingSlots, AgreeWithTheFilter) {
  const SearchControl control;
  for (const std::size_t step : {std::size_t{1}, std::size_t{3}, std::size_t{700}}) {
    const Slots slots(5000, step);
    const auto predicate = [&](Id id) { return id % static_cast<Id>(step) == 0; };
    for (const Filter& filter :
         {Filter::bitmap(slots.words), Filter::id_set(slots.ids), Filter::predicate(predicate)}) {
      for (const bool bits : {false, true}) {
        PassingSlots passing(filter, slots.row_of_slot, [&] { return slots.slot_of_row.span(); });
        if (bits) passing.make_bits(control);
        std::vector<std::uint32_t> expected;
        for (std::uint32_t slot = 0; slot < 5000; ++slot) {
          if (predicate(slots.row_of_slot[slot])) expected.push_back(slot);
        }
        for (std::uint32_t slot = 0; slot < 5000; ++slot)
          EXPECT_EQ(passing.test(slot), predicate(slots.row_of_slot[slot]));
        passing.with_test([&](const auto& test) {
          for (std::uint32_t slot = 0; slot < 5000; ++slot) EXPECT_EQ(test(slot), passing.test(slot));
        });
        const auto list = passing.list(control);
        EXPECT_EQ(std::vector<std::uint32_t>(list.begin(), list.end()), expected);
        if (passing.is_counted()) {
          EXPECT_EQ(passing.count(), static_cast<double>(expected.size()));
        }
        for (const std::uint32_t seed : passing.seeds()) EXPECT_TRUE(passing.test(seed));
        EXPECT_LE(passing.seeds().size(), 32U);
      }
    }
  }
}

// Bits and ids beyond the last row, negative ids, and bitmaps that are too short.
TEST(PassingSlots, WhatIsNoRowDoesNotCount) {
  const Slots slots(100, 1);
  const std::vector<std::uint64_t> long_words(5, ~std::uint64_t{0});
  const std::vector<std::uint64_t> short_words(1, ~std::uint64_t{0});
  const std::vector<Id> ids{5, 99, 100, 1000};
  const auto count = [&](const Filter& filter) {
    const PassingSlots passing(filter, slots.row_of_slot, [&] { return slots.slot_of_row.span(); });
    EXPECT_EQ(passing.list({}).size(), static_cast<std::size_t>(passing.count()));
    return passing.count();
  };
  EXPECT_EQ(count(Filter::bitmap(long_words)), 100);
  EXPECT_EQ(count(Filter::bitmap(short_words)), 64);
  EXPECT_EQ(count(Filter::bitmap({})), 0);
  EXPECT_EQ(count(Filter::id_set(ids)), 2);
}

}  // namespace
