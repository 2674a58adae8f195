// The loop of neighbours.hpp, written once and compiled for every instruction set (included by neighbours_portable.cpp through
// foreach_target).
#if defined(VICINAL_QUANT_NEIGHBOURS_KERNELS_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef VICINAL_QUANT_NEIGHBOURS_KERNELS_INL
#undef VICINAL_QUANT_NEIGHBOURS_KERNELS_INL
#else
#define VICINAL_QUANT_NEIGHBOURS_KERNELS_INL
#endif

#include <hwy/highway.h>

#include <algorithm>

#include "vicinal/quant/kernels/neighbours.hpp"

#if HWY_TARGET != HWY_SCALAR
HWY_BEFORE_NAMESPACE();
namespace vicinal::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using NeighbourBytes = hn::CappedTag<std::uint8_t, 16>;
using NeighbourEntries = hn::CappedTag<std::int8_t, 16>;
using NeighbourHalf = hn::CappedTag<std::int8_t, 8>;
using NeighbourSums = hn::CappedTag<std::int16_t, 8>;

// A word of sixteen neighbours to its four bytes, of which lane m is neighbour m's.
HWY_INLINE void load_neighbour_bytes(const std::byte* word, hn::Vec<NeighbourBytes> (&bytes)[4]) {
  const NeighbourBytes d8;
  const hn::Repartition<std::uint32_t, NeighbourBytes> d32;
  const hn::Repartition<std::uint64_t, NeighbourBytes> d64;
  alignas(16) static constexpr std::uint8_t by_place[16] = {0, 4, 8,  12, 1, 5, 9,  13,
                                                            2, 6, 10, 14, 3, 7, 11, 15};
  const auto order = hn::Load(d8, by_place);
  hn::Vec<decltype(d32)> four[4];  // of neighbours 4 r to 4 r + 3
  for (std::size_t r = 0; r < 4; ++r) {
    const auto row = hn::Load(d8, reinterpret_cast<const std::uint8_t*>(word) + 16 * r);
    four[r] = hn::BitCast(d32, hn::TableLookupBytes(row, order));
  }
  const auto low01 = hn::BitCast(d64, hn::InterleaveLower(d32, four[0], four[1]));
  const auto low23 = hn::BitCast(d64, hn::InterleaveLower(d32, four[2], four[3]));
  const auto high01 = hn::BitCast(d64, hn::InterleaveUpper(d32, four[0], four[1]));
  const auto high23 = hn::BitCast(d64, hn::InterleaveUpper(d32, four[2], four[3]));
  bytes[0] = hn::BitCast(d8, hn::InterleaveLower(d64, low01, low23));
  bytes[1] = hn::BitCast(d8, hn::InterleaveUpper(d64, low01, low23));
  bytes[2] = hn::BitCast(d8, hn::InterleaveLower(d64, high01, high23));
  bytes[3] = hn::BitCast(d8, hn::InterleaveUpper(d64, high01, high23));
}

void score_neighbours(const NeighbourQuery& query, const std::byte* codes, std::size_t words,
                      const float* factors, float base, std::size_t count, float* out) {
  const NeighbourBytes d8;
  const NeighbourEntries di8;
  const NeighbourHalf half;
  const NeighbourSums d16;
  const hn::CappedTag<std::int32_t, 4> d32;
  const hn::CappedTag<float, 4> df;
  constexpr std::size_t words_at_once =
      32;  // 8 entries a word, of at most 124 each: sums of 16 bits hold them
  const auto nibble = hn::Set(d8, 15);
  const auto twice_less = [&](auto sum) { return hn::Sub(hn::Add(sum, sum), hn::Set(d32, query.total)); };
  for (std::size_t block = 0; block < count; block += neighbour_block) {
    const std::byte* const own = codes + block * words * (neighbour_word_bytes / neighbour_block);
    hn::Vec<decltype(d32)> sums[4];
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
        hn::Vec<NeighbourBytes> bytes[4];
        load_neighbour_bytes(own + w * neighbour_word_bytes, bytes);
        const std::int8_t* const tables = query.tables + w * neighbour_table_bytes;
        for (std::size_t b = 0; b < 4; ++b) {
          const hn::Repartition<std::uint16_t, NeighbourBytes> d16u;
          const auto upper = hn::BitCast(d8, hn::ShiftRight<4>(hn::BitCast(d16u, bytes[b])));
          add(hn::TableLookupBytes(hn::Load(di8, tables + 16 * b),
                                   hn::BitCast(di8, hn::And(bytes[b], nibble))));
          add(hn::TableLookupBytes(hn::Load(di8, tables + 64 + 16 * b),
                                   hn::BitCast(di8, hn::And(upper, nibble))));
        }
      }
      const hn::CappedTag<std::int16_t, 4> quarter;
      sums[0] = hn::Add(sums[0], hn::PromoteTo(d32, hn::LowerHalf(quarter, low)));
      sums[1] = hn::Add(sums[1], hn::PromoteTo(d32, hn::UpperHalf(quarter, low)));
      sums[2] = hn::Add(sums[2], hn::PromoteTo(d32, hn::LowerHalf(quarter, high)));
      sums[3] = hn::Add(sums[3], hn::PromoteTo(d32, hn::UpperHalf(quarter, high)));
    }
    for (std::size_t s = 0; s < 4; ++s) {
      const std::size_t at = block + 4 * s;
      const auto product = hn::Mul(hn::Set(df, query.step), hn::ConvertTo(df, twice_less(sums[s])));
      const auto part = hn::Mul(hn::LoadU(df, factors + count + at), product);
      const auto change = hn::Add(hn::LoadU(df, factors + at), part);
      hn::StoreU(hn::Add(hn::Set(df, base), change), df, out + at);
    }
  }
}

}  // namespace vicinal::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // HWY_SCALAR
#endif  // include guard
