// Compiles the loops of product.hpp once per instruction set and lists the results.
#include "vicinal/quant/kernels/product.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "vicinal/quant/kernels/product_portable.cpp"
// The same sets as portable.cpp.
#ifndef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS HWY_SSSE3
#endif
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "vicinal/quant/kernels/product_kernels-inl.hpp"

#if HWY_TARGET != HWY_SCALAR
HWY_BEFORE_NAMESPACE();
namespace vicinal::HWY_NAMESPACE {

inline ProductKernels product_table(std::string_view name) {
  return {name,     &nearest<false>, &nearest<true>, &fill_table<false>, &fill_table<true>,
          &round16, &product8,       &product4};
}

}  // namespace vicinal::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // HWY_SCALAR

#if HWY_ONCE
#include "vicinal/quant/kernels/portable_sets-inl.hpp"

namespace vicinal {

std::vector<ProductKernels> portable_product_kernels() {
  std::vector<ProductKernels> found;
  VICINAL_APPEND_SETS(found, product_table)
  return found;
}

}  // namespace vicinal
#endif  // HWY_ONCE
