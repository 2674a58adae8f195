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
namespace vicinal {

std::vector<EncodeKernels> portable_encode_kernels() {
  std::vector<EncodeKernels> found;
  [[maybe_unused]] const std::int64_t supported = hwy::SupportedTargets();
#if HWY_TARGETS & HWY_NEON
  if ((supported & HWY_NEON) != 0) found.push_back(N_NEON::encode_table("neon"));
#endif
#if HWY_TARGETS & HWY_SSE4
  if ((supported & HWY_SSE4) != 0) found.push_back(N_SSE4::encode_table("sse4"));
#endif
#if HWY_TARGETS & HWY_AVX2
  if ((supported & HWY_AVX2) != 0) found.push_back(N_AVX2::encode_table("avx2"));
#endif
#if HWY_TARGETS & HWY_AVX3
  if ((supported & HWY_AVX3) != 0) found.push_back(N_AVX3::encode_table("avx3"));
#endif
  return found;
}

}  // namespace vicinal
#endif  // HWY_ONCE
