#include "vicinal/tools/explore/summary.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "vicinal/tools/formatting.hpp"

namespace vicinal::tools {
namespace {

std::string rows_text(double rows) {
  if (rows >= 1e9) return fmt::format("{:g}B", rows / 1e9);
  return rows >= 1e6 ? fmt::format("{:g}M", rows / 1e6) : thousands(rows);
}

std::string share_text(double error, double gap) {
  if (!(gap > 0)) return "-";
  const double share = error / gap;
  return share < 0.0005 ? "0" : fmt::format("{:.3f}", share);
}

std::string heading(const Exploration& found) {
  const ExploreOptions& options = found.options;
  std::string text = fmt::format("{} vectors of dimension {}, {}; {} queries, k = {}", thousands(found.rows),
                                 found.dim, to_string(options.metric), thousands(found.queries), options.k);
  if (found.judged_queries > 0) text += fmt::format(", {} of them judged", thousands(found.judged_queries));
  if (options.budget) text += fmt::format("; budget {}", bytes_text(*options.budget));
  if (options.floor)
    text +=
        fmt::format("; floor {} {:g}", quality_name(options.floor->quality, options.k), options.floor->value);
  if (options.plan_for != 0)
    text += fmt::format("; planned for {} rows", rows_text(static_cast<double>(options.plan_for)));
  const auto scans =
      static_cast<std::size_t>(std::ranges::count_if(found.points, [](const auto& p) { return !p.graph; }));
  return text + fmt::format(
                    "\n{} candidates predicted from a sample, {} pruned, {} measured on all rows, {} of them "
                    "with a graph; {}\n",
                    found.predicted, found.pruned, scans, found.points.size() - scans,
                    duration_text(found.seconds));
}

class PointTable {
 public:
  PointTable(const Exploration& found, bool graphs) : found_(found), layout_(columns(found, graphs)) {}

  std::string render(bool graphs) const {
    std::vector<const ExploredPoint*> shown;
    for (std::size_t i = 0; i < found_.points.size(); ++i) {
      const ExploredPoint& point = found_.points[i];
      if (point.graph == graphs && (point.on_front || found_.options.paper || found_.decision.chosen == i))
        shown.push_back(&point);
    }
    std::ranges::stable_sort(shown, [](auto* a, auto* b) { return a->planned_bytes < b->planned_bytes; });
    if (shown.empty()) return "";
    std::string text = "\n" + layout_.header();
    for (const auto* point : shown) text += row(*point);
    return text;
  }

 private:
  static std::vector<TableLayout::Column> columns(const Exploration& found, bool graphs) {
    std::size_t width = 0;
    for (const auto& point : found.points) {
      if (point.graph == graphs) width = std::max(width, display_width(point.spec));
    }
    std::vector<TableLayout::Column> list{
        {graphs ? "with a graph" : "scan", width, true}, {"memory", 10}, {"bytes/vector", 0}};
    if (found.extrapolated()) list.push_back({"planned", 10});
    list.push_back({quality_name(Quality::recall, found.options.k), 9});
    list.push_back({"95 % interval", 15});
    if (found.judged_queries > 0) list.push_back({quality_name(Quality::ndcg, found.options.k), 7});
    list.insert(list.end(),
                {{"predicted", 9}, {"error/gap", 9}, {graphs ? "effort" : "µs/query", 8}, {"", 0, true}});
    return list;
  }

  std::string row(const ExploredPoint& point) const {
    std::vector<std::string> cells{point.spec, bytes_text(point.bytes),
                                   thousands(point.bytes / std::max<std::size_t>(found_.rows, 1))};
    if (found_.extrapolated()) cells.push_back(bytes_text(point.planned_bytes));
    cells.push_back(fmt::format("{:.4f}", point.recall.mean));
    cells.push_back(fmt::format("{:.4f}–{:.4f}", point.recall.low, point.recall.high));
    if (found_.judged_queries > 0)
      cells.push_back(point.ndcg ? fmt::format("{:.4f}", point.ndcg->mean) : "-");
    cells.push_back(share_text(point.candidate.error, found_.gap));
    cells.push_back(share_text(point.measured_error, found_.gap));
    cells.push_back(point.graph ? std::to_string(point.effort) : thousands(point.micros, 1));
    cells.push_back(note(point));
    return layout_.row(cells);
  }

