// MaxSim on bytes and halves in lanes with AVX2. Functions carry their own target attribute, so nothing else in this file is compiled for that
// instruction set.
#include "vicinal/encode/maxsim_lanes.hpp"

#if defined(__x86_64__)
#include <limits>

#include "vicinal/quant/kernels/x86_forms.hpp"

#define VICINAL_AVX2_INLINE VICINAL_AVX2 inline __attribute__((always_inline))

namespace vicinal {
namespace {

constexpr std::size_t most_queries = 4;  // times two registers of sums

VICINAL_AVX2_INLINE __m256i load(const void* from) {
  return _mm256_load_si256(static_cast<const __m256i*>(from));
}
// Four bytes of a query, in all lanes.
VICINAL_AVX2_INLINE __m256i everywhere(const void* from) {
  std::int32_t four = 0;
  __builtin_memcpy(&four, from, sizeof(four));
  return _mm256_set1_epi32(four);
}

// Sums of a group: of each query vector two registers of eight tokens.
template <std::size_t many>
struct Sums {
  __m256i of[many][2];
};

// Bytes as unsigned words, which meet the query's words: two products of 255 x 127 would not fit in the 16 bits that pairs of bytes give.
template <std::size_t many>
VICINAL_AVX2_INLINE void add_bytes(const LaneQueries& queries, std::size_t first, const std::byte* at,
                                   const std::byte*& ahead, Sums<many>& sums) {
  const __m256i mask = _mm256_set1_epi16(255);
  const std::int16_t* values = queries.words + 4 * first;
  for (std::size_t s = 0; s < queries.steps; ++s, at += 4 * lane_tokens, values += 4 * queries.stride) {
    ask_for_line(ahead);
    __m256i even[2];
    __m256i odd[2];
    for (std::size_t r = 0; r < 2; ++r) {
      const __m256i codes = load(at + 32 * r);
      even[r] = _mm256_and_si256(codes, mask);
      odd[r] = _mm256_srli_epi16(codes, 8);
    }
#pragma GCC unroll 4
    for (std::size_t q = 0; q < many; ++q) {
      const __m256i evens = everywhere(values + 4 * q);
      const __m256i odds = everywhere(values + 4 * q + 2);
#pragma GCC unroll 2
      for (std::size_t r = 0; r < 2; ++r) {
        sums.of[q][r] = _mm256_add_epi32(sums.of[q][r], _mm256_madd_epi16(even[r], evens));
        sums.of[q][r] = _mm256_add_epi32(sums.of[q][r], _mm256_madd_epi16(odd[r], odds));
      }
    }
  }
}

// A pair of products is at most 2 x 15 x 127, of which eight fit in 16 bits: four steps.
template <std::size_t many>
VICINAL_AVX2_INLINE void add_halves(const LaneQueries& queries, std::size_t first, const std::byte* at,
                                    const std::byte*& ahead, Sums<many>& sums) {
  constexpr std::size_t steps_at_once = 4;
  static_assert(2 * steps_at_once * 2 * 15 * 127 < 32'768);
  const __m256i mask = _mm256_set1_epi8(15);
  const std::int8_t* values = queries.bytes + 8 * first;
  for (std::size_t s = 0; s < queries.steps;) {
    const std::size_t last = s + steps_at_once < queries.steps ? s + steps_at_once : queries.steps;
    Sums<many> narrow;
#pragma GCC unroll 4
    for (std::size_t q = 0; q < many; ++q) narrow.of[q][0] = narrow.of[q][1] = _mm256_setzero_si256();
    for (; s < last; ++s, at += 4 * lane_tokens, values += 8 * queries.stride) {
      ask_for_line(ahead);
      __m256i low[2];
      __m256i high[2];
      for (std::size_t r = 0; r < 2; ++r) {
        const __m256i codes = load(at + 32 * r);
        low[r] = _mm256_and_si256(codes, mask);
        high[r] = _mm256_and_si256(_mm256_srli_epi16(codes, 4), mask);
      }
#pragma GCC unroll 4
      for (std::size_t q = 0; q < many; ++q) {
        const __m256i lows = everywhere(values + 8 * q);
        const __m256i highs = everywhere(values + 8 * q + 4);
#pragma GCC unroll 2
        for (std::size_t r = 0; r < 2; ++r) {
          narrow.of[q][r] = _mm256_add_epi16(narrow.of[q][r], _mm256_maddubs_epi16(low[r], lows));
          narrow.of[q][r] = _mm256_add_epi16(narrow.of[q][r], _mm256_maddubs_epi16(high[r], highs));
        }
      }
    }
#pragma GCC unroll 4
    for (std::size_t q = 0; q < many; ++q) {
      for (std::size_t r = 0; r < 2; ++r)
        sums.of[q][r] =
            _mm256_add_epi32(sums.of[q][r], _mm256_madd_epi16(narrow.of[q][r], _mm256_set1_epi16(1)));
    }
  }
}

// Eight tokens of a group, from number 8 r on: their factors, and whether they are in the document.
struct EightTokens {
  __m256 scales;
  __m256 offsets;
  __m256 outside;  // all bits where a token is not of the document
};

// Of a shuffle of two registers, whose halves it does not cross.
VICINAL_AVX2_INLINE __m256 in_order(__m256 mixed) {
  return _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(mixed), 0xD8));
}

VICINAL_AVX2_INLINE void look_at(EightTokens& eight, const float* factors, std::size_t r, std::size_t token,
                                 std::size_t begin, std::size_t end) {
  const __m256 first = _mm256_loadu_ps(factors + 16 * r);
  const __m256 second = _mm256_loadu_ps(factors + 16 * r + 8);
  eight.scales = in_order(_mm256_shuffle_ps(first, second, 0x88));
  eight.offsets = in_order(_mm256_shuffle_ps(first, second, 0xDD));
  const auto from = static_cast<int>(token < begin ? begin - token : 0);
  const auto to = static_cast<int>(end - token < lane_tokens ? end - token : lane_tokens);
  const __m256i lane =
      _mm256_add_epi32(_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7), _mm256_set1_epi32(static_cast<int>(8 * r)));
  const __m256i out = _mm256_or_si256(_mm256_cmpgt_epi32(_mm256_set1_epi32(from), lane),
                                      _mm256_cmpgt_epi32(lane, _mm256_set1_epi32(to - 1)));
  eight.outside = _mm256_castsi256_ps(out);
}

