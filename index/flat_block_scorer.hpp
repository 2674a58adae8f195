#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "vicinal/core/vector_batch.hpp"
#include "vicinal/quant/code_store.hpp"

namespace vicinal {

/// Approximate distances of some queries to blocks of f32 rows, with a proven bound on how far off they are. For l2 the distance
/// lacks |q|^2, for cosine its constant: neither changes the order. One thread.
class BlockScorer {
 public:
  virtual ~BlockScorer() = default;
  [[nodiscard]] virtual std::size_t rows_per_block() const = 0;
  /// Moves to rows [first, first + count), count <= rows_per_block().
  virtual void take_rows(std::size_t first, std::size_t count) = 0;
  /// Distances of query m to the rows taken; valid until the next call.
  [[nodiscard]] virtual const float* distances(std::size_t m) = 0;
  /// No distance of query m to any row taken so far is off by more.
  [[nodiscard]] virtual float error(std::size_t m) const = 0;
};

/// By single-precision matrix products (BLAS). `members` are the queries' numbers in the batch, `norms` the rows' |x|^2.
std::unique_ptr<BlockScorer> product_scorer(const CodeStore& codes, std::span<const float> norms,
                                            const VectorBatch& queries, std::span<const std::size_t> members);

/// By 8-bit products: rows and queries rounded to bytes as they come, the rounding error measured and bounded by Cauchy-Schwarz.
/// Where bytes have an instruction of their own that is about twice as fast as BLAS.
std::unique_ptr<BlockScorer> byte_scorer(const CodeStore& codes, std::span<const float> norms,
                                         const VectorBatch& queries, std::span<const std::size_t> members);

}  // namespace vicinal
