#include <fmt/format.h>

#include <memory>

#include "vicinal/core/error.hpp"
#include "vicinal/index/index.hpp"
#include "vicinal/tools/command.hpp"
#include "vicinal/tools/formatting.hpp"

namespace vicinal::tools {
namespace {

struct VerifyOptions {
  std::string index;
  std::string level = "structure";
};

int run_verify(const VerifyOptions& options) {
  try {
    const Container file = Container::open(options.index, OpenMode::map);
    if (options.level != "header") file.verify_checksums();
    if (options.level == "structure") static_cast<void>(Index::open(file));
    fmt::print("{}: sound ({}; {} sections, {})\n", options.index, options.level, file.sections().size(),
               bytes_text(file.file_bytes()));
    return exit_ok;
  } catch (const CorruptFile& error) {
    fmt::print(stderr, "vicinal: {}\n", error.what());
    return exit_check_failed;
  }
}

}  // namespace

void add_verify_command(CLI::App& app, Invocation& invocation) {
  CLI::App* command =
      app.add_subcommand("verify", "Check an index file; exit status 0 if it is sound, 1 if it is not");
  const auto options = std::make_shared<VerifyOptions>();
  command->add_option("index", options->index, "The index file (.vcn)")->required();
  command
      ->add_option(
          "--level", options->level,
          "header (directory and bounds), checksum (and every byte), structure (and what the bytes mean)")
      ->check(CLI::IsMember({"header", "checksum", "structure"}))
      ->capture_default_str();
  command->callback([options, &invocation] { invocation.run = [options] { return run_verify(*options); }; });
}

}  // namespace vicinal::tools
