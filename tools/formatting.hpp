#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace vicinal::tools {

/// 1234567 -> "1,234,567".
std::string thousands(std::uint64_t value);
/// Rounded to the nearest whole number: 1234.5 -> "1,235". Below 100, `decimals` digits are kept.
std::string thousands(double value, int decimals = 0);
/// "512 B", "1.5 KiB", "12.3 MiB".
std::string bytes_text(std::uint64_t bytes);
/// "0.42 s", "12.3 s", "2 min 05 s".
std::string duration_text(double seconds);
/// Terminal columns of UTF-8 text, one a code point.
std::size_t display_width(std::string_view text);

/// Lines of aligned columns, made one at a time so that rows can be printed as they are measured: every column is as wide as
/// its title or `width`, whichever is more, and a wider cell pushes the rest of its line.
class TableLayout {
 public:
  struct Column {
    std::string title;
    std::size_t width = 0;
    bool left = false;  ///< aligned to the left (names), else to the right (numbers)
  };
  explicit TableLayout(std::vector<Column> columns);

  [[nodiscard]] std::string header() const;  ///< the titles and a rule below, two lines with their ends
  [[nodiscard]] std::string row(const std::vector<std::string>& cells) const;  ///< one line with its end

 private:
  std::vector<Column> columns_;
};

}  // namespace vicinal::tools
