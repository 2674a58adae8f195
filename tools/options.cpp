// Options that several commands share, and what their values may be.
#include <fmt/format.h>

#include <charconv>
#include <limits>

#include "vicinal/tools/command.hpp"

namespace vicinal::tools {

CLI::Validator whole_number(std::uint64_t least, std::uint64_t most) {
  const auto check = [least, most](std::string& text) -> std::string {
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error == std::errc() && end == text.data() + text.size() && value >= least && value <= most)
      return {};
    if (most == std::numeric_limits<std::uint64_t>::max()) {
      return fmt::format("\"{}\" is not a whole number of at least {}", text, least);
    }
    return fmt::format("\"{}\" is not a whole number from {} to {}", text, least, most);
  };
  return {check, ""};
}

CLI::Validator recall_target() {
  const auto check = [](std::string& text) -> std::string {
    double value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error == std::errc() && end == text.data() + text.size() && value > 0 && value <= 1) return {};
    return fmt::format("\"{}\" is not a number above 0 and at most 1", text);
  };
  return {check, ""};
}

CLI::Option* add_threads_option(CLI::App& command, std::size_t& threads) {
  return command.add_option("--threads", threads, "Threads to use")
      ->check(whole_number(1, 1024))
      ->capture_default_str();
}

CLI::Option* add_k_option(CLI::App& command, std::size_t& k) {
  return command.add_option("-k,--k", k, "Neighbours a query")
      ->check(whole_number(1, 1U << 20U))
      ->capture_default_str();
}

CLI::Option* add_query_offsets_option(CLI::App& command, std::string& offsets) {
  return command.add_option(
      "--query-offsets", offsets,
      "Queries of several vectors: where each begins, and their end (.npy); for specs with maxsim");
}

CLI::Option* add_metric_option(CLI::App& command, std::string& metric) {
  return command.add_option("--metric", metric, "l2 (squared Euclidean), ip (inner product) or cosine")
      ->check(CLI::IsMember({"l2", "ip", "cosine"}))
      ->required();
}

}  // namespace vicinal::tools
