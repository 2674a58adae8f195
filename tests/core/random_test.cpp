#include "vicinal/core/random.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <set>
#include <vector>

namespace vicinal {
namespace {

using Words = std::array<std::uint32_t, 4>;

// The known answers that the authors publish with Random123.
static_assert(philox({0, 0, 0, 0}, {0, 0}) == Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});

TEST(Philox, GivesTheKnownAnswers) {
  EXPECT_EQ(philox({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}),
            (Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(RandomStream, IsAFunctionOfSeedStreamAndPlace) {
  RandomStream stream(7, 3);
  for (std::uint64_t i = 0; i < 100; ++i) EXPECT_EQ(stream.next(), RandomStream(7, 3).at(i));
  // The first two words of the first known answer.
  EXPECT_EQ(RandomStream(0, 0).at(0), 0xe169c58d6627e8d5U);
  std::set<std::uint64_t> firsts;
  for (std::uint64_t seed : {0ULL, 1ULL, 1ULL << 32}) {
    for (std::uint64_t number : {0ULL, 1ULL, 1ULL << 32}) {
      for (std::uint64_t place : {0ULL, 1ULL, 1ULL << 32})
        firsts.insert(RandomStream(seed, number).at(place));
    }
  }
  EXPECT_EQ(firsts.size(), 27U);
}

TEST(RandomStream, UnitsLieInTheirIntervalAndAreEven) {
  RandomStream stream(1, 2);
  double sum = 0;
  for (int i = 0; i < 100000; ++i) {
    const double unit = stream.next_unit();
    ASSERT_GE(unit, 0.0);
    ASSERT_LT(unit, 1.0);
    sum += unit;
  }
  // Six standard deviations of the mean of 100 000 uniform numbers.
  EXPECT_NEAR(sum / 100000, 0.5, 6 * 0.2887 / 316.2);
}

TEST(RandomStream, NumbersBelowABoundReachEveryValueEvenly) {
  RandomStream stream(5, 0);
  std::vector<int> counts(7, 0);
  for (int i = 0; i < 70000; ++i) ++counts[stream.next_below(7)];
  for (const int count : counts) EXPECT_NEAR(count, 10000, 6 * 93);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(stream.next_below(1), 0U);
}

}  // namespace
}  // namespace vicinal
