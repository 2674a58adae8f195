#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "vicinal/quant/kernels.hpp"

// Codes of one or two bits a dimension, of sixteen records side by side, scored by table look-up: the FastScan of RaBitQ and SymphonyQG. The
// same bits on every instruction set. Not installed.
namespace vicinal {

/// What a query gives to look up, and what a unit of its values stands for.
struct BitBlockQuery {
  const std::int8_t* tables = nullptr;  ///< of make_tables()
  std::int32_t total = 0;               ///< sum of the query's values
  float step = 0;
};

/// Codes come in blocks of 16 records and, within a block, in words of 32 dimensions: bit j % 8 of byte 16 (j / 8) + m of a word's 64 belongs
/// to dimension j of the 32 of record m. Codes and tables are 64-byte aligned.
struct BitBlockKernels {
  std::string_view name;
  /// Sums of four values, for score() and scan() of the same set: block_table_bytes for each word of 32 dimensions. `query` has 32 *
  /// words values, none larger than Kernels::largest_bit_value in magnitude.
  void (*make_tables)(const std::int8_t* query, std::size_t words, std::int8_t* tables) = nullptr;
  /// Of neighbours of a node: out[m] = base + (a[m] + b[m] * (step * d)), d = the sum of the query's values, added where record m's bit is
  /// set and subtracted where not; `factors` holds a, then b, bfloat16, `count` each, a multiple of 16. Bit m % 16 of near[m / 16] says whether
  /// out[m] <= bound.
  void (*score)(const BitBlockQuery& query, const std::byte* codes, std::size_t words,
                const std::uint16_t* factors, float base, std::size_t count, float bound, float* out,
                std::uint16_t* near) = nullptr;
  /// Several queries, whose `values` are tables, against the first `count` records of consecutive blocks, which are whole. A block has `planes`
  /// words for each 32 dimensions: with one, d is the sum of the query's values where bits are set; with two, it is twice that of
  /// the first plus that of the second. out[q * out_stride + m] = (constant + offset_weight * factors[2 m + 1]) + (weight * factors[2 m]) *
  /// (2 d - shift), as Kernels::bits and Kernels::quarters give for such codes.
  void (*scan)(std::span<const ByteQuery> queries, std::size_t words, std::size_t planes,
               const std::byte* codes, const float* factors, std::size_t count, float* out,
               std::size_t out_stride) = nullptr;
};
inline constexpr std::size_t block_records = 16;
inline constexpr std::size_t block_word_bytes = 64;
inline constexpr std::size_t block_table_bytes = 128;  ///< a word of 32 dimensions

/// Of the instruction set that kernels() has chosen.
const BitBlockKernels& bit_block_kernels();
/// Every set this CPU can run, in the order of available_kernels(): for tests and benchmarks.
std::span<const BitBlockKernels> available_bit_block_kernels();

/// scan() by an instruction set's Some::run<planes, queries>, of one query or four.
template <class Some, std::size_t planes>
void scan_by_fours(std::span<const ByteQuery> queries, std::size_t words, const std::byte* codes,
                   const float* factors, std::size_t count, float* out, std::size_t out_stride) {
  std::size_t q = 0;
  for (; q + 4 <= queries.size(); q += 4)
    Some::template run<planes, 4>(&queries[q], words, codes, factors, count, out + q * out_stride,
                                  out_stride);
  for (; q < queries.size(); ++q)
    Some::template run<planes, 1>(&queries[q], words, codes, factors, count, out + q * out_stride,
                                  out_stride);
}
template <class Some>
void scan_by_fours(std::span<const ByteQuery> queries, std::size_t words, std::size_t planes,
                   const std::byte* codes, const float* factors, std::size_t count, float* out,
                   std::size_t out_stride) {
  const auto scan = planes == 1 ? &scan_by_fours<Some, 1> : &scan_by_fours<Some, 2>;
  scan(queries, words, codes, factors, count, out, out_stride);
}

BitBlockKernels scalar_bit_block_kernels();
std::vector<BitBlockKernels> portable_bit_block_kernels();
/// Replaces all by those for AVX2.
void use_bit_blocks_avx2(BitBlockKernels& table);
/// Replaces all by those for AVX-512 VBMI where the CPU has it.
void use_bit_blocks_vbmi(BitBlockKernels& table);

}  // namespace vicinal
