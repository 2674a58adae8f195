#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "vicinal/core/array.hpp"
#include "vicinal/core/function_ref.hpp"
#include "vicinal/index/retriever.hpp"

namespace vicinal {

/// Rows in parts, each row in one, for an index that has something of its own for every part: its slot s stands for row rows(part)[s].
/// Immutable; copies share everything.
class RowPartition {
 public:
  RowPartition() = default;
  /// Parts may be empty. Throws InvalidArgument unless they hold the rows 0, 1, ..., each once and ascending in its part.
  explicit RowPartition(std::vector<Array<std::uint32_t>> parts);

  [[nodiscard]] std::size_t size() const { return size_; }  ///< rows
  [[nodiscard]] std::size_t parts() const { return parts_.size(); }
  [[nodiscard]] std::span<const std::uint32_t> rows(std::size_t part) const { return parts_[part].span(); }
  [[nodiscard]] std::size_t memory_bytes() const;

  struct Place {
    std::size_t part;
    std::size_t slot;
  };
  [[nodiscard]] Place find(std::uint32_t row) const;  ///< of a row below size(); O(parts x log rows)

  /// Fills `out` with the nearest slots of a part.
  using SearchPart = FunctionRef<void(std::size_t part, NeighborsView out, const SearchControl& control)>;
  /// The nearest rows of all parts, by (distance, row). A budget of distances is spent on the first parts first. Returns the work done,
  /// with the strategy of the last part.
  SearchStats search(SearchPart search_part, NeighborsView out, const SearchControl& control) const;

 private:
  std::vector<Array<std::uint32_t>> parts_;
  std::size_t size_ = 0;
};

}  // namespace vicinal
