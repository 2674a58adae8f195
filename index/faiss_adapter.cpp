#include "vicinal/index/faiss_adapter.hpp"

#include <faiss/IndexFlat.h>
#include <faiss/IndexHNSW.h>
#include <faiss/IndexIDMap.h>
#include <faiss/IndexIVFFlat.h>
#include <faiss/IndexIVFPQ.h>
#include <faiss/IndexIVFPQFastScan.h>
#include <faiss/IndexIVFPQR.h>
#include <faiss/IndexPreTransform.h>
#include <faiss/IndexRefine.h>
#include <faiss/IndexScalarQuantizer.h>
#include <faiss/impl/DistanceComputer.h>
#include <faiss/impl/FaissException.h>
#include <faiss/impl/IDSelector.h>
#include <fmt/format.h>
#include <omp.h>

#include <algorithm>
#include <limits>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "vicinal/core/error.hpp"
#include "vicinal/index/ranking.hpp"
#include "vicinal/quant/codec.hpp"

namespace vicinal {
namespace {

using Label = faiss::Index::idx_t;

// Below faiss::distance_compute_blas_threshold, from which on a matrix product gives distances that depend on the batch.
constexpr std::size_t queries_per_task = 16;

// FAISS parallelises with OpenMP; here the executor does, so each calling thread is limited to itself.
class SingleThreaded {
 public:
  SingleThreaded() : before_(omp_get_max_threads()) { omp_set_num_threads(1); }
  ~SingleThreaded() { omp_set_num_threads(before_); }
  SingleThreaded(const SingleThreaded&) = delete;
  SingleThreaded& operator=(const SingleThreaded&) = delete;

 private:
  int before_;
};

std::string_view name_of(Metric metric) {
  return metric == Metric::l2 ? "METRIC_L2" : "METRIC_INNER_PRODUCT";
}

std::size_t code_bytes(const faiss::Index& index) {
  try {
    return index.sa_code_size();
  } catch (const faiss::FaissException&) {
    return static_cast<std::size_t>(index.d) * sizeof(float);  // Not told by every index.
  }
}

}  // namespace

// FAISS refuses search parameters at its wrappers, so they are peeled off here: what they do to queries and labels is done by
// this class, and the index below is called with parameters of its type.
struct FaissRetriever::Structure {
  enum class Type : std::uint8_t { exhaustive, hnsw, ivf, other };

  explicit Structure(const faiss::Index& outermost) : core(&outermost) {
    for (;;) {
      if (const auto* map = dynamic_cast<const faiss::IndexIDMap*>(core)) {
        id_maps.push_back(&map->id_map);
        core = map->index;
      } else if (const auto* transform = dynamic_cast<const faiss::IndexPreTransform*>(core)) {
        transforms.push_back(transform);
        core = transform->index;
      } else {
        break;
      }
    }
    classify();
  }

  // The id of what the core calls `label`; negative when it has none.
  [[nodiscard]] Id id_of(Label label) const {
    for (auto map = id_maps.rbegin(); map != id_maps.rend() && label >= 0; ++map) {
      label = static_cast<std::size_t>(label) < (*map)->size() ? (**map)[static_cast<std::size_t>(label)]
                                                               : Label{-1};
    }
    return label;
  }

  const faiss::Index* core;
  const faiss::IndexHNSW* hnsw = nullptr;
  const faiss::IndexIVF* ivf = nullptr;
  const faiss::Index* scannable = nullptr;  // has a distance computer with the core's labels
  Type type = Type::other;
  bool selects = false;                                     // takes an IDSelector
  std::vector<const faiss::IndexPreTransform*> transforms;  // outermost first
  std::vector<const std::vector<Label>*> id_maps;           // outermost first

 private:
  template <class T>
  [[nodiscard]] bool core_is() const {
    return dynamic_cast<const T*>(core) != nullptr;
  }

