#pragma once

#include <string>

#include "vicinal/tools/explore/explore.hpp"
#include "vicinal/tools/report.hpp"

namespace vicinal::tools {

/// What was measured and what is recommended, for a terminal: tables of the front, growth, the decision in words.
std::string summary_text(const Exploration& found);
/// The claims of arXiv 2505.00105 against what this base says; for an exploration with options.paper.
std::string paper_text(const Exploration& found);
/// The decision in one or two sentences.
std::string decision_text(const Exploration& found);
/// {"recommended": {"spec", "recall", "bytes", "rerank", ...} or null, "nearest", "needed", "points": [...], "predicted", "pruned",
/// "measured", "n", "dim", ...}; bytes and recalls are of the base as measured, "planned" ones of the planned number of rows.
Json exploration_json(const Exploration& found);
/// A self-contained SVG picture of quality against bytes (logarithmic), like those of plot.hpp: every point, the front as a line,
/// the front's names beside the plot without overlap, the budget and the floor as lines.
std::string exploration_svg(const Exploration& found, const std::string& title);

}  // namespace vicinal::tools
