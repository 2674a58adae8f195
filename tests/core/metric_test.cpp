#include "vicinal/core/metric.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "vicinal/core/error.hpp"

namespace vicinal {
namespace {

TEST(Metric, NamesAreParsedBack) {
  EXPECT_EQ(to_string(Metric::l2), "l2");
  EXPECT_EQ(to_string(Metric::ip), "ip");
  EXPECT_EQ(to_string(Metric::cosine), "cosine");
  for (const Metric metric : {Metric::l2, Metric::ip, Metric::cosine})
    EXPECT_EQ(parse_metric(to_string(metric)), metric);
  EXPECT_THAT([] { parse_metric("L2"); },
              testing::ThrowsMessage<InvalidArgument>("unknown metric 'L2'; expected l2, ip or cosine"));
}

TEST(Metric, ScoresAreWhatUsersExpect) {
  EXPECT_EQ(similarity_score(Metric::l2, 2.5F), 2.5F);
  EXPECT_EQ(similarity_score(Metric::ip, -2.5F), 2.5F);
  EXPECT_EQ(similarity_score(Metric::cosine, 0.25F), 0.75F);
}

}  // namespace
}  // namespace vicinal
