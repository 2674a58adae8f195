// Compiles the loops of encode.hpp once per instruction set and lists the results.
#include "vicinal/quant/kernels/encode.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "vicinal/quant/kernels/encode_portable.cpp"
// The same sets as portable.cpp.
#ifndef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS HWY_SSSE3
#endif
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "vicinal/quant/kernels/encode_kernels-inl.hpp"

#if HWY_TARGET != HWY_SCALAR
HWY_BEFORE_NAMESPACE();
namespace vicinal::HWY_NAMESPACE {

inline EncodeKernels encode_table(std::string_view name) {
  return {.name = name,
          .e4m3 = &encode_float8<Float8Format::e4m3>,
          .e5m2 = &encode_float8<Float8Format::e5m2>,
          .e3m4 = &encode_float8<Float8Format::e3m4>,
          .f16 = &encode_half<ToF16>,
          .bf16 = &encode_half<ToBF16>,
          .walsh_hadamard = &walsh_hadamard,
          .nibble_sums = &nibble_sums,
          .nibbles = &nibbles,
          .sum_above = &sum_above,
          .multiply = &multiply};
}

}  // namespace vicinal::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // HWY_SCALAR

#if HWY_ONCE
#include "vicinal/quant/kernels/portable_sets-inl.hpp"

namespace vicinal {

std::vector<EncodeKernels> portable_encode_kernels() {
  std::vector<EncodeKernels> found;
  VICINAL_APPEND_SETS(found, encode_table)
  return found;
}

}  // namespace vicinal
#endif  // HWY_ONCE
