// The loops of bit_blocks.hpp with AVX2: a byte look-up among 16 for one nibble of 32 records, two blocks at a time. Functions carry their
// own target attribute, so nothing else in this file is compiled for that instruction set.
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
VICINAL_AVX2 inline __m256i table(const std::int8_t* entries) {
  return _mm256_broadcastsi128_si256(_mm_load_si128(reinterpret_cast<const __m128i*>(entries)));
}

// The word of two blocks as its four bytes: of byte p of a register, dword d = p % 16 / 4, is record p % 4 + 4 (p / 16) + 8 (d % 2) of the
// block d / 2.
VICINAL_AVX2 inline void load_bytes(const std::byte* first, const std::byte* second, __m256i (&bytes)[4]) {
  const __m256i by_place =
      _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
  const __m256i a = _mm256_shuffle_epi8(load(first), by_place);
  const __m256i b = _mm256_shuffle_epi8(load(first + 32), by_place);
  const __m256i c = _mm256_shuffle_epi8(load(second), by_place);
  const __m256i d = _mm256_shuffle_epi8(load(second + 32), by_place);
  const __m256i low_ab = _mm256_unpacklo_epi32(a, b);
  const __m256i low_cd = _mm256_unpacklo_epi32(c, d);
  const __m256i high_ab = _mm256_unpackhi_epi32(a, b);
  const __m256i high_cd = _mm256_unpackhi_epi32(c, d);
  bytes[0] = _mm256_unpacklo_epi64(low_ab, low_cd);
  bytes[1] = _mm256_unpackhi_epi64(low_ab, low_cd);
  bytes[2] = _mm256_unpacklo_epi64(high_ab, high_cd);
  bytes[3] = _mm256_unpackhi_epi64(high_ab, high_cd);
}

// Sums of 32 records in the order of load_bytes(). In `both` a lane of 16 bits has that of an even byte and, 256 times, that of the odd
// one; in `odd` it has the latter alone.
struct Sums {
  __m256i both;
  __m256i odd;
};

// 32 sums to lanes of 32 bits, in the order of the records: four registers, two a block.
VICINAL_AVX2 inline void add_in_order(const Sums& sums, __m256i (&total)[4]) {
  const __m256i even = _mm256_sub_epi16(sums.both, _mm256_slli_epi16(sums.odd, 8));
  const __m256i halves[2] = {_mm256_unpacklo_epi16(even, sums.odd), _mm256_unpackhi_epi16(even, sums.odd)};
#pragma GCC unroll 2
  for (std::size_t block = 0; block < 2; ++block) {
    const __m256i one = _mm256_cvtepu16_epi32(_mm256_castsi256_si128(halves[block]));  // 0 to 3, 8 to 11
    const __m256i other = _mm256_cvtepu16_epi32(_mm256_extracti128_si256(halves[block], 1));
    total[2 * block] = _mm256_add_epi32(total[2 * block], _mm256_permute2x128_si256(one, other, 0x20));
    total[2 * block + 1] =
        _mm256_add_epi32(total[2 * block + 1], _mm256_permute2x128_si256(one, other, 0x31));
  }
}

// What the records of two blocks have in the tables of `many` queries, of every planes-th word: added to totals[query].
template <std::size_t many>
VICINAL_AVX2 inline __attribute__((always_inline)) void add_plane(const std::int8_t* const* tables,
                                                                  std::size_t words, std::size_t planes,
                                                                  const std::byte* first,
                                                                  const std::byte* second,
                                                                  __m256i (&totals)[many][4]) {
  const __m256i nibble = _mm256_set1_epi8(15);
  for (std::size_t begin = 0; begin < words; begin += words_at_once) {
    const std::size_t end = words < begin + words_at_once ? words : begin + words_at_once;
    Sums sums[many];
#pragma GCC unroll 4
    for (std::size_t q = 0; q < many; ++q) sums[q] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
    for (std::size_t w = begin; w < end; ++w) {
      const std::size_t at = w * planes * block_word_bytes;
      __m256i bytes[4];
      load_bytes(first + at, second + at, bytes);
#pragma GCC unroll 4
      for (std::size_t b = 0; b < 4; ++b) {
        const __m256i low = _mm256_and_si256(bytes[b], nibble);
        const __m256i high = _mm256_and_si256(_mm256_srli_epi16(bytes[b], 4), nibble);
#pragma GCC unroll 4
        for (std::size_t q = 0; q < many; ++q) {
          const std::int8_t* const own = tables[q] + w * block_table_bytes + 16 * b;
          const __m256i of_low = _mm256_shuffle_epi8(table(own), low);
          const __m256i of_high = _mm256_shuffle_epi8(table(own + 64), high);
          sums[q].both = _mm256_add_epi16(sums[q].both, _mm256_add_epi16(of_low, of_high));
          sums[q].odd = _mm256_add_epi16(
              sums[q].odd, _mm256_add_epi16(_mm256_srli_epi16(of_low, 8), _mm256_srli_epi16(of_high, 8)));
        }
      }
    }
    for (std::size_t q = 0; q < many; ++q) add_in_order(sums[q], totals[q]);
  }
}

