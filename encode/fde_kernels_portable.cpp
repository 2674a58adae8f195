// Compiles the loops of fde_kernels.hpp once per instruction set and lists the results.
#include "vicinal/encode/fde_kernels.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "vicinal/encode/fde_kernels_portable.cpp"
// The same sets as those of quant.
#ifndef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS HWY_SSSE3
#endif
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "vicinal/encode/fde_kernels-inl.hpp"

#if HWY_TARGET != HWY_SCALAR
HWY_BEFORE_NAMESPACE();
namespace vicinal::HWY_NAMESPACE {

inline FdeKernels fde_table(std::string_view name) {
  return {name, &positive_bits, &corners, &add_rows, &squares, &add_sketch};
}

}  // namespace vicinal::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // HWY_SCALAR

#if HWY_ONCE
#include "vicinal/quant/kernels/portable_sets-inl.hpp"

namespace vicinal {

std::vector<FdeKernels> portable_fde_kernels() {
  std::vector<FdeKernels> found;
  VICINAL_APPEND_SETS(found, fde_table)
  return found;
}

}  // namespace vicinal
#endif  // HWY_ONCE