  void classify() {
    if (core_is<faiss::IndexHNSW>() && !core_is<faiss::IndexHNSW2Level>()) {
      type = Type::hnsw;
      hnsw = dynamic_cast<const faiss::IndexHNSW*>(core);
      selects = hnsw->hnsw.upper_beam == 1 && hnsw->hnsw.search_bounded_queue;
    } else if (core_is<faiss::IndexIVF>() && !core_is<faiss::IndexIVFFastScan>()) {
      type = Type::ivf;
      ivf = dynamic_cast<const faiss::IndexIVF*>(core);
      selects = (core_is<faiss::IndexIVFFlat>() && !core_is<faiss::IndexIVFFlatDedup>()) ||
                core_is<faiss::IndexIVFScalarQuantizer>() ||
                (core_is<faiss::IndexIVFPQ>() && !core_is<faiss::IndexIVFPQR>());
    } else if ((core_is<faiss::IndexFlat>() && !core_is<faiss::IndexFlat1D>()) ||
               core_is<faiss::IndexScalarQuantizer>()) {
      type = Type::exhaustive;
      selects = true;
    }
    if (type == Type::ivf) return;  // Its labels are not positions.
    const auto* refined = dynamic_cast<const faiss::IndexRefine*>(core);
    const faiss::Index* candidate = hnsw != nullptr      ? hnsw->storage
                                    : refined != nullptr ? refined->refine_index
                                                         : core;
    try {
      const std::unique_ptr<faiss::DistanceComputer> computer(candidate->get_distance_computer());
      scannable = candidate;
    } catch (const faiss::FaissException&) {
      // Then more is fetched until it is enough.
    }
  }
};

// Some queries of a search, answered on one thread.
class FaissRetriever::Block {
 public:
  Block(const Structure& structure, Metric metric, std::size_t effort, const SearchControl& control)
      : structure_(structure),
        metric_(metric),
        effort_(effort),
        control_(control),
        selector_(structure, control.filter) {}

  void search(MatrixView<const float> queries, std::size_t first, NeighborsView out, SearchStats& work) {
    const auto total = static_cast<std::size_t>(structure_.core->ntotal);
    const std::vector<float> vectors = prepared(queries);
    const bool filtered = !control_.filter.passes_all();
    std::size_t fetched = std::min(total, out.k());
    // The width of the search is the larger of k and what is set in the index, which must not be changed here.
    if (structure_.type == Structure::Type::hnsw) fetched = std::min(total, std::max(fetched, effort_));
    fetch(vectors.data(), queries.rows(), fetched, effort_);
    if (structure_.type == Structure::Type::exhaustive) work.distances += queries.rows() * total;

    std::size_t wanted = std::min(out.k(), total);
    if (const auto* set = control_.filter.as_id_set()) wanted = std::min(wanted, set->ids.size());
    const auto core_dim = static_cast<std::size_t>(structure_.core->d);
    std::vector<std::vector<Ranked>> found(queries.rows());
    for (std::size_t i = 0; i < queries.rows(); ++i) found[i] = collect(i, fetched);
    for (std::size_t i = 0; i < queries.rows(); ++i) {
      const bool exact = structure_.type == Structure::Type::exhaustive && (structure_.selects || !filtered);
      if (found[i].size() < wanted && !exact) {
        found[i] = complete(vectors.data() + i * core_dim, out.k(), wanted, fetched, work);
      }
      write_ranked(found[i], out, first + i);
    }
  }

 private:
  // The filter in terms of the core's labels.
  class Selector : public faiss::IDSelector {
   public:
    Selector(const Structure& structure, const Filter& filter) : structure_(structure), filter_(filter) {}
    [[nodiscard]] bool passes(Id id) const { return id >= 0 && (filter_.passes_all() || filter_(id)); }
    [[nodiscard]] bool is_member(Label label) const override { return passes(structure_.id_of(label)); }

   private:
    const Structure& structure_;
    const Filter& filter_;
  };

  [[nodiscard]] float distance(float faiss_distance) const {
    switch (metric_) {
      case Metric::l2: return faiss_distance;
      case Metric::ip: return -faiss_distance;
      case Metric::cosine: return 1.0F - faiss_distance;
    }
    return faiss_distance;
  }

  // One query at a time: the bits of a matrix product depend on how many there are, on some processors from two on.
  [[nodiscard]] static std::vector<float> transformed(const faiss::IndexPreTransform& transform,
                                                      const std::vector<float>& vectors, std::size_t rows) {
    const auto from = static_cast<std::size_t>(transform.d);
    const auto to = static_cast<std::size_t>(transform.index->d);
    std::vector<float> out(rows * to);
    for (std::size_t i = 0; i < rows; ++i) {
      const float* const before = vectors.data() + i * from;
      const float* const after = transform.apply_chain(1, before);
      const std::unique_ptr<const float[]> owner(after == before ? nullptr : after);
      std::copy_n(after, to, out.begin() + static_cast<std::ptrdiff_t>(i * to));
    }
    return out;
  }

