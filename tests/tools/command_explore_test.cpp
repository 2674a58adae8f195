// `vicinal explore` as it is typed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

#include "command_runner.hpp"

namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

class CommandExplore : public ::testing::Test {
 protected:
  void SetUp() override {
    runner.write_vectors("base.npy", 1200, 16, 1);
    runner.write_vectors("queries.npy", 40, 16, 2);
    runner.write_vectors("wide.npy", 5, 17, 3);
    write("good.tsv", "query-id\tcorpus-id\tscore\n0\t5\t1\n1\t7\t2\n");
    write("bad.tsv", "0 5 1\n0 1200 1\n");
  }
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(runner.path(name)) << text;
  }
  static std::vector<std::string> command(std::initializer_list<std::string> more) {
    std::vector<std::string> arguments{"explore",  "base.npy", "--queries", "queries.npy",
                                       "--metric", "l2",       "--threads", "1"};
    arguments.insert(arguments.end(), more);
    return arguments;
  }
  CommandRunner runner;
};

TEST_F(CommandExplore, RecommendsAndWritesWhatItMeasured) {
  const CommandResult result = runner.run(command({"--budget", "400KiB", "--floor", "recall@10=.9", "--qrels",
                                                   "good.tsv", "-o", "x.json", "--plot", "x.svg"}));
  ASSERT_EQ(result.status, 0) << result.err;
  EXPECT_EQ(result.err, "");
  EXPECT_THAT(result.out, HasSubstr("Recommended: "));
  EXPECT_THAT(result.out, HasSubstr("candidates predicted from a sample"));
  EXPECT_THAT(result.out, HasSubstr("nDCG@10"));
  const auto text = runner.bytes("x.json");
  const auto json = nlohmann::json::parse(text.begin(), text.end());
  EXPECT_LE(json["recommended"]["bytes"], 400 * 1024);
  EXPECT_GE(json["recommended"]["recall"], 0.9);
  EXPECT_EQ(json["judged_queries"], 2);
  EXPECT_THAT(result.out, HasSubstr(json["recommended"]["spec"].get<std::string>()));
  const auto svg = runner.bytes("x.svg");
  EXPECT_THAT(std::string(svg.begin(), svg.end()), StartsWith("<svg"));
  // What it recommends is a spec that builds.
  EXPECT_EQ(
      runner
          .run({"build", "base.npy", "-o", "x.vcn", "--metric", "l2", "--spec", json["recommended"]["spec"]})
          .status,
      0);
}

TEST_F(CommandExplore, ShowsAProgressBarOnATerminal) {
  const CommandResult result =
      runner.run(command({"--budget", "400KiB", "--index", "flat"}), {.stderr_is_terminal = true});
  ASSERT_EQ(result.status, 0) << result.err;
  EXPECT_THAT(result.err, HasSubstr("measure"));
}

TEST_F(CommandExplore, HoldsThePaperAgainstTheBase) {
  const CommandResult result = runner.run(command({"--paper"}));
  ASSERT_EQ(result.status, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("e4m3 loses "));
  EXPECT_THAT(result.out, ::testing::Not(HasSubstr("Recommended")));
}

TEST_F(CommandExplore, SaysWhatIsWrong) {
  struct Refusal {
    std::vector<std::string> arguments;
    int status;
    std::string said;
  };
  const std::vector<Refusal> refusals{
      {command({}), 2, "there is no --budget to choose under"},
      {command({"--budget", "many"}), 2, "\"many\" is no size in bytes, expected one such as 200MiB"},
      {command({"--budget", "1MiB", "--floor", "1.5"}), 2,
       "\"1.5\" is no floor, expected one such as recall@10=.95"},
      {command({"--budget", "1MiB", "--floor", "recall@5=.9"}), 2, "--floor is for k = 5, -k is 10"},
      {command({"--budget", "1MiB", "--floor", "ndcg=.5"}), 2, "a --floor for nDCG needs --qrels"},
      {command({"--budget", "1MiB", "--plan-for", "x"}), 2, "\"x\" is no number of rows"},
      {command({"--budget", "1MiB", "-o", "x.txt"}), 2, "x.txt ends with \".txt\", expected one of .json"},
      {command({"--budget", "1MiB", "--index", "tree"}), 2, "tree"},
      {command({"--budget", "1MiB", "--qrels", "none.tsv"}), 3, "none.tsv"},
      {command({"--budget", "1MiB", "--qrels", "bad.tsv"}), 3,
       "bad.tsv line 2: the doc-id is \"1200\", expected a row number from 0 to 1199"},
      {{"explore", "base.npy", "--queries", "wide.npy", "--metric", "l2", "--budget", "1MiB"},
       3,
       "wide.npy has 17 columns, base.npy has 16"},
  };
  const auto files = runner.files();
  for (const auto& refusal : refusals) {
    const CommandResult result = runner.run(refusal.arguments);
    EXPECT_EQ(result.status, refusal.status) << refusal.said << "\n" << result.err;
    EXPECT_THAT(result.err, StartsWith("vicinal: ")) << refusal.said;
    EXPECT_THAT(result.err, HasSubstr(refusal.said));
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
    EXPECT_EQ(result.out, "") << refusal.said;
    EXPECT_EQ(runner.files(), files) << refusal.said;
  }
}

}  // namespace
