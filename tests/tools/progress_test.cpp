#include "vicinal/tools/progress.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

namespace {

using vicinal::tools::Progress;

// The tests' stderr may be a terminal; phases are kept in either case.
TEST(Progress, KeepsHowLongEveryPhaseTook) {
  testing::internal::CaptureStderr();  // no terminal from here on
  Progress progress;
  const auto report = progress.callback();
  report("encoding", 0, 2);
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  report("encoding", 2, 2);
  report("linking", 0, 0);
  std::this_thread::sleep_for(std::chrono::milliseconds(40));
  report("encoding", 0, 1);
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  progress.finish();
  progress.finish();
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
  ASSERT_EQ(progress.phases().size(), 2U);
  EXPECT_EQ(progress.phases()[0].name, "encoding");
  EXPECT_GE(progress.phases()[0].seconds, 0.04);
  EXPECT_EQ(progress.phases()[1].name, "linking");
  EXPECT_GE(progress.phases()[1].seconds, 0.04);
}

}  // namespace
