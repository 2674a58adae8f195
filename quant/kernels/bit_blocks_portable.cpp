// Compiles the loop of bit_blocks.hpp once per instruction set and lists the results.
#include "vicinal/quant/kernels/bit_blocks.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "vicinal/quant/kernels/bit_blocks_portable.cpp"
// The same sets as portable.cpp.
#ifndef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS HWY_SSSE3
#endif
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "vicinal/quant/kernels/bit_blocks_kernels-inl.hpp"

#if HWY_TARGET != HWY_SCALAR
HWY_BEFORE_NAMESPACE();
namespace vicinal::HWY_NAMESPACE {

inline BitBlockKernels bit_blocks_table(std::string_view name) {
  return {name, scalar_bit_block_kernels().make_tables, &score_neighbours, &scan_blocks};
}

}  // namespace vicinal::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // HWY_SCALAR

#if HWY_ONCE
#include "vicinal/quant/kernels/portable_sets-inl.hpp"

namespace vicinal {

std::vector<BitBlockKernels> portable_bit_block_kernels() {
  std::vector<BitBlockKernels> found;
  VICINAL_APPEND_SETS(found, bit_blocks_table)
  return found;
}

}  // namespace vicinal
#endif  // HWY_ONCE
