#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "vicinal/core/control.hpp"

namespace vicinal::tools {

/// A progress bar on stderr: phase, percentage, items a second, time left. Shown only when stderr is a terminal that is not
/// "dumb", redrawn at most ten times a second, in colour unless NO_COLOR is set, and wiped away at the end, so that what
/// remains on the screen is the result. Elsewhere it prints nothing. In either case it keeps how long each phase took.
/// Not thread-safe: reports come from one thread, as BuildControl promises.
class Progress {
 public:
  struct Phase {
    std::string name;
    double seconds = 0;
  };

  Progress();
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void report(std::string_view phase, std::uint64_t done, std::uint64_t total);
  /// Wipes the bar and ends the current phase; before anything else is printed.
  void finish();
  /// The phases so far, in order; one that comes again is added to its first.
  [[nodiscard]] const std::vector<Phase>& phases() const { return phases_; }
  /// For BuildControl::progress; must not outlive this object.
  [[nodiscard]] auto callback() {
    return [this](std::string_view phase, std::uint64_t done, std::uint64_t total) {
      report(phase, done, total);
    };
  }

 private:
  using Clock = std::chrono::steady_clock;
  void end_phase(Clock::time_point now);
  void draw(std::uint64_t done, std::uint64_t total, double elapsed) const;

  bool visible_ = false;
  bool colour_ = false;
  bool drawn_ = false;
  std::string phase_;
  Clock::time_point phase_start_;
  Clock::time_point last_draw_;
  std::vector<Phase> phases_;
};

}  // namespace vicinal::tools
