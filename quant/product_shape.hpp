#pragma once

#include <cstddef>

#include "vicinal/quant/codec.hpp"

namespace vicinal {

/// What a product quantiser is asked to be.
struct ProductShape {
  std::size_t dim = 0;
  std::size_t parts = 0;  ///< sub-spaces, 1 to dim and at most most_product_parts
  int bits = 8;           ///< a code: 8 (256 centroids a sub-space) or 4 (16)
  bool rotated = false;   ///< OPQ: by a learnt rotation first; dim at most most_rotated_dim

  /// Sub-spaces are as even as can be: the first dimension of one; of `parts` it is dim.
  [[nodiscard]] constexpr std::size_t begin(std::size_t part) const { return part * dim / parts; }
  [[nodiscard]] constexpr std::size_t centroids() const {
    return std::size_t{1} << bits;
  }  ///< of a sub-space
  /// Bytes of a record.
  [[nodiscard]] constexpr std::size_t stride() const { return bits == 8 ? parts : (parts + 1) / 2; }
  /// Bytes of centroids and rotation.
  [[nodiscard]] constexpr std::size_t table_bytes() const {
    return dim * sizeof(float) * (centroids() + (rotated ? dim : 0));
  }
  friend bool operator==(const ProductShape&, const ProductShape&) = default;
};
inline constexpr std::size_t most_product_parts = 32'768;
inline constexpr std::size_t most_rotated_dim = 8192;  ///< learning a rotation costs its cube

/// What pq8's and pq4's options mean for vectors of `dim` dimensions. Throws InvalidArgument: no sub-space, more than dimensions or
/// most_product_parts, more dimensions than max_byte_dim or most_rotated_dim.
ProductShape product_shape(const CodecOptions& options, std::size_t dim);

}  // namespace vicinal
