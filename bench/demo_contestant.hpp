#pragma once

#include <cstddef>
#include <functional>
#include <stop_token>
#include <string>
#include <vector>

#include "vicinal/core/control.hpp"
#include "vicinal/core/executor.hpp"
#include "vicinal/core/neighbors.hpp"
#include "vicinal/core/vector_batch.hpp"
#include "vicinal/tools/evaluation.hpp"

namespace vicinal::bench {

/// One index of the comparison and what was measured of it.
struct Contestant {
  struct Point {
    std::size_t effort = 0;
    double recall = 0;
    std::vector<tools::TimedPass> passes;  ///< one a round
    tools::Latency latency;                ///< of the median pass, once all rounds are over
  };
  using Search = std::function<void(const VectorBatch& queries, NeighborsView out, std::size_t effort,
                                    const SearchControl& control)>;

  std::string name;
  Search search;
  double build_seconds = 0;
  std::size_t bytes_per_vector = 0;
  bool exact = false;  ///< effort changes nothing, and a pass over all queries would take too long
  std::vector<Point> points;

  /// The point of the smallest effort with at least this recall; nullptr when none has it.
  [[nodiscard]] const Point* at_recall(double target) const;
};

/// Finds the recall of every effort of the sweep, without timing, all queries at once on `executor`, until it is enough.
void sweep_recall(Contestant& contestant, const tools::Workload& workload, ExecutorRef executor);

/// Times every point of every contestant, one query after the other on one thread, in rounds: each round visits each
/// contestant at each effort once, so that whatever else the machine does falls on all alike. Medians count.
void time_in_rounds(std::vector<Contestant>& contestants, const tools::Workload& workload, std::size_t rounds,
                    const std::function<void(std::size_t done, std::size_t total)>& progress);

/// Vicinal built from a spec string, not calibrated (so that build times compare).
Contestant build_vicinal(MatrixView<const float> base, const std::string& spec, const BuildControl& control);

#if VICINAL_HAS_FAISS
/// "FAISS 1.7.3".
std::string faiss_name();
/// faiss::IndexHNSWFlat with the same M and efConstruction, through the adapter.
Contestant build_faiss_hnsw(MatrixView<const float> base, std::size_t m, std::size_t ef_construction,
                            std::size_t threads);
#endif

}  // namespace vicinal::bench
