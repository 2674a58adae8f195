#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "vicinal/index/index.hpp"
#include "vicinal/index/live_hnsw.hpp"

namespace vicinal {

/// An index whose content changes while it is searched: a LiveHnsw made from a spec string and, where it has a file, a log beside it, so that a
/// change that was made is there after a crash.
///
/// The spec is codec | hnsw | rerank: a graph over f32, f16, bf16, float8, i8 or i4, with or without rerank rows; other stages need an immutable
/// Index. Of documents of several vectors it is muvera or head | codec | hnsw | rerank | maxsim, or maxsim alone, which scores every document; before
/// both, pool(...) makes fewer vectors of what is added. Items have offsets then, one id a document, and one without vectors counts but is never found. The file is that of an Index, `<path>`, and the log `<path>.log` (docs/format.md): opening reads the file and makes the changes of
/// the log again; compact() writes a new file and begins a new log. Whatever instant a process ends at, what is opened afterwards holds every change that was
/// made, each whole.
///
/// Threads: any number may search; changes wait for each other, and no search waits for them. Copies are handles of one index. One process at a
/// time has a file open for changes.
class LiveIndex {
 public:
  static constexpr std::string_view kind = "live index";
  using Params = Index::Params;
  static constexpr std::string_view default_spec = "i8 | hnsw(m=16, efc=100, alpha=1.2) | rerank(f16, 3x)";

  LiveIndex() = default;
  /// An empty one, in memory. What its codec learns, it learns from the first change. Throws SpecError, InvalidArgument, Unsupported.
  static LiveIndex create(std::size_t dim, std::string_view spec, Metric metric, std::uint64_t seed = 1);
  /// The same with a log, at `path` + ".log". Throws IoError too, also when one of the two files is there already.
  static LiveIndex create(const std::filesystem::path& path, std::size_t dim, std::string_view spec,
                          Metric metric, std::uint64_t seed = 1);
  /// Goes on from an index, in memory; copies what it needs.
  static LiveIndex from(const Index& index);
  /// Opens a file and its log; begins a log where there is none. Throws IoError, CorruptFile, Unsupported.
  static LiveIndex open(const std::filesystem::path& path, const BuildControl& control = {});

  [[nodiscard]] std::size_t size() const;
  [[nodiscard]] std::size_t dim() const;
  [[nodiscard]] Metric metric() const;
  [[nodiscard]] std::size_t memory_bytes() const;
  [[nodiscard]] const Spec& spec() const;
  [[nodiscard]] std::uint64_t seed() const;
  /// As the index had it that this one goes on from, or as compact() measured it.
  [[nodiscard]] std::optional<Calibration> calibration() const;
  [[nodiscard]] bool contains(Id id) const;
  [[nodiscard]] std::vector<Id> ids() const;      ///< ascending
  [[nodiscard]] std::size_t retired() const;      ///< removed, but still a way through the graph
  [[nodiscard]] std::uint64_t log_bytes() const;  ///< 0 without a log
  /// The vectors of `ids`, one a row, as the index holds them. Throws InvalidArgument; Unsupported for documents of several vectors.
  void reconstruct(std::span<const Id> ids, MatrixView<float> out) const;

  /// As Index::search; the content is that of the moment at which each query begins, of documents of several vectors that of a block of
  /// queries.
  [[nodiscard]] Neighbors search(const VectorBatch& queries, std::size_t k,
                                 const IndexSearchOptions& options = {},
                                 const SearchControl& control = {}) const;
  void search(const VectorBatch& queries, NeighborsView out, const Params& params,
              const SearchControl& control) const;

  /// As Index::pages, by RepeatedSearch: each page is of the content of its moment. The pages share the index.
  [[nodiscard]] std::unique_ptr<Pages> pages(std::span<const float> query, std::size_t page,
                                             const IndexSearchOptions& options = {},
                                             const Filter& filter = {}) const;
  /// See vicinal::search_range().
  [[nodiscard]] RangeNeighbors search_range(MatrixView<const float> queries, float radius,
                                            const IndexSearchOptions& options = {},
                                            const SearchControl& control = {}) const;

  /// Makes a change whole: on disk first when there is a log, then for searches to see. Returns how many items it took away. Throws as
  /// LiveHnsw::apply() does, and IoError; nothing is changed then.
  std::size_t apply(const LiveChange& change, const BuildControl& control = {});
  void add(const VectorBatch& items, std::span<const Id> ids) {
    apply({items.rows, ids, {}, true, items.offsets});
  }
  void upsert(const VectorBatch& items, std::span<const Id> ids) {
    apply({items.rows, ids, {}, false, items.offsets});
  }
  std::size_t remove(std::span<const Id> ids) { return apply({{}, {}, ids, false}); }

  /// Lets go of the files, so that they can be opened again; later changes throw InvalidArgument, searches go on. Nothing in memory is lost or
  /// changed, and an index without a file stays as it is.
  void close();

  /// See LiveHnsw.
  bool consolidate(std::size_t nodes = static_cast<std::size_t>(-1), const BuildControl& control = {});

  /// An immutable index of what there is now, in the layout that the spec says or another. Measures its recall if told to. Throws InvalidArgument when there
  /// is nothing.
  [[nodiscard]] Index freeze(bool calibrate = true, std::optional<GraphLayout> layout = {},
                             const BuildControl& control = {}) const;
  /// Writes the file anew and begins a new log. Throws InvalidArgument without a file or content, IoError.
  void compact(bool calibrate = true, const BuildControl& control = {});

 private:
  struct State;
  [[nodiscard]] std::size_t effort_for(const IndexSearchOptions& options, std::size_t k) const;

  std::shared_ptr<State> state_;
};
static_assert(MutableRetriever<LiveIndex>);

}  // namespace vicinal