  // Copies of the queries as the core wants them: dense, normalised for cosine, transformed.
  [[nodiscard]] std::vector<float> prepared(MatrixView<const float> queries) const {
    std::vector<float> vectors(queries.rows() * queries.cols());
    for (std::size_t i = 0; i < queries.rows(); ++i) {
      const std::span<float> copy = std::span(vectors).subspan(i * queries.cols(), queries.cols());
      if (metric_ == Metric::cosine) {
        normalise(queries[i], copy);
      } else {
        std::ranges::copy(queries[i], copy.begin());
      }
    }
    for (const faiss::IndexPreTransform* transform : structure_.transforms)
      vectors = transformed(*transform, vectors, queries.rows());
    return vectors;
  }

  // Runs the core: the nearest `k` labels of each query, into labels_ and distances_.
  void fetch(const float* vectors, std::size_t queries, std::size_t k, std::size_t effort) {
    labels_.resize(queries * k);
    distances_.resize(queries * k);
    faiss::SearchParameters plain;
    faiss::SearchParametersHNSW graph;
    faiss::SearchParametersIVF lists;
    faiss::SearchParameters* params = nullptr;
    if (structure_.hnsw != nullptr && structure_.selects) {
      graph.efSearch =
          static_cast<int>(effort != 0 ? std::min(effort, most_effort)
                                       : static_cast<std::size_t>(structure_.hnsw->hnsw.efSearch));
      graph.check_relative_distance = structure_.hnsw->hnsw.check_relative_distance;
      params = &graph;
    } else if (structure_.ivf != nullptr) {
      lists.nprobe = effort != 0 ? effort : structure_.ivf->nprobe;
      lists.max_codes = structure_.ivf->max_codes;
      params = &lists;
    } else if (structure_.selects) {
      params = &plain;
    }
    if (params != nullptr && structure_.selects && !control_.filter.passes_all()) params->sel = &selector_;
    structure_.core->search(static_cast<Label>(queries), vectors, static_cast<Label>(k), distances_.data(),
                            labels_.data(), params);
  }

  // What passes of query i's `fetched` results.
  [[nodiscard]] std::vector<Ranked> collect(std::size_t i, std::size_t fetched) const {
    std::vector<Ranked> found;
    for (std::size_t j = i * fetched; j < (i + 1) * fetched; ++j) {
      const Id id = labels_[j] < 0 ? no_id : structure_.id_of(labels_[j]);
      if (selector_.passes(id)) found.push_back({distance(distances_[j]), id});
    }
    return found;
  }

  // The first fetch found too few items that pass: looks at all of them, the cheapest way that this index has.
  std::vector<Ranked> complete(const float* vector, std::size_t k, std::size_t wanted, std::size_t fetched,
                               SearchStats& work) {
    if (structure_.scannable != nullptr) return scan(vector, k, work);
    const auto total = static_cast<std::size_t>(structure_.core->ntotal);
    const std::size_t lists = structure_.ivf == nullptr ? effort_ : structure_.ivf->nlist;
    std::vector<Ranked> found;
    for (;;) {
      // An IVF index that probes every list with a selector leaves nothing out.
      if (structure_.ivf == nullptr || !structure_.selects)
        fetched = fetched > total / 2 ? total : 2 * fetched;
      fetch(vector, 1, fetched, lists);
      found = collect(0, fetched);
      if (found.size() >= wanted || fetched == total || (structure_.ivf != nullptr && structure_.selects))
        return found;
      if (stopped(work)) return found;
    }
  }

  bool stopped(SearchStats& work) const {
    if (!control_.must_stop()) return false;
    work.stop = control_.stop_reason();
    return true;
  }

  std::vector<Ranked> scan(const float* vector, std::size_t k, SearchStats& work) const {
    constexpr Label between_polls = 4096;
    const std::unique_ptr<faiss::DistanceComputer> computer(structure_.scannable->get_distance_computer());
    computer->set_query(vector);
    TopK top;
    top.reset(k);
    for (Label label = 0; label < structure_.core->ntotal; ++label) {
      if (label % between_polls == 0 && stopped(work)) break;
      const Id id = structure_.id_of(label);
      if (!selector_.passes(id)) continue;
      const float d = distance((*computer)(label));
      ++work.distances;
      if (d <= top.worst()) top.add(d, id);
    }
    return {top.found().begin(), top.found().end()};
  }

