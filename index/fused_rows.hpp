#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "vicinal/core/container.hpp"
#include "vicinal/core/prefetch.hpp"
#include "vicinal/index/graph.hpp"
#include "vicinal/quant/code_store.hpp"
#include "vicinal/quant/kernels/bit_blocks.hpp"
#include "vicinal/quant/rotation.hpp"

namespace vicinal {

/// A query for FusedRows: reusable, so that preparing the next one allocates nothing.
struct FusedQuery {
  Array<float> rotated;
  Array<std::int8_t> values;
  Array<std::int8_t> tables;
  BitBlockQuery lookup;
  float side_weight = 0.0F;  // of what inner product adds apart
};

/// Level 0 of a graph as rows that hold, beside a node's links, codes of those neighbours: one bit a dimension of the difference to the node
/// (RaBitQ: Gao and Long, SIGMOD 2024), and the factors that make an unbiased estimate of it (SymphonyQG: Gou et al., SIGMOD 2025). One
/// read of consecutive memory then tells, from the exact distance of the node, about those of all its neighbours; the error is in
/// proportion to the node's distances from the query and from the neighbour, hence small where it matters.
///
/// A row is, from a multiple of 64 bytes on: the codes (BitBlockKernels), the factors, an array of bfloat16 each with a value a neighbour, and
/// the ids. What bfloat16 rounds away is a tenth of what the bits are off by, or less. Made from what the records of a store stand for, so that equal stores and graphs have equal rows, on any machine.
/// Immutable; copies share everything. Not installed.
class FusedRows {
 public:
  FusedRows() = default;
  /// `level` has the nodes of `codes`, in the same order, and its degree is a multiple of block_records. Throws InvalidArgument, Cancelled.
  static FusedRows build(const CodeStore& codes, const Graph::Level& level, const BuildControl& control);

  [[nodiscard]] bool empty() const { return size_ == 0; }
  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] std::size_t degree() const { return degree_; }
  [[nodiscard]] std::size_t row_bytes() const { return row_bytes_; }
  [[nodiscard]] std::size_t memory_bytes() const { return rows_.bytes() + centre_.bytes(); }
  /// The links, where they are.
  [[nodiscard]] Graph::Level level() const;
  [[nodiscard]] const std::uint32_t* neighbours(std::uint32_t slot) const {
    return reinterpret_cast<const std::uint32_t*>(row(slot) + ids_offset());
  }

  /// `vector` as for Codec::prepare_query().
  void prepare_query(std::span<const float> vector, FusedQuery& query) const;
  /// out[i] estimates the distance of neighbour i, where `distance` is that of the node: degree() values, of which those beyond the last
  /// link mean nothing. Bit i % 16 of near[i / 16] says whether out[i] <= bound.
  void score(std::uint32_t slot, float distance, const FusedQuery& query, float bound, float* out,
             std::uint16_t* near) const noexcept;
  void prefetch_row(std::uint32_t slot) const { prefetch(row(slot), row_bytes_); }

  /// Sections "<prefix>/bf16_rows" and "/centre".
  void save(ContainerWriter& writer, const std::string& prefix) const;
  /// Throws CorruptFile unless they fit codes and degree, and all factors are finite. The links are left to Graph::load().
  static FusedRows load(const Container& file, const std::string& prefix, const CodeStore& codes,
                        std::size_t degree);

  [[nodiscard]] const std::byte* row(std::size_t slot) const { return rows_.data() + slot * row_bytes_; }

 private:
  FusedRows(const CodeStore& codes, std::size_t degree);
  [[nodiscard]] std::size_t factors_offset() const {
    return degree_ / block_records * words_ * block_word_bytes;
  }
  [[nodiscard]] std::size_t ids_offset() const {
    return factors_offset() + factor_arrays_ * degree_ * sizeof(std::uint16_t);
  }
  // Takes over what the first files had: factors of binary32 and, with `by_neighbour`, words of which bytes 4 m to 4 m + 3 are neighbour m's.
  // False where a factor is beyond bfloat16.
  [[nodiscard]] bool take_first_form(const std::byte* rows, std::size_t row_bytes, bool by_neighbour);
  // Whether all factors of a row are finite.
  [[nodiscard]] bool is_finite(std::size_t slot) const;
  class Encoder;

  Metric metric_ = Metric::l2;
  std::size_t dim_ = 0;
  std::size_t words_ = 0;
  std::size_t degree_ = 0;
  std::size_t factor_arrays_ = 0;
  std::size_t row_bytes_ = 0;
  std::size_t size_ = 0;
  Rotation rotation_;
  Array<float> centre_;  // rotated
  Array<std::byte> rows_;
};

}  // namespace vicinal
