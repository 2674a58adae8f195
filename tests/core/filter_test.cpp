#include "vicinal/core/filter.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <array>
#include <limits>
#include <set>
#include <vector>

#include "vicinal/core/error.hpp"

namespace vicinal {
namespace {

TEST(Filter, PassesEverythingByDefault) {
  const Filter filter;
  EXPECT_TRUE(filter.passes_all());
  EXPECT_TRUE(filter(0));
  EXPECT_TRUE(filter(std::numeric_limits<Id>::max()));
  EXPECT_EQ(filter.as_id_set(), nullptr);
  EXPECT_EQ(filter.as_bitmap(), nullptr);
}

TEST(Filter, BitmapFailsBeyondItsEndAndBelowZero) {
  const std::array<std::uint64_t, 2> words = {1U | 1ULL << 63, 2U};
  const Filter filter = Filter::bitmap(words);
  EXPECT_FALSE(filter.passes_all());
  std::vector<Id> passing;
  for (Id id = -200; id < 400; ++id) {
    if (filter(id)) passing.push_back(id);
  }
  EXPECT_EQ(passing, (std::vector<Id>{0, 63, 65}));
  EXPECT_FALSE(filter(std::numeric_limits<Id>::max()));
  EXPECT_FALSE(filter(std::numeric_limits<Id>::min()));
  EXPECT_FALSE(Filter::bitmap({})(0));
  ASSERT_NE(filter.as_bitmap(), nullptr);
}

RC_GTEST_PROP(Filter, IdSetHoldsExactlyItsIds, (const std::set<std::uint8_t>& members)) {
  const std::vector<Id> ids(members.begin(), members.end());
  const Filter filter = Filter::id_set(ids);
  RC_ASSERT(!filter.passes_all());
  RC_ASSERT(filter.as_id_set()->ids.size() == ids.size());
  for (Id id = -2; id < 258; ++id) {
    RC_ASSERT(filter(id) == (id >= 0 && id < 256 && members.contains(static_cast<std::uint8_t>(id))));
  }
}

TEST(Filter, IdSetRefusesDisorderRepeatsAndNegativeIds) {
  using testing::HasSubstr;
  using testing::ThrowsMessage;
  const std::vector<Id> disorder = {1, 5, 3};
  const std::vector<Id> repeat = {1, 5, 5};
  const std::vector<Id> negative = {-1, 5};
  EXPECT_THAT([&] { Filter::id_set(disorder); },
              ThrowsMessage<InvalidArgument>(HasSubstr("id 3 at place 2 follows id 5")));
  EXPECT_THAT([&] { Filter::id_set(repeat); },
              ThrowsMessage<InvalidArgument>(HasSubstr("id 5 at place 2 follows id 5")));
  EXPECT_THAT([&] { Filter::id_set(negative); },
              ThrowsMessage<InvalidArgument>(HasSubstr("negative: got -1")));
}

TEST(Filter, PredicateIsAsked) {
  const Filter filter = Filter::predicate([](Id id) { return id % 3 == 0; });
  EXPECT_FALSE(filter.passes_all());
  EXPECT_TRUE(filter(9));
  EXPECT_FALSE(filter(10));
}

}  // namespace
}  // namespace vicinal
