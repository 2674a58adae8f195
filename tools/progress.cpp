#include "vicinal/tools/progress.hpp"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "vicinal/tools/formatting.hpp"

namespace vicinal::tools {
namespace {

std::size_t terminal_columns() {
  winsize size{};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

std::string clock_text(double seconds) {
  if (!(seconds < 360'000)) return "-:--";
  const auto whole = static_cast<std::uint64_t>(std::ceil(seconds));
  if (whole >= 3600) return fmt::format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
  return fmt::format("{}:{:02}", whole / 60, whole % 60);
}

bool variable_is_set(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr && *value != '\0';
}

}  // namespace

Progress::Progress() {
  const char* terminal = std::getenv("TERM");
  visible_ = isatty(STDERR_FILENO) == 1 && terminal != nullptr && std::string_view(terminal) != "dumb";
  colour_ = visible_ && !variable_is_set("NO_COLOR");
}

Progress::~Progress() { finish(); }

void Progress::end_phase(Clock::time_point now) {
  if (phase_.empty()) return;
  const double seconds = std::chrono::duration<double>(now - phase_start_).count();
  const auto known =
      std::find_if(phases_.begin(), phases_.end(), [&](const Phase& p) { return p.name == phase_; });
  if (known != phases_.end()) {
    known->seconds += seconds;
  } else {
    phases_.push_back({phase_, seconds});
  }
  phase_.clear();
}

void Progress::report(std::string_view phase, std::uint64_t done, std::uint64_t total) {
  const auto now = Clock::now();
  const bool begins = phase != phase_;
  if (begins) {
    end_phase(now);
    phase_ = phase;
    phase_start_ = now;
  }
  if (!visible_ || (!begins && now - last_draw_ < std::chrono::milliseconds(100))) return;
  last_draw_ = now;
  drawn_ = true;
  draw(done, total, std::chrono::duration<double>(now - phase_start_).count());
}

void Progress::draw(std::uint64_t done, std::uint64_t total, double elapsed) const {
  const double fraction =
      total == 0 ? 0 : std::clamp(static_cast<double>(done) / static_cast<double>(total), 0.0, 1.0);
  std::string tail = fmt::format(" {:3.0f} %", std::floor(fraction * 100));
  if (done > 0 && elapsed > 0.2) {
    tail += fmt::format("  {}/s", thousands(static_cast<double>(done) / elapsed));
    if (fraction > 0) tail += fmt::format("  ETA {}", clock_text(elapsed * (1 - fraction) / fraction));
  }
  const std::string head = fmt::format("{:<12} ", phase_);
  const std::size_t text = display_width(head) + tail.size() + 1;
  const std::size_t columns = terminal_columns();
  const std::size_t width = columns > text + 10 ? std::min<std::size_t>(40, columns - text) : 0;
  const auto full = static_cast<std::size_t>(fraction * static_cast<double>(width));
  std::string bar = colour_ ? "\x1b[36m" : "";
  for (std::size_t i = 0; i < full; ++i) bar += "━";
  if (colour_) bar += "\x1b[90m";
  for (std::size_t i = full; i < width; ++i) bar += colour_ ? "━" : "·";
  if (colour_) bar += "\x1b[0m";
  fmt::print(stderr, "\r\x1b[K{}{}{}", head, bar, tail);
  std::fflush(stderr);
}

void Progress::finish() {
  end_phase(Clock::now());
  if (!drawn_) return;
  drawn_ = false;
  std::fputs("\r\x1b[K", stderr);
  std::fflush(stderr);
}

}  // namespace vicinal::tools
