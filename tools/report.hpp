#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>
#include <nlohmann/json.hpp>

#include "vicinal/core/container.hpp"
#include "vicinal/index/index.hpp"
#include "vicinal/tools/evaluation.hpp"
#include "vicinal/tools/progress.hpp"

namespace vicinal::tools {

using Json = nlohmann::ordered_json;

/// How a file was built: what must not be in the file itself, because the file depends on data and parameters alone. Lies
/// beside it as "<file>.build.json" and names it by its uuid, so that a stale one is noticed.
struct BuildReport {
  double seconds = 0;
  std::size_t threads = 0;
  std::string version;
  std::string cpu;
  std::string uuid;  ///< of the .vcn file, 32 hexadecimal digits
  std::size_t n = 0;
  std::size_t dim = 0;
  std::string spec;
  std::vector<Progress::Phase> phases;
};
std::filesystem::path build_report_path(const std::filesystem::path& index_path);
/// Atomically; throws IoError.
void write_build_report(const std::filesystem::path& index_path, const BuildReport& report);
/// The report beside `index_path` when there is one that is well-formed and belongs to the file of this uuid.
std::optional<Json> read_build_report(const std::filesystem::path& index_path, const std::string& uuid);

/// 32 hexadecimal digits.
std::string uuid_text(const Container& file);

/// A series of operating points and what they were measured on.
struct EvaluationReport {
  std::vector<EvaluationPoint> points;
  std::optional<Json> build;
  std::size_t memory_bytes = 0;
  std::size_t n = 0;
  std::size_t dim = 0;
  Metric metric = Metric::l2;
  std::string spec;
  std::uint64_t seed = 0;
  std::size_t k = 0;
  std::size_t queries = 0;
  std::size_t threads = 1;
};
/// {"points": [{"effort", "recall", "qps", "mean_us", "p50_us", "p99_us", "distances", "bytes", ...}], "build", "memory_bytes",
/// "n", "dim", "metric", "spec", "version", "cpu", ...}; distances and bytes are means per query.
Json to_json(const EvaluationReport& report);

/// Atomically, indented, with a final newline; throws IoError.
void write_json(const std::filesystem::path& path, const Json& json);
void write_text(const std::filesystem::path& path, const std::string& text);

}  // namespace vicinal::tools
