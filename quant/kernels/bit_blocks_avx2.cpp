// The loops of bit_blocks.hpp with AVX2: a byte look-up among 16 serves one nibble of sixteen records. Functions carry their own
// target attribute, so nothing else in this file is compiled for that instruction set.
#include "vicinal/quant/kernels/bit_blocks.hpp"

#if defined(__x86_64__)
#include "vicinal/core/prefetch.hpp"
#include "vicinal/quant/kernels/x86_forms.hpp"

namespace vicinal {
namespace {

// Entries are kept with this added, as bytes without a sign, so that two of them can be added in halves of 16 bits.
constexpr int bias = 4 * Kernels::largest_bit_value;
static_assert(2 * bias <= 255, "An entry is a byte.");
constexpr std::size_t entries_a_word = 8;
constexpr std::size_t words_at_once = 65'535 / (2 * bias * entries_a_word);

void make_tables(const std::int8_t* query, std::size_t words, std::int8_t* tables) {
  scalar_bit_block_kernels().make_tables(query, words, tables);
  for (std::size_t i = 0; i < words * block_table_bytes; ++i)
    tables[i] = static_cast<std::int8_t>(static_cast<std::uint8_t>(tables[i] + bias));
}

VICINAL_AVX2 inline __m256i load(const void* from) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(from));
}

// Sums of two bytes of each record of a block, in the order of the records, a half each. In `both` a lane of 16 bits has that of an even record
// and, 256 times, that of the odd one after it; in `odd` it has the latter alone.
struct Sums {
  __m256i both;
  __m256i odd;

  VICINAL_AVX2 void add(__m256i of_low, __m256i of_high) {
    both = _mm256_add_epi16(both, _mm256_add_epi16(of_low, of_high));
    odd =
        _mm256_add_epi16(odd, _mm256_add_epi16(_mm256_srli_epi16(of_low, 8), _mm256_srli_epi16(of_high, 8)));
  }
};

// Of records 0 to 7 and 8 to 15, in lanes of 32 bits.
struct Totals {
  __m256i low;
  __m256i high;

  VICINAL_AVX2 void add(const Sums& sums) {
    const __m256i even = _mm256_sub_epi16(sums.both, _mm256_slli_epi16(sums.odd, 8));
    const __m128i evens = _mm_add_epi16(_mm256_castsi256_si128(even), _mm256_extracti128_si256(even, 1));
    const __m128i odds =
        _mm_add_epi16(_mm256_castsi256_si128(sums.odd), _mm256_extracti128_si256(sums.odd, 1));
    low = _mm256_add_epi32(low, _mm256_cvtepu16_epi32(_mm_unpacklo_epi16(evens, odds)));
    high = _mm256_add_epi32(high, _mm256_cvtepu16_epi32(_mm_unpackhi_epi16(evens, odds)));
  }
};

VICINAL_AVX2 inline Totals all_of(std::int32_t value) {
  return {_mm256_set1_epi32(value), _mm256_set1_epi32(value)};
}

// Adds to totals[query] what the records of a block have in the tables of `many` queries, of every planes-th word.
template <std::size_t planes, std::size_t many>
VICINAL_AVX2 inline __attribute__((always_inline)) void add_plane(const std::int8_t* const* tables,
                                                                  std::size_t words, const std::byte* block,
                                                                  Totals (&totals)[many]) {
  const __m256i nibble = _mm256_set1_epi8(15);
  for (std::size_t begin = 0; begin < words; begin += words_at_once) {
    const std::size_t end = words < begin + words_at_once ? words : begin + words_at_once;
    Sums sums[many];
#pragma GCC unroll 4
    for (std::size_t q = 0; q < many; ++q) sums[q] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
    for (std::size_t w = begin; w < end; ++w) {
#pragma GCC unroll 2
      for (std::size_t half = 0; half < block_word_bytes; half += 32) {
        const __m256i bytes = load(block + w * planes * block_word_bytes + half);
        const __m256i low = _mm256_and_si256(bytes, nibble);
        const __m256i high = _mm256_and_si256(_mm256_srli_epi16(bytes, 4), nibble);
#pragma GCC unroll 4
        for (std::size_t q = 0; q < many; ++q) {
          const std::int8_t* const own = tables[q] + w * block_table_bytes + half;
          sums[q].add(_mm256_shuffle_epi8(load(own), low), _mm256_shuffle_epi8(load(own + 64), high));
        }
      }
    }
    for (std::size_t q = 0; q < many; ++q) totals[q].add(sums[q]);
  }
}

VICINAL_AVX2 inline __m256i doubled(__m256i value) { return _mm256_add_epi32(value, value); }

// Eight of bfloat16.
VICINAL_AVX2 inline __m256 load_bf16(const std::uint16_t* from) {
  const __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
  return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
}

