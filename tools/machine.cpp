#include "vicinal/tools/machine.hpp"

#include <sched.h>
#include <sys/utsname.h>

#include <algorithm>
#include <fstream>
#include <string_view>
#include <thread>

namespace vicinal::tools {
namespace {

// The value of the first "<key> : <value>" line of /proc/cpuinfo, without runs of blanks.
std::string cpuinfo_value(std::string_view key) {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with(key)) continue;
    const auto colon = line.find(':');
    if (colon == std::string::npos) continue;
    std::string value;
    for (const char c : line.substr(colon + 1)) {
      const bool blank = c == ' ' || c == '\t';
      if (!blank) value.push_back(c);
      if (blank && !value.empty() && value.back() != ' ') value.push_back(' ');
    }
    while (!value.empty() && value.back() == ' ') value.pop_back();
    if (!value.empty()) return value;
  }
  return {};
}

}  // namespace

std::string cpu_model() {
  for (const std::string_view key : {"model name", "Model", "Hardware"}) {
    if (auto value = cpuinfo_value(key); !value.empty()) return value;
  }
  utsname name{};
  return uname(&name) == 0 ? std::string(name.machine) : std::string("unknown");
}

std::size_t usable_threads() {
  cpu_set_t mask;
  CPU_ZERO(&mask);
  if (sched_getaffinity(0, sizeof(mask), &mask) == 0)
    return static_cast<std::size_t>(std::max(1, CPU_COUNT(&mask)));
  return std::max(1U, std::thread::hardware_concurrency());
}

}  // namespace vicinal::tools
