// Bits by table look-up with AVX-512 VBMI: a byte look-up among 64 serves four nibbles of sixteen records, each nibble with a table of its
// own. Functions carry their own target attribute, so nothing else in this file is compiled for these sets.
#include "vicinal/quant/kernels/dispatch.hpp"

#if defined(__x86_64__)
#if defined(__GNUC__) && !defined(__clang__)
// GCC 12's own header hands deliberately undefined registers to its built-ins and then warns of them here.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>

#include "vicinal/core/prefetch.hpp"
#include "vicinal/quant/kernels/neighbours.hpp"
#include "vicinal/quant/kernels/x86_forms.hpp"

namespace vicinal {
namespace {

// Tables of four bytes of a record: 64 bytes for their low nibbles, then 64 for their high ones, sixteen of each byte. An entry is a sum of
// four of the query's values.
constexpr std::size_t word_bytes = 128;
static_assert(4 * Kernels::largest_bit_value <= 127, "An entry is a signed byte.");
static_assert(2 * word_bytes == Kernels::bit_table_bytes);

// The bytes of a record that are read.
constexpr std::size_t read_bytes(std::size_t dim) { return (dim + 63) / 64 * 8; }

VICINAL_VBMI void make_entries(const std::int8_t* query, std::size_t nibbles, std::int8_t* tables) {
  alignas(32) static constexpr std::int16_t has_bit[4][16] = {
      {0, -1, 0, -1, 0, -1, 0, -1, 0, -1, 0, -1, 0, -1, 0, -1},
      {0, 0, -1, -1, 0, 0, -1, -1, 0, 0, -1, -1, 0, 0, -1, -1},
      {0, 0, 0, 0, -1, -1, -1, -1, 0, 0, 0, 0, -1, -1, -1, -1},
      {0, 0, 0, 0, 0, 0, 0, 0, -1, -1, -1, -1, -1, -1, -1, -1}};
  for (std::size_t nibble = 0; nibble < nibbles; ++nibble) {
    __m256i entries = _mm256_setzero_si256();
    for (std::size_t bit = 0; bit < 4; ++bit) {
      const __m256i chosen = _mm256_load_si256(reinterpret_cast<const __m256i*>(has_bit[bit]));
      entries =
          _mm256_add_epi16(entries, _mm256_and_si256(chosen, _mm256_set1_epi16(query[4 * nibble + bit])));
    }
    const std::size_t byte = nibble / 2;
    std::int8_t* const to = tables + byte / 4 * word_bytes + nibble % 2 * 64 + byte % 4 * 16;
    _mm_store_si128(reinterpret_cast<__m128i*>(to), _mm256_cvtepi16_epi8(entries));
  }
}

void make_tables(const std::int8_t* query, std::size_t dim, std::int8_t* tables) {
  make_entries(query, 2 * read_bytes(dim), tables);
}

// Sums of sixteen records, a lane each; side by side, so that none waits for the one before.
struct Sums {
  __m512i low_nibbles;
  __m512i high_nibbles;
};

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

VICINAL_VBMI inline __m128i load(const std::byte* from, bool half) {
  const auto* const at = reinterpret_cast<const __m128i*>(from);
  return half ? _mm_loadl_epi64(at) : _mm_loadu_si128(at);
}

// Sixteen bytes, or with `half` eight, of each of sixteen records to four words, of which lane m is of record m.
VICINAL_VBMI inline __attribute__((always_inline)) void load_words(const std::byte* const (&at)[16],
                                                                   std::size_t offset, bool half,
                                                                   __m512i (&words)[4]) {
  __m512i rows[4];  // row r has records r, 4 + r, 8 + r and 12 + r
#pragma GCC unroll 4
  for (std::size_t r = 0; r < 4; ++r) {
    rows[r] = _mm512_castsi128_si512(load(at[r] + offset, half));
    rows[r] = _mm512_mask_broadcast_i32x4(rows[r], 0x00F0, load(at[4 + r] + offset, half));
    rows[r] = _mm512_mask_broadcast_i32x4(rows[r], 0x0F00, load(at[8 + r] + offset, half));
    rows[r] = _mm512_mask_broadcast_i32x4(rows[r], 0xF000, load(at[12 + r] + offset, half));
  }
  const __m512i a = _mm512_unpacklo_epi32(rows[0], rows[1]);
  const __m512i b = _mm512_unpacklo_epi32(rows[2], rows[3]);
  words[0] = _mm512_unpacklo_epi64(a, b);
  words[1] = _mm512_unpackhi_epi64(a, b);
  const __m512i c = _mm512_unpackhi_epi32(rows[0], rows[1]);
  const __m512i d = _mm512_unpackhi_epi32(rows[2], rows[3]);
  words[2] = _mm512_unpacklo_epi64(c, d);
  words[3] = _mm512_unpackhi_epi64(c, d);
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

// Words that were put side by side once serve `many` queries.
template <std::size_t many>
VICINAL_VBMI void score_tables(const ByteQuery* queries, std::size_t dim, const std::byte* base,
                               std::size_t stride, const float* factors, std::size_t count, float* out,
                               std::size_t out_stride) {
  const std::size_t bytes = read_bytes(dim);
  for (std::size_t i = 0; i < count; i += 16) {
    // The last group repeats its last record rather than branch on how many there are.
    const std::size_t present = count - i < 16 ? count - i : 16;
    const std::byte* at[16];
    for (std::size_t m = 0; m < 16; ++m) at[m] = base + stride * (m < present ? i + m : count - 1);
    Sums sums[many];
#pragma GCC unroll 4
    for (std::size_t q = 0; q < many; ++q) sums[q] = {_mm512_setzero_si512(), _mm512_setzero_si512()};
    __m512i words[4];
    const auto tables = [&](std::size_t q, std::size_t offset)
                            VICINAL_VBMI { return queries[q].values + offset / 4 * word_bytes; };
    for (std::size_t offset = 0; offset + 16 <= bytes; offset += 16) {
      prefetch_ahead(at[0] + 16 * offset, 256);
      load_words(at, offset, false, words);
#pragma GCC unroll 4
      for (std::size_t q = 0; q < many; ++q) {
        const std::int8_t* const here = tables(q, offset);
#pragma GCC unroll 4
        for (std::size_t w = 0; w < 4; ++w) add_word(sums[q], words[w], here + w * word_bytes);
      }
    }
    if (bytes % 16 != 0) {
      load_words(at, bytes - 8, true, words);
#pragma GCC unroll 4
      for (std::size_t q = 0; q < many; ++q) {
        const std::int8_t* const here = tables(q, bytes - 8);
        add_word(sums[q], words[0], here);
        add_word(sums[q], words[1], here + word_bytes);
      }
    }
    prefetch_ahead(factors + 2 * i, 128);
    const Factors own = load_factors(factors + 2 * i, present);
    for (std::size_t q = 0; q < many; ++q) {
      const ByteQuery& query = queries[q];
      const __m512i sum = _mm512_add_epi32(sums[q].low_nibbles, sums[q].high_nibbles);
      const __m512 dots =
          _mm512_cvtepi32_ps(_mm512_sub_epi32(_mm512_add_epi32(sum, sum), _mm512_set1_epi32(query.shift)));
      const __m512 offsets = _mm512_mul_ps(_mm512_set1_ps(query.offset_weight), own.offsets);
      const __m512 weights = _mm512_mul_ps(_mm512_set1_ps(query.weight), own.scales);
      const __m512 result =
          _mm512_add_ps(_mm512_add_ps(_mm512_set1_ps(query.constant), offsets), _mm512_mul_ps(weights, dots));
      _mm512_mask_storeu_ps(out + q * out_stride + i, static_cast<__mmask16>((1U << present) - 1U), result);
    }
  }
}

void score_queries(std::span<const ByteQuery> queries, std::size_t dim, const std::byte* base,
                   std::size_t stride, const float* factors, std::size_t count, float* out,
                   std::size_t out_stride) {
  std::size_t q = 0;
  for (; q + 4 <= queries.size(); q += 4)
    score_tables<4>(&queries[q], dim, base, stride, factors, count, out + q * out_stride, out_stride);
  for (; q < queries.size(); ++q)
    score_tables<1>(&queries[q], dim, base, stride, factors, count, out + q * out_stride, out_stride);
}

void make_word_tables(const std::int8_t* query, std::size_t words, std::int8_t* tables) {
  make_entries(query, 8 * words, tables);
}

VICINAL_VBMI void score_neighbours(const NeighbourQuery& query, const std::byte* codes, std::size_t words,
                                   const float* factors, float base, std::size_t count, float* out) {
  for (std::size_t block = 0; block < count; block += neighbour_block) {
    const std::byte* const own = codes + block * words * (neighbour_word_bytes / neighbour_block);
    Sums sums{_mm512_setzero_si512(), _mm512_setzero_si512()};
    for (std::size_t w = 0; w < words; ++w)
      add_word(sums, _mm512_load_si512(own + w * neighbour_word_bytes), query.tables + w * word_bytes);
    const __m512i sum = _mm512_add_epi32(sums.low_nibbles, sums.high_nibbles);
    const __m512 dots =
        _mm512_cvtepi32_ps(_mm512_sub_epi32(_mm512_add_epi32(sum, sum), _mm512_set1_epi32(query.total)));
    const __m512 products = _mm512_mul_ps(_mm512_set1_ps(query.step), dots);
    const __m512 parts = _mm512_mul_ps(_mm512_loadu_ps(factors + count + block), products);
    const __m512 changes = _mm512_add_ps(_mm512_loadu_ps(factors + block), parts);
    _mm512_storeu_ps(out + block, _mm512_add_ps(_mm512_set1_ps(base), changes));
  }
}

}  // namespace

void use_neighbours_vbmi(NeighbourKernels& table) {
  if (!__builtin_cpu_supports("avx512vbmi")) return;
  table.make_tables = &make_word_tables;
  table.score = &score_neighbours;
}

void use_vbmi_bits(Kernels& table) {
  table.make_bit_tables = &make_tables;
  table.bit_tables = &score_queries;
}

}  // namespace vicinal
#else
#include "vicinal/quant/kernels/neighbours.hpp"
namespace vicinal {
void use_neighbours_vbmi(NeighbourKernels& /*table*/) {}
}  // namespace vicinal
#endif
