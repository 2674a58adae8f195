#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "vicinal/core/control.hpp"
#include "vicinal/core/function_ref.hpp"
#include "vicinal/core/neighbors.hpp"
#include "vicinal/core/vector_batch.hpp"
#include "vicinal/encode/token_store.hpp"
#include "vicinal/index/ranking.hpp"

/// Scans of documents of several vectors. Not installed.
namespace vicinal {

/// Documents to be compared: `count` of one store.
struct ScanPart {
  const TokenStore* documents = nullptr;
  std::size_t count = 0;
  const std::uint32_t* places = nullptr;  ///< where they are; nullptr: the first ones, in order
  const Id* ids = nullptr;                ///< of each place; nullptr: the places

  [[nodiscard]] std::uint32_t place(std::size_t i) const {
    return places == nullptr ? static_cast<std::uint32_t>(i) : places[i];
  }
  [[nodiscard]] Id id(std::uint32_t place) const {
    return ids == nullptr ? static_cast<Id>(place) : ids[place];
  }
};

/// A query of a scan, what it found and what that took.
struct ScanQuery {
  MaxSimQuery query;
  std::vector<Ranked> found = {};  ///< in no order
  SearchStats stats = {};
};

/// Of documents begin, ..., end - 1 in the order of `parts` the k nearest to each query that pass the filter. No more than `budget` pairs of
/// vectors a query. Queries of one call go through the documents together, a part that caches hold at a time.
void scan_parts(std::span<const ScanPart> parts, std::size_t begin, std::size_t end,
                std::span<ScanQuery> queries, std::size_t k, std::uint64_t budget,
                const SearchControl& control);

/// Makes a query ready for the stores of the parts.
using PrepareQuery = FunctionRef<void(MatrixView<const float> vectors, MaxSimQuery& query)>;

/// Compares every document that passes the filter: the nearest out.k() of each query. `queries` are checked, and none is without vectors. A
/// budget of distances is one of pairs of vectors. Adds its work to control.stats, but for strategy.
void scan_all(std::span<const ScanPart> parts, PrepareQuery prepare, const VectorBatch& queries,
              NeighborsView out, const SearchControl& control);

/// The same for one store. With a carve other than 0 vectors of a query are added up where carve_query() says so, for cosine as unit vectors, and
/// distances are estimates.
void scan_documents(const TokenStore& documents, double carve, const VectorBatch& queries, NeighborsView out,
                    const SearchControl& control);

/// How many are scored again: max(k, depth x k), or max(k, effort) when that is not 0; at least 1, at most `size`.
[[nodiscard]] std::size_t candidates_for(std::size_t k, double depth, std::size_t effort, std::size_t size);

}  // namespace vicinal
