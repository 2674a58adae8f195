#include "vicinal/tools/plot.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <limits>
#include <regex>
#include <set>

#include "vicinal/tools/plot_scale.hpp"

namespace {

using namespace vicinal::tools;
using ::testing::HasSubstr;
using ::testing::Not;

// Empty when every tag is closed in order and no raw "<" or "&" is left in text and attributes; else what is wrong.
std::string xml_fault(const std::string& xml) {
  std::vector<std::string> open;
  std::size_t at = 0;
  while (at < xml.size()) {
    if (xml[at] == '&') {
      const std::size_t end = xml.find(';', at);
      static const std::set<std::string> entities{"&amp;", "&lt;", "&gt;", "&quot;"};
      if (end == std::string::npos || !entities.contains(xml.substr(at, end - at + 1)))
        return "a bare ampersand";
    }
    if (xml[at] != '<') {
      ++at;
      continue;
    }
    const std::size_t end = xml.find('>', at);
    if (end == std::string::npos) return "a tag without end";
    const std::string tag = xml.substr(at + 1, end - at - 1);
    static const std::regex shape(R"(/?[a-z]+( [a-zA-Z0-9:-]+="[^"<]*")*/?)");
    if (!std::regex_match(tag, shape)) return "a malformed tag: " + tag;
    const std::string name =
        tag.substr(tag[0] == '/' ? 1 : 0, tag.find_first_of(" /", 1) - (tag[0] == '/' ? 1 : 0));
    if (tag[0] == '/') {
      if (open.empty() || open.back() != tag.substr(1)) return "</" + name + "> closes nothing";
      open.pop_back();
    } else if (tag.back() != '/') {
      open.push_back(name);
    }
    at = end + 1;
  }
  return open.empty() ? "" : "<" + open.back() + "> is not closed";
}

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t times = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++times;
  return times;
}

RecallPlot two_curves() {
  RecallPlot plot;
  plot.title = "Recall & speed <of> \"things\"";
  plot.subtitle = "10,000 vectors";
  plot.series = {
      {"i8 | hnsw", {{0.9, 9000, "effort 10"}, {0.99, 3000, "effort 64"}, {1.0, 1000, "effort 256"}}},
      {"flat", {{1.0, 50, ""}}}};
  return plot;
}

TEST(Plot, IsWellFormedXml) {
  const std::string svg = render_svg(two_curves());
  EXPECT_EQ(xml_fault(svg), "") << svg;
  EXPECT_THAT(svg, HasSubstr("viewBox=\"0 0 960 "));
  EXPECT_THAT(svg, HasSubstr("Recall &amp; speed &lt;of&gt; &quot;things&quot;"));
  EXPECT_THAT(svg, Not(HasSubstr("nan")));
  EXPECT_THAT(svg, Not(HasSubstr("inf")));
}

TEST(Plot, TheCheckerOfThisTestFindsFaults) {
  EXPECT_NE(xml_fault("<a><b></a></b>"), "");
  EXPECT_NE(xml_fault("<a>"), "");
  EXPECT_NE(xml_fault("<a>x & y</a>"), "");
  EXPECT_NE(xml_fault("<a b=c></a>"), "");
}

TEST(Plot, EveryPointHasAMarkAndSaysWhatItIs) {
  const std::string svg = render_svg(two_curves());
  EXPECT_EQ(count(svg, " queries/s</title>"), 4U);
  EXPECT_THAT(svg, HasSubstr("<title>i8 | hnsw, effort 64: recall 0.9900, 3,000 queries/s</title>"));
  EXPECT_THAT(svg, HasSubstr("<title>flat: recall 1.0000, 50.0 queries/s</title>"));
  EXPECT_THAT(svg, HasSubstr(">1,000</text>"));  // a tick with its separator
}

TEST(Plot, CurvesAreNamedBesideThemOrInALegend) {
  RecallPlot plot = two_curves();
  EXPECT_THAT(render_svg(plot), HasSubstr(">i8 | hnsw</text>"));
  EXPECT_THAT(render_svg(plot), HasSubstr(">flat</text>"));
  for (int i = 0; i < 40; ++i)
    plot.series.push_back({"curve " + std::to_string(i), {{0.95, 1000.0 + i, ""}}});
  const std::string crowded = render_svg(plot);
  EXPECT_EQ(xml_fault(crowded), "");
  for (int i = 0; i < 40; ++i) EXPECT_THAT(crowded, HasSubstr(">curve " + std::to_string(i) + "</text>"));
}

TEST(Plot, WhatCannotBeDrawnIsLeftOut) {
  RecallPlot plot = two_curves();
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  plot.series[1].points = {{nan, 10, ""},
                           {0.5, 0, ""},
                           {0.5, -1, ""},
                           {1.5, 10, ""},
                           {0.5, std::numeric_limits<double>::infinity(), ""}};
  const std::string svg = render_svg(plot);
  EXPECT_EQ(xml_fault(svg), "");
  EXPECT_EQ(count(svg, " queries/s</title>"), 3U);
  EXPECT_THAT(svg, Not(HasSubstr("nan")));
  EXPECT_EQ(xml_fault(render_svg({})), "");
}

