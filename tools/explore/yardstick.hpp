#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "vicinal/core/control.hpp"
#include "vicinal/core/neighbors.hpp"
#include "vicinal/index/index.hpp"
#include "vicinal/tools/explore/judgements.hpp"

namespace vicinal::tools {

/// Answers of an index to all queries and how long they took.
struct TimedAnswers {
  Neighbors found;
  double micros = 0;  ///< a query, of the whole batch on the executor
};
/// In blocks, so that it can be interrupted; `reached` hears how many queries are done. Throws Cancelled.
TimedAnswers answer_all(const Index& index, MatrixView<const float> queries, std::size_t k,
                        std::size_t effort, const BuildControl& control,
                        const std::function<void(std::size_t)>& reached = {});

/// The exact answers, and what others are worth against them. Borrows base, queries and judgements.
class Yardstick {
 public:
  /// Throws InvalidArgument (no rows or queries, dimensions that differ, k = 0 or more than there are rows), Cancelled.
  Yardstick(MatrixView<const float> base, MatrixView<const float> queries, Metric metric, std::size_t k,
            const Judgements* judgements, const BuildControl& control,
            const std::function<void(std::size_t)>& reached = {});

  [[nodiscard]] std::size_t k() const { return k_; }
  [[nodiscard]] const TimedAnswers& exact() const {
    return exact_;
  }  ///< more than k columns when there are rows
  [[nodiscard]] std::size_t exact_bytes() const { return index_.memory_bytes(); }
  /// Median over queries of the distance between the k-th and the 2k-th neighbour: what an error is to be compared with.
  [[nodiscard]] double gap() const { return gap_; }

  /// recall@k of every query over the first k columns. A row whose exact distance is at most that of the k-th neighbour counts as
  /// found: of rows at the same distance any will do.
  [[nodiscard]] std::vector<double> recalls(MatrixView<const Id> found, ExecutorRef executor) const;
  /// nDCG@k of the queries that have judgements, in order; empty without judgements.
  [[nodiscard]] std::vector<double> ndcgs(MatrixView<const Id> found) const;
  /// Root mean square of what the reported distances of the first k columns differ from the exact ones.
  [[nodiscard]] double distance_error(const Neighbors& found, ExecutorRef executor) const;

 private:
  // The exact distances of one query's found rows.
  void exact_distances(std::size_t query, std::span<const Id> found, std::vector<float>& distances) const;

  MatrixView<const float> queries_;
  std::size_t k_;
  const Judgements* judgements_;
  Index index_;
  TimedAnswers exact_;
  double gap_ = 0;
};

}  // namespace vicinal::tools
