#pragma once

#include <cstddef>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "vicinal/core/control.hpp"
#include "vicinal/core/function_ref.hpp"
#include "vicinal/core/neighbors.hpp"
#include "vicinal/core/vector_batch.hpp"

namespace vicinal::tools {

/// What is measured: answers `queries` into `out`, on control.executor.
using Answer = FunctionRef<void(const VectorBatch& queries, NeighborsView out, const SearchControl& control)>;

/// The questions and their exact answers; owns nothing. The truth has one row a query and at least k columns.
struct Workload {
  VectorBatch queries;
  MatrixView<const Id> truth;
  std::size_t k = 10;

  /// Throws InvalidArgument: no queries, k = 0, row counts that differ, a truth with fewer than k columns.
  void validate() const;
};

/// One pass over the queries, one after the other on the calling thread.
struct TimedPass {
  double seconds = 0;
  std::vector<float> micros;  ///< of every single query, in order
};

/// What a user feels of a pass.
struct Latency {
  double qps = 0;  ///< queries of the pass / its seconds
  double mean_us = 0;
  double p50_us = 0;
  double p99_us = 0;
};

/// Means per query of the counters of SearchStats.
struct WorkPerQuery {
  double distances = 0;
  double reranked = 0;
  double hops = 0;
  double bytes = 0;
  std::string strategy;
};

/// Asks every query `repeats` times over, in rounds. The loop itself allocates nothing. The last round's answers are in
/// `answers` (queries x k). Throws Cancelled when `stop` is requested.
TimedPass time_one_by_one(Answer answer, const Workload& workload, std::size_t repeats, Neighbors& answers,
                          const std::stop_token& stop = {});

/// Queries a second when all queries are one batch on `executor`, asked `repeats` times.
double time_batch(Answer answer, const Workload& workload, std::size_t repeats, Neighbors& answers,
                  ExecutorRef executor, const std::stop_token& stop = {});

/// An untimed pass that counts the work.
WorkPerQuery count_work(Answer answer, const Workload& workload, Neighbors& answers,
                        const std::stop_token& stop = {});

/// The pass whose duration is the median (the upper one of an even number), summarised; percentiles by nearest rank.
Latency median_latency(const std::vector<TimedPass>& passes);

/// How often to go through the queries so that a timed pass lasts at least a fifth of a second.
std::size_t repeats_for(double seconds_of_one_round);

/// One measured operating point.
struct EvaluationPoint {
  std::size_t effort = 0;               ///< 0: the index's default
  std::optional<double> target_recall;  ///< when the effort was chosen by the index's calibration
  double recall = 0;                    ///< of the answers that were timed
  double qps = 0;                       ///< of the batch when several threads were given, else one by one
  Latency latency;                      ///< one by one, one thread
  WorkPerQuery work;
};

/// A warm-up round, three timed passes of which the median counts, and an untimed pass for the work. With an executor of more
/// than one thread the throughput is that of the whole batch on it (again the median of three).
EvaluationPoint evaluate(Answer answer, const Workload& workload, ExecutorRef executor = {},
                         const std::stop_token& stop = {});

/// The efforts of a sweep: 10 to 1024, those below k left out because a search keeps at least k candidates anyway.
std::vector<std::size_t> sweep_efforts(std::size_t k);
/// A sweep ends once recall is above this: what is left is noise of the ties.
inline constexpr double sweep_enough = 0.9995;

}  // namespace vicinal::tools
