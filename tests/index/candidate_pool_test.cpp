#include "vicinal/index/candidate_pool.hpp"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <set>
#include <utility>
#include <vector>

namespace {

using vicinal::CandidatePool;

// What the pool means: the `width` smallest (distance, slot) pairs, and which of them were expanded.
struct Model {
  std::size_t width;
  std::set<std::pair<float, std::uint32_t>> held;
  std::set<std::uint32_t> expanded;

  void insert(float distance, std::uint32_t slot) {
    held.emplace(distance, slot);
    if (held.size() > width) held.erase(std::prev(held.end()));
  }
  [[nodiscard]] const std::pair<float, std::uint32_t>* next() const {
    for (const auto& entry : held) {
      if (!expanded.contains(entry.second)) return &entry;
    }
    return nullptr;
  }
};

void expect_same(const CandidatePool& pool, const Model& model) {
  RC_ASSERT(pool.size() == model.held.size());
  std::size_t i = 0;
  for (const auto& [distance, slot] : model.held) {
    RC_ASSERT(pool.distance(i) == distance);
    RC_ASSERT(pool.slot(i) == slot);
    ++i;
  }
  RC_ASSERT(pool.has_unexpanded() == (model.next() != nullptr));
  if (pool.has_unexpanded()) RC_ASSERT(pool.peek_next() == model.next()->second);
}

RC_GTEST_PROP(CandidatePool, BehavesLikeASortedSetWithMarks, ()) {
  const auto width = *rc::gen::inRange<std::size_t>(1, 20);
  CandidatePool pool;
  pool.reset(width);
  Model model{width, {}, {}};
  const auto steps = *rc::gen::container<std::vector<int>>(rc::gen::inRange(-6, 12));
  std::uint32_t next_slot = 0;
  for (const int step : steps) {
    if (step < -2) {
      if (const auto* next = model.next()) {
        const std::uint32_t slot = next->second;
        RC_ASSERT(pool.expand_next() == slot);
        model.expanded.insert(slot);
      }
    } else {
      // Few distinct distances, negative ones and both zeros among them, so that ties and signs are met.
      const float distance = step == -2 ? -0.0F : static_cast<float>(step) * 0.5F - 2.0F;
      const std::uint32_t slot = (next_slot++ * 7919U) % 100'003U;
      pool.insert(distance, slot);
      model.insert(distance + 0.0F, slot);
    }
    expect_same(pool, model);
  }
}

TEST(CandidatePool, WorstIsInfiniteUntilFull) {
  CandidatePool pool;
  pool.reset(2);
  EXPECT_EQ(pool.worst(), std::numeric_limits<float>::infinity());
  pool.insert(3.0F, 1);
  EXPECT_EQ(pool.worst(), std::numeric_limits<float>::infinity());
  pool.insert(-5.0F, 2);
  EXPECT_EQ(pool.worst(), 3.0F);
  pool.insert(1.0F, 3);
  EXPECT_EQ(pool.worst(), 1.0F);
  pool.reset(2);
  EXPECT_EQ(pool.size(), 0U);
  EXPECT_FALSE(pool.has_unexpanded());
}

TEST(CandidatePool, TheLargestSlotAndExtremeDistancesSurvive) {
  CandidatePool pool;
  pool.reset(3);
  constexpr std::uint32_t largest = (1U << 31) - 1;
  pool.insert(std::numeric_limits<float>::max(), largest);
  pool.insert(-std::numeric_limits<float>::max(), 0);
  EXPECT_EQ(pool.slot(0), 0U);
  EXPECT_EQ(pool.slot(1), largest);
  EXPECT_EQ(pool.distance(0), -std::numeric_limits<float>::max());
  EXPECT_EQ(pool.distance(1), std::numeric_limits<float>::max());
}

}  // namespace
