// The loop of bit_blocks.hpp, written once and compiled for every instruction set (included by neighbours_portable.cpp through
// foreach_target).
#if defined(VICINAL_QUANT_BIT_BLOCKS_KERNELS_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef VICINAL_QUANT_BIT_BLOCKS_KERNELS_INL
#undef VICINAL_QUANT_BIT_BLOCKS_KERNELS_INL
#else
#define VICINAL_QUANT_BIT_BLOCKS_KERNELS_INL
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <span>

#include "vicinal/core/prefetch.hpp"
#include "vicinal/quant/kernels/bit_blocks.hpp"

#if HWY_TARGET != HWY_SCALAR
HWY_BEFORE_NAMESPACE();
namespace vicinal::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using BlockBytes = hn::CappedTag<std::uint8_t, 16>;
using BlockEntries = hn::CappedTag<std::int8_t, 16>;
using BlockHalf = hn::CappedTag<std::int8_t, 8>;
using BlockSums = hn::CappedTag<std::int16_t, 8>;

using BlockSum = hn::CappedTag<std::int32_t, 4>;

// What each record of a block has in the tables, of every planes-th word from `codes` on.
HWY_INLINE void sum_block(const std::int8_t* tables, const std::byte* codes, std::size_t words,
                          std::size_t planes, hn::Vec<BlockSum> (&sums)[4]) {
  const BlockBytes d8;
  const BlockEntries di8;
  const BlockHalf half;
  const BlockSums d16;
  const BlockSum d32;
  const hn::CappedTag<std::int16_t, 4> quarter;
  constexpr std::size_t words_at_once =
      32;  // 8 entries a word, of at most 124 each: sums of 16 bits hold them
  const auto nibble = hn::Set(d8, 15);
  for (auto& sum : sums) sum = hn::Zero(d32);
  for (std::size_t first = 0; first < words; first += words_at_once) {
    auto low = hn::Zero(d16);
    auto high = hn::Zero(d16);
    const auto add = [&](auto entries) {
      low = hn::Add(low, hn::PromoteTo(d16, hn::LowerHalf(half, entries)));
      high = hn::Add(high, hn::PromoteTo(d16, hn::UpperHalf(half, entries)));
    };
    const std::size_t end = std::min(words, first + words_at_once);
    for (std::size_t w = first; w < end; ++w) {
      const auto* const word = reinterpret_cast<const std::uint8_t*>(codes + w * planes * block_word_bytes);
      const std::int8_t* const own = tables + w * block_table_bytes;
      for (std::size_t b = 0; b < 4; ++b) {
        const hn::Repartition<std::uint16_t, BlockBytes> d16u;
        const auto bytes = hn::Load(d8, word + block_records * b);
        const auto upper = hn::BitCast(d8, hn::ShiftRight<4>(hn::BitCast(d16u, bytes)));
        add(hn::TableLookupBytes(hn::Load(di8, own + 16 * b), hn::BitCast(di8, hn::And(bytes, nibble))));
        add(hn::TableLookupBytes(hn::Load(di8, own + 64 + 16 * b), hn::BitCast(di8, hn::And(upper, nibble))));
      }
    }
    sums[0] = hn::Add(sums[0], hn::PromoteTo(d32, hn::LowerHalf(quarter, low)));
    sums[1] = hn::Add(sums[1], hn::PromoteTo(d32, hn::UpperHalf(quarter, low)));
    sums[2] = hn::Add(sums[2], hn::PromoteTo(d32, hn::LowerHalf(quarter, high)));
    sums[3] = hn::Add(sums[3], hn::PromoteTo(d32, hn::UpperHalf(quarter, high)));
  }
}

void score_neighbours(const BitBlockQuery& query, const std::byte* codes, std::size_t words,
                      const std::uint16_t* factors, float base, std::size_t count, float bound, float* out,
                      std::uint16_t* near) {
  const BlockSum d32;
  const hn::CappedTag<float, 4> df;
  const hn::CappedTag<std::uint32_t, 4> d32u;
  const hn::CappedTag<std::uint16_t, 4> d16u;
  const auto load_bf16 = [&](const std::uint16_t* from) {
    return hn::BitCast(df, hn::ShiftLeft<16>(hn::PromoteTo(d32u, hn::LoadU(d16u, from))));
  };
  const auto twice_less = [&](auto sum) { return hn::Sub(hn::Add(sum, sum), hn::Set(d32, query.total)); };
  for (std::size_t block = 0; block < count; block += block_records) {
    hn::Vec<BlockSum> sums[4];
    sum_block(query.tables, codes + block * words * (block_word_bytes / block_records), words, 1, sums);
    std::uint32_t within = 0;
    for (std::size_t s = 0; s < 4; ++s) {
      const std::size_t at = block + 4 * s;
      const auto product = hn::Mul(hn::Set(df, query.step), hn::ConvertTo(df, twice_less(sums[s])));
      const auto part = hn::Mul(load_bf16(factors + count + at), product);
      const auto change = hn::Add(load_bf16(factors + at), part);
      const auto result = hn::Add(hn::Set(df, base), change);
      hn::StoreU(result, df, out + at);
      std::uint8_t bits[8] = {};
      hn::StoreMaskBits(df, hn::Le(result, hn::Set(df, bound)), bits);
      within |= static_cast<std::uint32_t>(bits[0]) << 4 * s;
    }
    near[block / block_records] = static_cast<std::uint16_t>(within);
  }
}

void scan_blocks(std::span<const ByteQuery> queries, std::size_t words, std::size_t planes,
                 const std::byte* codes, const float* factors, std::size_t count, float* out,
                 std::size_t out_stride) {
  const BlockSum d32;
  const std::size_t block_bytes = words * planes * block_word_bytes;
  for (std::size_t first = 0; first < count; first += block_records) {
    const std::byte* const block = codes + first / block_records * block_bytes;
    const std::size_t present = std::min(block_records, count - first);
    prefetch_ahead(block, block_bytes);
    for (std::size_t q = 0; q < queries.size(); ++q) {
      const ByteQuery& query = queries[q];
      hn::Vec<BlockSum> sums[4];
      sum_block(query.values, block, words, planes, sums);
      if (planes == 2) {
        hn::Vec<BlockSum> more[4];
        sum_block(query.values, block + block_word_bytes, words, planes, more);
        for (std::size_t s = 0; s < 4; ++s) sums[s] = hn::Add(hn::Add(sums[s], sums[s]), more[s]);
      }
      HWY_ALIGN std::int32_t all[block_records];
      for (std::size_t s = 0; s < 4; ++s) hn::Store(sums[s], d32, all + 4 * s);
      float* const own = out + q * out_stride + first;
      for (std::size_t m = 0; m < present; ++m) {
        const float* const factor = factors + 2 * (first + m);
        own[m] = (query.constant + query.offset_weight * factor[1]) +
                 (query.weight * factor[0]) * static_cast<float>(2 * all[m] - query.shift);
      }
    }
  }
}

}  // namespace vicinal::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // HWY_SCALAR
#endif  // include guard
