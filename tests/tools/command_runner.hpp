#pragma once

#include <sys/types.h>

#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "vicinal/core/matrix_view.hpp"
#include "vicinal/core/metric.hpp"
#include "vicinal/core/neighbors.hpp"
#include "../core/temporary_folder.hpp"

/// What a run of the command did.
struct CommandResult {
  int status = -1;  ///< exit status, or 128 + the signal that ended it
  std::string out;
  std::string err;
};

/// Where its stderr goes: a pseudo-terminal, or a file.
struct Terminal {
  bool stderr_is_terminal = false;
  bool no_color = false;
};

/// The built `vicinal`, started in a folder of its own that is removed in the end; paths are relative to it.
class CommandRunner {
 public:
  CommandResult run(const std::vector<std::string>& arguments, Terminal terminal = {});
  /// Starts it and returns its process; wait_for() must follow. Output goes to files outside the folder.
  pid_t start(const std::vector<std::string>& arguments, Terminal terminal = {});
  CommandResult wait_for(pid_t process);

  [[nodiscard]] std::filesystem::path path(const std::string& name) const { return work_ / name; }
  [[nodiscard]] std::set<std::string> files() const;  ///< names in the folder
  [[nodiscard]] bool has(const std::string& name) const { return std::filesystem::exists(path(name)); }
  [[nodiscard]] std::vector<char> bytes(const std::string& name) const { return read_bytes(path(name)); }

  /// Writes rows x dim values in clusters, the same for the same stream.
  void write_vectors(const std::string& name, std::size_t rows, std::size_t dim, std::uint64_t stream) const;

 private:
  TemporaryFolder work_;
  TemporaryFolder output_;
  int terminal_ = -1;
};

/// Exact neighbours in double precision, ties by row number: an oracle that shares no code with the library.
std::vector<std::vector<vicinal::Id>> brute_force(vicinal::MatrixView<const float> base,
                                                  vicinal::MatrixView<const float> queries, std::size_t k,
                                                  vicinal::Metric metric);
