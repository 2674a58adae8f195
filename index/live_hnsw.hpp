#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "vicinal/index/hnsw.hpp"
#include "vicinal/index/retriever.hpp"
#include "vicinal/quant/code_store.hpp"

namespace vicinal {

struct LiveState;

/// More precise rows on which a LiveHnsw scores its candidates again.
struct LiveRerank {
  Codec codec;
  double depth = 3.0;  ///< candidates, as a multiple of k
};

/// What changes together: all of it, or nothing. Ids are not negative; none is twice in `ids`, nor in `ids` and `removed`.
struct LiveChange {
  MatrixView<const float> rows = {};  ///< added, or put in place of what has their id
  std::span<const Id> ids = {};       ///< one a row
  std::span<const Id> removed = {};   ///< unknown ones are no error
  bool must_be_new = false;           ///< refuse ids that are there already
  std::span<const std::uint64_t> offsets =
      {};  ///< of documents of several vectors, as VectorBatch has them; there is one id a document then. A LiveHnsw has none
};

/// A navigable graph whose content changes while others search it.
///
/// Any number of threads search, without a lock and without waiting: a search sees the content as it was when its query began, whatever is
/// changed meanwhile, and every change as a whole or not at all. Changes wait for each other. What a change does is a function of the content,
/// the change and the options, not of the number of threads that do it. Copies are handles of one graph.
///
/// New nodes are linked in batches, as in the bulk build: all of a batch search the graph as it is, then every node that gained links prunes
/// its list. What is removed is hidden at once and stays a way through for searches until consolidate(), which changes do in passing, has led
/// the links of others around it (FreshDiskANN: Singh et al., 2021); its slot is used again when no search can be at it any more.
///
/// A search returns min(k, items that pass) results whatever the state of the graph: where a walk finds fewer, every item is compared.
class LiveHnsw {
 public:
  static constexpr std::string_view kind = "live";
  struct Params {
    std::size_t ef = 64;  ///< width of the search, "efSearch"; at least k is used
    double depth = 0;     ///< of the rerank; 0: as made

    static Params from_effort(std::size_t effort) { return {.ef = effort}; }
    void validate() const;
    friend bool operator==(const Params&, const Params&) = default;
  };
  /// m, efc and alpha of what suits a graph that changes.
  static constexpr HnswOptions default_options() {
    HnswOptions options;
    options.m = 16;
    options.ef_construction = 100;
    options.alpha = 1.2F;
    return options;
  }

  LiveHnsw() = default;
  /// An empty one. Whatever is added is encoded by `codec`, whose training is over. Throws InvalidArgument for bad options, and Unsupported for
  /// codecs whose codes are too coarse to link by (b1, b2, pq8, pq4).
  explicit LiveHnsw(const Codec& codec, const HnswOptions& options = default_options(),
                    std::optional<LiveRerank> rerank = {});
  /// Goes on from a built graph, of which row r has id ids[r] (none: row numbers), and precise row r is that of `rerank_rows`, where
  /// there are some. Copies everything.
  LiveHnsw(const Hnsw& graph, std::span<const Id> ids, const CodeStore* rerank_rows = nullptr,
           double depth = 3.0);

  [[nodiscard]] std::size_t size() const;
  [[nodiscard]] std::size_t dim() const;
  [[nodiscard]] Metric metric() const;
  [[nodiscard]] std::size_t memory_bytes() const;
  [[nodiscard]] const HnswOptions& options() const;
  [[nodiscard]] const Codec& codec() const;
  [[nodiscard]] bool contains(Id id) const;
  [[nodiscard]] std::vector<Id> ids() const;  ///< ascending
  /// The vectors of `ids`, one a row, as the precise rows or else the codes hold them. Throws InvalidArgument for an unknown id.
  void reconstruct(std::span<const Id> ids, MatrixView<float> out) const;
  /// Removed, but still a way through the graph.
  [[nodiscard]] std::size_t retired() const;

  void search(const VectorBatch& queries, NeighborsView out, const Params& params,
              const SearchControl& control) const;

  /// Makes a change, on control.executor, and returns how many items it took away (replaced ones do not count). Throws InvalidArgument (shapes,
  /// non-finite values, ids), and std::bad_alloc; nothing is changed then. `before` is called once nothing is left to be refused; when it
  /// throws, nothing is changed either.
  std::size_t apply(const LiveChange& change, const BuildControl& control = {},
                    const std::function<void()>& before = {});
  void add(const VectorBatch& items, std::span<const Id> ids) { apply({items.rows, ids, {}, true}); }
  void upsert(const VectorBatch& items, std::span<const Id> ids) { apply({items.rows, ids, {}, false}); }
  std::size_t remove(std::span<const Id> ids) { return apply({{}, {}, ids, false}); }

  /// Looks at up to `nodes` nodes, or at all, and leads their links around what was removed. True when nothing is left to do.
  bool consolidate(std::size_t nodes = static_cast<std::size_t>(-1), const BuildControl& control = {});

  /// What an immutable index needs, as it is now: a graph in the layout wanted and, in the order of its rows, which ascend with their ids,
  /// the precise rows. Every node can be reached. Throws InvalidArgument when there is nothing.
  struct Frozen {
    Hnsw graph;
    std::vector<Id> ids;
    CodeStore rerank_rows;  ///< empty where there are none
  };
  [[nodiscard]] Frozen freeze(GraphLayout layout = GraphLayout::plain,
                              const BuildControl& control = {}) const;

 private:
  std::shared_ptr<LiveState> state_;
};
static_assert(MutableRetriever<LiveHnsw>);

}  // namespace vicinal
