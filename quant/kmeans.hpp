#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "vicinal/core/array.hpp"

namespace vicinal {

/// The centroids of one sub-space and the points of each. Not installed.
struct Clusters {
  /// dims x count, row-major: row j has component j of every centroid. Of fewer points than `count`, the centroids that are left
  /// repeat the first, so that no point is nearest to them.
  Array<float> columns;
  std::vector<std::uint32_t> ids;  ///< a point's centroid, at the last assignment
};

/// `wanted` of `rows` numbers, or all, ascending: one from each of as many equal runs.
std::vector<std::size_t> spread_rows(std::size_t rows, std::size_t wanted, std::uint64_t seed,
                                     std::uint64_t stream);

/// Lloyd's k-means on points that lie side by side (rows x dims), for 16 centroids or a multiple of 32 up to 256. Begins with the centroids
/// of `clusters` when there are some (columns.size() == dims x count), else with points spread over all rows by `seed` and `stream`. Only
/// the first `most_used` centroids are used, the others are as in Clusters. A centroid that loses all
/// its points becomes one of the points that are farthest from theirs. Ends early when no point changes. One thread; the same bits on every
/// instruction set: sums are in double, in the order of the points.
void improve_clusters(const float* points, std::size_t rows, std::size_t dims, std::size_t count,
                      std::size_t iterations, std::uint64_t seed, std::uint64_t stream, Clusters& clusters,
                      std::size_t most_used = 256);

/// ids[i] = the centroid nearest to point i, of equally near ones the first.
void nearest_centroids(const float* points, std::size_t rows, std::size_t dims, std::size_t count,
                       const Array<float>& columns, std::uint32_t* ids);

}  // namespace vicinal