VICINAL_AVX2 void score_neighbours(const BitBlockQuery& query, const std::byte* codes, std::size_t words,
                                   const std::uint16_t* factors, float base, std::size_t count, float bound,
                                   float* out, std::uint16_t* near) {
  const std::size_t block_bytes = words * block_word_bytes;
  const __m256 step = _mm256_set1_ps(query.step);
  const std::int32_t biases = bias * static_cast<std::int32_t>(entries_a_word * words);
  const auto write = [&](__m256i sums, std::size_t at) VICINAL_AVX2 {
    const __m256 dots = _mm256_cvtepi32_ps(_mm256_sub_epi32(doubled(sums), _mm256_set1_epi32(query.total)));
    const __m256 parts = _mm256_mul_ps(load_bf16(factors + count + at), _mm256_mul_ps(step, dots));
    const __m256 changes = _mm256_add_ps(load_bf16(factors + at), parts);
    const __m256 results = _mm256_add_ps(_mm256_set1_ps(base), changes);
    _mm256_storeu_ps(out + at, results);
    return static_cast<std::uint32_t>(
        _mm256_movemask_ps(_mm256_cmp_ps(results, _mm256_set1_ps(bound), _CMP_LE_OQ)));
  };
  for (std::size_t first = 0; first < count; first += block_records) {
    Totals totals[1] = {all_of(-biases)};
    add_plane<1>(&query.tables, words, codes + first / block_records * block_bytes, totals);
    const std::uint32_t low = write(totals[0].low, first);
    near[first / block_records] = static_cast<std::uint16_t>(low | write(totals[0].high, first + 8) << 8U);
  }
}

// The results of eight records.
VICINAL_AVX2 inline __m256 results(const ByteQuery& query, __m256i sums, const float* factors) {
  // {scale, offset} of records 0, 1, 4, 5 and of 2, 3, 6, 7.
  const __m256 near = _mm256_loadu_ps(factors);
  const __m256 far = _mm256_loadu_ps(factors + 8);
  const __m256 pairs[2] = {_mm256_permute2f128_ps(near, far, 0x20), _mm256_permute2f128_ps(near, far, 0x31)};
  const __m256 scales = _mm256_shuffle_ps(pairs[0], pairs[1], 0x88);
  const __m256 offsets =
      _mm256_mul_ps(_mm256_set1_ps(query.offset_weight), _mm256_shuffle_ps(pairs[0], pairs[1], 0xDD));
  const __m256 dots = _mm256_cvtepi32_ps(_mm256_sub_epi32(doubled(sums), _mm256_set1_epi32(query.shift)));
  const __m256 product = _mm256_mul_ps(_mm256_mul_ps(_mm256_set1_ps(query.weight), scales), dots);
  return _mm256_add_ps(_mm256_add_ps(_mm256_set1_ps(query.constant), offsets), product);
}

template <std::size_t planes, std::size_t many>
VICINAL_AVX2 void scan_some(const ByteQuery* queries, std::size_t words, const std::byte* codes,
                            const float* factors, std::size_t count, float* out, std::size_t out_stride) {
  const std::size_t block_bytes = words * planes * block_word_bytes;
  const std::int8_t* tables[many];
  for (std::size_t q = 0; q < many; ++q) tables[q] = queries[q].values;
  const std::int32_t biases =
      bias * static_cast<std::int32_t>(entries_a_word * words * (planes == 1 ? 1 : 3));
  for (std::size_t first = 0; first < count; first += block_records) {
    const std::byte* const block = codes + first / block_records * block_bytes;
    prefetch_ahead(block, block_bytes);
    prefetch_ahead(factors + 2 * first, 128);
    Totals totals[many];
#pragma GCC unroll 4
    for (std::size_t q = 0; q < many; ++q) totals[q] = all_of(0);
    add_plane<planes>(tables, words, block, totals);
    if constexpr (planes == 2) {
#pragma GCC unroll 4
      for (std::size_t q = 0; q < many; ++q) totals[q] = {doubled(totals[q].low), doubled(totals[q].high)};
      add_plane<planes>(tables, words, block + block_word_bytes, totals);
    }
    const __m256i less = _mm256_set1_epi32(biases);
    const std::size_t present = count - first < block_records ? count - first : block_records;
    if (present == block_records) {
#pragma GCC unroll 4
      for (std::size_t q = 0; q < many; ++q) {
        float* const to = out + q * out_stride + first;
        _mm256_storeu_ps(to, results(queries[q], _mm256_sub_epi32(totals[q].low, less), factors + 2 * first));
        _mm256_storeu_ps(
            to + 8, results(queries[q], _mm256_sub_epi32(totals[q].high, less), factors + 2 * first + 16));
      }
      continue;
    }
    float own[2 * block_records] = {};
    for (std::size_t i = 0; i < 2 * present; ++i) own[i] = factors[2 * first + i];
    for (std::size_t q = 0; q < many; ++q) {
      float all[block_records];
      _mm256_storeu_ps(all, results(queries[q], _mm256_sub_epi32(totals[q].low, less), own));
      _mm256_storeu_ps(all + 8, results(queries[q], _mm256_sub_epi32(totals[q].high, less), own + 16));
      for (std::size_t i = 0; i < present; ++i) out[q * out_stride + first + i] = all[i];
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

}  // namespace

void use_bit_blocks_avx2(BitBlockKernels& table) {
  if (table.name != "avx2") return;
  table.make_tables = &make_tables;
  table.score = &score_neighbours;
  table.scan = &scan_by_fours<Some>;
}

}  // namespace vicinal
#else
namespace vicinal {
void use_bit_blocks_avx2(BitBlockKernels& /*table*/) {}
}  // namespace vicinal
#endif
