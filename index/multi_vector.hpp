#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "vicinal/encode/fde.hpp"
#include "vicinal/encode/token_store.hpp"
#include "vicinal/index/any_retriever.hpp"

namespace vicinal {

/// Documents of several vectors each, found by MaxSim (TokenStore says what that is): the exact scan, or MUVERA, which takes candidates from a
/// retriever of one vector a document and scores those exactly. Distances reported are always MaxSim's on the stored vectors.
/// Queries are of several vectors; in a batch without offsets each has one. Ids are places of documents. Copies share everything.
class MultiVector {
 public:
  static constexpr std::string_view kind = "multi_vector";
  static constexpr bool takes_multi_vector = true;
  struct Params {
    SearchOptions inner;
    double depth =
        0;  ///< candidates as a multiple of k; 0: as built. An effort stands for a number of candidates instead

    /// So many candidates (at least k), found by the inner retriever at this effort.
    static Params from_effort(std::size_t effort) { return {{effort, {}}, 0}; }
    void validate() const;  ///< InvalidArgument unless the depth is 0 or at least 1
    friend bool operator==(const Params& a, const Params& b) {
      return a.inner.effort == b.inner.effort && a.depth == b.depth;
    }
  };

  MultiVector() = default;
  /// The exact scan.
  explicit MultiVector(TokenStore documents);
  /// Candidates from `inner`, whose items are the documents' encodings by `encoder`, compared by inner product. Throws InvalidArgument when
  /// sizes, dimensions or metrics do not go together, or depth < 1.
  MultiVector(FdeEncoder encoder, AnyRetriever inner, TokenStore documents, double depth);

  [[nodiscard]] std::size_t size() const { return documents_.size(); }
  [[nodiscard]] std::size_t dim() const { return documents_.dim(); }
  [[nodiscard]] Metric metric() const { return documents_.metric(); }
  [[nodiscard]] std::size_t memory_bytes() const;
  [[nodiscard]] const TokenStore& documents() const { return documents_; }
  [[nodiscard]] bool scans() const { return !inner_.has_value(); }
  [[nodiscard]] const AnyRetriever& inner() const { return inner_; }  ///< empty when it scans
  [[nodiscard]] const FdeEncoder& encoder() const { return encoder_; }
  [[nodiscard]] double depth() const { return depth_; }

  /// Throws InvalidArgument, the query named, for one without vectors. A budget of distances is the inner retriever's, and of a scan
  /// one of pairs of vectors.
  void search(const VectorBatch& queries, NeighborsView out, const Params& params,
              const SearchControl& control) const;

 private:
  struct Work;
  void scan(const VectorBatch& queries, NeighborsView out, const SearchControl& control) const;
  void search_candidates(const VectorBatch& queries, NeighborsView out, const Params& params,
                         const SearchControl& control) const;
  [[nodiscard]] std::size_t candidates_for(std::size_t k, const Params& params) const;

  FdeEncoder encoder_;
  AnyRetriever inner_;
  TokenStore documents_;
  double depth_ = 0;
};
static_assert(Retriever<MultiVector>);

}  // namespace vicinal
