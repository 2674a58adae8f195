#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "vicinal/core/container.hpp"
#include "vicinal/index/any_retriever.hpp"
#include "vicinal/index/calibration.hpp"
#include "vicinal/index/range_search.hpp"
#include "vicinal/index/spec.hpp"

namespace vicinal {

/// What one search through an Index asks for.
struct IndexSearchOptions {
  std::size_t effort = 0;  ///< 0: default
  std::optional<double> target_recall =
      {};  ///< needs a calibrated index; then effort must be 0. A flat index is exact on its codes
           ///< and takes any target
  /// Of documents of several vectors: the queries' encodings, made elsewhere by an encoder of this fingerprint (MultiVector::Params).
  MatrixView<const float> encodings = {};
  std::uint64_t fingerprint = 0;
};

struct IndexOptions {
  std::uint64_t seed = 1;
  bool calibrate = true;  ///< measure recall by effort after the build, when there is a graph to measure
  MatrixView<const float> calibration_queries =
      {};  ///< empty: rows of the base, searched for as absent. A spec with qpca also learns
           ///< its projection from them and needs them, but for l2: recall told of so few that it
           ///< learned them by heart is too high
  std::span<const std::uint64_t> calibration_offsets =
      {};  ///< with a spec that has maxsim: calibration query i is rows [offsets[i], offsets[i + 1]); without, every row is one
  std::span<const float> popularity =
      {};  ///< what tiers go by: one finite number >= 0 a row. A spec without tiers takes none
  std::span<const Id> ids = {};  ///< empty: row numbers. Else one unique non-negative id a row
};

/// A retriever built from a spec string, with the ids, the calibration and the provenance that a `.vcn` file holds: what the
/// command and the Python package work with. A Retriever itself. Immutable; copies share; safe to search from many threads.
///
/// With ids of their own, rows are kept in ascending order of id, so that neither results nor the file depend on the order in
/// which the rows were given, and ties go by id.
class Index {
 public:
  static constexpr std::string_view kind = "index";
  struct Params {
    IndexSearchOptions search;
    static Params from_effort(std::size_t effort) { return {{effort, std::nullopt}}; }
    void validate() const;
    friend bool operator==(const Params& a, const Params& b) {
      return a.search.effort == b.search.effort && a.search.target_recall == b.search.target_recall;
    }
  };

  Index() = default;
  /// Builds what `spec` says over the items of `base`: of one vector each, or with a maxsim stage of several, as its offsets say. The result (and the file it saves) depends on base, spec, metric, ids
  /// and options alone, not on the number of threads. Throws SpecError, InvalidArgument (empty base, offsets without a maxsim stage or no offsets with one,
  /// non-finite value, bad ids: row named), Cancelled. When ids are given that do not ascend, the base is copied once in their order.
  static Index build(const VectorBatch& base, std::string_view spec, Metric metric,
                     const IndexOptions& options = {}, const BuildControl& control = {});

  [[nodiscard]] std::size_t size() const { return retriever_.size(); }
  [[nodiscard]] std::size_t dim() const { return retriever_.dim(); }
  [[nodiscard]] Metric metric() const { return retriever_.metric(); }
  [[nodiscard]] std::size_t memory_bytes() const { return retriever_.memory_bytes() + ids_.bytes(); }
  /// Items that a spec with dedup keeps no vector of, since another has the same.
  [[nodiscard]] std::size_t duplicates() const;
  [[nodiscard]] const Spec& spec() const { return spec_; }
  [[nodiscard]] std::uint64_t seed() const { return seed_; }
  [[nodiscard]] const std::optional<Calibration>& calibration() const { return calibration_; }
  /// What answers. Its ids are row numbers: of the base, or of ids() when there are ids.
  [[nodiscard]] const AnyRetriever& retriever() const { return retriever_; }
  [[nodiscard]] std::span<const Id> ids() const {
    return ids_.span();
  }  ///< ascending, one a row; empty: row numbers

  /// Results in the caller's ids; filters too. Throws InvalidArgument as AnyRetriever::search does, and for a target recall that
  /// is not in (0, 1], or given together with an effort, or asked of an index that is not calibrated.
  [[nodiscard]] Neighbors search(const VectorBatch& queries, std::size_t k,
                                 const IndexSearchOptions& options = {},
                                 const SearchControl& control = {}) const;
  void search(const VectorBatch& queries, NeighborsView out, const Params& params,
              const SearchControl& control) const;

