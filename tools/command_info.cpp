#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "vicinal/index/index.hpp"
#include "vicinal/tools/command.hpp"
#include "vicinal/tools/formatting.hpp"
#include "vicinal/tools/report.hpp"

namespace vicinal::tools {
namespace {

struct InfoOptions {
  std::string index;
  bool json = false;
};

std::string_view element_name(ElementType type) {
  switch (type) {
    case ElementType::bytes: return "bytes";
    case ElementType::u8: return "u8";
    case ElementType::i8: return "i8";
    case ElementType::u16: return "u16";
    case ElementType::f16: return "f16";
    case ElementType::bf16: return "bf16";
    case ElementType::u32: return "u32";
    case ElementType::f32: return "f32";
    case ElementType::u64: return "u64";
    case ElementType::i64: return "i64";
    case ElementType::f64: return "f64";
  }
  return "unknown";
}

Json info_json(const Container& file, const Index& index, const std::optional<Json>& build) {
  Json json = {{"spec", to_string(index.spec())},
               {"n", index.size()},
               {"duplicates", index.duplicates()},
               {"dim", index.dim()},
               {"metric", std::string(to_string(index.metric()))},
               {"seed", index.seed()},
               {"ids", index.ids().empty() ? "row numbers" : "given"},
               {"uuid", uuid_text(file)},
               {"memory_bytes", index.memory_bytes()},
               {"file_bytes", file.file_bytes()},
               {"sections", Json::array()},
               {"calibration", nullptr},
               {"build", build ? *build : Json(nullptr)}};
  for (const auto& section : file.sections()) {
    json["sections"].push_back({{"name", section.name},
                                {"type", std::string(element_name(section.type))},
                                {"version", section.version},
                                {"bytes", section.length},
                                {"checksum", fmt::format("{:016x}", section.checksum)}});
  }
  if (const auto& calibration = index.calibration()) {
    json["calibration"] = {{"k", calibration->k},
                           {"queries", calibration->queries},
                           {"given_queries", calibration->given_queries},
                           {"points", Json::array()}};
    for (const auto& point : calibration->points) {
      json["calibration"]["points"].push_back({{"effort", point.effort}, {"recall", point.recall}});
    }
  }
  return json;
}

void print_sections(const Container& file) {
  const TableLayout table({{"section", 24, true}, {"type", 5, true}, {"bytes", 15}, {"share", 6}});
  fmt::print("\n{}", table.header());
  std::uint64_t data = 0;
  const auto share = [&](std::uint64_t bytes) {
    return fmt::format("{:.1f} %",
                       100.0 * static_cast<double>(bytes) / static_cast<double>(file.file_bytes()));
  };
  for (const auto& section : file.sections()) {
    fmt::print("{}", table.row({section.name, std::string(element_name(section.type)),
                                thousands(section.length), share(section.length)}));
    data += section.length;
  }
  const std::uint64_t rest = file.file_bytes() - data;
  fmt::print("{}", table.row({"(directory and padding)", "", thousands(rest), share(rest)}));
}

void print_info(const std::string& path, const Container& file, const Index& index,
                const std::optional<Json>& build) {
  const auto line = [](std::string_view name, const std::string& value) {
    fmt::print("{:<12}{}\n", name, value);
  };
  line("file", fmt::format("{} ({})", path, bytes_text(file.file_bytes())));
  line("spec", to_string(index.spec()));
  line("vectors", fmt::format("{} of dimension {}, {}", thousands(index.size()), index.dim(),
                              to_string(index.metric())));
  if (index.spec().dedup != Deduplication::none) {
    line("duplicates", fmt::format("{}, {} distinct vectors are kept", thousands(index.duplicates()),
                                   thousands(index.size() - index.duplicates())));
  }
  line("ids", index.ids().empty() ? "row numbers" : "given at the build");
  line("memory", fmt::format("{}, {} bytes a vector", bytes_text(index.memory_bytes()),
                             thousands(index.memory_bytes() / std::max<std::size_t>(index.size(), 1))));
  line("seed", std::to_string(index.seed()));
  line("uuid", uuid_text(file));
  if (build) {
    line("built", fmt::format("in {} with {} thread(s)", duration_text((*build)["seconds"].get<double>()),
                              (*build)["threads"].get<std::size_t>()));
  }
  print_sections(file);
  if (const auto& calibration = index.calibration()) {
    fmt::print("\ncalibration: recall@{} of {} {}\n", calibration->k, thousands(calibration->queries),
               calibration->given_queries ? "given queries" : "rows, each searched for as if it were absent");
    const TableLayout table({{"effort", 8}, {"recall", 8}});
    fmt::print("{}", table.header());
    for (const auto& point : calibration->points)
      fmt::print("{}", table.row({std::to_string(point.effort), fmt::format("{:.4f}", point.recall)}));
  } else {
    fmt::print("\nnot calibrated\n");
  }
}

int run_info(const InfoOptions& options) {
  const Container file = Container::open(options.index, OpenMode::map);
  const Index index = Index::open(file);
  const auto build = read_build_report(options.index, uuid_text(file));
  if (options.json) {
    fmt::print("{}\n", info_json(file, index, build).dump(2, ' ', false, Json::error_handler_t::replace));
  } else {
    print_info(options.index, file, index, build);
  }
  return exit_ok;
}

}  // namespace

void add_info_command(CLI::App& app, Invocation& invocation) {
  CLI::App* command = app.add_subcommand(
      "info", "What an index file holds: parameters, bytes by part, calibration, provenance");
  const auto options = std::make_shared<InfoOptions>();
  command->add_option("index", options->index, "The index file (.vcn)")->required();
  command->add_flag("--json", options->json, "As JSON");
  command->callback([options, &invocation] { invocation.run = [options] { return run_info(*options); }; });
}

}  // namespace vicinal::tools