  std::string note(const ExploredPoint& point) const {
    const auto is = [&](const std::optional<std::size_t>& place) {
      return place && &found_.points[*place] == &point;
    };
    if (is(found_.decision.chosen)) return "<- recommended";
    if (is(found_.decision.nearest)) return "<- nearest";
    const auto& budget = found_.options.budget;
    if (budget && point.planned_bytes > *budget) return "over the budget";
    return point.tied_with_best ? "tied with the best" : "";
  }

  const Exploration& found_;
  TableLayout layout_;
};

std::string growth_text(const Exploration& found) {
  std::vector<const ExploredPoint*> grown;
  std::size_t width = 0;
  for (const auto& point : found.points) {
    if (point.graph || !point.growth) continue;
    grown.push_back(&point);
    width = std::max(width, display_width(point.spec));
  }
  if (grown.empty()) return "";
  std::vector<TableLayout::Column> columns{
      {fmt::format("{} by rows", quality_name(Quality::recall, found.options.k)), width, true}};
  for (const double rows : grown.front()->growth->rows) columns.push_back({rows_text(rows), 8});
  const auto planned = static_cast<double>(found.planned_rows());
  if (found.extrapolated()) columns.push_back({rows_text(planned) + "*", 8});
  const TableLayout layout(std::move(columns));
  std::string text = "\n" + layout.header();
  for (const auto* point : grown) {
    std::vector<std::string> cells{point->spec};
    for (const double recall : point->growth->recalls) cells.push_back(fmt::format("{:.4f}", recall));
    if (found.extrapolated()) cells.push_back(fmt::format("{:.4f}", point->growth->fit.recall(planned)));
    text += layout.row(cells);
  }
  if (found.extrapolated())
    text += fmt::format(
        "* extrapolated, not measured: the loss is taken as linear in the logarithm of the rows\n");
  return text;
}

std::string described(const Exploration& found, std::size_t place) {
  const ExploredPoint& point = found.points[place];
  std::string text = fmt::format("{}: {} {:.4f}", point.spec, quality_name(found.quality, found.options.k),
                                 found.quality_of(point));
  if (found.extrapolated() && point.growth && found.quality == Quality::recall)
    text += fmt::format(" ({:.4f} extrapolated to {} rows)", point.planned_quality,
                        rows_text(static_cast<double>(found.planned_rows())));
  text += fmt::format(", {}", bytes_text(point.planned_bytes));
  if (point.graph) text += fmt::format(", effort {}", point.effort);
  if (point.floor_effort != 0 && point.floor_effort < point.effort)
    text += fmt::format(" (the floor is reached at {})", point.floor_effort);
  return text;
}

}  // namespace

std::string decision_text(const Exploration& found) {
  const Decision& decision = found.decision;
  const ExploreOptions& options = found.options;
  if (decision.chosen) {
    std::string text = fmt::format("Recommended: {}\n", described(found, *decision.chosen));
    if (found.graph_does_not_fit) text += "No graph fits the budget and the floor, hence a scan.\n";
    if (decision.tied.size() > 1)
      text +=
          fmt::format("{} within the budget are tied with the best there; this is the smallest of them.\n",
                      decision.tied.size());
    return text;
  }
  std::string text = "Nothing ";
  if (options.floor)
    text +=
        fmt::format("reaches {} {:g}", quality_name(options.floor->quality, options.k), options.floor->value);
  if (options.floor && options.budget) text += " within ";
  if (options.budget) text += fmt::format("{}{}", options.floor ? "" : "fits ", bytes_text(*options.budget));
  text += ".\n";
  if (decision.nearest) text += fmt::format("Nearest: {}\n", described(found, *decision.nearest));
  if (decision.needed) text += fmt::format("The floor needs: {}\n", described(found, *decision.needed));
  return text;
}

std::string summary_text(const Exploration& found) {
  std::string text = heading(found);
  text += PointTable(found, false).render(false);
  text += PointTable(found, true).render(true);
  text += growth_text(found);
  if (found.options.paper) text += "\n" + paper_text(found);
  if (!found.decided()) return text;
  return text + "\n" + decision_text(found);
}

}  // namespace vicinal::tools
