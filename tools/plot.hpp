#pragma once

#include <string>
#include <vector>

namespace vicinal::tools {

struct PlotPoint {
  double recall = 0;  ///< in [0, 1]
  double qps = 0;     ///< positive
  std::string note;   ///< shown when the pointer rests on it: "effort 64"
};

struct PlotSeries {
  std::string name;
  std::vector<PlotPoint> points;  ///< in any order; joined by ascending recall
};

/// Throughput against recall: one curve a series, or one mark where a series has a single point.
struct RecallPlot {
  std::string title;
  std::string subtitle;  ///< what was measured, on which machine
  std::string x_label = "recall@10";
  std::string y_label = "queries per second";
  std::string footer;  ///< small, bottom left
  std::vector<PlotSeries> series;
};

/// A self-contained SVG picture, 960 units wide, on a white rounded card so that it reads on dark pages too. The recall axis
/// is stretched towards 1 (proportional to -log(1 - recall + 0.0005)), the throughput axis is logarithmic. Colours are those of
/// Okabe & Ito (jfly.uni-koeln.de/color), told apart by the colour-blind, and every series has a mark of its own. Curves are
/// named at their ends; when the names do not fit beside the plot, in a legend below it. Points that cannot be drawn (recall
/// outside [0, 1], throughput not positive or not finite) are left out. Deterministic.
std::string render_svg(const RecallPlot& plot);

}  // namespace vicinal::tools
