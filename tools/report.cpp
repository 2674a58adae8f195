#include "vicinal/tools/report.hpp"

#include <fmt/format.h>

#include <fstream>

#include "vicinal/core/atomic_file.hpp"
#include "vicinal/core/version.hpp"
#include "vicinal/quant/kernels.hpp"
#include "vicinal/tools/machine.hpp"

namespace vicinal::tools {
namespace {

// A report is a page at most; a file beyond this is something else.
constexpr std::uintmax_t most_report_bytes = 1U << 20U;

Json point_json(const EvaluationPoint& point) {
  Json json = {{"effort", point.effort},
               {"recall", point.recall},
               {"qps", point.qps},
               {"mean_us", point.latency.mean_us},
               {"p50_us", point.latency.p50_us},
               {"p99_us", point.latency.p99_us},
               {"distances", point.work.distances},
               {"reranked", point.work.reranked},
               {"hops", point.work.hops},
               {"bytes", point.work.bytes},
               {"strategy", point.work.strategy}};
  if (point.target_recall) json["target_recall"] = *point.target_recall;
  return json;
}

}  // namespace

std::filesystem::path build_report_path(const std::filesystem::path& index_path) {
  return index_path.string() + ".build.json";
}

void write_build_report(const std::filesystem::path& index_path, const BuildReport& report) {
  Json json = {{"seconds", report.seconds}, {"threads", report.threads}, {"version", report.version},
               {"cpu", report.cpu},         {"uuid", report.uuid},       {"n", report.n},
               {"dim", report.dim},         {"spec", report.spec},       {"phases", Json::array()}};
  for (const auto& phase : report.phases)
    json["phases"].push_back({{"name", phase.name}, {"seconds", phase.seconds}});
  write_json(build_report_path(index_path), json);
}

std::optional<Json> read_build_report(const std::filesystem::path& index_path, const std::string& uuid) {
  const auto path = build_report_path(index_path);
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error) ||
      std::filesystem::file_size(path, error) > most_report_bytes) {
    return std::nullopt;
  }
  std::ifstream file(path, std::ios::binary);
  Json json = Json::parse(file, nullptr, /*allow_exceptions=*/false);
  // The report is a convenience beside the file and anybody may have edited it: whatever is not as written counts as absent.
  const auto has = [&](const char* key, auto is_type) {
    return json.contains(key) && (json[key].*is_type)();
  };
  if (!json.is_object() || !has("uuid", &Json::is_string) || !has("seconds", &Json::is_number) ||
      !has("threads", &Json::is_number_unsigned) || json["uuid"] != uuid) {
    return std::nullopt;
  }
  return json;
}

std::string uuid_text(const Container& file) {
  std::string text;
  for (const std::uint8_t byte : file.uuid()) text += fmt::format("{:02x}", byte);
  return text;
}

Json to_json(const EvaluationReport& report) {
  Json json;
  json["points"] = Json::array();
  for (const auto& point : report.points) json["points"].push_back(point_json(point));
  json["build"] = report.build ? *report.build : Json(nullptr);
  json["memory_bytes"] = report.memory_bytes;
  json["n"] = report.n;
  json["dim"] = report.dim;
  json["metric"] = std::string(to_string(report.metric));
  json["spec"] = report.spec;
  json["seed"] = report.seed;
  json["k"] = report.k;
  json["queries"] = report.queries;
  json["threads"] = report.threads;
  json["version"] = std::string(version);
  json["cpu"] = cpu_model();
  json["kernels"] = std::string(kernels().name);
  return json;
}

void write_text(const std::filesystem::path& path, const std::string& text) {
  write_file_atomically(path, std::as_bytes(std::span(text.data(), text.size())));
}

void write_json(const std::filesystem::path& path, const Json& json) {
  write_text(path, json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

}  // namespace vicinal::tools
