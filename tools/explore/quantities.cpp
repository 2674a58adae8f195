#include "vicinal/tools/explore/quantities.hpp"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cmath>
#include <optional>

#include "vicinal/core/error.hpp"

namespace vicinal::tools {
namespace {

struct Unit {
  std::string_view name;
  double factor;
};
constexpr std::array byte_units{Unit{"", 1},         Unit{"B", 1},        Unit{"KiB", 0x1p10},
                                Unit{"MiB", 0x1p20}, Unit{"GiB", 0x1p30}, Unit{"TiB", 0x1p40},
                                Unit{"KB", 1e3},     Unit{"kB", 1e3},     Unit{"MB", 1e6},
                                Unit{"GB", 1e9},     Unit{"TB", 1e12}};
constexpr std::array row_units{Unit{"", 1},    Unit{"k", 1e3}, Unit{"K", 1e3},
                               Unit{"M", 1e6}, Unit{"G", 1e9}, Unit{"B", 1e9}};

template <std::size_t count>
std::optional<double> scaled(std::string_view text, const std::array<Unit, count>& units) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc()) return std::nullopt;
  std::string_view unit(end, static_cast<std::size_t>(text.data() + text.size() - end));
  if (!unit.empty() && unit.front() == ' ') unit.remove_prefix(1);
  for (const auto& known : units) {
    if (unit == known.name) return value * known.factor;
  }
  return std::nullopt;
}

}  // namespace

std::string quality_name(Quality quality, std::size_t k) {
  return fmt::format("{}@{}", quality == Quality::recall ? "recall" : "nDCG", k);
}

std::uint64_t parse_bytes(std::string_view text) {
  const auto bytes = scaled(text, byte_units);
  if (!bytes || !(*bytes >= 1 && *bytes <= 0x1p60))
    throw InvalidArgument(
        fmt::format("\"{}\" is no size in bytes, expected one such as 200MiB, 1.5GiB or 300MB", text));
  return static_cast<std::uint64_t>(*bytes);
}

std::uint64_t parse_rows(std::string_view text) {
  const auto rows = scaled(text, row_units);
  if (!rows || !(*rows >= 1 && *rows <= 0x1p40))
    throw InvalidArgument(
        fmt::format("\"{}\" is no number of rows, expected one such as 50M, 200k or 62440", text));
  return static_cast<std::uint64_t>(std::llround(*rows));
}

Floor parse_floor(std::string_view text) {
  const auto refuse = [&]() -> InvalidArgument {
    return InvalidArgument(fmt::format(
        "\"{}\" is no floor, expected one such as recall@10=.95 or ndcg@10=.6, above 0 and at most 1", text));
  };
  Floor floor;
  std::string_view value = text;
  if (const auto sign = text.find('='); sign != std::string_view::npos) {
    value = text.substr(sign + 1);
    std::string_view name = text.substr(0, sign);
    if (const auto at = name.find('@'); at != std::string_view::npos) {
      const std::string_view k = name.substr(at + 1);
      const auto [end, error] = std::from_chars(k.data(), k.data() + k.size(), floor.k);
      if (error != std::errc() || end != k.data() + k.size() || floor.k == 0) throw refuse();
      name = name.substr(0, at);
    }
    if (name != "recall" && name != "ndcg" && name != "nDCG") throw refuse();
    floor.quality = name == "recall" ? Quality::recall : Quality::ndcg;
  }
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), floor.value);
  if (error != std::errc() || end != value.data() + value.size() || !(floor.value > 0 && floor.value <= 1))
    throw refuse();
  return floor;
}

}  // namespace vicinal::tools