  /// The results of one query (dim() finite values, copied) in pages of about `page`, in the caller's ids; a target recall is that of the first
  /// page. What `filter` refers to must outlive the pages. A graph without rerank goes on where it stopped, another index searches again, for
  /// ever more. Throws as search() does.
  [[nodiscard]] std::unique_ptr<Pages> pages(std::span<const float> query, std::size_t page,
                                             const IndexSearchOptions& options = {},
                                             const Filter& filter = {}) const;
  /// See vicinal::search_range().
  [[nodiscard]] RangeNeighbors search_range(MatrixView<const float> queries, float radius,
                                            const IndexSearchOptions& options = {},
                                            const SearchControl& control = {}) const;

  /// The vectors of `ids` as the index holds them, into `out` (one row an id): the rerank rows where there are some, else the
  /// decoded codes (mapped back when they are of a projection); exact for f32, of length 1 for cosine. Throws InvalidArgument for an id that is not in the index (nothing is
  /// written then) or a shape that does not fit. O(ids x dim), and O(size) once for a graph.
  void reconstruct(std::span<const Id> ids, MatrixView<float> out) const;
  /// What MaxSim consists of, for documents of several vectors: tokens[i][q] is the place, within the document of ids[i], of its stored vector that is
  /// nearest to query vector q (the first of equals), scores[i][q] their inner product, or cosine for metric cosine; larger is closer. A row's sum is
  /// the negated distance that a search reports, for cosine the query's vectors less that distance. `tokens` and `scores` are ids x query vectors; ids
  /// may repeat. Unsupported for an index of single vectors; InvalidArgument for shapes that do not fit, an id that is not in the index, a document
  /// without vectors, a query without, of another dimension or with a value that is not finite (row and column named); nothing is written then.
  /// O(tokens of the documents x query vectors x dim), on the calling thread.
  void match(MatrixView<const float> query, std::span<const Id> ids, MatrixView<std::uint32_t> tokens,
             MatrixView<float> scores) const;
  /// The same index under other ids: ids[r] is the new name of the r-th smallest id of now. `ids` ascend, one an item; none: row
  /// numbers. Shares everything else. Throws InvalidArgument.
  [[nodiscard]] Index with_ids(std::span<const Id> ids) const;

  /// An index over a retriever made elsewhere, whose rows are those of `ids`, ascending (all of them row numbers: of no ids). Measures its recall
  /// on its own vectors if told to.
  static Index of_parts(const Spec& spec, std::uint64_t seed, AnyRetriever retriever, std::span<const Id> ids,
                        bool calibrate, const BuildControl& control = {});

  void save(const std::filesystem::path& path)
      const;  ///< atomically; throws IoError, or InvalidArgument for an empty Index
  /// The same with a note of the log whose changes it holds, which folded_log() reads; see LiveIndex.
  using LogIdentity = std::array<std::uint8_t, 16>;
  void save(const std::filesystem::path& path, const std::optional<LogIdentity>& folded) const;
  static std::optional<LogIdentity> folded_log(const Container& file);
  /// Validates everything before it returns. Throws IoError, CorruptFile, Unsupported.
  static Index open(const std::filesystem::path& path, OpenMode mode = OpenMode::load);
  static Index open(const Container& file);

 private:
  class PagesById;
  static Index build_documents(Index index, const VectorBatch& documents, Metric metric,
                               const IndexOptions& options, const BuildControl& control);
  [[nodiscard]] std::vector<std::uint32_t> rows_of_ids(std::span<const Id> ids) const;
  [[nodiscard]] std::size_t effort_for(const IndexSearchOptions& options, std::size_t k) const;
  void search_by_id(const VectorBatch& queries, NeighborsView out, const SearchOptions& options,
                    const SearchControl& control) const;

  Spec spec_;
  std::uint64_t seed_ = 1;
  AnyRetriever retriever_;
  Array<Id> ids_;
  std::optional<Calibration> calibration_;
};
static_assert(Retriever<Index>);

}  // namespace vicinal
