#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "vicinal/core/control.hpp"
#include "vicinal/core/metric.hpp"
#include "vicinal/tools/explore/candidates.hpp"
#include "vicinal/tools/explore/decision.hpp"
#include "vicinal/tools/explore/judgements.hpp"
#include "vicinal/tools/explore/quantities.hpp"
#include "vicinal/tools/explore/statistics.hpp"

namespace vicinal::tools {

struct ExploreOptions {
  Metric metric = Metric::l2;
  std::size_t k = 10;
  std::optional<std::uint64_t> budget;     ///< bytes
  std::optional<Floor> floor;              ///< its k must be 0 or k
  const Judgements* judgements = nullptr;  ///< for nDCG
  MatrixView<const float>
      training_queries;        ///< for qpca to learn from, others than the queries; none: no qpca is tried
  std::uint64_t plan_for = 0;  ///< rows that the budget is meant for; 0: those of the base
  bool graph = true;           ///< recommend a graph rather than a scan
  bool paper = false;          ///< the grid of arXiv 2505.00105, nothing pruned, no graphs
  std::uint64_t seed = 1;
};

/// Recall at smaller sizes of the same base, and the line through them.
struct Growth {
  std::vector<double> rows;
  std::vector<double> recalls;
  LossFit fit;
};

/// One way to store the vectors, measured on all of the base.
struct ExploredPoint {
  Candidate candidate;
  std::string spec;  ///< canonical, as Index::build takes it
  bool graph = false;
  double depth = 0;              ///< of the rerank stage, a multiple of k; 0: none
  std::size_t effort = 0;        ///< of a graph's search; 0: a scan
  std::size_t floor_effort = 0;  ///< the smallest that reaches the floor; 0: none given, or none does
  std::uint64_t bytes = 0;
  std::uint64_t planned_bytes = 0;  ///< at the planned number of rows
  double measured_error = 0;        ///< root mean square, of the distances of what was found
  double micros = 0;                ///< a query
  Estimate recall;
  std::optional<Estimate> ndcg;
  double planned_quality =
      0;  ///< at the planned number of rows: an extrapolation when there are more than were measured
  std::optional<Growth> growth;
  bool on_front = false;
  bool tied_with_best = false;  ///< within the budget
  std::vector<double> recalls;  ///< of every query
  std::vector<double> ndcgs;    ///< of every judged query
};

struct Exploration {
  ExploreOptions options;  ///< judgements and training queries: not kept
  std::size_t rows = 0;
  std::size_t dim = 0;
  std::size_t queries = 0;
  std::size_t judged_queries = 0;
  std::vector<ProjectionChoice> projections;  ///< that were predicted, none the first
  std::size_t predicted = 0;
  std::size_t pruned = 0;
  double gap = 0;
  Quality quality = Quality::recall;  ///< what points are compared by
  std::vector<ExploredPoint> points;  ///< scans, then graphs
  Decision decision;                  ///< indices of points
  bool graph_does_not_fit = false;    ///< the decision is among scans although a graph was wanted
  double seconds = 0;

  [[nodiscard]] std::uint64_t planned_rows() const { return options.plan_for == 0 ? rows : options.plan_for; }
  /// A grid without budget and floor is only measured.
  [[nodiscard]] bool decided() const {
    return !options.paper || options.budget.has_value() || options.floor.has_value();
  }
  [[nodiscard]] bool extrapolated() const { return planned_rows() > rows; }
  [[nodiscard]] double quality_of(const ExploredPoint& point) const {
    return quality == Quality::ndcg && point.ndcg ? point.ndcg->mean : point.recall.mean;
  }
};

/// Measures which compression to take. Depends on its arguments alone, not on the number of threads, but for the times and what is
/// decided by them. Throws InvalidArgument (shapes, non-finite values, a floor for nDCG without judgements or for another k),
/// Cancelled.
Exploration explore(MatrixView<const float> base, MatrixView<const float> queries,
                    const ExploreOptions& options, const BuildControl& control = {});

}  // namespace vicinal::tools
