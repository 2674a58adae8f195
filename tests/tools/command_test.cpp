// The built command from end to end, on small files.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "vicinal/core/vector_file.hpp"
#include "vicinal/core/version.hpp"
#include "command_runner.hpp"

namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using vicinal::Id;
using Json = nlohmann::json;

constexpr const char* graph_spec = "i8 | hnsw(m=8, efc=60) | rerank(f16)";

class Command : public ::testing::Test {
 protected:
  void SetUp() override {
    runner.write_vectors("base.npy", 2000, 24, 1);
    runner.write_vectors("queries.npy", 60, 24, 2);
  }
  CommandResult succeed(const std::vector<std::string>& arguments) {
    CommandResult result = runner.run(arguments);
    EXPECT_EQ(result.status, 0) << result.err;
    EXPECT_EQ(result.err, "");
    return result;
  }
  void make_truth(const std::string& metric = "l2") {
    succeed({"truth", "base.npy", "queries.npy", "-k", "20", "--metric", metric, "-o", "truth.npy",
             "--distances", "d.npy"});
  }
  void build(const std::string& out, const std::vector<std::string>& more = {},
             const std::string& spec = graph_spec) {
    std::vector<std::string> arguments{"build", "base.npy", "-o", out, "--spec", spec, "--metric", "l2"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    succeed(arguments);
  }
  Json json(const std::string& name) { return Json::parse(std::ifstream(runner.path(name))); }
  vicinal::IdMatrix ids(const std::string& name) { return vicinal::read_ids(runner.path(name)); }

  CommandRunner runner;
};

TEST_F(Command, TruthIsTheBruteForceAnswerForEveryMetric) {
  const auto base = vicinal::read_vectors(runner.path("base.npy"));
  const auto queries = vicinal::read_vectors(runner.path("queries.npy"));
  for (const std::string metric : {"l2", "ip", "cosine"}) {
    make_truth(metric);
    const auto expected = brute_force(base.view(), queries.view(), 20, vicinal::parse_metric(metric));
    const auto got = ids("truth.npy");
    ASSERT_EQ(got.rows, 60U);
    ASSERT_EQ(got.cols, 20U);
    const auto distances = vicinal::read_vectors(runner.path("d.npy"));
    for (std::size_t q = 0; q < got.rows; ++q) {
      EXPECT_THAT(got.view()[q], ::testing::ElementsAreArray(expected[q])) << metric << " query " << q;
      EXPECT_TRUE(std::is_sorted(distances.view()[q].begin(), distances.view()[q].end())) << metric;
    }
  }
}

// Documents of one to seven vectors, and queries of one to three.
TEST_F(Command, DocumentsOfSeveralVectors) {
  const auto write_offsets = [&](const std::string& name, std::size_t rows, std::size_t most) {
    std::vector<Id> offsets{0};
    for (std::size_t i = 0; offsets.back() < static_cast<Id>(rows); ++i)
      offsets.push_back(std::min<Id>(static_cast<Id>(rows), offsets.back() + static_cast<Id>(1 + i % most)));
    vicinal::write_ids(runner.path(name), {offsets.data(), offsets.size(), 1});
    return offsets.size() - 1;
  };
  const std::size_t documents = write_offsets("offsets.npy", 2000, 7);
  const std::size_t asked = write_offsets("asked.npy", 60, 3);
  const std::vector<std::string> truth{
      "truth",    "base.npy", "queries.npy", "--offsets", "offsets.npy", "--query-offsets", "asked.npy",
      "--metric", "cosine",   "-k",          "10",        "-o",          "truth.npy"};
  EXPECT_THAT(succeed(truth).out,
              HasSubstr("queries among " + std::to_string(documents) + " documents of dimension 24"));
  ASSERT_EQ(ids("truth.npy").rows, asked);
  const CommandResult built =
      succeed({"build", "base.npy", "-o", "d.vcn", "--offsets", "offsets.npy", "--metric", "cosine", "--spec",
               "muvera(reps=10, bits=2, dim=8) | i8 | hnsw(m=8, efc=60) | maxsim(f32)"});
  EXPECT_THAT(built.out,
              HasSubstr(std::to_string(documents) + " documents of 2,000 vectors of dimension 24, cosine"));
  succeed({"search", "d.vcn", "queries.npy", "--query-offsets", "asked.npy", "--effort", "600", "-o",
           "found.npy"});
  EXPECT_EQ(runner.bytes("found.npy"), runner.bytes("truth.npy"))
      << "all documents are candidates, so nothing is missed";
  succeed({"eval", "d.vcn", "queries.npy", "truth.npy", "--query-offsets", "asked.npy", "--effort", "600",
           "--json", "e.json"});
  EXPECT_EQ(json("e.json")["points"][0]["recall"], 1.0);
  EXPECT_EQ(json("e.json")["queries"], asked);

  const auto fail = [&](const std::vector<std::string>& arguments) { return runner.run(arguments).err; };
  EXPECT_THAT(fail({"build", "base.npy", "-o", "x.vcn", "--metric", "ip", "--spec", "maxsim"}),
              HasSubstr("base has no offsets"));
  EXPECT_THAT(fail({"build", "base.npy", "-o", "x.vcn", "--metric", "ip", "--spec", "maxsim", "--offsets",
                    "asked.npy"}),
              HasSubstr("asked.npy has " + std::to_string(asked + 1) + " offsets that end at 60"));
  EXPECT_THAT(fail({"truth", "base.npy", "queries.npy", "--query-offsets", "asked.npy", "--metric", "ip",
                    "-o", "t.npy"}),
              HasSubstr("--query-offsets needs --offsets"));
  EXPECT_THAT(fail({"search", "d.vcn", "queries.npy", "--query-offsets", "offsets.npy"}),
              HasSubstr("ending at 60 rows"));
}

TEST_F(Command, TruthDoesNotDependOnTheNumberOfThreads) {
  make_truth();
  succeed(
      {"truth", "base.npy", "queries.npy", "-k", "20", "--metric", "l2", "-o", "one.npy", "--threads", "1"});
  EXPECT_EQ(runner.bytes("truth.npy"), runner.bytes("one.npy"));
}

TEST_F(Command, MoreNeighboursThanVectorsArePadded) {
  runner.write_vectors("few.npy", 3, 24, 3);
  succeed({"truth", "few.npy", "queries.npy", "-k", "5", "--metric", "l2", "-o", "few_truth.npy",
           "--distances", "few_d.npy"});
  succeed({"build", "few.npy", "-o", "few.vcn", "--metric", "l2"});
  succeed({"search", "few.vcn", "queries.npy", "-k", "5", "-o", "few_found.npy"});
  for (const char* name : {"few_truth.npy", "few_found.npy"}) {
    const auto got = ids(name);
    for (std::size_t q = 0; q < got.rows; ++q) {
      EXPECT_THAT(got.view()[q].subspan(3), ::testing::Each(vicinal::no_id)) << name;
      EXPECT_THAT(got.view()[q].first(3), ::testing::UnorderedElementsAre(0, 1, 2)) << name;
    }
  }
  EXPECT_EQ(vicinal::read_vectors(runner.path("few_d.npy")).view()[0][4], vicinal::no_distance);
}

TEST_F(Command, TheFileDoesNotDependOnTheNumberOfThreads) {
  build("one.vcn", {"--threads", "1"});
  build("two.vcn", {"--threads", "2"});
  build("four.vcn", {"--threads", "4"});
  EXPECT_EQ(runner.bytes("one.vcn"), runner.bytes("two.vcn"));
  EXPECT_EQ(runner.bytes("one.vcn"), runner.bytes("four.vcn"));
  build("seed.vcn", {"--seed", "2"});
  EXPECT_NE(runner.bytes("one.vcn"), runner.bytes("seed.vcn"));
}

TEST_F(Command, BuildLeavesTheIndexAndItsReportAndNothingElse) {
  const auto before = runner.files();
  build("x.vcn", {"--threads", "2"});
  auto expected = before;
  expected.insert({"x.vcn", "x.vcn.build.json"});
  EXPECT_EQ(runner.files(), expected);
  const Json report = json("x.vcn.build.json");
  EXPECT_GT(report.at("seconds").get<double>(), 0);
  EXPECT_EQ(report.at("threads"), 2);
  EXPECT_EQ(report.at("n"), 2000);
  EXPECT_EQ(report.at("dim"), 24);
  EXPECT_EQ(report.at("version"), std::string(vicinal::version));
  EXPECT_EQ(report.at("uuid").get<std::string>().size(), 32U);
  EXPECT_FALSE(report.at("phases").empty());
}

TEST_F(Command, SearchAgreesWithTruthAndMappingChangesNothing) {
  make_truth();
  build("x.vcn");
  succeed({"search", "x.vcn", "queries.npy", "-k", "10", "--effort", "200", "-o", "found.npy", "--distances",
           "fd.npy"});
  succeed({"search", "x.vcn", "queries.npy", "-k", "10", "--effort", "200", "-o", "mapped.npy", "--mmap"});
  EXPECT_EQ(runner.bytes("found.npy"), runner.bytes("mapped.npy"));
  EXPECT_GT(vicinal::recall(ids("found.npy").view(), ids("truth.npy").view(), 10), 0.98);
}

TEST_F(Command, SearchForARecallReachesIt) {
  make_truth();
  build("x.vcn");
  for (const double target : {0.8, 0.95}) {
    succeed({"search", "x.vcn", "queries.npy", "--recall", std::to_string(target), "-o", "found.npy"});
    // The calibration is a sample of other queries: some slack.
    EXPECT_GT(vicinal::recall(ids("found.npy").view(), ids("truth.npy").view(), 10), target - 0.05);
  }
}

TEST_F(Command, BuildLearnsAProjectionFromQueries) {
  make_truth();
  build("x.vcn", {"--queries", "queries.npy", "--no-calibrate"}, "qpca(6) | i8 | flat | rerank(f32, 20x)");
  succeed({"search", "x.vcn", "queries.npy", "-o", "found.npy"});
  EXPECT_GT(vicinal::recall(ids("found.npy").view(), ids("truth.npy").view(), 10), 0.95);
}

TEST_F(Command, BuildPutsRowsIntoTiers) {
  make_truth();
  std::vector<float> popularity(2000, 0.0F);
  for (std::size_t row = 0; row < 2000; row += 10) popularity[row] = 1;
  vicinal::write_vectors(runner.path("popularity.npy"), {popularity.data(), 2000, 1});
  build("x.vcn", {"--popularity", "popularity.npy"}, "tiers(f32=0.1, i8) | flat");
  succeed({"search", "x.vcn", "queries.npy", "-o", "found.npy"});
  EXPECT_GT(vicinal::recall(ids("found.npy").view(), ids("truth.npy").view(), 10), 0.9);
  EXPECT_THAT(succeed({"info", "x.vcn"}).out, ::testing::HasSubstr("tiers/0/rows"));
}

TEST_F(Command, InfoCountsDuplicates) {
  build("x.vcn", {}, "dedup | i8 | flat");
  EXPECT_THAT(succeed({"info", "x.vcn"}).out,
              ::testing::HasSubstr("duplicates  0, 2,000 distinct vectors are kept"));
}

TEST_F(Command, SearchWithoutOutputFilesPrintsATable) {
  build("x.vcn", {"--no-calibrate"}, "flat");
  const CommandResult result = succeed({"search", "x.vcn", "queries.npy", "-k", "3"});
  EXPECT_THAT(result.out, ::testing::StartsWith("query\trank\tid\tdistance\n0\t1\t"));
  EXPECT_EQ(std::count(result.out.begin(), result.out.end(), '\n'), 1 + 60 * 3);
}

TEST_F(Command, GivenIdsAreTheOnesFound) {
  std::vector<Id> given(2000);
  for (std::size_t row = 0; row < given.size(); ++row) given[row] = static_cast<Id>(5'000'000'000 - 3 * row);
  vicinal::write_ids(runner.path("ids.npy"), {given.data(), 2000, 1});
  succeed({"truth", "base.npy", "queries.npy", "-k", "10", "--metric", "l2", "-o", "rows.npy"});
  succeed({"truth", "base.npy", "queries.npy", "-k", "10", "--metric", "l2", "--ids", "ids.npy", "-o",
           "named.npy"});
  build("x.vcn", {"--ids", "ids.npy"}, "flat");
  succeed({"search", "x.vcn", "queries.npy", "-o", "found.npy"});
  const auto rows = ids("rows.npy"), named = ids("named.npy"), found = ids("found.npy");
  for (std::size_t i = 0; i < rows.values.size(); ++i) {
    const Id expected = given[static_cast<std::size_t>(rows.values[i])];
    ASSERT_EQ(named.values[i], expected);
    ASSERT_EQ(found.values[i], expected);
  }
}

TEST_F(Command, EvalReportsWhatItMeasured) {
  make_truth();
  build("x.vcn");
  const CommandResult result = succeed({"eval", "x.vcn", "queries.npy", "truth.npy", "-k", "10", "--threads",
                                        "1", "--effort", "12,64", "--json", "out.json", "--svg", "out.svg"});
  EXPECT_THAT(result.out, AllOf(HasSubstr("recall@10"), HasSubstr("queries/s")));
  const Json report = json("out.json");
  EXPECT_EQ(report.at("n"), 2000);
  EXPECT_EQ(report.at("dim"), 24);
  EXPECT_EQ(report.at("metric"), "l2");
  EXPECT_EQ(report.at("version"), std::string(vicinal::version));
  EXPECT_EQ(report.at("build").at("threads").get<int>() > 0, true);
  EXPECT_GT(report.at("memory_bytes").get<double>(), 2000 * 24 * 3);
  EXPECT_FALSE(report.at("cpu").get<std::string>().empty());
  ASSERT_EQ(report.at("points").size(), 2U);
  for (const Json& point : report.at("points")) {
    // The recall is that of the answers which a search with this effort gives.
    succeed({"search", "x.vcn", "queries.npy", "--effort", point.at("effort").dump(), "-o", "found.npy"});
    EXPECT_DOUBLE_EQ(point.at("recall").get<double>(),
                     vicinal::recall(ids("found.npy").view(), ids("truth.npy").view(), 10));
    EXPECT_GT(point.at("qps").get<double>(), 0);
    EXPECT_NEAR(point.at("mean_us").get<double>() * point.at("qps").get<double>(), 1e6, 1);
    EXPECT_LE(point.at("p50_us").get<double>(), point.at("p99_us").get<double>());
    EXPECT_GT(point.at("distances").get<double>(), 10);
    EXPECT_GT(point.at("bytes").get<double>(), point.at("distances").get<double>());
  }
  EXPECT_LT(report.at("points")[0].at("distances").get<double>(),
            report.at("points")[1].at("distances").get<double>());
  const auto svg = runner.bytes("out.svg");
  EXPECT_THAT(std::string(svg.begin(), svg.end()),
              AllOf(HasSubstr("<svg"), HasSubstr("effort 64"), HasSubstr("</svg>")));
}

TEST_F(Command, EvalSweepsUntilRecallIsEnoughAndOnceWhereEffortMeansNothing) {
  make_truth();
  build("x.vcn");
  succeed({"eval", "x.vcn", "queries.npy", "truth.npy", "-k", "20", "--sweep", "--json", "sweep.json"});
  const Json sweep = json("sweep.json").at("points");
  ASSERT_GT(sweep.size(), 1U);
  EXPECT_EQ(sweep[0].at("effort"), 24);  // the first of the sweep that is not below k
  for (std::size_t i = 0; i + 1 < sweep.size(); ++i) EXPECT_LE(sweep[i].at("recall").get<double>(), 0.9995);
  build("flat.vcn", {}, "flat");
  succeed({"eval", "flat.vcn", "queries.npy", "truth.npy", "--json", "flat.json", "--threads", "2"});
  const Json flat = json("flat.json").at("points");
  ASSERT_EQ(flat.size(), 1U);
  EXPECT_EQ(flat[0].at("recall"), 1.0);
  EXPECT_EQ(flat[0].at("distances"), 2000.0);
}

TEST_F(Command, EvalForARecallTakesTheCalibratedEffort) {
  make_truth();
  build("x.vcn");
  succeed({"eval", "x.vcn", "queries.npy", "truth.npy", "--recall", "0.9", "--json", "out.json"});
  const Json point = json("out.json").at("points").at(0);
  EXPECT_EQ(point.at("target_recall"), 0.9);
  succeed({"search", "x.vcn", "queries.npy", "--recall", "0.9", "-o", "by_recall.npy"});
  succeed({"search", "x.vcn", "queries.npy", "--effort", point.at("effort").dump(), "-o", "by_effort.npy"});
  EXPECT_EQ(runner.bytes("by_recall.npy"), runner.bytes("by_effort.npy"));
}

TEST_F(Command, AReportOfAnotherFileIsNotBelieved) {
  make_truth();
  build("x.vcn", {"--no-calibrate"});
  const auto build_of = [&] {
    succeed({"eval", "x.vcn", "queries.npy", "truth.npy", "--effort", "10", "--json", "out.json"});
    return json("out.json").at("build");
  };
  EXPECT_FALSE(build_of().is_null());
  std::filesystem::copy_file(runner.path("x.vcn.build.json"), runner.path("kept"));
  build("x.vcn", {"--seed", "7", "--no-calibrate"});
  std::filesystem::rename(runner.path("kept"), runner.path("x.vcn.build.json"));
  EXPECT_TRUE(build_of().is_null());
  write_bytes(runner.path("x.vcn.build.json"), std::vector<char>{'{', '"', 'u'});
  EXPECT_TRUE(build_of().is_null());
  std::filesystem::remove(runner.path("x.vcn.build.json"));
  EXPECT_TRUE(build_of().is_null());
}

TEST_F(Command, InfoSaysWhatTheFileHolds) {
  build("x.vcn", {"--seed", "5"});
  const CommandResult text = succeed({"info", "x.vcn"});
  EXPECT_THAT(text.out, AllOf(HasSubstr("i8 | hnsw(m=8, efc=60) | rerank(f16, 3x)"),
                              HasSubstr("2,000 of dimension 24"), HasSubstr("calibration")));
  const Json info = Json::parse(succeed({"info", "x.vcn", "--json"}).out);
  EXPECT_EQ(info.at("n"), 2000);
  EXPECT_EQ(info.at("seed"), 5);
  EXPECT_EQ(info.at("metric"), "l2");
  EXPECT_EQ(info.at("file_bytes").get<std::uintmax_t>(), std::filesystem::file_size(runner.path("x.vcn")));
  EXPECT_EQ(info.at("uuid"), json("x.vcn.build.json").at("uuid"));
  EXPECT_EQ(info.at("calibration").at("k"), 10);
  std::uintmax_t bytes = 0;
  for (const Json& section : info.at("sections")) bytes += section.at("bytes").get<std::uintmax_t>();
  EXPECT_LE(bytes, info.at("file_bytes").get<std::uintmax_t>());
  EXPECT_GT(bytes, info.at("file_bytes").get<std::uintmax_t>() * 9 / 10);
}

TEST_F(Command, VerifyFindsAnyAlteredByte) {
  build("x.vcn", {"--no-calibrate"});
  EXPECT_EQ(runner.run({"verify", "x.vcn"}).status, 0);
  const std::vector<char> sound = runner.bytes("x.vcn");
  for (std::size_t i = 0; i < 40; ++i) {
    std::vector<char> altered = sound;
    const std::size_t place = i * (sound.size() - 1) / 39;
    altered[place] = static_cast<char>(altered[place] ^ 0x10);
    write_bytes(runner.path("altered.vcn"), altered);
    const CommandResult result = runner.run({"verify", "altered.vcn", "--level", "checksum"});
    EXPECT_EQ(result.status, 1) << "byte " << place;
    EXPECT_THAT(result.err, ::testing::StartsWith("vicinal: ")) << "byte " << place;
  }
  write_bytes(runner.path("short.vcn"), std::span(sound).first(sound.size() / 2));
  EXPECT_EQ(runner.run({"verify", "short.vcn", "--level", "header"}).status, 1);
}

TEST_F(Command, VersionNamesTheKernels) {
  EXPECT_THAT(succeed({"--version"}).out,
              AllOf(HasSubstr(std::string(vicinal::version)), HasSubstr("kernels ")));
}

TEST_F(Command, SpecExplainsEveryStage) {
  EXPECT_THAT(succeed({"spec", "i8 | hnsw | rerank(f16)", "--dim", "100"}).out,
              AllOf(HasSubstr("i8"), HasSubstr("hnsw"), HasSubstr("rerank"), HasSubstr("100 dimensions")));
}

}  // namespace
