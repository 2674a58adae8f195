#pragma once

#include <cstddef>
#include <memory>
#include <string_view>

#include "vicinal/index/retriever.hpp"

namespace faiss {
struct Index;
}

namespace vicinal {

/// Any float faiss::Index as a Retriever (FAISS 1.7.3 and later, Johnson, Douze & Jégou, "Billion-scale similarity search with
/// GPUs", 2017). Only for an index that the caller built or trusts: this class never reads a FAISS file. Built when the CMake
/// option VICINAL_FAISS is on; then VICINAL_HAS_FAISS is 1.
///
/// What FAISS leaves open is settled as NeighborsView says: smaller is closer, results ascend by (distance, id), and every
/// search returns min(k, items that pass the filter) items: where the index finds fewer, what passes is searched exactly, or
/// more lists are probed, or more is fetched until it is enough. Items that FAISS keeps under negative ids are never returned.
///
/// Ids are those of the FAISS index. Every task of control.executor runs FAISS on some queries with OpenMP limited to that
/// thread; the limit of the calling threads is restored. The stop token and the deadline are looked at between those tasks;
/// max_distances is not obeyed, FAISS has no such limit. Statistics count distances of exhaustive searches only, because FAISS
/// counts those of graphs and lists globally. Thread-safe as long as nobody changes the index; copies share it.
class FaissRetriever {
 public:
  static constexpr std::string_view kind = "faiss";
  struct Params {
    std::size_t effort =
        0;  ///< efSearch of an HNSW, nprobe of an IVF index, else of no effect; 0: as set in the index

    static Params from_effort(std::size_t effort) { return {effort}; }
    void validate() const {}
    friend bool operator==(const Params&, const Params&) = default;
  };

  FaissRetriever() = default;
  /// Cosine needs an inner product index that holds normalised vectors; queries are normalised here. Throws InvalidArgument
  /// when `index` is null, not trained, or of another metric.
  FaissRetriever(std::shared_ptr<const faiss::Index> index, Metric metric);

  [[nodiscard]] std::size_t size() const;
  [[nodiscard]] std::size_t dim() const;
  [[nodiscard]] Metric metric() const { return metric_; }
  /// An estimate: codes, ids and links.
  [[nodiscard]] std::size_t memory_bytes() const;
  void search(const VectorBatch& queries, NeighborsView out, const Params& params,
              const SearchControl& control) const;

 private:
  struct Structure;  // what lies under the wrappers
  class Block;       // a few queries of a search

  std::shared_ptr<const faiss::Index> index_;
  std::shared_ptr<const Structure> structure_;
  Metric metric_ = Metric::l2;
};
static_assert(Retriever<FaissRetriever>);

}  // namespace vicinal
