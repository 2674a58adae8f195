#include <fmt/format.h>

#include <memory>

#include "vicinal/index/spec.hpp"
#include "vicinal/tools/command.hpp"

namespace vicinal::tools {
namespace {

struct SpecCommandOptions {
  std::string spec;
  std::size_t dim = 768;
};

int run_spec(const SpecCommandOptions& options) {
  fmt::print("{}", explain(parse_spec(options.spec), options.dim));
  return exit_ok;
}

}  // namespace

void add_spec_command(CLI::App& app, Invocation& invocation) {
  CLI::App* command =
      app.add_subcommand("spec", "Explain a spec string, or point at the character that is wrong");
  const auto options = std::make_shared<SpecCommandOptions>();
  command->add_option("spec", options->spec, "e.g. \"i8 | hnsw(m=32, efc=200) | rerank(f16, 3x)\"")
      ->required();
  command->add_option("--dim", options->dim, "Dimensions, for bytes a vector")
      ->check(whole_number(1, 1U << 20U))
      ->capture_default_str();
  command->callback([options, &invocation] { invocation.run = [options] { return run_spec(*options); }; });
}

}  // namespace vicinal::tools
