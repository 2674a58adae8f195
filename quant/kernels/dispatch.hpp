#pragma once

#include <vector>

#include "vicinal/quant/kernels.hpp"

namespace vicinal {

/// Plain C++, for any machine: what every other set must equal bit by bit.
Kernels scalar_kernels();

/// The Highway kernels this CPU can run, plainest first.
std::vector<Kernels> portable_kernels();

/// Replaces the integer kernels of an "avx2" table by those that multiply bytes in pairs, which Highway 1.0.3 lacks.
void use_avx2(Kernels& table);

/// Replaces kernels of `table` by those for VNNI (8-bit dot products in one instruction, which Highway 1.0.3 lacks) and returns
/// true, when the CPU has AVX-512 VNNI.
bool use_vnni(Kernels& table);

/// Replaces the kernels of float8 as whole numbers of an "avx3_vnni" table by those that look codes up among 128 bytes, where the CPU has
/// AVX-512 VBMI.
void use_vbmi(Kernels& table);

/// Of tables of other loops, plainest first, the one of the set that kernels() has chosen.
template <class Set>
const Set& chosen_set(const std::vector<Set>& sets) {
  for (const Set& candidate : sets) {
    if (candidate.name == kernels().name) return candidate;
  }
  return sets.front();
}

/// Makes of the scalar table and the portable ones a table for each set of kernels(): those that add an instruction of their own build on
/// the best portable one.
template <class Set>
void match_sets(std::vector<Set>& sets) {
  while (sets.size() < available_kernels().size()) sets.push_back(sets.back());
  for (std::size_t i = 0; i < sets.size(); ++i) sets[i].name = available_kernels()[i].name;
}

}  // namespace vicinal
