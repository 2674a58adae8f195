#include "vicinal/bench/demo_contestant.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <utility>

#include "vicinal/index/index.hpp"
#if VICINAL_HAS_FAISS
#include <faiss/IndexHNSW.h>
#include <omp.h>

#include "vicinal/index/faiss_adapter.hpp"
#endif

namespace vicinal::bench {
namespace {

using Clock = std::chrono::steady_clock;

// Beyond this the slower indexes take most of the demo's time and the picture gains little.
constexpr double enough = 0.999;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// A tenth of the queries is enough for something that takes as long for one query as for any other.
tools::Workload shortened(const tools::Workload& workload, bool exact) {
  const std::size_t rows =
      exact ? std::min<std::size_t>(100, workload.queries.size()) : workload.queries.size();
  return {workload.queries.rows.rows_from(0, rows), workload.truth.rows_from(0, rows), workload.k};
}

}  // namespace

const Contestant::Point* Contestant::at_recall(double target) const {
  const auto found =
      std::find_if(points.begin(), points.end(), [&](const Point& point) { return point.recall >= target; });
  return found == points.end() ? nullptr : &*found;
}

void sweep_recall(Contestant& contestant, const tools::Workload& workload, ExecutorRef executor) {
  SearchControl control;
  control.executor = executor;
  Neighbors answers(workload.queries.size(), workload.k);
  std::vector<std::size_t> efforts = tools::sweep_efforts(workload.k);
  if (contestant.exact) efforts = {0};
  for (const std::size_t effort : efforts) {
    contestant.search(workload.queries, answers.view(), effort, control);
    Contestant::Point point;
    point.effort = effort;
    point.recall = recall(answers.ids(), workload.truth, workload.k);
    contestant.points.push_back(point);
    if (point.recall > enough) break;
  }
}

void time_in_rounds(std::vector<Contestant>& contestants, const tools::Workload& workload, std::size_t rounds,
                    const std::function<void(std::size_t done, std::size_t total)>& progress) {
  std::size_t most_points = 0;
  for (const auto& contestant : contestants) most_points = std::max(most_points, contestant.points.size());
  Neighbors answers(workload.queries.size(), workload.k);
  for (std::size_t round = 0; round < rounds; ++round) {
    for (std::size_t i = 0; i < most_points; ++i) {
      progress(round * most_points + i, rounds * most_points);
      for (auto& contestant : contestants) {
        if (i >= contestant.points.size()) continue;
        Contestant::Point& point = contestant.points[i];
        const auto answer = [&](const VectorBatch& queries, NeighborsView out, const SearchControl& control) {
          contestant.search(queries, out, point.effort, control);
        };
        point.passes.push_back(
            tools::time_one_by_one(answer, shortened(workload, contestant.exact), 1, answers));
      }
    }
  }
  for (auto& contestant : contestants) {
    for (auto& point : contestant.points) point.latency = tools::median_latency(point.passes);
  }
}

Contestant build_vicinal(MatrixView<const float> base, const std::string& spec, const BuildControl& control) {
  IndexOptions options;
  options.calibrate = false;
  const auto start = Clock::now();
  Index index = Index::build(base, spec, Metric::l2, options, control);
  Contestant contestant;
  contestant.build_seconds = seconds_since(start);
  contestant.name = spec;
  contestant.bytes_per_vector = index.memory_bytes() / index.size();
  contestant.search = [index = std::move(index)](const VectorBatch& queries, NeighborsView out,
                                                 std::size_t effort, const SearchControl& search_control) {
    index.search(queries, out, Index::Params::from_effort(effort), search_control);
  };
  return contestant;
}

#if VICINAL_HAS_FAISS
std::string faiss_name() {
  return fmt::format("FAISS {}.{}.{}", FAISS_VERSION_MAJOR, FAISS_VERSION_MINOR, FAISS_VERSION_PATCH);
}

Contestant build_faiss_hnsw(MatrixView<const float> base, std::size_t m, std::size_t ef_construction,
                            std::size_t threads) {
  omp_set_num_threads(static_cast<int>(threads));
  const auto start = Clock::now();
  const auto index = std::make_shared<faiss::IndexHNSWFlat>(static_cast<int>(base.cols()),
                                                            static_cast<int>(m), faiss::METRIC_L2);
  index->hnsw.efConstruction = static_cast<int>(ef_construction);
  index->add(static_cast<faiss::Index::idx_t>(base.rows()), base.data());
  Contestant contestant;
  contestant.build_seconds = seconds_since(start);
  // Searches are timed on one thread; OpenMP would wake others for a single query.
  omp_set_num_threads(1);
  FaissRetriever retriever(index, Metric::l2);
  contestant.name = faiss_name() + " IndexHNSWFlat";
  // The rows, the links and the levels as FAISS keeps them.
  contestant.bytes_per_vector = (base.rows() * base.cols() * sizeof(float) +
                                 index->hnsw.neighbors.size() * sizeof(index->hnsw.neighbors[0]) +
                                 index->hnsw.offsets.size() * sizeof(index->hnsw.offsets[0]) +
                                 index->hnsw.levels.size() * sizeof(index->hnsw.levels[0])) /
                                base.rows();
  contestant.search = [retriever = std::move(retriever)](const VectorBatch& queries, NeighborsView out,
                                                         std::size_t effort, const SearchControl& control) {
    retriever.search(queries, out, FaissRetriever::Params::from_effort(effort), control);
  };
  return contestant;
}
#endif

}  // namespace vicinal::bench
