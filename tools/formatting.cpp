#include "vicinal/tools/formatting.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace vicinal::tools {

std::string thousands(std::uint64_t value) {
  const std::string digits = std::to_string(value);
  std::string text;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) text.push_back(',');
    text.push_back(digits[i]);
  }
  return text;
}

std::string thousands(double value, int decimals) {
  if (!std::isfinite(value)) return "-";
  if (std::abs(value) < 100) return fmt::format("{:.{}f}", value, decimals);
  const std::string sign = value < 0 ? "-" : "";
  return sign + thousands(static_cast<std::uint64_t>(std::llround(std::abs(value))));
}

std::string bytes_text(std::uint64_t bytes) {
  if (bytes < 1024) return fmt::format("{} B", bytes);
  constexpr std::array units{"KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(bytes) / 1024;
  std::size_t unit = 0;
  while (value >= 1024 && unit + 1 < units.size()) value /= 1024, ++unit;
  return fmt::format("{:.1f} {}", value, units[unit]);
}

std::string duration_text(double seconds) {
  if (seconds < 10) return fmt::format("{:.2f} s", seconds);
  if (seconds < 100) return fmt::format("{:.1f} s", seconds);
  const auto whole = std::llround(seconds);
  if (whole < 3600) return fmt::format("{} min {:02} s", whole / 60, whole % 60);
  return fmt::format("{} h {:02} min", whole / 3600, whole % 3600 / 60);
}

std::size_t display_width(std::string_view text) {
  // Continuation bytes of UTF-8 are 10xxxxxx.
  return static_cast<std::size_t>(std::count_if(
      text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; }));
}

TableLayout::TableLayout(std::vector<Column> columns) : columns_(std::move(columns)) {
  for (auto& column : columns_) column.width = std::max(column.width, display_width(column.title));
}

std::string TableLayout::header() const {
  std::vector<std::string> titles;
  std::size_t width = 0;
  for (const auto& column : columns_) {
    titles.push_back(column.title);
    width += column.width + (width == 0 ? 0 : 2);
  }
  std::string rule;
  for (std::size_t i = 0; i < width; ++i) rule += "─";
  return row(titles) + rule + "\n";
}

std::string TableLayout::row(const std::vector<std::string>& cells) const {
  std::string line;
  for (std::size_t i = 0; i < columns_.size() && i < cells.size(); ++i) {
    const std::size_t width = display_width(cells[i]);
    const std::string padding(columns_[i].width > width ? columns_[i].width - width : 0, ' ');
    if (i > 0) line += "  ";
    line += columns_[i].left ? cells[i] + padding : padding + cells[i];
  }
  while (!line.empty() && line.back() == ' ') line.pop_back();
  return line + "\n";
}

}  // namespace vicinal::tools
