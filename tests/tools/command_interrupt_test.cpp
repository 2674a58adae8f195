// Signals and the progress bar: what needs a process of its own.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <thread>

#include "command_runner.hpp"

namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// A build that takes many seconds, told to stop early.
CommandResult interrupted_build(CommandRunner& runner, int signal_number) {
  runner.write_vectors("base.npy", 30'000, 64, 1);
  const pid_t process =
      runner.start({"build", "base.npy", "-o", "x.vcn", "--metric", "l2", "--spec", "hnsw(m=48, efc=2000)"});
  std::this_thread::sleep_for(std::chrono::milliseconds(700));
  EXPECT_EQ(kill(process, signal_number), 0);
  return runner.wait_for(process);
}

TEST(CommandInterrupt, AnInterruptedBuildLeavesNothing) {
  CommandRunner runner;
  const CommandResult result = interrupted_build(runner, SIGINT);
  EXPECT_EQ(result.status, 130);
  EXPECT_EQ(result.err, "vicinal: interrupted, nothing was written\n");
  EXPECT_EQ(runner.files(), std::set<std::string>{"base.npy"});
}

TEST(CommandInterrupt, TerminationToo) {
  CommandRunner runner;
  EXPECT_EQ(interrupted_build(runner, SIGTERM).status, 143);
  EXPECT_EQ(runner.files(), std::set<std::string>{"base.npy"});
}

class CommandProgress : public ::testing::Test {
 protected:
  std::string build(Terminal terminal) {
    runner.write_vectors("base.npy", 3000, 32, 1);
    const CommandResult result = runner.run(
        {"build", "base.npy", "-o", "x.vcn", "--metric", "l2", "--spec", "hnsw(m=8, efc=100)"}, terminal);
    EXPECT_EQ(result.status, 0);
    return result.err;
  }
  CommandRunner runner;
};

TEST_F(CommandProgress, ShowsPhasesOnATerminalAndWipesThem) {
  const std::string shown = build({.stderr_is_terminal = true, .no_color = false});
  EXPECT_THAT(shown, HasSubstr("linking"));
  EXPECT_THAT(shown, HasSubstr(" %"));
  EXPECT_THAT(shown, HasSubstr("\x1b[36m"));
  EXPECT_THAT(shown, ::testing::EndsWith("\r\x1b[K"));
}

TEST_F(CommandProgress, WithoutColourWhereThatIsAsked) {
  const std::string shown = build({.stderr_is_terminal = true, .no_color = true});
  EXPECT_THAT(shown, HasSubstr("linking"));
  EXPECT_THAT(shown, Not(HasSubstr("m\x1b")));
  EXPECT_THAT(shown, Not(HasSubstr("\x1b[36m")));
  EXPECT_THAT(shown, Not(HasSubstr("\x1b[0m")));
}

TEST_F(CommandProgress, NothingOnAPipe) { EXPECT_EQ(build({}), ""); }

}  // namespace
