#include "vicinal/tools/command_line.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <exception>
#include <new>
#include <stop_token>
#include <string>

#include "vicinal/core/control.hpp"
#include "vicinal/core/error.hpp"
#include "vicinal/core/metric.hpp"
#include "vicinal/core/version.hpp"
#include "vicinal/index/spec.hpp"
#include "vicinal/quant/kernels.hpp"
#include "vicinal/tools/command.hpp"

namespace vicinal::tools {
namespace {

// A signal handler can reach nothing but globals. request_stop() is an atomic operation as long as no stop_callback is
// registered, and nothing here registers one.
std::stop_source interruption;  // NOLINT(cert-err58-cpp)
volatile std::sig_atomic_t signal_number = 0;

extern "C" void on_signal(int number) {
  signal_number = number;
  interruption.request_stop();
}

// Signals stop the command while this lives; then they are again whose they were, which matters to a process that goes on.
class StopOnSignals {
 public:
  StopOnSignals() {
    struct sigaction action {};
    action.sa_handler = on_signal;
    // The second signal is the default one: somebody who insists is not kept waiting.
    action.sa_flags = SA_RESTART | static_cast<int>(SA_RESETHAND);
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, &interrupt_before_);
    sigaction(SIGTERM, &action, &terminate_before_);
  }
  ~StopOnSignals() {
    sigaction(SIGINT, &interrupt_before_, nullptr);
    sigaction(SIGTERM, &terminate_before_, nullptr);
  }
  StopOnSignals(const StopOnSignals&) = delete;
  StopOnSignals& operator=(const StopOnSignals&) = delete;

 private:
  struct sigaction interrupt_before_ {};
  struct sigaction terminate_before_ {};
};

int fail(int status, std::string message, bool one_line = true) {
  if (one_line) std::replace(message.begin(), message.end(), '\n', ' ');
  fmt::print(stderr, "vicinal: {}\n", message);
  return status;
}

int run(const Invocation& invocation) {
  try {
    const int status = invocation.run();
    if (std::fflush(stdout) != 0) return fail(exit_bad_input, "cannot write to standard output");
    return status;
  } catch (const SpecError& error) {
    return fail(exit_usage, error.what(), false);  // the caret needs its line
  } catch (const UsageError& error) {
    return fail(exit_usage, error.what());
  } catch (const Cancelled&) {
    return fail(128 + signal_number, "interrupted, nothing was written");
  } catch (const std::bad_alloc&) {
    return fail(exit_bad_input, "not enough memory");
  } catch (const std::exception& error) {
    return fail(exit_bad_input, error.what());
  }
}

}  // namespace

int run_command_line(int argc, char** argv) {
  CLI::App app("Vector indexes: exact truth, build, search, measure, inspect", "vicinal");
  app.set_version_flag("--version",
                       fmt::format("vicinal {}\nkernels {}", vicinal::version, vicinal::kernels().name));
  app.require_subcommand(1);
  app.footer(
      "Exit status: 0 done, 1 verify found a fault, 2 usage, 3 bad input, 130 interrupted. NO_COLOR is "
      "honoured.");
  Invocation invocation;
  invocation.stop = interruption.get_token();
  add_truth_command(app, invocation);
  add_build_command(app, invocation);
  add_search_command(app, invocation);
  add_eval_command(app, invocation);
  add_explore_command(app, invocation);
  add_info_command(app, invocation);
  add_verify_command(app, invocation);
  add_spec_command(app, invocation);
  // CLI11 would only say that a command is missing.
  const auto commands = app.get_subcommands([](CLI::App*) { return true; });
  const auto is_named = [&](const CLI::App* command) { return command->get_name() == argv[1]; };
  if (argc > 1 && argv[1][0] != '-' && std::ranges::none_of(commands, is_named)) {
    return fail(exit_usage, fmt::format("there is no command \"{}\" (vicinal --help lists them)", argv[1]));
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& success) {
    return app.exit(success);  // --help, --version
  } catch (const CLI::ParseError& error) {
    return fail(exit_usage, std::string(error.what()) + " (vicinal --help)");
  }
  const StopOnSignals stop_on_signals;
  return run(invocation);
}

}  // namespace vicinal::tools
