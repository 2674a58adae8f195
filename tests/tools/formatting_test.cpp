#include "vicinal/tools/formatting.hpp"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <limits>

namespace {

using namespace vicinal::tools;

TEST(Formatting, Thousands) {
  EXPECT_EQ(thousands(std::uint64_t{0}), "0");
  EXPECT_EQ(thousands(std::uint64_t{999}), "999");
  EXPECT_EQ(thousands(std::uint64_t{1000}), "1,000");
  EXPECT_EQ(thousands(std::uint64_t{1234567}), "1,234,567");
  EXPECT_EQ(thousands(1234.5), "1,235");
  EXPECT_EQ(thousands(12.34, 1), "12.3");
  EXPECT_EQ(thousands(-4321.0), "-4,321");
  EXPECT_EQ(thousands(std::numeric_limits<double>::infinity()), "-");
}

RC_GTEST_PROP(Formatting, ThousandsAreTheDigitsWithACommaEveryThree, (std::uint64_t value)) {
  std::string text = thousands(value);
  for (std::size_t i = 0; i < text.size(); ++i) RC_ASSERT((text[text.size() - 1 - i] == ',') == (i % 4 == 3));
  text.erase(std::remove(text.begin(), text.end(), ','), text.end());
  RC_ASSERT(text == std::to_string(value));
}

TEST(Formatting, BytesAndDurations) {
  EXPECT_EQ(bytes_text(1023), "1023 B");
  EXPECT_EQ(bytes_text(1536), "1.5 KiB");
  EXPECT_EQ(bytes_text(std::uint64_t{3} << 30U), "3.0 GiB");
  EXPECT_EQ(duration_text(0.424), "0.42 s");
  EXPECT_EQ(duration_text(12.34), "12.3 s");
  EXPECT_EQ(duration_text(125), "2 min 05 s");
  EXPECT_EQ(duration_text(7500), "2 h 05 min");
}

TEST(Formatting, ATableIsAlignedWhateverTheLetters) {
  const TableLayout table({{"name", 6, true}, {"mean µs", 9}});
  EXPECT_EQ(table.header(), "name      mean µs\n─────────────────\n");
  EXPECT_EQ(table.row({"a", "1.5"}), "a             1.5\n");
  EXPECT_EQ(table.row({"µµ", ""}), "µµ\n");
}

}  // namespace
