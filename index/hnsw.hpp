#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "vicinal/index/graph.hpp"
#include "vicinal/index/pages.hpp"
#include "vicinal/index/retriever.hpp"
#include "vicinal/quant/code_store.hpp"

namespace vicinal {

class LineQueue;
class PassingSlots;
struct Scorer;
struct SearchScratch;
struct WalkWork;

/// What lies where on level 0.
enum class GraphLayout : std::uint8_t {
  plain,  ///< links, and codes apart: small, and as good for queries unlike the data
  fused,  ///< links and one-bit codes of the neighbours in one row a node: fast, and several times as large; m is a multiple of 8
};

/// How a search with a filter is answered. All find min(k, matches) items and nothing that fails.
enum class FilterStrategy : std::uint8_t {
  automatic,  ///< what a model of costs says is the fastest (docs/architecture.md)
  scan,       ///< every row that passes is scored
  two_hop,    ///< a walk over what passes alone, where links of links count as links if what is between fails
  post_filter,  ///< a walk over all, of which only what passes is kept
};

/// Malkov & Yashunin, "Efficient and robust approximate nearest neighbor search using Hierarchical Navigable Small World
/// graphs", 2016: names as there.
struct HnswOptions {
  std::size_t m = 32;                 ///< links a node keeps on upper levels; 2 m on level 0. 4 to 128
  std::size_t ef_construction = 200;  ///< candidates kept while a node's neighbours are sought. m to 4096
  std::uint64_t seed = 1;             ///< of levels and insertion order
  GraphLayout layout = GraphLayout::plain;
  float alpha = default_alpha(GraphLayout::plain);  ///< of NeighbourSelection; 1 to 2

  static constexpr float default_alpha(GraphLayout layout) {
    return layout == GraphLayout::fused ? 1.2F : 1.0F;
  }
  void validate() const;  ///< throws InvalidArgument
  friend bool operator==(const HnswOptions&, const HnswOptions&) = default;
};

/// A navigable graph over the records of any codec.
///
/// The bulk build is a function of the set of vectors, the options and the codec: not of the number of threads, nor of the
/// order of the rows (among equal vectors, the row number decides), nor of the instruction set. Every node is reachable.
class Hnsw {
 public:
  static constexpr std::string_view kind = "hnsw";
  struct Params {
    std::size_t ef = 64;  ///< width of the search, "efSearch"; at least k is used
    /// Fused layout: ends when the estimates of what is left say that little will be found, by a margin that grows with ef, or after
    /// 2 ef hops; otherwise after ef hops.
    bool adaptive = true;
    FilterStrategy filter_strategy = FilterStrategy::automatic;  ///< without a filter it means nothing

    static Params from_effort(std::size_t effort) { return {.ef = effort}; }
    void validate() const;
    friend bool operator==(const Params&, const Params&) = default;
  };

  Hnsw() = default;
  /// Encodes and links `documents`. Throws InvalidArgument (no rows, or more than 2^32 - 2), Cancelled.
  static Hnsw build(const Codec& codec, MatrixView<const float> documents, const HnswOptions& options,
                    const BuildControl& control = {});

  /// Of a graph that was linked elsewhere over `codes`, on whose level 0 every slot can be reached from slot 0; lays it out as the options say.
  static Hnsw of_parts(const HnswOptions& options, CodeStore codes, Graph graph,
                       Array<std::uint32_t> row_of_slot, const BuildControl& control = {});

  [[nodiscard]] std::size_t size() const;
  [[nodiscard]] std::size_t dim() const;
  [[nodiscard]] Metric metric() const;
  [[nodiscard]] std::size_t memory_bytes() const;
  [[nodiscard]] const HnswOptions& options() const;
  [[nodiscard]] const CodeStore& codes() const;  ///< in slot order
  [[nodiscard]] const Graph& graph() const;
  [[nodiscard]] std::span<const std::uint32_t> row_of_slot() const;

  void search(const VectorBatch& queries, NeighborsView out, const Params& params,
              const SearchControl& control) const;

  /// As search(), but query i acts as if row absent[i] had never been indexed: it is neither returned nor walked through. With
  /// rows of the base as queries this is an honest stand-in for unseen queries. `absent` has one row number a query.
  void search_without(const VectorBatch& queries, std::span<const std::uint32_t> absent, NeighborsView out,
                      const Params& params, const SearchControl& control) const;

  /// The results of `query` in pages of about `page`, by a walk that goes on where it stopped; over links and records in either layout. The first
  /// page is what search() finds in the plain layout. What `filter` refers to must outlive it. Borrows a search's scratch until it is destroyed.
  [[nodiscard]] std::unique_ptr<Pages> pages(std::span<const float> query, std::size_t page,
                                             const Params& params, const Filter& filter) const;

  void save(ContainerWriter& writer, const std::string& prefix) const;
  static Hnsw load(const Container& file, const std::string& prefix);  ///< validates; throws CorruptFile

 private:
  struct State;
  struct Call;
  struct Lane;
  class PagedWalk;
  void search_some(const Call& call, std::size_t begin, std::size_t end, SearchStats& work) const;
  void begin_query(const Call& call, std::size_t query, LineQueue* queue, Lane& lane) const;
  void finish_query(const Call& call, Lane& lane, SearchStats& stats) const;
  [[nodiscard]] Scorer scorer(const SearchScratch& scratch) const;
  void enter(const Scorer& score, SearchScratch& scratch, std::size_t width, WalkWork& work) const;
  void walk_filtered(const Call& call, const Scorer& score, Lane& lane) const;
  void scan_passing(const Scorer& score, SearchScratch& scratch, const Call& call, WalkWork& work) const;

  std::shared_ptr<const State> state_;
};
static_assert(Retriever<Hnsw>);

}  // namespace vicinal
