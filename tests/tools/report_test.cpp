#include "vicinal/tools/report.hpp"

#include <gtest/gtest.h>

#include "vicinal/core/error.hpp"
#include "vicinal/core/version.hpp"
#include "../core/temporary_folder.hpp"

namespace {

using namespace vicinal::tools;

const std::string uuid(32, 'a');

BuildReport sample_report() {
  BuildReport report;
  report.seconds = 1.5;
  report.threads = 2;
  report.version = "0.1.0";
  report.cpu = "a \"processor\"";
  report.uuid = uuid;
  report.n = 10;
  report.dim = 4;
  report.spec = "flat";
  report.phases = {{"encoding", 0.5}};
  return report;
}

TEST(BuildReport, IsReadBackWhenItBelongsToTheFile) {
  const TemporaryFolder folder;
  write_build_report(folder / "x.vcn", sample_report());
  EXPECT_EQ(folder.entries(), 1U);
  const auto json = read_build_report(folder / "x.vcn", uuid);
  ASSERT_TRUE(json.has_value());
  EXPECT_EQ((*json)["seconds"], 1.5);
  EXPECT_EQ((*json)["threads"], 2);
  EXPECT_EQ((*json)["cpu"], "a \"processor\"");
  EXPECT_EQ((*json)["phases"][0]["name"], "encoding");
  EXPECT_FALSE(read_build_report(folder / "x.vcn", std::string(32, 'b')).has_value());
  EXPECT_FALSE(read_build_report(folder / "y.vcn", uuid).has_value());
}

TEST(BuildReport, AnythingElseCountsAsAbsent) {
  const TemporaryFolder folder;
  const auto path = build_report_path(folder / "x.vcn");
  const std::string good = R"({"uuid": ")" + uuid + R"(", "seconds": 1, "threads": 2})";
  const auto read = [&](const std::string& text) {
    write_bytes(path, text);
    return read_build_report(folder / "x.vcn", uuid).has_value();
  };
  EXPECT_TRUE(read(good));
  EXPECT_FALSE(read(""));
  EXPECT_FALSE(read("[]"));
  EXPECT_FALSE(read("null"));
  EXPECT_FALSE(read(good.substr(0, good.size() - 1)));
  EXPECT_FALSE(read(R"({"uuid": 3, "seconds": 1, "threads": 2})"));
  EXPECT_FALSE(read(R"({"uuid": ")" + uuid + R"(", "seconds": "1", "threads": 2})"));
  EXPECT_FALSE(read(R"({"uuid": ")" + uuid + R"(", "seconds": 1, "threads": -2})"));
  EXPECT_FALSE(read(std::string(2U << 20U, ' ') + good));
}

TEST(EvaluationReport, HasTheKeysThatOthersRead) {
  EvaluationReport report;
  report.n = 100;
  report.dim = 8;
  report.metric = vicinal::Metric::cosine;
  report.spec = "flat";
  report.memory_bytes = 3200;
  EvaluationPoint point;
  point.effort = 64;
  point.recall = 0.5;
  point.qps = 1000;
  point.latency = {1000, 1000, 900, 2000};
  point.work = {12.5, 0, 3, 400, "flat"};
  report.points.push_back(point);
  const Json json = to_json(report);
  for (const char* key :
       {"points", "build", "memory_bytes", "n", "dim", "metric", "spec", "version", "cpu"}) {
    EXPECT_TRUE(json.contains(key)) << key;
  }
  EXPECT_TRUE(json["build"].is_null());
  EXPECT_EQ(json["metric"], "cosine");
  EXPECT_EQ(json["version"], std::string(vicinal::version));
  const Json& written = json["points"][0];
  EXPECT_EQ(written["effort"], 64);
  EXPECT_EQ(written["recall"], 0.5);
  EXPECT_EQ(written["qps"], 1000.0);
  EXPECT_EQ(written["mean_us"], 1000.0);
  EXPECT_EQ(written["p50_us"], 900.0);
  EXPECT_EQ(written["p99_us"], 2000.0);
  EXPECT_EQ(written["distances"], 12.5);
  EXPECT_EQ(written["bytes"], 400.0);
  EXPECT_FALSE(written.contains("target_recall"));
}

}  // namespace
