#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "vicinal/core/control.hpp"
#include "vicinal/core/matrix_view.hpp"

namespace vicinal {

/// The most clusters that rows are put into.
inline constexpr std::size_t most_row_clusters = 256;

/// The cluster of each row, a number below `count` (1 to most_row_clusters), by k-means on some 256 rows a cluster, which `seed` spreads
/// over all; then every row goes to the nearest centroid. A cluster may be empty: there are never more than rows that differ.
/// `normalised`: of the rows scaled to length 1. The same for any number of threads and on every instruction set. O(rows x count x dim).
/// Throws InvalidArgument, the row named, for magnitudes beyond 2^54; Cancelled. Not installed.
std::vector<std::uint32_t> cluster_rows(MatrixView<const float> rows, bool normalised, std::size_t count,
                                        std::uint64_t seed, const BuildControl& control = {});

}  // namespace vicinal
