#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "vicinal/core/function_ref.hpp"
#include "vicinal/index/any_retriever.hpp"
#include "vicinal/quant/two_level_store.hpp"

namespace vicinal {

/// Takes depth x k candidates from an inner retriever and scores them again on more precise rows. Distances reported are those
/// of the rows. The inner retriever's ids must be row numbers of `rows`. Copies share everything. With two levels of codes the rows are
/// the inner retriever's own codes plus what those lack, so that no second copy of the vectors is needed.
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

  /// The rows are the sums of two levels, of which the first are the inner retriever's codes; row r is in slot slot_of_row[r] (empty:
  /// slot r). Throws as above, and when slot_of_row has another length or names a slot that is not there.
  Reranked(AnyRetriever inner, TwoLevelStore levels, Array<std::uint32_t> slot_of_row, double depth);

  [[nodiscard]] std::size_t size() const { return inner_.size(); }
  [[nodiscard]] std::size_t dim() const { return inner_.dim(); }
  [[nodiscard]] Metric metric() const { return inner_.metric(); }
  [[nodiscard]] std::size_t memory_bytes() const {
    return inner_.memory_bytes() + rows_.memory_bytes() + slot_of_row_.bytes();
  }
  [[nodiscard]] const AnyRetriever& inner() const { return inner_; }
  [[nodiscard]] const CodeStore& rows() const { return rows_; }  ///< of two levels, the second
  [[nodiscard]] bool two_level() const { return levels_.has_value(); }
  /// The vector of a row, dim() values, as its record or the sum of its levels stands for it.
  void decode(std::size_t row, std::span<float> out) const;
  [[nodiscard]] double depth() const { return depth_; }

  void search(const VectorBatch& queries, NeighborsView out, const Params& params,
              const SearchControl& control) const;

  /// As search(), but query i acts as if row absent[i] had never been indexed; see Hnsw::search_without. Throws Unsupported when
  /// there is no Hnsw inside.
  void search_without(const VectorBatch& queries, std::span<const std::uint32_t> absent, NeighborsView out,
                      const Params& params, const SearchControl& control) const;

  /// The inner retriever's pages, each scored again with as many candidates ahead of it as a search for a page would look at.
  [[nodiscard]] std::unique_ptr<Pages> pages(std::span<const float> query, std::size_t page,
                                             const Params& params, const Filter& filter) const;

 private:
  // Fills `out` with candidates for queries [first, first + out.size()) of the batch.
  using Candidates = FunctionRef<void(std::size_t first, NeighborsView out, const SearchControl& control)>;
  struct Scratch;
  class ScratchPool;
  class PagedRerank;

  void require_fit() const;
  [[nodiscard]] std::size_t slot_of(std::size_t row) const {
    return slot_of_row_.empty() ? row : slot_of_row_[row];
  }
  [[nodiscard]] std::size_t row_bytes() const;
  [[nodiscard]] std::string description(std::size_t candidates) const;
  [[nodiscard]] std::size_t candidates_for(std::size_t k, const Params& params) const;
  void search_with(Candidates candidates, const VectorBatch& queries, NeighborsView out, const Params& params,
                   const SearchControl& control) const;
  void rerank(std::span<const float> query, std::span<const Id> candidates, NeighborsView out,
              std::size_t row, const Filter& filter, Scratch& scratch, std::size_t worker) const;

  AnyRetriever inner_;
  CodeStore rows_;
  std::optional<TwoLevelStore> levels_;
  Array<std::uint32_t> slot_of_row_;
  double depth_ = 3.0;
  std::shared_ptr<ScratchPool> scratch_;
};
static_assert(Retriever<Reranked>);

}  // namespace vicinal
