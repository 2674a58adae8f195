// Compiles the loop of neighbours.hpp once per instruction set and lists the results.
#include "vicinal/quant/kernels/neighbours.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "vicinal/quant/kernels/neighbours_portable.cpp"
// The same sets as portable.cpp.
#ifndef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS HWY_SSSE3
#endif
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "vicinal/quant/kernels/neighbours_kernels-inl.hpp"

#if HWY_TARGET != HWY_SCALAR
HWY_BEFORE_NAMESPACE();
namespace vicinal::HWY_NAMESPACE {

inline NeighbourKernels neighbours_table(std::string_view name) {
  return {name, scalar_neighbour_kernels().make_tables, &score_neighbours};
}

}  // namespace vicinal::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // HWY_SCALAR

#if HWY_ONCE
#include "vicinal/quant/kernels/portable_sets-inl.hpp"

namespace vicinal {

std::vector<NeighbourKernels> portable_neighbour_kernels() {
  std::vector<NeighbourKernels> found;
  VICINAL_APPEND_SETS(found, neighbours_table)
  return found;
}

}  // namespace vicinal
#endif  // HWY_ONCE