VICINAL_AVX2_INLINE __m256 distances(const ByteQuery& query, const EightTokens& tokens, __m256i dots) {
  const __m256 dot = _mm256_cvtepi32_ps(_mm256_sub_epi32(dots, _mm256_set1_epi32(query.shift)));
  const __m256 offset = _mm256_add_ps(_mm256_set1_ps(query.constant),
                                      _mm256_mul_ps(_mm256_set1_ps(query.offset_weight), tokens.offsets));
  return _mm256_add_ps(offset,
                       _mm256_mul_ps(_mm256_mul_ps(_mm256_set1_ps(query.weight), tokens.scales), dot));
}

VICINAL_AVX2_INLINE float least_lane(__m256 values) {
  __m128 least = _mm_min_ps(_mm256_castps256_ps128(values), _mm256_extractf128_ps(values, 1));
  least = _mm_min_ps(least, _mm_movehl_ps(least, least));
  return _mm_cvtss_f32(_mm_min_ss(least, _mm_movehdup_ps(least)));
}

template <Form form, std::size_t many>
VICINAL_AVX2 void nearest_tile(const LaneQueries& queries, std::size_t first, const LaneTokens& tokens,
                               std::size_t begin, std::size_t end, float* nearest) {
  const __m256 none = _mm256_set1_ps(std::numeric_limits<float>::infinity());
  __m256 least[many];
  for (__m256& one : least) one = none;
  float copy[2 * lane_tokens];
  const std::byte* ahead = first == 0 ? tokens.next : nullptr;
  for (std::size_t group = begin / lane_tokens; group * lane_tokens < end; ++group) {
    Sums<many> sums;
#pragma GCC unroll 4
    for (std::size_t q = 0; q < many; ++q) sums.of[q][0] = sums.of[q][1] = _mm256_setzero_si256();
    const std::byte* const at = tokens.groups + group * queries.steps * 4 * lane_tokens;
    if constexpr (form == Form::bytes) {
      add_bytes(queries, first, at, ahead, sums);
    } else {
      add_halves(queries, first, at, ahead, sums);
    }
    const std::size_t token = group * lane_tokens;
    const bool edge = token < begin || token + lane_tokens > end;
    const float* const factors = group_factors(tokens, group, copy);
#pragma GCC unroll 2
    for (std::size_t r = 0; r < 2; ++r) {
      EightTokens eight;
      look_at(eight, factors, r, token, begin, end);
#pragma GCC unroll 4
      for (std::size_t q = 0; q < many; ++q) {
        __m256i dots = sums.of[q][r];
        if constexpr (form == Form::nibbles) dots = _mm256_add_epi32(dots, dots);
        __m256 distance = distances(queries.terms[first + q], eight, dots);
        if (edge) distance = _mm256_blendv_ps(distance, none, eight.outside);
        least[q] = _mm256_min_ps(distance, least[q]);
      }
    }
  }
#pragma GCC unroll 4
  for (std::size_t q = 0; q < many; ++q) nearest[first + q] = least_lane(least[q]);
}

template <Form form>
void nearest_avx2(const LaneQueries& queries, const LaneTokens& tokens, std::size_t begin, std::size_t end,
                  float* nearest) {
  static constexpr LaneTile tiles[most_queries] = {&nearest_tile<form, 1>, &nearest_tile<form, 2>,
                                                   &nearest_tile<form, 3>, &nearest_tile<form, 4>};
  in_tiles(tiles, queries, tokens, begin, end, nearest);
}

}  // namespace

void use_lanes_avx2(LaneKernels& table) {
  if (table.name != "avx2" && table.name != "avx3") return;
  table.i8 = &nearest_avx2<Form::bytes>;
  table.i4 = &nearest_avx2<Form::nibbles>;
}

}  // namespace vicinal
#else
namespace vicinal {
void use_lanes_avx2(LaneKernels& /*table*/) {}
}  // namespace vicinal
#endif
