#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "vicinal/core/control.hpp"
#include "vicinal/core/matrix_view.hpp"
#include "vicinal/core/vector_batch.hpp"

namespace vicinal {

/// How the tokens of a document are put into clusters.
enum class PoolingMethod : std::uint8_t {
  ward,   ///< agglomeration by the least growth of squared error (Ward), exact; the better of the two
  kmeans  ///< k-means on the sphere, seeded by `seed`: sees directions only, and large clusters are cheaper
};

struct PoolingOptions {
  PoolingMethod method = PoolingMethod::ward;
  double factor = 1;         ///< tokens / factor clusters, rounded up, at least 1; 1: every token apart
  std::size_t clusters = 0;  ///< so many clusters instead (all tokens where there are fewer); 0: by factor
  bool renormalise = true;   ///< means get the mean length of their members (unit tokens: length 1)
  std::size_t protect = 0;   ///< so many first tokens are kept as they are, and not counted
  std::uint64_t seed = 0;    ///< of kmeans

  bool operator==(const PoolingOptions&) const = default;
};

/// Tokens clustered in one piece. A longer document is cut into runs of consecutive tokens of nearly equal length, at most this long,
/// each clustered by itself into its share of the clusters. (Where fewer than two a run are wanted, the runs' means are clustered once more,
/// weighted by their tokens.)
inline constexpr std::size_t max_pooled_run = 4096;

/// The number of rows that a document of `tokens` tokens is pooled to: min(tokens, protect) plus the clusters of the others. 0 for 0. Throws
/// InvalidArgument when the factor is not finite or below 1.
[[nodiscard]] std::size_t pooled_count(std::size_t tokens, const PoolingOptions& options);

/// Pools the tokens of one document (T x dim) into `out` (pooled_count(T, options) x dim), which must not overlap them: clusters of tokens
/// become their means (Clavie, Chaffin and Adams, arXiv:2409.14683). Rows of `out` come in the order of their first tokens.
/// `assignment`, if any, has T elements and is told the row of `out` that each token went into.
///
/// With `renormalise` a mean is scaled to the mean length of its members: else pooled tokens are shorter than single ones and lose
/// comparisons to them. A cluster of one token is that token, bit by bit; a mean of length 0 stays 0.
///
/// A function of tokens and options, with the same bits on every instruction set; ties are always broken the same
/// way. Ward: O(T^2 dim) time for distances and O(T^2) for the rest; with T > max_pooled_run, of runs. Memory: 4 min(T, max_pooled_run)^2
/// bytes and a few copies of the tokens. Safe to call from any number of threads.
///
/// Throws InvalidArgument for options as pooled_count(), a non-finite value ("tokens row 3 column 17 is nan"), no columns, or a wrong shape of
/// `out` or `assignment`; nothing is written then.
void pool_tokens(MatrixView<const float> tokens, const PoolingOptions& options, MatrixView<float> out,
                 std::span<std::uint32_t> assignment = {});

/// Documents after pooling: document i is rows [offsets[i], offsets[i + 1]) of `rows`, of the dimension of those before.
struct PooledTokens {
  std::vector<float> rows;             ///< row-major
  std::vector<std::uint64_t> offsets;  ///< documents + 1
};

/// Pools every document of a batch (one without offsets has documents of one token). An empty document stays empty. A task of
/// control.executor is a document, so the result does not depend on the number of threads; each thread has the memory of one document's
/// clustering. Throws as above, with the number of the document ("document 2 row 3 column 17 is nan", the row counted within it), and
/// for offsets that do not ascend from 0 to the number of rows; Cancelled when control.stop is.
[[nodiscard]] PooledTokens pool_tokens(const VectorBatch& documents, const PoolingOptions& options,
                                       const BuildControl& control = {});

}  // namespace vicinal
