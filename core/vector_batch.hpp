#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "vicinal/core/matrix_view.hpp"

namespace vicinal {

/// A batch of items, queries or things to index. An item is one vector, or several (the token vectors of a document).
/// Owns nothing.
struct VectorBatch {
  MatrixView<const float> rows;            ///< rows x dim
  std::span<const std::uint64_t> offsets;  ///< empty: item i is row i. Else n + 1 ascending: item i is rows
                                           ///< [offsets[i], offsets[i + 1])

  VectorBatch() = default;
  // NOLINTNEXTLINE(google-explicit-constructor): a matrix is a batch
  VectorBatch(MatrixView<const float> vectors, std::span<const std::uint64_t> item_offsets = {})
      : rows(vectors), offsets(item_offsets) {}
  VectorBatch(MatrixView<float> vectors) : rows(vectors) {}  // NOLINT(google-explicit-constructor)

  [[nodiscard]] std::size_t size() const { return offsets.empty() ? rows.rows() : offsets.size() - 1; }
  [[nodiscard]] std::size_t dim() const { return rows.cols(); }
  [[nodiscard]] bool multi_vector() const { return !offsets.empty(); }
  /// The vectors of item i.
  [[nodiscard]] MatrixView<const float> item(std::size_t i) const {
    if (offsets.empty()) return rows.rows_from(i, 1);
    return rows.rows_from(offsets[i], offsets[i + 1] - offsets[i]);
  }
  /// Items [first, first + count), whose offsets, if there are any, are written to `own` and last as long as that is not changed.
  [[nodiscard]] VectorBatch part(std::size_t first, std::size_t count,
                                 std::vector<std::uint64_t>& own) const {
    if (offsets.empty()) return rows.rows_from(first, count);
    const std::uint64_t begin = offsets[first];
    own.clear();
    for (std::size_t i = 0; i <= count; ++i) own.push_back(offsets[first + i] - begin);
    return {rows.rows_from(begin, own.back()), own};
  }
};

/// Throws InvalidArgument when a value is not finite, naming its row and column ("queries row 3 column 17 is nan").
/// `what` is the noun that starts the message. O(rows x cols).
void require_finite(MatrixView<const float> rows, const char* what);

/// Throws InvalidArgument unless the batch has `dim` columns, ascending offsets that end at its row count, and only finite
/// values; of one that is not, item, vector and column are named.
void validate_batch(const VectorBatch& batch, std::size_t dim, const char* what);

/// Throws InvalidArgument for an item without vectors ("query 3 has no vectors"), of a batch whose offsets ascend.
void require_vectors(const VectorBatch& batch, const char* what);

}  // namespace vicinal
