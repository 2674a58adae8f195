#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "vicinal/encode/token_store.hpp"
#include "vicinal/index/any_retriever.hpp"
#include "vicinal/index/document_encoder.hpp"

namespace vicinal {

/// All documents compared by coarser vectors and a shorter query: what finds candidates without a graph.
struct CoarseScan {
  TokenStore documents;
  double carve = 0;  ///< carve_query()'s tau; 0: queries are compared as they are
};

/// Documents of several vectors each, found by MaxSim (TokenStore says what that is): the exact scan, or candidates that are then scored exactly,
/// taken from a retriever of one vector a document (MUVERA, or a learned head) or from a coarser scan. Distances reported are always MaxSim's on the stored vectors.
/// Queries are of several vectors; in a batch without offsets each has one. Ids are places of documents. Copies share everything.
class MultiVector {
 public:
  static constexpr std::string_view kind = "multi_vector";
  static constexpr bool takes_multi_vector = true;
  struct Params {
    SearchOptions inner;
    double depth =
        0;  ///< candidates as a multiple of k; 0: as built. An effort stands for a number of candidates instead
    /// The queries' encodings, one a row, made elsewhere by an encoder of this fingerprint; empty: made here.
    MatrixView<const float> encodings = {};
    std::uint64_t fingerprint = 0;

    /// So many candidates (at least k), found by the inner retriever at this effort.
    static Params from_effort(std::size_t effort) { return {.inner = {effort, {}}}; }
    void validate() const;  ///< InvalidArgument unless the depth is 0 or at least 1
    friend bool operator==(const Params& a, const Params& b) {
      return a.inner.effort == b.inner.effort && a.depth == b.depth &&
             a.encodings.data() == b.encodings.data() && a.fingerprint == b.fingerprint;
    }
  };

  MultiVector() = default;
  /// The exact scan.
  explicit MultiVector(TokenStore documents);
  /// Candidates from `inner`, whose items are the documents' encodings by `encoder`, compared by inner product. Throws InvalidArgument when
  /// sizes, dimensions or metrics do not go together, or depth < 1.
  MultiVector(DocumentEncoder encoder, AnyRetriever inner, TokenStore documents, double depth);

  /// Candidates from a scan of the same documents on coarser vectors. Throws InvalidArgument as above.
  MultiVector(CoarseScan coarse, TokenStore documents, double depth);

  [[nodiscard]] std::size_t size() const { return documents_.size(); }
  [[nodiscard]] std::size_t dim() const { return documents_.dim(); }
  [[nodiscard]] Metric metric() const { return documents_.metric(); }
  [[nodiscard]] std::size_t memory_bytes() const;
  [[nodiscard]] const TokenStore& documents() const { return documents_; }
  /// Whether every document is scored on its stored vectors.
  [[nodiscard]] bool scans() const { return !inner_.has_value() && !coarse_; }
  [[nodiscard]] const AnyRetriever& inner() const {
    return inner_;
  }  ///< of encodings; empty when there are none
  [[nodiscard]] const std::optional<CoarseScan>& coarse() const { return coarse_; }
  [[nodiscard]] const DocumentEncoder& encoder() const { return encoder_; }
  [[nodiscard]] double depth() const { return depth_; }

  /// Throws InvalidArgument, the query named, for one without vectors, and for encodings of another shape or encoder than its own. A budget of distances is the inner retriever's, and of a scan
  /// one of pairs of vectors.
  void search(const VectorBatch& queries, NeighborsView out, const Params& params,
              const SearchControl& control) const;

 private:
  void search_candidates(const VectorBatch& queries, NeighborsView out, const Params& params,
                         const SearchControl& control) const;
  void require_encodings(const VectorBatch& queries, const Params& params) const;
  [[nodiscard]] Neighbors find(const VectorBatch& queries, std::size_t wanted, const Params& params,
                               const SearchControl& control) const;
  // Of a search that compared so many encodings, and pairs of vectors.
  [[nodiscard]] std::string advice(const VectorBatch& queries, std::uint64_t encodings,
                                   std::uint64_t pairs) const;
  // Returns the number of pairs of vectors compared.
  std::uint64_t rescore(const VectorBatch& queries, const Neighbors& candidates, NeighborsView out,
                        std::size_t first, const SearchControl& control) const;

  DocumentEncoder encoder_;
  AnyRetriever inner_;
  std::optional<CoarseScan> coarse_;
  TokenStore documents_;
  double depth_ = 0;
};
static_assert(Retriever<MultiVector>);

}  // namespace vicinal
