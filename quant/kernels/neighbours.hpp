#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "vicinal/quant/kernels.hpp"

// Estimates for the neighbours of a node from codes of one bit a dimension that lie side by side: the FastScan of RaBitQ and SymphonyQG.
// The same bits on every instruction set. Not installed.
namespace vicinal {

/// What a query gives to look up, and what a unit of its values stands for.
struct NeighbourQuery {
  const std::int8_t* tables = nullptr;  ///< of make_tables()
  std::int32_t total = 0;               ///< sum of the query's values
  float step = 0;
};

/// Codes come in blocks of 16 neighbours and, within a block, in words of 32 dimensions: bytes 4 m to 4 m + 3 of a word's 64 are neighbour m's,
/// bit j % 8 of byte j / 8 belongs to dimension j of the 32. `words` of them make a block; codes and tables are 64-byte aligned.
struct NeighbourKernels {
  std::string_view name;
  /// Sums of four values: for each word of 32 dimensions 64 entries for the low halves of its four bytes, 16 each, then 64 for
  /// the high ones. `query` has 32 * words values, none larger than Kernels::largest_bit_value in magnitude.
  void (*make_tables)(const std::int8_t* query, std::size_t words, std::int8_t* tables) = nullptr;
  /// out[m] = base + (a[m] + b[m] * (step * d)), d = the sum of the query's values, added where neighbour m's bit is set and subtracted
  /// where not; `factors` holds a, then b, `count` each, a multiple of 16.
  void (*score)(const NeighbourQuery& query, const std::byte* codes, std::size_t words, const float* factors,
                float base, std::size_t count, float* out) = nullptr;
};
inline constexpr std::size_t neighbour_block = 16;
inline constexpr std::size_t neighbour_word_bytes = 64;
inline constexpr std::size_t neighbour_table_bytes = 128;  ///< a word

/// Of the instruction set that kernels() has chosen.
const NeighbourKernels& neighbour_kernels();
/// Every set this CPU can run, in the order of available_kernels(): for tests and benchmarks.
std::span<const NeighbourKernels> available_neighbour_kernels();

NeighbourKernels scalar_neighbour_kernels();
std::vector<NeighbourKernels> portable_neighbour_kernels();
/// Replaces both by those for AVX-512 VBMI where the CPU has it.
void use_neighbours_vbmi(NeighbourKernels& table);

}  // namespace vicinal
