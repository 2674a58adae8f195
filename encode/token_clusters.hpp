#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "vicinal/core/array.hpp"
#include "vicinal/core/matrix_view.hpp"
#include "vicinal/encode/pooling_kernels.hpp"
#include "vicinal/encode/scratch.hpp"

// Clusters of the tokens of one document, or of one run of it. Not installed.
namespace vicinal {

/// Memory that is used again from one document to the next, by one thread at a time.
struct ClusterScratch {
  struct Merge {
    float height;
    std::uint32_t kept, absorbed;  ///< the first tokens of the two clusters, kept < absorbed
  };
  Array<float> panels, matrix, norms,
      sizes;  ///< `matrix` of tokens x tokens, both rounded up to whole panels
  Array<float> centroid_panels, scores;
  std::vector<std::uint32_t> first_tokens, chain, parents;
  std::vector<Merge> merges;
  std::vector<std::uint64_t> keys;
};

/// Tokens to cluster, not none, and the number of clusters, 1 to tokens.rows(). Weights, a token's or a whole cluster's size, are positive,
/// or none are given: then each is 1.
struct ClusterTask {
  MatrixView<const float> tokens;
  std::span<const float> weights;
  std::size_t wanted = 1;
};

/// clusters[i] = the cluster of token i, numbered by their first tokens; all `wanted` have one. O(T^2 (dim + 1)) time, 4 T^2 bytes.
///
/// Agglomeration that takes, of all pairs of clusters, the one whose union adds least to the sum of squared distances to the means (J. H. Ward,
/// JASA 58, 1963), found through chains of nearest neighbours (F. Murtagh, Computational Statistics Quarterly 1, 1984).
void ward_clusters(const PoolingKernels& kernels, const ClusterTask& task, std::uint32_t* clusters,
                   ClusterScratch& scratch);

/// The same by k-means on the sphere (Dhillon and Modha, Machine Learning 42, 2001), from the seeds of k-means++ (Arthur and Vassilvitskii,
/// SODA 2007). O(T wanted dim) time per iteration.
void spherical_clusters(const PoolingKernels& kernels, const ClusterTask& task, std::uint64_t seed,
                        std::uint32_t* clusters, ClusterScratch& scratch);

[[nodiscard]] constexpr std::size_t whole_panels(std::size_t tokens) {
  return panel_count(tokens) * panel_tokens;
}

/// An odd number of cache lines: else the lines of a column would share few of a cache's sets.
[[nodiscard]] constexpr std::size_t matrix_stride(std::size_t columns) {
  return (panel_count(columns) | 1) * panel_tokens;
}

}  // namespace vicinal
