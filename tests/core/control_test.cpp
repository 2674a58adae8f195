#include "vicinal/core/control.hpp"

#include <gtest/gtest.h>

namespace vicinal {
namespace {

TEST(SearchStats, SumsWorkAndKeepsTheWorstReason) {
  SearchStats total{1, 2, 3, 4, 5, "flat", StopReason::budget};
  total.add_work({10, 20, 30, 40, 50, "other", StopReason::deadline});
  total.add_work({0, 0, 0, 0, 0, "", StopReason::complete});
  EXPECT_EQ(total.queries, 11U);
  EXPECT_EQ(total.distances, 22U);
  EXPECT_EQ(total.reranked, 33U);
  EXPECT_EQ(total.hops, 44U);
  EXPECT_EQ(total.bytes, 55U);
  EXPECT_EQ(total.strategy, "flat");
  EXPECT_EQ(total.stop, StopReason::deadline);
}

TEST(StopReason, HasNames) {
  EXPECT_EQ(to_string(StopReason::complete), "complete");
  EXPECT_EQ(to_string(StopReason::budget), "budget");
  EXPECT_EQ(to_string(StopReason::deadline), "deadline");
  EXPECT_EQ(to_string(StopReason::cancelled), "cancelled");
}

TEST(SearchControl, StopsOnTheTokenAndOnTheDeadline) {
  SearchControl control;
  EXPECT_FALSE(control.must_stop());
  control.deadline = SearchControl::Clock::now() + std::chrono::hours(1);
  EXPECT_FALSE(control.must_stop());
  control.deadline = SearchControl::Clock::now();
  EXPECT_TRUE(control.must_stop());
  EXPECT_EQ(control.stop_reason(), StopReason::deadline);
  std::stop_source source;
  control.stop = source.get_token();
  source.request_stop();
  control.deadline.reset();
  EXPECT_TRUE(control.must_stop());
  EXPECT_EQ(control.stop_reason(), StopReason::cancelled);
}

TEST(BuildControl, ThrowsCancelledOnlyOnceStopped) {
  std::stop_source source;
  BuildControl control;
  EXPECT_NO_THROW(control.throw_if_stopped());
  control.stop = source.get_token();
  EXPECT_NO_THROW(control.throw_if_stopped());
  source.request_stop();
  EXPECT_THROW(control.throw_if_stopped(), Cancelled);
}

}  // namespace
}  // namespace vicinal
