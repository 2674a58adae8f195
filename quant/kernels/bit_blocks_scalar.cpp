// The loops of bit_blocks.hpp in plain C++: the definition of their results, and the fallback for any machine.
#include "vicinal/quant/float16.hpp"
#include "vicinal/quant/kernels/bit_blocks.hpp"
#include "vicinal/quant/kernels/dispatch.hpp"

namespace vicinal {
namespace {

void make_tables(const std::int8_t* query, std::size_t words, std::int8_t* tables) {
  for (std::size_t half = 0; half < 8 * words; ++half) {
    const std::int8_t* const values = query + 4 * half;
    std::int8_t* const entries = tables + half / 8 * block_table_bytes + half % 2 * 64 + half % 8 / 2 * 16;
    entries[0] = 0;
    for (std::size_t bit = 0; bit < 4; ++bit) {
      const std::size_t known = std::size_t{1} << bit;
      for (std::size_t e = 0; e < known; ++e)
        entries[known + e] = static_cast<std::int8_t>(entries[e] + values[bit]);
    }
  }
}

// What record m of a block has in the tables: of every planes-th word, from `codes` on.
std::int32_t sum_of(const std::int8_t* tables, const std::byte* codes, std::size_t words, std::size_t planes,
                    std::size_t m) {
  std::int32_t sum = 0;
  for (std::size_t b = 0; b < 4 * words; ++b) {
    const auto code =
        std::to_integer<std::size_t>(codes[b / 4 * planes * block_word_bytes + b % 4 * block_records + m]);
    const std::int8_t* const table = tables + b / 4 * block_table_bytes + b % 4 * 16;
    sum += table[code & 15] + table[64 + (code >> 4)];
  }
  return sum;
}

void score(const BitBlockQuery& query, const std::byte* codes, std::size_t words,
           const std::uint16_t* factors, float base, std::size_t count, float bound, float* out,
           std::uint16_t* near) {
  for (std::size_t i = 0; i < count; ++i) {
    const std::byte* const block = codes + i / block_records * words * block_word_bytes;
    const std::int32_t sum = sum_of(query.tables, block, words, 1, i % block_records);
    const float product = query.step * static_cast<float>(2 * sum - query.total);
    out[i] = base + (bf16_to_f32(factors[i]) + bf16_to_f32(factors[count + i]) * product);
    if (i % block_records == 0) near[i / block_records] = 0;
    near[i / block_records] |= static_cast<std::uint16_t>((out[i] <= bound ? 1U : 0U) << i % block_records);
  }
}

void scan(std::span<const ByteQuery> queries, std::size_t words, std::size_t planes, const std::byte* codes,
          const float* factors, std::size_t count, float* out, std::size_t out_stride) {
  for (std::size_t q = 0; q < queries.size(); ++q) {
    const ByteQuery& query = queries[q];
    for (std::size_t i = 0; i < count; ++i) {
      const std::byte* const block = codes + i / block_records * words * planes * block_word_bytes;
      std::int32_t sum = 0;
      for (std::size_t plane = 0; plane < planes; ++plane) {
        sum = 2 * sum +
              sum_of(query.values, block + plane * block_word_bytes, words, planes, i % block_records);
      }
      out[q * out_stride + i] = (query.constant + query.offset_weight * factors[2 * i + 1]) +
                                (query.weight * factors[2 * i]) * static_cast<float>(2 * sum - query.shift);
    }
  }
}

const std::vector<BitBlockKernels>& all_bit_block_kernels() {
  static const std::vector<BitBlockKernels> all = [] {
    std::vector<BitBlockKernels> found{scalar_bit_block_kernels()};
    for (const BitBlockKernels& portable : portable_bit_block_kernels()) found.push_back(portable);
    for (BitBlockKernels& set : found) use_bit_blocks_avx2(set);
    match_sets(found);
    if (found.back().name == "avx3_vnni") use_bit_blocks_vbmi(found.back());
    return found;
  }();
  return all;
}

}  // namespace

BitBlockKernels scalar_bit_block_kernels() { return {"scalar", &make_tables, &score, &scan}; }

const BitBlockKernels& bit_block_kernels() {
  static const BitBlockKernels& chosen = chosen_set(all_bit_block_kernels());
  return chosen;
}

std::span<const BitBlockKernels> available_bit_block_kernels() { return all_bit_block_kernels(); }

}  // namespace vicinal
