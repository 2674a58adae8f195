#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "vicinal/core/control.hpp"
#include "vicinal/core/function_ref.hpp"
#include "vicinal/core/matrix_view.hpp"
#include "vicinal/core/metric.hpp"
#include "vicinal/core/neighbors.hpp"
#include "vicinal/core/vector_batch.hpp"

namespace vicinal {

/// Measured once per index: the recall that an effort gives. Made from rows of the base, each searched for as if it had never
/// been indexed, against the exact answer, so that recall is told for queries that are like the data but not in it. That is a
/// little pessimistic at low efforts, because the links that lead through the absent row are missing: with clustered data of 24
/// dimensions, 0.92 is told where queries from outside reach 0.96, and 0.985 where they reach 0.994.
struct Calibration {
  struct Point {
    std::size_t effort = 0;
    double recall = 0;
    friend bool operator==(const Point&, const Point&) = default;
  };
  std::size_t k = 0;
  std::size_t queries = 0;     ///< sample size
  bool given_queries = false;  ///< measured on queries of the caller's, not on rows of the base
  std::vector<Point> points;   ///< ascending effort and recall

  /// The smallest effort whose recall is at least `target`, interpolated between points; the largest measured effort when none
  /// reaches it. Recall grows ever more slowly with effort, so the straight line between two points asks for a little too much
  /// effort rather than too little. Throws InvalidArgument unless 0 < target <= 1, or when there are no points.
  [[nodiscard]] std::size_t effort_for(double target) const;
  /// For another k than the one measured: a search for more neighbours needs an effort larger in proportion, one for fewer is
  /// left the same.
  [[nodiscard]] std::size_t effort_for(double target, std::size_t wanted_k) const;
  friend bool operator==(const Calibration&, const Calibration&) = default;
};

/// What is measured: fills `out` with the results at an effort. Without `absent` a plain search; else query i is row absent[i]
/// of the base and must act as if that row had never been indexed.
using CalibratedSearch =
    FunctionRef<void(const VectorBatch& queries, std::span<const std::uint32_t> absent, NeighborsView out,
                     std::size_t effort, const SearchControl& control)>;

/// Measures the recall@10 of `search` against the exact neighbours in `base` (distances on f32) at rising efforts until it is
/// as good as exact. On `queries`; when there are none, on up to 500 rows of the base that `seed` chooses. Nothing when there is
/// nothing to measure: one row and no queries. The result depends on the arguments alone, not on the number of threads.
/// O(queries x rows x dim). Throws InvalidArgument (queries of another dimension, or not finite), Cancelled.
std::optional<Calibration> calibrate(MatrixView<const float> base, Metric metric,
                                     MatrixView<const float> queries, std::uint64_t seed,
                                     CalibratedSearch search, const BuildControl& control = {});

}  // namespace vicinal
