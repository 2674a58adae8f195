#pragma once

namespace vicinal::tools {

/// The `vicinal` command: parses, runs, prints, and returns the exit status (command.hpp). Takes SIGINT and SIGTERM for itself
/// until it returns, so one call at a time. Throws only when an error occurs while another is reported.
int run_command_line(int argc, char** argv);

}  // namespace vicinal::tools
