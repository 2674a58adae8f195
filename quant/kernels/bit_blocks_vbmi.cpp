// The loops of bit_blocks.hpp with AVX-512 VBMI: a byte look-up among 64 serves four nibbles of sixteen records, each nibble with a table of its
// own. Functions carry their own target attribute, so nothing else in this file is compiled for these sets.
#include "vicinal/quant/kernels/dispatch.hpp"

#if defined(__x86_64__)
#if defined(__GNUC__) && !defined(__clang__)
// GCC 12's own header hands deliberately undefined registers to its built-ins and then warns of them here.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>

#include "vicinal/core/prefetch.hpp"
#include "vicinal/quant/kernels/bit_blocks.hpp"
#include "vicinal/quant/kernels/x86_forms.hpp"

namespace vicinal {
namespace {

// Tables of a word: 64 bytes for the low nibbles of its four bytes, sixteen each, then 64 for the high ones. An entry is a sum of four of the
// query's values.
static_assert(4 * Kernels::largest_bit_value <= 127, "An entry is a signed byte.");

VICINAL_VBMI void make_tables(const std::int8_t* query, std::size_t words, std::int8_t* tables) {
  alignas(32) static constexpr std::int16_t has_bit[4][16] = {
      {0, -1, 0, -1, 0, -1, 0, -1, 0, -1, 0, -1, 0, -1, 0, -1},
      {0, 0, -1, -1, 0, 0, -1, -1, 0, 0, -1, -1, 0, 0, -1, -1},
      {0, 0, 0, 0, -1, -1, -1, -1, 0, 0, 0, 0, -1, -1, -1, -1},
      {0, 0, 0, 0, 0, 0, 0, 0, -1, -1, -1, -1, -1, -1, -1, -1}};
  for (std::size_t nibble = 0; nibble < 8 * words; ++nibble) {
    __m256i entries = _mm256_setzero_si256();
    for (std::size_t bit = 0; bit < 4; ++bit) {
      const __m256i chosen = _mm256_load_si256(reinterpret_cast<const __m256i*>(has_bit[bit]));
      entries =
          _mm256_add_epi16(entries, _mm256_and_si256(chosen, _mm256_set1_epi16(query[4 * nibble + bit])));
    }
    const std::size_t byte = nibble / 2;
    std::int8_t* const to = tables + byte / 4 * block_table_bytes + nibble % 2 * 64 + byte % 4 * 16;
    _mm_store_si128(reinterpret_cast<__m128i*>(to), _mm256_cvtepi16_epi8(entries));
  }
}

// Sums of sixteen records, a lane each; side by side, so that none waits for the one before.
struct Sums {
  __m512i low_nibbles;
  __m512i high_nibbles;
};

// A word of a block with the four bytes of each record side by side, whose entries one instruction adds.
VICINAL_VBMI inline __m512i load_word(const std::byte* word) {
  alignas(64) static constexpr std::uint8_t places[64] = {
      0,  16, 32, 48, 1,  17, 33, 49, 2,  18, 34, 50, 3,  19, 35, 51, 4,  20, 36, 52, 5,  21,
      37, 53, 6,  22, 38, 54, 7,  23, 39, 55, 8,  24, 40, 56, 9,  25, 41, 57, 10, 26, 42, 58,
      11, 27, 43, 59, 12, 28, 44, 60, 13, 29, 45, 61, 14, 30, 46, 62, 15, 31, 47, 63};
  return _mm512_permutexvar_epi8(_mm512_load_si512(places), _mm512_load_si512(word));
}

// Adds what four bytes of each record have in their tables.
VICINAL_VBMI inline void add_word(Sums& sums, __m512i word, const std::int8_t* tables) {
  const __m512i nibble = _mm512_set1_epi8(15);
  const __m512i place = _mm512_set1_epi32(0x3020'1000);  // of the entries of each byte
  constexpr int and_or = 0xEA;                           // (a & b) | c
  const __m512i low = _mm512_ternarylogic_epi32(word, nibble, place, and_or);
  const __m512i high = _mm512_ternarylogic_epi32(_mm512_srli_epi32(word, 4), nibble, place, and_or);
  const __m512i ones = _mm512_set1_epi8(1);
  const __m512i of_low = _mm512_permutexvar_epi8(low, _mm512_load_si512(tables));
  const __m512i of_high = _mm512_permutexvar_epi8(high, _mm512_load_si512(tables + 64));
  sums.low_nibbles = _mm512_dpbusd_epi32(sums.low_nibbles, ones, of_low);
  sums.high_nibbles = _mm512_dpbusd_epi32(sums.high_nibbles, ones, of_high);
}

// {scale, offset} of up to sixteen records.
struct Factors {
  __m512 scales;
  __m512 offsets;
};
VICINAL_VBMI inline Factors load_factors(const float* factors, std::size_t count) {
  const std::uint32_t present = count == 16 ? 0xFFFF'FFFFU : (1U << (2 * count)) - 1U;
  const __m512 first = _mm512_maskz_loadu_ps(static_cast<__mmask16>(present), factors);
  const __m512 second = _mm512_maskz_loadu_ps(static_cast<__mmask16>(present >> 16U), factors + 16);
  const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
  return {_mm512_permutex2var_ps(first, even, second),
          _mm512_permutex2var_ps(first, _mm512_add_epi32(even, _mm512_set1_epi32(1)), second)};
}

// Adds what the words of a block have, every planes-th of them.
template <std::size_t planes, std::size_t many>
VICINAL_VBMI inline __attribute__((always_inline)) void add_plane(const std::int8_t* const* tables,
                                                                  std::size_t words, const std::byte* codes,
                                                                  Sums (&sums)[many]) {
  for (std::size_t w = 0; w < words; ++w) {
    const __m512i word = load_word(codes + w * planes * block_word_bytes);
#pragma GCC unroll 4
    for (std::size_t q = 0; q < many; ++q) add_word(sums[q], word, tables[q] + w * block_table_bytes);
  }
}

template <std::size_t planes, std::size_t many>
VICINAL_VBMI void scan_some(const ByteQuery* queries, std::size_t words, const std::byte* codes,
                            const float* factors, std::size_t count, float* out, std::size_t out_stride) {
  const std::size_t block_bytes = words * planes * block_word_bytes;
  const __m512i zero = _mm512_setzero_si512();
  const std::int8_t* tables[many];
  for (std::size_t q = 0; q < many; ++q) tables[q] = queries[q].values;
  for (std::size_t first = 0; first < count; first += block_records) {
    const std::byte* const block = codes + first / block_records * block_bytes;
    const std::size_t present = count - first < block_records ? count - first : block_records;
    prefetch_ahead(block, block_bytes);
    prefetch_ahead(factors + 2 * first, 128);
    Sums sums[many];
#pragma GCC unroll 4
    for (std::size_t q = 0; q < many; ++q) sums[q] = {zero, zero};
    add_plane<planes>(tables, words, block, sums);
    if constexpr (planes == 2) {
#pragma GCC unroll 4
      for (std::size_t q = 0; q < many; ++q) {
        sums[q].low_nibbles = _mm512_add_epi32(sums[q].low_nibbles, sums[q].low_nibbles);
        sums[q].high_nibbles = _mm512_add_epi32(sums[q].high_nibbles, sums[q].high_nibbles);
      }
      add_plane<planes>(tables, words, block + block_word_bytes, sums);
    }
    const Factors own = load_factors(factors + 2 * first, present);
#pragma GCC unroll 4
    for (std::size_t q = 0; q < many; ++q) {
      const ByteQuery& query = queries[q];
      const __m512i sum = _mm512_add_epi32(sums[q].low_nibbles, sums[q].high_nibbles);
      const __m512 dots =
          _mm512_cvtepi32_ps(_mm512_sub_epi32(_mm512_add_epi32(sum, sum), _mm512_set1_epi32(query.shift)));
      const __m512 offsets = _mm512_mul_ps(_mm512_set1_ps(query.offset_weight), own.offsets);
      const __m512 weights = _mm512_mul_ps(_mm512_set1_ps(query.weight), own.scales);
      const __m512 result =
          _mm512_add_ps(_mm512_add_ps(_mm512_set1_ps(query.constant), offsets), _mm512_mul_ps(weights, dots));
      _mm512_mask_storeu_ps(out + q * out_stride + first, static_cast<__mmask16>((1U << present) - 1U),
                            result);
    }
  }
}

struct Some {
  template <std::size_t planes, std::size_t many>
  static void run(const ByteQuery* queries, std::size_t words, const std::byte* codes, const float* factors,
                  std::size_t count, float* out, std::size_t out_stride) {
    scan_some<planes, many>(queries, words, codes, factors, count, out, out_stride);
  }
};

// Sixteen of bfloat16.
VICINAL_VBMI inline __m512 load_bf16(const std::uint16_t* from) {
  const __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
  return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}

VICINAL_VBMI void score_neighbours(const BitBlockQuery& query, const std::byte* codes, std::size_t words,
                                   const std::uint16_t* factors, float base, std::size_t count, float bound,
                                   float* out, std::uint16_t* near) {
  for (std::size_t block = 0; block < count; block += block_records) {
    const std::byte* const own = codes + block * words * (block_word_bytes / block_records);
    Sums sums[1] = {{_mm512_setzero_si512(), _mm512_setzero_si512()}};
    add_plane<1>(&query.tables, words, own, sums);
    const __m512i sum = _mm512_add_epi32(sums[0].low_nibbles, sums[0].high_nibbles);
    const __m512 dots =
        _mm512_cvtepi32_ps(_mm512_sub_epi32(_mm512_add_epi32(sum, sum), _mm512_set1_epi32(query.total)));
    const __m512 products = _mm512_mul_ps(_mm512_set1_ps(query.step), dots);
    const __m512 parts = _mm512_mul_ps(load_bf16(factors + count + block), products);
    const __m512 changes = _mm512_add_ps(load_bf16(factors + block), parts);
    const __m512 results = _mm512_add_ps(_mm512_set1_ps(base), changes);
    _mm512_storeu_ps(out + block, results);
    near[block / block_records] = _mm512_cmp_ps_mask(results, _mm512_set1_ps(bound), _CMP_LE_OQ);
  }
}

}  // namespace

void use_bit_blocks_vbmi(BitBlockKernels& table) {
  if (!__builtin_cpu_supports("avx512vbmi")) return;
  table.make_tables = &make_tables;
  table.score = &score_neighbours;
  table.scan = &scan_by_fours<Some>;
}

}  // namespace vicinal
#else
#include "vicinal/quant/kernels/bit_blocks.hpp"
namespace vicinal {
void use_bit_blocks_vbmi(BitBlockKernels& /*table*/) {}
}  // namespace vicinal
#endif
