#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "vicinal/core/function_ref.hpp"
#include "vicinal/index/any_retriever.hpp"
#include "vicinal/quant/projection.hpp"

namespace vicinal {

/// Takes queries of a projection's input, maps them, and searches an inner retriever over projected items. Reports the inner one's
/// distances plus the constant of each query, which estimate distances of metric() on the items as they were. Copies share everything.
class QueryMapped {
 public:
  static constexpr std::string_view kind = "projection";
  struct Params {
    SearchOptions inner;

    static Params from_effort(std::size_t effort) { return {{effort, {}}}; }
    void validate() const {}  ///< the inner retriever validates its own
    friend bool operator==(const Params& a, const Params& b) { return a.inner.effort == b.inner.effort; }
  };

  QueryMapped() = default;
  /// Throws InvalidArgument when the inner retriever's dimension or metric is not what the projection gives, with or without a side value.
  QueryMapped(AnyRetriever inner, Projection projection);

  [[nodiscard]] std::size_t size() const { return inner_.size(); }
  [[nodiscard]] std::size_t dim() const { return projection_.in_dim(); }
  [[nodiscard]] Metric metric() const { return projection_.metric(); }
  [[nodiscard]] std::size_t memory_bytes() const {
    return inner_.memory_bytes() + projection_.memory_bytes();
  }
  [[nodiscard]] const AnyRetriever& inner() const { return inner_; }
  [[nodiscard]] const Projection& projection() const { return projection_; }

  /// Throws InvalidArgument, the row named, for a query whose map is not finite.
  void search(const VectorBatch& queries, NeighborsView out, const Params& params,
              const SearchControl& control) const;
  /// As search(), but query i acts as if row absent[i] had never been indexed; see Hnsw::search_without. Throws Unsupported when
  /// there is no Hnsw inside.
  void search_without(const VectorBatch& queries, std::span<const std::uint32_t> absent, NeighborsView out,
                      const Params& params, const SearchControl& control) const;

  /// The inner retriever's pages for the mapped query.
  [[nodiscard]] std::unique_ptr<Pages> pages(std::span<const float> query, std::size_t page,
                                             const Params& params, const Filter& filter) const;

 private:
  // Fills `out` with results for mapped queries that begin at query `first` of the batch.
  using Inner = FunctionRef<void(const VectorBatch& mapped, std::size_t first, NeighborsView out,
                                 const SearchControl& control)>;
  [[nodiscard]] std::string name() const;
  void search_with(Inner inner, const VectorBatch& queries, NeighborsView out,
                   const SearchControl& control) const;

  AnyRetriever inner_;
  Projection projection_;
};
static_assert(Retriever<QueryMapped>);

}  // namespace vicinal
