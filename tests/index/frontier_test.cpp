// What a walk over fused rows keeps: what is left to expand, and what it has met.
#include "vicinal/index/frontier.hpp"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cstdint>
#include <limits>
#include <set>
#include <utility>
#include <vector>

#include "vicinal/core/random.hpp"
#include "vicinal/index/slot_set.hpp"

namespace vicinal {
namespace {

RC_GTEST_PROP(Frontier, GivesTheNearestFirstAndAmongEqualsTheSmallestSlot, ()) {
  Frontier frontier;
  std::set<std::pair<float, std::uint32_t>> model;
  const auto steps = *rc::gen::container<std::vector<int>>(rc::gen::inRange(-6, 12));
  std::uint32_t slot = 1'000;
  for (const int step : steps) {
    if (step >= -2) {
      // Few distinct distances, negative ones and both zeros among them, so that ties and signs are met.
      const float distance = step == -2 ? -0.0F : static_cast<float>(step) * 0.5F - 2.0F;
      frontier.push(distance, --slot);
      model.emplace(distance, slot);
    } else if (!model.empty()) {
      frontier.pop();
      model.erase(model.begin());
    }
    RC_ASSERT(frontier.size() == model.size());
    RC_ASSERT(frontier.empty() == model.empty());
    if (model.empty()) continue;
    RC_ASSERT(frontier.distance() == model.begin()->first);
    RC_ASSERT(frontier.slot() == model.begin()->second);
  }
}

TEST(Frontier, OrdersManyAndInfinities) {
  Frontier frontier;
  constexpr float infinity = std::numeric_limits<float>::infinity();
  std::set<std::pair<float, std::uint32_t>> model{{infinity, 1}, {-infinity, 2}};
  for (const auto& [distance, slot] : model) frontier.push(distance, slot);
  RandomStream random(3, 0);
  for (std::uint32_t slot = 3; slot < 5'000; ++slot) {
    const auto distance = static_cast<float>(random.next_unit() - 0.5);
    frontier.push(distance, slot);
    model.emplace(distance, slot);
  }
  for (const auto& [distance, slot] : model) {
    ASSERT_EQ(frontier.distance(), distance);
    ASSERT_EQ(frontier.slot(), slot);
    frontier.pop();
  }
  EXPECT_TRUE(frontier.empty());
  frontier.push(1, 1);
  frontier.clear();
  EXPECT_TRUE(frontier.empty());
}

TEST(SlotSet, KnowsWhatWasPutIntoItWhileItGrowsAndAfterItWasEmptied) {
  SlotSet met;
  RandomStream random(4, 0);
  for (const std::uint32_t step :
       {1U, 4'096U, 1U << 20U}) {  // neighbours in memory, and what hashes alike if badly
    met.clear();
    std::set<std::uint32_t> model;
    for (int i = 0; i < 6'000; ++i) {
      const auto slot = static_cast<std::uint32_t>(random.next_below(4'000)) * step;
      ASSERT_EQ(met.insert(slot), model.insert(slot).second) << slot;
    }
    ASSERT_GT(model.size(), 2'000U);
  }
  met.clear();
  EXPECT_TRUE(met.insert(0));
  EXPECT_TRUE(met.insert(0xFFFF'FFFEU));
  EXPECT_FALSE(met.insert(0));
}

}  // namespace
}  // namespace vicinal
