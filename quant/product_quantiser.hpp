#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "vicinal/core/array.hpp"
#include "vicinal/core/control.hpp"
#include "vicinal/core/matrix_view.hpp"
#include "vicinal/core/metric.hpp"
#include "vicinal/quant/product_shape.hpp"

namespace vicinal {

/// Product quantisation (Jegou, Douze and Schmid, "Product quantization for nearest neighbor search", TPAMI 2011): the dimensions are
/// cut into consecutive sub-spaces, as even as can be, and each stores the number of the nearest of its centroids. With a learnt
/// rotation before it, OPQ (Ge, He, Ke and Sun, "Optimized product quantization", TPAMI 2014).
///
/// A record is a byte a sub-space; of 4 bits half of one, sub-space 2 b in the low half of byte b and 2 b + 1 in the high. Distances
/// are sums of table entries that are rounded to integers, so they have the same bits on every instruction set (docs/numerics.md).
/// Immutable and thread-safe; not installed.
class ProductQuantiser {
 public:
  /// `centroids` is dim x 2^bits, row-major: row j holds component j of the centroids of j's sub-space. `directions` is dim x dim,
  /// row-major, what vectors are multiplied by; empty unless rotated. Throws InvalidArgument: an impossible shape, an array of
  /// another size, a value that is not finite or beyond 2^54, a direction's beyond 1.
  ProductQuantiser(const ProductShape& shape, Array<float> centroids, Array<float> directions);

  /// Learns from the documents (of length 1 when `normalised`), at most 65,536 of them, chosen by the seed. Fewer documents than
  /// centroids are their own centroids; from none everything is 0. The bits do not depend on threads or instruction set, but on the
  /// order of the documents. Throws InvalidArgument (shape, magnitudes beyond 2^54), Cancelled.
  static ProductQuantiser train(const ProductShape& shape, bool normalised, MatrixView<const float> documents,
                                std::uint64_t seed, const BuildControl& control);

  [[nodiscard]] const ProductShape& shape() const { return shape_; }
  [[nodiscard]] std::span<const float> centroids() const { return centroids_.span(); }
  [[nodiscard]] std::span<const float> directions() const { return directions_.span(); }
  /// dim values to shape().stride() bytes. Throws InvalidArgument for values beyond 2^54, after the rotation.
  void encode(std::span<const float> vector, std::byte* record) const;
  /// The same in two steps, so that many vectors can be turned at one time, which is several times as fast as one by one and gives the
  /// same bits: `count` rows, `stride` values apart, to as many rows of dim values side by side. For a rotated shape only.
  void rotate_rows(const float* rows, std::size_t stride, std::size_t count, float* out) const;
  void encode_rotated(std::span<const float> vector, std::byte* record) const;
  void decode(const std::byte* record, std::span<float> out) const;

  /// Tables for the kernels, and how their sums become distances.
  struct Tables {
    Array<std::byte>& entries;
    Array<float>& scratch;
    float weight = 0;    ///< of a sum
    float constant = 0;  ///< plus this
  };
  /// sum x weight + constant = |vector - record|^2 for l2, else <vector, record>, the vector scaled to length 1 for cosine; off by what
  /// the entries are rounded: at most half a weight for each sub-space. Allocates when the tables were of another shape. Throws as
  /// encode().
  void prepare(std::span<const float> vector, Metric metric, Tables& tables) const;
  /// Between records, |record - other|^2. Symmetric, and 0 for a record and itself.
  void prepare_record(const std::byte* record, Tables& tables) const;

  void score(const std::byte* entries, float weight, float constant, const std::byte* records,
             const std::uint32_t* ids, std::size_t count, float* out) const noexcept;

 private:
  [[nodiscard]] std::size_t code_at(const std::byte* record, std::size_t part) const;
  [[nodiscard]] std::size_t entry_bytes() const;
  void round_table(std::size_t part, const float* values, float least, float inverse,
                   std::byte* entries) const;
  void rotate(const float* padded_vector, float* out) const;
  void find_pair_weight();

  ProductShape shape_;
  Array<float> centroids_;
  Array<float> directions_;
  float pair_weight_ =
      0;  // of tables between records: the largest squared distance of two centroids over the largest entry
};

}  // namespace vicinal
