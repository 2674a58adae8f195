// Compiles the loops of linear.hpp once per instruction set and lists the results.
#include "vicinal/quant/kernels/linear.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "vicinal/quant/kernels/linear_portable.cpp"
// The same sets as portable.cpp.
#ifndef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS HWY_SSSE3
#endif
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "vicinal/quant/kernels/linear_kernels-inl.hpp"

#if HWY_TARGET != HWY_SCALAR
HWY_BEFORE_NAMESPACE();
namespace vicinal::HWY_NAMESPACE {

inline LinearKernels linear_table(std::string_view name) {
  return {name, &add_products, &update_and_multiply, &combine_rows, &subtract_outer, &rotate};
}

}  // namespace vicinal::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // HWY_SCALAR

#if HWY_ONCE
#include "vicinal/quant/kernels/portable_sets-inl.hpp"

namespace vicinal {

std::vector<LinearKernels> portable_linear_kernels() {
  std::vector<LinearKernels> found;
  VICINAL_APPEND_SETS(found, linear_table)
  return found;
}

}  // namespace vicinal
#endif  // HWY_ONCE
