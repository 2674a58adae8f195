#pragma once

#include <cstdint>
#include <vector>

#include "vicinal/core/control.hpp"
#include "vicinal/core/matrix_view.hpp"

namespace vicinal {

/// The order in which rows join a graph: by a seeded hash of their values, so that it does not depend on the order they are
/// given in (which "The Impacts of Data, Ordering, and Intrinsic Dimensionality on Recall in HNSW", Elliott & Clark 2024, shows to
/// cost up to 12 points of recall). Equal rows are spread by how many came before, so that they do not crowd the upper levels.
/// order[s] is the row of slot s.
std::vector<std::uint32_t> insertion_order(MatrixView<const float> rows, std::uint64_t seed,
                                           const BuildControl& control);

}  // namespace vicinal
