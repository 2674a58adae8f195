// The loop of maxsim_kernels.hpp in plain C++ and once per instruction set of Highway's, and the choice among them.
#include "vicinal/encode/maxsim_kernels.hpp"

#include <limits>

#include "vicinal/quant/kernels/dispatch.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "vicinal/encode/maxsim_kernels.cpp"
// The same sets as those of quant.
#ifndef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS HWY_SSSE3
#endif
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#if HWY_TARGET != HWY_SCALAR
HWY_BEFORE_NAMESPACE();
namespace vicinal::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// The least of floats does not depend on the order, so that registers of any width do.
inline float minimum(const float* values, std::size_t count) {
  const hn::ScalableTag<float> d;
  constexpr float none = std::numeric_limits<float>::infinity();
  const std::size_t lanes = hn::Lanes(d);
  float least = none;
  std::size_t i = 0;
  if (count >= lanes) {
    auto low = hn::LoadU(d, values);
    auto other = low;
    for (i = lanes; i + 2 * lanes <= count; i += 2 * lanes) {
      low = hn::Min(low, hn::LoadU(d, values + i));
      other = hn::Min(other, hn::LoadU(d, values + i + lanes));
    }
    // The last whole register may overlap what was seen before.
    for (; i < count; i += lanes)
      low = hn::Min(low, hn::LoadU(d, values + (i + lanes <= count ? i : count - lanes)));
    least = hn::GetLane(hn::MinOfLanes(d, hn::Min(low, other)));
    return least;
  }
  for (; i < count; ++i) least = values[i] < least ? values[i] : least;
  return least;
}

inline MaxSimKernels maxsim_table(std::string_view name) { return {name, &minimum}; }

}  // namespace vicinal::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // HWY_SCALAR

#if HWY_ONCE
#include "vicinal/quant/kernels/portable_sets-inl.hpp"

namespace vicinal {
namespace {

float plain_minimum(const float* values, std::size_t count) {
  float least = std::numeric_limits<float>::infinity();
  for (std::size_t i = 0; i < count; ++i) least = values[i] < least ? values[i] : least;
  return least;
}

const std::vector<MaxSimKernels>& all_maxsim_kernels() {
  static const std::vector<MaxSimKernels> all = [] {
    std::vector<MaxSimKernels> found{{"scalar", &plain_minimum}};
    VICINAL_APPEND_SETS(found, maxsim_table)
    match_sets(found);
    return found;
  }();
  return all;
}

}  // namespace

const MaxSimKernels& maxsim_kernels() {
  static const MaxSimKernels& chosen = chosen_set(all_maxsim_kernels());
  return chosen;
}

std::span<const MaxSimKernels> available_maxsim_kernels() { return all_maxsim_kernels(); }

}  // namespace vicinal
#endif  // HWY_ONCE
