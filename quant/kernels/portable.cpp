// Compiles the Highway kernels once per instruction set and lists the results.
#include "vicinal/quant/kernels/dispatch.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "vicinal/quant/kernels/portable.cpp"
// SSSE3 without SSE4 is no machine that matters; the plain C++ kernels (scalar.cpp) serve what is below.
#ifndef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS HWY_SSSE3
#endif
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "vicinal/quant/kernels/byte_kernels-inl.hpp"
#include "vicinal/quant/kernels/float_kernels-inl.hpp"
#include "vicinal/quant/kernels/whole_kernels-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace vicinal::HWY_NAMESPACE {

inline Kernels table(std::string_view name) {
  return {.name = name,
          .dot_f32 = &score_floats<F32, false>,
          .l2_f32 = &score_floats<F32, true>,
          .dot_f16 = &score_floats<F16, false>,
          .l2_f16 = &score_floats<F16, true>,
          .dot_bf16 = &score_floats<BF16, false>,
          .l2_bf16 = &score_floats<BF16, true>,
          .dot_e4m3 = &score_floats<F8<3>, false>,
          .l2_e4m3 = &score_floats<F8<3>, true>,
          .dot_e5m2 = &score_floats<F8<2>, false>,
          .l2_e5m2 = &score_floats<F8<2>, true>,
          .dot_e3m4 = &score_floats<F8<4>, false>,
          .l2_e3m4 = &score_floats<F8<4>, true>,
          .whole_e4m3 = &score_whole<Float8Format::e4m3>,
          .whole_e3m4 = &score_whole<Float8Format::e3m4>,
          .bytes = &score_integers<Bytes>,
          .nibbles = &score_integers<Nibbles>,
          .bits = &score_integers<Bits>,
          .quarters = &score_integers<Quarters>};
}

}  // namespace vicinal::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "vicinal/quant/kernels/portable_sets-inl.hpp"

namespace vicinal {

std::vector<Kernels> portable_kernels() {
  std::vector<Kernels> found;
  VICINAL_APPEND_SETS(found, table)
  return found;
}

}  // namespace vicinal
#endif  // HWY_ONCE
