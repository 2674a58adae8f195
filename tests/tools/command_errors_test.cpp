// What the command says and leaves behind when something is wrong.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "vicinal/core/vector_file.hpp"
#include "command_runner.hpp"

namespace {

using ::testing::HasSubstr;

struct Refusal {
  std::vector<std::string> arguments;
  int status;
  std::string said;
};

class CommandErrors : public ::testing::Test {
 protected:
  void SetUp() override {
    runner.write_vectors("base.npy", 300, 8, 1);
    runner.write_vectors("queries.npy", 5, 8, 2);
    runner.write_vectors("wide.npy", 5, 9, 3);
    const std::vector<float> bad{0, 1, 2, 3, 4, 5, std::numeric_limits<float>::quiet_NaN(), 7};
    vicinal::write_vectors(runner.path("nan.npy"), {bad.data(), 1, 8});
    auto bytes = runner.bytes("base.npy");
    bytes.resize(bytes.size() - 5);
    write_bytes(runner.path("short.npy"), bytes);
    std::filesystem::create_directory(runner.path("folder"));
    write_ids("twice.npy", 300, [](std::size_t row) { return row == 7 ? 3 : static_cast<vicinal::Id>(row); });
    write_ids("negative.npy", 300,
              [](std::size_t row) { return row == 7 ? -3 : static_cast<vicinal::Id>(row); });
    write_ids("few_ids.npy", 299, [](std::size_t row) { return static_cast<vicinal::Id>(row); });
    ASSERT_EQ(
        runner.run({"truth", "base.npy", "queries.npy", "-k", "10", "--metric", "l2", "-o", "truth.npy"})
            .status,
        0);
    ASSERT_EQ(
        runner.run({"truth", "base.npy", "wide3.npy", "-k", "10", "--metric", "l2", "-o", "x.npy"}).status,
        3);
    runner.write_vectors("more.npy", 6, 8, 4);
    ASSERT_EQ(runner.run({"truth", "base.npy", "more.npy", "-k", "10", "--metric", "l2", "-o", "truth6.npy"})
                  .status,
              0);
    ASSERT_EQ(runner
                  .run({"build", "base.npy", "-o", "x.vcn", "--spec", "hnsw(m=8)", "--no-calibrate",
                        "--metric", "l2"})
                  .status,
              0);
    bytes = runner.bytes("x.vcn");
    bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
    write_bytes(runner.path("damaged.vcn"), bytes);
  }
  template <class F>
  void write_ids(const std::string& name, std::size_t rows, F id_of) {
    std::vector<vicinal::Id> ids(rows);
    for (std::size_t row = 0; row < rows; ++row) ids[row] = id_of(row);
    vicinal::write_ids(runner.path(name), {ids.data(), rows, 1});
  }
  void check(const std::vector<Refusal>& refusals) {
    const auto files = runner.files();
    for (const auto& refusal : refusals) {
      std::string line;
      for (const auto& argument : refusal.arguments) line += " " + argument;
      const CommandResult result = runner.run(refusal.arguments);
      EXPECT_EQ(result.status, refusal.status) << line << "\n" << result.err;
      EXPECT_THAT(result.err, ::testing::StartsWith("vicinal: ")) << line;
      EXPECT_THAT(result.err, HasSubstr(refusal.said)) << line;
      EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << line << "\n" << result.err;
      EXPECT_EQ(result.out, "") << line;
      EXPECT_EQ(runner.files(), files) << line;
    }
  }
  CommandRunner runner;
};

TEST_F(CommandErrors, UsageIsStatus2) {
  check({
      {{}, 2, "subcommand"},
      {{"frobnicate"}, 2, "no command \"frobnicate\""},
      {{"build"}, 2, "required"},
      {{"build", "base.npy", "--metric", "l2"}, 2, "--output is required"},
      {{"build", "base.npy", "-o", "y.vcn"}, 2, "--metric is required"},
      {{"build", "base.npy", "-o", "y.vcn", "--metric", "manhattan"}, 2, "manhattan"},
      {{"build", "base.npy", "-o", "y.vcn", "--metric", "l2", "--threads", "0"},
       2,
       "\"0\" is not a whole number"},
      {{"build", "base.npy", "-o", "y.vcn", "--metric", "l2", "--seed", "-1"},
       2,
       "\"-1\" is not a whole number"},
      {{"build", "base.npy", "-o", "y.vcn", "--metric", "l2", "--no-calibrate", "--queries", "queries.npy"},
       2,
       "excludes"},
      {{"build", "base.npy", "-o", "base.npy", "--metric", "l2"}, 2, "both an input and an output"},
      {{"build", "base.npy", "-o", "./folder/../base.npy", "--metric", "l2"},
       2,
       "both an input and an output"},
      {{"search", "x.vcn", "queries.npy", "-k", "0"}, 2, "\"0\" is not a whole number"},
      {{"search", "x.vcn", "queries.npy", "-k", "ten"}, 2, "\"ten\" is not a whole number"},
      {{"search", "x.vcn", "queries.npy", "--effort", "0"}, 2, "\"0\" is not a whole number"},
      {{"search", "x.vcn", "queries.npy", "--effort", "10", "--recall", "0.9"}, 2, "excludes"},
      {{"search", "x.vcn", "queries.npy", "--recall", "0"}, 2, "\"0\" is not a number above 0"},
      {{"search", "x.vcn", "queries.npy", "--recall", "nan"}, 2, "\"nan\" is not a number above 0"},
      {{"search", "x.vcn", "queries.npy", "-o", "found.txt"}, 2, "found.txt ends with \".txt\""},
      {{"search", "x.vcn", "queries.npy", "-o", "a.npy", "--distances", "a.npy"}, 2, "two outputs"},
      {{"search", "x.vcn", "queries.npy", "--unknown"}, 2, "--unknown"},
      {{"eval", "x.vcn", "queries.npy", "truth.npy", "--sweep", "--effort", "10"}, 2, "excludes"},
      {{"eval", "x.vcn", "queries.npy", "truth.npy", "--effort", "10,x"}, 2, "\"x\" is not a whole number"},
      {{"verify", "x.vcn", "--level", "deep"}, 2, "deep"},
  });
}

TEST_F(CommandErrors, BadInputIsStatus3) {
  check({
      {{"build", "none.npy", "-o", "y.vcn", "--metric", "l2"}, 3, "none.npy"},
      {{"build", "folder", "-o", "y.vcn", "--metric", "l2"}, 3, "folder"},
      {{"build", "short.npy", "-o", "y.vcn", "--metric", "l2"}, 3, "short.npy"},
      {{"build", "nan.npy", "-o", "y.vcn", "--metric", "l2"}, 3, "nan.npy row 0 column 6 is nan"},
      {{"build", "base.npy", "-o", "y.vcn", "--metric", "l2", "--queries", "wide.npy"},
       3,
       "wide.npy has 9 columns"},
      {{"build", "base.npy", "-o", "y.vcn", "--metric", "l2", "--ids", "twice.npy"}, 3, "id 3"},
      {{"build", "base.npy", "-o", "y.vcn", "--metric", "l2", "--ids", "negative.npy"}, 3, "negative"},
      {{"build", "base.npy", "-o", "y.vcn", "--metric", "l2", "--ids", "few_ids.npy"}, 3, "300 rows"},
      {{"build", "base.npy", "-o", "y.vcn", "--metric", "l2", "--popularity", "wide.npy"},
       3,
       "expected one column"},
      {{"build", "base.npy", "-o", "y.vcn", "--metric", "l2", "--spec", "tiers(f16=0.5, i8)"},
       3,
       "give a popularity"},
      {{"build", "base.npy", "-o", "none/y.vcn", "--metric", "l2"}, 3, "there is no folder none"},
      {{"build", "base.npy", "-o", "folder", "--metric", "l2"}, 3, "folder"},
      {{"truth", "base.npy", "wide.npy", "--metric", "l2", "-o", "t.npy"}, 3, "9 columns"},
      {{"truth", "base.npy", "nan.npy", "--metric", "l2", "-o", "t.npy"}, 3, "nan.npy row 0 column 6 is nan"},
      {{"search", "none.vcn", "queries.npy"}, 3, "none.vcn"},
      {{"search", "base.npy", "queries.npy"}, 3, "base.npy"},
      {{"search", "damaged.vcn", "queries.npy"}, 3, "damaged.vcn"},
      {{"search", "x.vcn", "wide.npy"}, 3, "wide.npy has 9 columns"},
      {{"search", "x.vcn", "nan.npy"}, 3, "nan.npy row 0 column 6 is nan"},
      {{"search", "x.vcn", "x.vcn"}, 3, "x.vcn"},
      {{"search", "x.vcn", "queries.npy", "--recall", "0.9", "-o", "f.npy"}, 3, "calibrate"},
      {{"eval", "x.vcn", "queries.npy", "truth.npy", "-k", "11"}, 3, "the truth has 10 columns, k is 11"},
      {{"eval", "x.vcn", "queries.npy", "truth6.npy"}, 3, "the truth has 6 rows, there are 5 queries"},
      {{"eval", "x.vcn", "queries.npy", "queries.npy"}, 3, "queries.npy"},
      {{"eval", "x.vcn", "queries.npy", "truth.npy", "--json", "none/o.json"}, 3, "there is no folder none"},
      {{"info", "damaged.vcn"}, 3, ""},
      {{"info", "none.vcn"}, 3, "none.vcn"},
      {{"verify", "none.vcn"}, 3, "none.vcn"},
  });
}

// The folder of the output is looked at before the vectors are: a wrong name must not cost an hour.
TEST_F(CommandErrors, TheOutputIsCheckedBeforeTheInputIsRead) {
  const CommandResult result = runner.run({"build", "short.npy", "-o", "none/y.vcn", "--metric", "l2"});
  EXPECT_EQ(result.status, 3);
  EXPECT_THAT(result.err, HasSubstr("there is no folder none"));
}

TEST_F(CommandErrors, AFailedBuildLeavesTheOldIndexAlone) {
  const auto before = runner.bytes("x.vcn");
  EXPECT_EQ(runner.run({"build", "nan.npy", "-o", "x.vcn", "--metric", "l2"}).status, 3);
  EXPECT_EQ(runner.bytes("x.vcn"), before);
}

TEST_F(CommandErrors, ASpecErrorPointsAtTheCharacter) {
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{"spec", "i8 | hnws"},
        {"build", "base.npy", "-o", "y.vcn", "--metric", "l2", "--spec", "i8 | hnws"}}) {
    const CommandResult result = runner.run(arguments);
    EXPECT_EQ(result.status, 2);
    EXPECT_THAT(result.err, ::testing::StartsWith("vicinal: "));
    EXPECT_THAT(result.err, HasSubstr("\ni8 | hnws\n     ^\n"));
    EXPECT_FALSE(runner.has("y.vcn"));
  }
}

TEST_F(CommandErrors, AFullStandardOutputIsNoticed) {
  const std::string command = std::string(VICINAL_COMMAND) + " spec i8 >/dev/full 2>/dev/null";
  const int status = std::system(command.c_str());
  EXPECT_EQ(WEXITSTATUS(status), 3);
}

}  // namespace