  static constexpr std::size_t most_effort = std::numeric_limits<int>::max();

  const Structure& structure_;
  Metric metric_;
  std::size_t effort_;
  const SearchControl& control_;
  Selector selector_;
  std::vector<Label> labels_;
  std::vector<float> distances_;
};

FaissRetriever::FaissRetriever(std::shared_ptr<const faiss::Index> index, Metric metric)
    : index_(std::move(index)), metric_(metric) {
  if (index_ == nullptr) throw InvalidArgument("the FAISS index is null");
  if (!index_->is_trained) throw InvalidArgument("the FAISS index is not trained");
  const faiss::MetricType expected = metric == Metric::l2 ? faiss::METRIC_L2 : faiss::METRIC_INNER_PRODUCT;
  if (index_->metric_type != expected) {
    throw InvalidArgument(fmt::format("the FAISS index has metric type {}, {} needs {} ({})",
                                      static_cast<int>(index_->metric_type), to_string(metric),
                                      static_cast<int>(expected), name_of(metric)));
  }
  structure_ = std::make_shared<const Structure>(*index_);
}

std::size_t FaissRetriever::size() const {
  return index_ == nullptr ? 0 : static_cast<std::size_t>(index_->ntotal);
}
std::size_t FaissRetriever::dim() const {
  return index_ == nullptr ? 0 : static_cast<std::size_t>(index_->d);
}

std::size_t FaissRetriever::memory_bytes() const {
  if (index_ == nullptr) return 0;
  std::size_t bytes =
      size() * code_bytes(structure_->hnsw != nullptr ? *structure_->hnsw->storage : *structure_->core);
  bytes += structure_->id_maps.size() * size() * sizeof(Label);
  if (structure_->hnsw != nullptr) {
    const faiss::HNSW& graph = structure_->hnsw->hnsw;
    bytes +=
        graph.neighbors.size() * sizeof(graph.neighbors[0]) + graph.offsets.size() * sizeof(graph.offsets[0]);
  }
  if (structure_->ivf != nullptr) {
    bytes += size() * sizeof(Label) +
             structure_->ivf->nlist * static_cast<std::size_t>(structure_->ivf->d) * sizeof(float);
  }
  return bytes;
}

void FaissRetriever::search(const VectorBatch& queries, NeighborsView out, const Params& params,
                            const SearchControl& control) const {
  const std::size_t blocks = (queries.size() + queries_per_task - 1) / queries_per_task;
  std::mutex stats_mutex;
  control.executor.for_each(size() == 0 ? 0 : blocks, [&](std::size_t block, std::size_t) {
    const std::size_t first = block * queries_per_task;
    const std::size_t count = std::min(queries_per_task, queries.size() - first);
    SearchStats work;
    work.queries = count;
    if (control.must_stop()) {
      work.stop = control.stop_reason();
    } else {
      const SingleThreaded limit;
      try {
        Block(*structure_, metric_, params.effort, control)
            .search(queries.rows.rows_from(first, count), first, out, work);
      } catch (const faiss::FaissException& error) {
        throw Unsupported(fmt::format("FAISS cannot answer: {}", error.what()));
      }
    }
    if (control.stats == nullptr) return;
    const std::scoped_lock lock(stats_mutex);
    control.stats->add_work(work);
  });
  if (control.stats == nullptr || structure_ == nullptr) return;
  std::string& strategy = control.stats->strategy;
  switch (structure_->type) {
    case Structure::Type::exhaustive: strategy = "faiss(exhaustive)"; break;
    case Structure::Type::other: strategy = "faiss"; break;
    case Structure::Type::hnsw:
      strategy = fmt::format(
          "faiss(hnsw, ef={})",
          params.effort != 0 ? params.effort : static_cast<std::size_t>(structure_->hnsw->hnsw.efSearch));
      break;
    case Structure::Type::ivf:
      strategy =
          fmt::format("faiss(ivf, nprobe={})", params.effort != 0 ? params.effort : structure_->ivf->nprobe);
      break;
  }
}

}  // namespace vicinal
