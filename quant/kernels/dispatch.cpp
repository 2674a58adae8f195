#include "vicinal/quant/kernels/dispatch.hpp"

#include <cstdlib>
#include <string_view>

namespace vicinal {
namespace {

std::vector<Kernels> find_kernels() {
  std::vector<Kernels> found{scalar_kernels()};
  for (const Kernels& portable : portable_kernels()) found.push_back(portable);
  for (Kernels& portable : found) use_avx2(portable);
  Kernels vnni = found.back();
  if (use_vnni(vnni)) {
    use_vbmi(vnni);
    found.push_back(vnni);
  }
  return found;
}

const std::vector<Kernels>& all_kernels() {
  static const std::vector<Kernels> all = find_kernels();
  return all;
}

const Kernels& choose() {
  const std::vector<Kernels>& all = all_kernels();
  if (const char* cap = std::getenv("VICINAL_SIMD")) {
    for (const Kernels& candidate : all) {
      if (candidate.name == std::string_view(cap)) return candidate;
    }
  }
  return all.back();
}

}  // namespace

const Kernels& kernels() {
  static const Kernels& chosen = choose();
  return chosen;
}

std::span<const Kernels> available_kernels() { return all_kernels(); }

}  // namespace vicinal
