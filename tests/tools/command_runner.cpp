#include "command_runner.hpp"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <utility>

#include "vicinal/core/random.hpp"
#include "vicinal/core/vector_file.hpp"

namespace {

int open_output(const std::filesystem::path& path) {
  const int file = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (file < 0) throw std::runtime_error("cannot write " + path.string());
  return file;
}

// The two ends of a pseudo-terminal.
std::pair<int, int> open_terminal() {
  const int ours = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (ours < 0 || grantpt(ours) != 0 || unlockpt(ours) != 0) throw std::runtime_error("no pseudo-terminal");
  const int theirs = open(ptsname(ours), O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (theirs < 0) throw std::runtime_error("cannot open the pseudo-terminal");
  return {ours, theirs};
}

std::string text_of(const std::filesystem::path& path) {
  const std::vector<char> bytes = read_bytes(path);
  return {bytes.begin(), bytes.end()};
}

double distance(std::span<const float> a, std::span<const float> b, vicinal::Metric metric) {
  double dot = 0, l2 = 0, aa = 0, bb = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double x = a[i], y = b[i];
    dot += x * y;
    l2 += (x - y) * (x - y);
    aa += x * x;
    bb += y * y;
  }
  if (metric == vicinal::Metric::l2) return l2;
  return metric == vicinal::Metric::ip ? -dot : 1 - dot / std::sqrt(aa * bb);
}

}  // namespace

CommandResult CommandRunner::run(const std::vector<std::string>& arguments, Terminal terminal) {
  return wait_for(start(arguments, terminal));
}

pid_t CommandRunner::start(const std::vector<std::string>& arguments, Terminal terminal) {
  std::vector<char*> argv{const_cast<char*>(VICINAL_COMMAND)};
  for (const auto& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  const int out = open_output(output_ / "out");
  int err = -1;
  if (terminal.stderr_is_terminal) {
    std::tie(terminal_, err) = open_terminal();
  } else {
    err = open_output(output_ / "err");
  }
  const std::string folder = work_.path().string();
  const pid_t process = fork();
  if (process < 0) throw std::runtime_error("cannot fork");
  if (process == 0) {
    setenv("TERM", "xterm", 1);
    terminal.no_color ? setenv("NO_COLOR", "1", 1) : unsetenv("NO_COLOR");
    if (chdir(folder.c_str()) != 0 || dup2(out, STDOUT_FILENO) < 0 || dup2(err, STDERR_FILENO) < 0)
      _exit(126);
    execv(argv[0], argv.data());
    _exit(127);
  }
  close(out);
  close(err);
  return process;
}

CommandResult CommandRunner::wait_for(pid_t process) {
  CommandResult result;
  if (terminal_ >= 0) {
    // Read while it runs: a full terminal would stop it. The read fails once the other end is closed.
    char buffer[4096];
    for (ssize_t got = 0; (got = read(terminal_, buffer, sizeof(buffer))) > 0;) {
      result.err.append(buffer, static_cast<std::size_t>(got));
    }
    close(terminal_);
  }
  int status = 0;
  if (waitpid(process, &status, 0) != process) throw std::runtime_error("cannot wait for the command");
  result.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  result.out = text_of(output_ / "out");
  if (terminal_ < 0) result.err = text_of(output_ / "err");
  terminal_ = -1;
  return result;
}

std::set<std::string> CommandRunner::files() const {
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(work_.path()))
    names.insert(entry.path().filename().string());
  return names;
}

void CommandRunner::write_vectors(const std::string& name, std::size_t rows, std::size_t dim,
                                  std::uint64_t stream) const {
  constexpr std::size_t clusters = 20;
  vicinal::RandomStream centres(11, 0);
  std::vector<float> centre(clusters * dim);
  for (float& value : centre) value = static_cast<float>(centres.next_unit() * 2 - 1);
  vicinal::RandomStream random(12, stream);
  std::vector<float> values(rows * dim);
  for (std::size_t row = 0; row < rows; ++row) {
    const std::size_t cluster = random.next_below(clusters);
    for (std::size_t i = 0; i < dim; ++i) {
      values[row * dim + i] = centre[cluster * dim + i] + static_cast<float>(random.next_unit() - 0.5);
    }
  }
  vicinal::write_vectors(path(name), {values.data(), rows, dim});
}

std::vector<std::vector<vicinal::Id>> brute_force(vicinal::MatrixView<const float> base,
                                                  vicinal::MatrixView<const float> queries, std::size_t k,
                                                  vicinal::Metric metric) {
  std::vector<std::vector<vicinal::Id>> nearest;
  for (std::size_t q = 0; q < queries.rows(); ++q) {
    std::vector<std::pair<double, vicinal::Id>> all;
    for (std::size_t row = 0; row < base.rows(); ++row) {
      all.emplace_back(distance(queries[q], base[row], metric), static_cast<vicinal::Id>(row));
    }
    std::sort(all.begin(), all.end());
    auto& ids = nearest.emplace_back();
    for (std::size_t i = 0; i < std::min(k, all.size()); ++i) ids.push_back(all[i].second);
  }
  return nearest;
}