RC_GTEST_PROP(Plot, AnyPointsGiveAWellFormedPictureWithThemInside,
              (std::vector<std::pair<std::uint16_t, std::uint32_t>> raw)) {
  RecallPlot plot;
  plot.series.push_back({"curve", {}});
  for (const auto& [recall, qps] : raw)
    plot.series[0].points.push_back({recall / 65535.0, 0.01 + qps / 10.0, ""});
  const std::string svg = render_svg(plot);
  RC_ASSERT(xml_fault(svg) == "");
  static const std::regex circle(R"re(<circle cx="(-?[0-9.]+)" cy="(-?[0-9.]+)")re");
  for (auto it = std::sregex_iterator(svg.begin(), svg.end(), circle); it != std::sregex_iterator(); ++it) {
    RC_ASSERT(std::stod((*it)[1]) >= 95.9 && std::stod((*it)[1]) <= 960);
    RC_ASSERT(std::stod((*it)[2]) >= 103.9 && std::stod((*it)[2]) <= 508.1);
  }
}

TEST(Scale, RecallIsStretchedTowardsOneAndMonotone) {
  const Scale scale = Scale::recall(0.8, 1.0, 20);
  EXPECT_DOUBLE_EQ(scale.position(0.8), 0);
  EXPECT_DOUBLE_EQ(scale.position(1.0), 1);
  EXPECT_GT(scale.position(0.99) - scale.position(0.9), 2 * (scale.position(0.9) - scale.position(0.81)));
  for (double r = 0.8; r < 0.999; r += 0.001) EXPECT_LT(scale.position(r), scale.position(r + 0.001));
}

TEST(Scale, TicksLieOnTheAxisAndLabelsDoNotCollide) {
  for (const auto& [least, greatest] :
       {std::pair(0.0, 1.0), {0.42, 0.97}, {0.99, 0.99}, {1.0, 1.0}, {0.0, 0.0}}) {
    const Scale scale = Scale::recall(least, greatest, 12);
    std::vector<double> labelled;
    for (const auto& tick : scale.ticks()) {
      EXPECT_GE(scale.position(tick.value), -1e-9);
      EXPECT_LE(scale.position(tick.value), 1 + 1e-9);
      if (!tick.label.empty()) labelled.push_back(scale.position(tick.value));
    }
    EXPECT_GE(scale.position(least), -1e-9);
    EXPECT_LE(scale.position(greatest), 1 + 1e-9);
    std::sort(labelled.begin(), labelled.end());
    ASSERT_GE(labelled.size(), 2U);
    for (std::size_t i = 1; i < labelled.size(); ++i)
      EXPECT_GE(labelled[i] - labelled[i - 1], 1.0 / 12 - 1e-9);
  }
}

TEST(Scale, ThroughputHasLabelledTicksWhateverItsRange) {
  for (const auto& [least, greatest] :
       {std::pair(1000.0, 1000.0), {950.0, 1050.0}, {10.0, 100'000.0}, {0.3, 2.0}, {1.0, 1e9}}) {
    const Scale scale = Scale::logarithmic(least, greatest);
    EXPECT_GT(scale.position(least), 0);
    EXPECT_LT(scale.position(greatest), 1);
    const auto labels = std::count_if(scale.ticks().begin(), scale.ticks().end(),
                                      [](const Tick& t) { return !t.label.empty(); });
    EXPECT_GE(labels, 2) << least << " to " << greatest;
    EXPECT_LE(labels, 16) << least << " to " << greatest;
  }
}

RC_GTEST_PROP(SpreadLabels, KeepTheirOrderDoNotOverlapAndStayInside, (std::vector<std::uint8_t> raw)) {
  std::vector<double> wanted(raw.begin(), raw.end()), heights;
  std::sort(wanted.begin(), wanted.end());
  for (const auto value : raw) heights.push_back(10 + value % 20);
  double total = 0;
  for (const double height : heights) total += height;
  const std::vector<double> centres = spread_labels(wanted, heights, 10, 200);
  if (total > 190) {
    RC_ASSERT(centres.empty());
    return;
  }
  RC_ASSERT(centres.size() == wanted.size());
  double edge = 10;
  for (std::size_t i = 0; i < centres.size(); ++i) {
    RC_ASSERT(centres[i] - heights[i] / 2 >= edge - 1e-6);
    edge = centres[i] + heights[i] / 2;
  }
  RC_ASSERT(edge <= 200 + 1e-6);
}

TEST(SpreadLabels, LeaveAloneWhatDoesNotTouchAndShareTheShiftOfWhatDoes) {
  EXPECT_EQ(spread_labels({50, 100}, {10, 10}, 0, 200), (std::vector<double>{50, 100}));
  EXPECT_EQ(spread_labels({50, 50}, {10, 10}, 0, 200), (std::vector<double>{45, 55}));
  EXPECT_EQ(spread_labels({0, 200}, {10, 10}, 0, 200), (std::vector<double>{5, 195}));
}

}  // namespace
