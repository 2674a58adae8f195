#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "vicinal/core/function_ref.hpp"
#include "vicinal/index/any_retriever.hpp"
#include "vicinal/quant/code_store.hpp"

namespace vicinal {

/// Takes depth x k candidates from an inner retriever and scores them again on more precise rows. Distances reported are those
/// of the rows. The inner retriever's ids must be row numbers of `rows`. Copies share everything.
///
/// A search that the deadline, the stop token or the budget ends early rescores the candidates found until then.
class Reranked {
 public:
  static constexpr std::string_view kind = "rerank";
  struct Params {
    SearchOptions inner;
    double depth = 0;  ///< candidates as a multiple of k; 0: as built

    /// The inner retriever at this effort; no more candidates than the effort asks the inner one to keep, but at least k.
    static Params from_effort(std::size_t effort);
    void validate() const;  ///< InvalidArgument unless the depth is 0 or at least 1
    friend bool operator==(const Params& a, const Params& b) {
      return a.inner.effort == b.inner.effort && a.depth == b.depth;
    }
  };

  Reranked() = default;
  /// Throws InvalidArgument when sizes, dimensions or metrics differ, or depth < 1.
  Reranked(AnyRetriever inner, CodeStore rows, double depth);

  [[nodiscard]] std::size_t size() const { return inner_.size(); }
  [[nodiscard]] std::size_t dim() const { return inner_.dim(); }
  [[nodiscard]] Metric metric() const { return inner_.metric(); }
  [[nodiscard]] std::size_t memory_bytes() const { return inner_.memory_bytes() + rows_.memory_bytes(); }
  [[nodiscard]] const AnyRetriever& inner() const { return inner_; }
  [[nodiscard]] const CodeStore& rows() const { return rows_; }
  [[nodiscard]] double depth() const { return depth_; }

  void search(const VectorBatch& queries, NeighborsView out, const Params& params,
              const SearchControl& control) const;

  /// As search(), but query i acts as if row absent[i] had never been indexed; see Hnsw::search_without. Throws Unsupported when
  /// there is no Hnsw inside.
  void search_without(const VectorBatch& queries, std::span<const std::uint32_t> absent, NeighborsView out,
                      const Params& params, const SearchControl& control) const;

 private:
  // Fills `out` with candidates for queries [first, first + out.size()) of the batch.
  using Candidates = FunctionRef<void(std::size_t first, NeighborsView out, const SearchControl& control)>;
  struct Scratch;
  class ScratchPool;

  [[nodiscard]] std::size_t candidates_for(std::size_t k, const Params& params) const;
  void search_with(Candidates candidates, const VectorBatch& queries, NeighborsView out, const Params& params,
                   const SearchControl& control) const;
  void rerank(std::span<const float> query, std::span<const Id> candidates, NeighborsView out,
              std::size_t row, const Filter& filter, Scratch& scratch, std::size_t worker) const;

  AnyRetriever inner_;
  CodeStore rows_;
  double depth_ = 3.0;
  std::shared_ptr<ScratchPool> scratch_;
};
static_assert(Retriever<Reranked>);

}  // namespace vicinal
