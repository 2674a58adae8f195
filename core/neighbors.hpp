#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "vicinal/core/array.hpp"
#include "vicinal/core/matrix_view.hpp"

namespace vicinal {

/// The name of an item as users see it. Without ids of their own it is the row number. Negative ids are refused, so -1 is
/// free to mean "none".
using Id = std::int64_t;
inline constexpr Id no_id = -1;
inline constexpr float no_distance = std::numeric_limits<float>::infinity();

/// Where a search writes its results; the caller owns the memory. One row a query, k columns: ids and distances ascending by
/// (distance, id), smaller is closer for every metric. Where fewer than k items exist (or pass the filter), the row ends in
/// no_id / +inf and counts says how many are real: never an error, never fewer rows.
struct NeighborsView {
  MatrixView<Id> ids;               ///< queries x k
  MatrixView<float> distances;      ///< queries x k
  std::span<std::uint32_t> counts;  ///< queries

  [[nodiscard]] std::size_t size() const { return ids.rows(); }
  [[nodiscard]] std::size_t k() const { return ids.cols(); }
  [[nodiscard]] NeighborsView rows_from(std::size_t first, std::size_t count) const {
    return {ids.rows_from(first, count), distances.rows_from(first, count), counts.subspan(first, count)};
  }
};

/// Results that own their memory; begins with every place empty (no_id, +inf, count 0).
class Neighbors {
 public:
  Neighbors() = default;
  Neighbors(std::size_t queries, std::size_t k)
      : k_(k),
        ids_(checked_product(queries, k, "neighbors"), no_id),
        distances_(queries * k, no_distance),
        counts_(queries, 0) {}

  [[nodiscard]] std::size_t size() const { return counts_.size(); }
  [[nodiscard]] std::size_t k() const { return k_; }
  [[nodiscard]] NeighborsView view() {
    return {{ids_.data(), size(), k_}, {distances_.data(), size(), k_}, counts_};
  }
  [[nodiscard]] MatrixView<const Id> ids() const { return {ids_.data(), size(), k_}; }
  [[nodiscard]] MatrixView<const float> distances() const { return {distances_.data(), size(), k_}; }
  [[nodiscard]] std::span<const std::uint32_t> counts() const { return counts_; }

 private:
  std::size_t k_ = 0;
  std::vector<Id> ids_;
  std::vector<float> distances_;
  std::vector<std::uint32_t> counts_;
};

/// recall@k: the mean over queries of |found ∩ true nearest k| / min(k, true neighbours given). Rows of both are read up to k
/// columns; no_id never counts, a repeated id counts once, and queries without any true neighbour are left out of the mean (1
/// when none is left). Throws InvalidArgument when k is 0, the row counts differ or either has fewer than k columns.
double recall(MatrixView<const Id> found, MatrixView<const Id> truth, std::size_t k);

}  // namespace vicinal
