#pragma once

#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

// Not installed.
namespace vicinal {

struct MaxSimKernels {
  std::string_view name;
  /// The smallest of `count` values that are not NaN, +inf of none.
  float (*minimum)(const float* values, std::size_t count);
};

/// Of the instruction set that kernels() has chosen.
const MaxSimKernels& maxsim_kernels();
/// Every set this CPU can run, in the order of available_kernels(): for tests.
std::span<const MaxSimKernels> available_maxsim_kernels();

}  // namespace vicinal
