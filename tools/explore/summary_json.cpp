#include "vicinal/core/version.hpp"
#include "vicinal/quant/kernels.hpp"
#include "vicinal/tools/explore/summary.hpp"
#include "vicinal/tools/machine.hpp"

namespace vicinal::tools {
namespace {

Json estimate_json(const Estimate& estimate) { return {estimate.low, estimate.high}; }

Json growth_json(const Exploration& found, const Growth& growth) {
  Json json = {{"rows", growth.rows},
               {"recalls", growth.recalls},
               {"model", "1 - recall = a + b ln(rows)"},
               {"a", growth.fit.at_one},
               {"b", growth.fit.slope}};
  if (found.extrapolated()) {
    json["extrapolated_rows"] = found.planned_rows();
    json["extrapolated_recall"] = growth.fit.recall(static_cast<double>(found.planned_rows()));
  }
  return json;
}

Json point_json(const Exploration& found, const ExploredPoint& point) {
  Json json;
  json["spec"] = point.spec;
  json["recall"] = point.recall.mean;
  json["recall_interval"] = estimate_json(point.recall);
  if (point.ndcg) {
    json["ndcg"] = point.ndcg->mean;
    json["ndcg_interval"] = estimate_json(*point.ndcg);
  }
  json["bytes"] = point.bytes;
  json["planned_bytes"] = point.planned_bytes;
  json["planned_quality"] = point.planned_quality;
  json["bytes_per_vector"] = static_cast<double>(point.bytes) / static_cast<double>(found.rows);
  json["rerank"] = point.depth > 0 ? Json(point.depth) : Json(nullptr);
  json["effort"] = point.graph ? Json(point.effort) : Json(nullptr);
  json["floor_effort"] = point.floor_effort > 0 ? Json(point.floor_effort) : Json(nullptr);
  json["projection"] = point.candidate.projection;
  json["codec"] = point.candidate.codec;
  json["graph"] = point.graph;
  json["predicted_error"] = point.candidate.error;
  json["measured_error"] = point.measured_error;
  json["micros_per_query"] = point.micros;
  json["on_front"] = point.on_front;
  json["tied_with_best"] = point.tied_with_best;
  json["growth"] = point.growth ? growth_json(found, *point.growth) : Json(nullptr);
  return json;
}

Json projections_json(const Exploration& found) {
  Json list = Json::array();
  for (const auto& choice : found.projections)
    list.push_back({{"stage", choice.stage}, {"dim", choice.dim}, {"lost_energy", choice.lost_energy}});
  return list;
}

Json floor_json(const ExploreOptions& options) {
  if (!options.floor) return nullptr;
  return {{"quality", options.floor->quality == Quality::recall ? "recall" : "ndcg"},
          {"k", options.k},
          {"value", options.floor->value}};
}

}  // namespace

Json exploration_json(const Exploration& found) {
  const auto named = [&](const std::optional<std::size_t>& place) {
    return place ? point_json(found, found.points[*place]) : Json(nullptr);
  };
  Json json;
  json["recommended"] = named(found.decision.chosen);
  json["nearest"] = named(found.decision.nearest);
  json["needed"] = named(found.decision.needed);
  json["decision"] = found.decided() ? decision_text(found) : "";
  json["points"] = Json::array();
  for (const auto& point : found.points) json["points"].push_back(point_json(found, point));
  json["projections"] = projections_json(found);
  json["predicted"] = found.predicted;
  json["pruned"] = found.pruned;
  json["measured"] = found.points.size();
  json["gap"] = found.gap;
  json["budget"] = found.options.budget ? Json(*found.options.budget) : Json(nullptr);
  json["floor"] = floor_json(found.options);
  json["planned_rows"] = found.planned_rows();
  json["extrapolated"] = found.extrapolated();
  json["n"] = found.rows;
  json["dim"] = found.dim;
  json["metric"] = std::string(to_string(found.options.metric));
  json["k"] = found.options.k;
  json["queries"] = found.queries;
  json["judged_queries"] = found.judged_queries;
  json["seed"] = found.options.seed;
  json["seconds"] = found.seconds;
  json["version"] = std::string(version);
  json["cpu"] = cpu_model();
  json["kernels"] = std::string(kernels().name);
  return json;
}

}  // namespace vicinal::tools