template <std::size_t many>
VICINAL_AVX2 inline __attribute__((always_inline)) void set_all(__m256i value, __m256i (&totals)[many][4]) {
  for (std::size_t q = 0; q < many; ++q) {
    for (__m256i& total : totals[q]) total = value;
  }
}

VICINAL_AVX2 inline __m256i doubled(__m256i value) { return _mm256_add_epi32(value, value); }

VICINAL_AVX2 void score_neighbours(const BitBlockQuery& query, const std::byte* codes, std::size_t words,
                                   const float* factors, float base, std::size_t count, float* out) {
  const std::size_t block_bytes = words * block_word_bytes;
  const __m256 step = _mm256_set1_ps(query.step);
  for (std::size_t start = 0; start < count; start += 2 * block_records) {
    const std::size_t blocks = count - start > block_records ? 2 : 1;
    const std::byte* const first = codes + start / block_records * block_bytes;
    __m256i totals[1][4];
    set_all(_mm256_set1_epi32(-bias * static_cast<int>(entries_a_word * words)), totals);
    add_plane(&query.tables, words, 1, first, first + (blocks - 1) * block_bytes, totals);
    for (std::size_t part = 0; part < 2 * blocks; ++part) {
      const std::size_t at = start + 8 * part;
      const __m256 dots =
          _mm256_cvtepi32_ps(_mm256_sub_epi32(doubled(totals[0][part]), _mm256_set1_epi32(query.total)));
      const __m256 parts = _mm256_mul_ps(_mm256_loadu_ps(factors + count + at), _mm256_mul_ps(step, dots));
      const __m256 changes = _mm256_add_ps(_mm256_loadu_ps(factors + at), parts);
      _mm256_storeu_ps(out + at, _mm256_add_ps(_mm256_set1_ps(base), changes));
    }
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

template <std::size_t many>
VICINAL_AVX2 void scan_some(const ByteQuery* queries, std::size_t words, std::size_t planes,
                            const std::byte* codes, const float* factors, std::size_t count, float* out,
                            std::size_t out_stride) {
  const std::size_t block_bytes = words * planes * block_word_bytes;
  const std::int8_t* tables[many];
  for (std::size_t q = 0; q < many; ++q) tables[q] = queries[q].values;
  const __m256i start = _mm256_set1_epi32(-bias * static_cast<int>(entries_a_word * words));
  for (std::size_t first = 0; first < count; first += 2 * block_records) {
    const std::size_t present = count - first < 2 * block_records ? count - first : 2 * block_records;
    const std::byte* const block = codes + first / block_records * block_bytes;
    const std::byte* const next = present > block_records ? block + block_bytes : block;
    prefetch_ahead(block, 2 * block_bytes);
    prefetch_ahead(factors + 2 * first, 256);
    __m256i totals[many][4];
    set_all(start, totals);
    add_plane(tables, words, planes, block, next, totals);
    if (planes == 2) {
      for (std::size_t q = 0; q < many; ++q) {
        for (__m256i& total : totals[q]) total = _mm256_add_epi32(doubled(total), start);
      }
      add_plane(tables, words, planes, block + block_word_bytes, next + block_word_bytes, totals);
    }
    float some[4 * block_records] = {};
    const float* own = factors + 2 * first;
    if (present < 2 * block_records) {
      for (std::size_t i = 0; i < 2 * present; ++i) some[i] = own[i];
      own = some;
    }
    for (std::size_t q = 0; q < many; ++q) {
      float* const to = out + q * out_stride + first;
      if (present == 2 * block_records) {
        for (std::size_t part = 0; part < 4; ++part)
          _mm256_storeu_ps(to + 8 * part, results(queries[q], totals[q][part], own + 16 * part));
      } else {
        float all[2 * block_records];
        for (std::size_t part = 0; part < 4; ++part)
          _mm256_storeu_ps(all + 8 * part, results(queries[q], totals[q][part], own + 16 * part));
        for (std::size_t i = 0; i < present; ++i) to[i] = all[i];
      }
    }
  }
}

void scan(std::span<const ByteQuery> queries, std::size_t words, std::size_t planes, const std::byte* codes,
          const float* factors, std::size_t count, float* out, std::size_t out_stride) {
  std::size_t q = 0;
  for (; q + 4 <= queries.size(); q += 4)
    scan_some<4>(&queries[q], words, planes, codes, factors, count, out + q * out_stride, out_stride);
  for (; q < queries.size(); ++q)
    scan_some<1>(&queries[q], words, planes, codes, factors, count, out + q * out_stride, out_stride);
}

}  // namespace

void use_bit_blocks_avx2(BitBlockKernels& table) {
  if (table.name != "avx2") return;
  table.make_tables = &make_tables;
  table.score = &score_neighbours;
  table.scan = &scan;
}

}  // namespace vicinal
#else
namespace vicinal {
void use_bit_blocks_avx2(BitBlockKernels& /*table*/) {}
}  // namespace vicinal
#endif
