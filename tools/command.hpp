#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <CLI/CLI.hpp>

namespace vicinal::tools {

/// The command's exit statuses; an interrupted run exits with 128 + the signal's number, as shells report it.
enum ExitStatus : int {
  exit_ok = 0,
  exit_check_failed = 1,  ///< verify found a file that is not sound
  exit_usage = 2,         ///< options or a spec string that make no sense
  exit_bad_input = 3,     ///< files that cannot be read or written, or do not fit together
};

/// Options that are well-formed each but not together.
class UsageError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// What a parsed command line asks for. Parsing only fills in `run`, so that its errors are not taken for errors of parsing.
struct Invocation {
  std::stop_token stop;      ///< requested by SIGINT and SIGTERM
  std::function<int()> run;  ///< returns the exit status
};

/// Each adds one subcommand to `app`. `app` and `invocation` must outlive the parsing.
void add_truth_command(CLI::App& app, Invocation& invocation);
void add_build_command(CLI::App& app, Invocation& invocation);
void add_search_command(CLI::App& app, Invocation& invocation);
void add_eval_command(CLI::App& app, Invocation& invocation);
void add_explore_command(CLI::App& app, Invocation& invocation);
void add_info_command(CLI::App& app, Invocation& invocation);
void add_verify_command(CLI::App& app, Invocation& invocation);
void add_spec_command(CLI::App& app, Invocation& invocation);

/// A whole number within bounds, and a recall in (0, 1]; both say what was got and what was expected.
CLI::Validator whole_number(std::uint64_t least, std::uint64_t most);
CLI::Validator recall_target();

/// Options that several commands have, worded alike.
CLI::Option* add_threads_option(CLI::App& command, std::size_t& threads);
CLI::Option* add_k_option(CLI::App& command, std::size_t& k);
CLI::Option* add_query_offsets_option(CLI::App& command, std::string& offsets);
CLI::Option* add_metric_option(CLI::App& command, std::string& metric);

}  // namespace vicinal::tools
