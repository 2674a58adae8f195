// MaxSim on bytes and halves in lanes with AVX-512 VNNI: maxsim_lanes_avx2.cpp with sixteen tokens a register and one instruction for four
// products. Functions carry their own target attribute.
#include "vicinal/encode/maxsim_lanes.hpp"

#if defined(__x86_64__)
#if defined(__GNUC__) && !defined(__clang__)
// GCC 12's own header hands deliberately undefined registers to its built-ins and then warns of them here.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
#include <limits>

#include "vicinal/quant/kernels/x86_forms.hpp"

#define VICINAL_VNNI_INLINE VICINAL_VNNI inline __attribute__((always_inline))

namespace vicinal {
namespace {

constexpr std::size_t most_queries = 8;  // times a register of sums, or two

// Four bytes of a query, in all lanes.
VICINAL_VNNI_INLINE __m512i everywhere(const std::int8_t* from) {
  std::int32_t four = 0;
  __builtin_memcpy(&four, from, sizeof(four));
  return _mm512_set1_epi32(four);
}

template <std::size_t many, std::size_t groups>
struct Sums {
  __m512i of[many][groups];
};

template <Form form, std::size_t many, std::size_t groups>
VICINAL_VNNI_INLINE void add_products(const LaneQueries& queries, std::size_t first, const std::byte* at,
                                      const std::byte*& ahead, Sums<many, groups>& sums) {
  constexpr std::size_t width = form == Form::bytes ? 4 : 8;  // dimensions a step
  const std::size_t group_bytes = queries.steps * 4 * lane_tokens;
  const __m512i mask = _mm512_set1_epi8(15);
  const std::int8_t* values = queries.bytes + width * first;
  for (std::size_t s = 0; s < queries.steps; ++s, at += 4 * lane_tokens, values += width * queries.stride) {
    for (std::size_t g = 0; g < groups; ++g) ask_for_line(ahead);
    __m512i codes[groups];
    __m512i high[groups];
#pragma GCC unroll 2
    for (std::size_t g = 0; g < groups; ++g) {
      codes[g] = _mm512_load_si512(at + g * group_bytes);
      if constexpr (form == Form::nibbles) {
        high[g] = _mm512_and_si512(_mm512_srli_epi16(codes[g], 4), mask);
        codes[g] = _mm512_and_si512(codes[g], mask);
      }
    }
#pragma GCC unroll 8
    for (std::size_t q = 0; q < many; ++q) {
#pragma GCC unroll 2
      for (std::size_t g = 0; g < groups; ++g) {
        sums.of[q][g] = _mm512_dpbusd_epi32(sums.of[q][g], codes[g], everywhere(values + width * q));
        if constexpr (form == Form::nibbles)
          sums.of[q][g] = _mm512_dpbusd_epi32(sums.of[q][g], high[g], everywhere(values + width * q + 4));
      }
    }
  }
}

VICINAL_VNNI_INLINE __m512 distances(const ByteQuery& query, __m512 scales, __m512 offsets, __m512i dots) {
  const __m512 dot = _mm512_cvtepi32_ps(_mm512_sub_epi32(dots, _mm512_set1_epi32(query.shift)));
  const __m512 offset = _mm512_add_ps(_mm512_set1_ps(query.constant),
                                      _mm512_mul_ps(_mm512_set1_ps(query.offset_weight), offsets));
  return _mm512_add_ps(offset, _mm512_mul_ps(_mm512_mul_ps(_mm512_set1_ps(query.weight), scales), dot));
}

// The lanes of the group that begins with `token` that are of the document.
inline __mmask16 lanes_inside(std::size_t token, std::size_t begin, std::size_t end) {
  const unsigned below = token < begin ? (1U << (begin - token)) - 1U : 0U;
  const unsigned up_to = end - token < lane_tokens ? (1U << (end - token)) - 1U : 0xFFFFU;
  return static_cast<__mmask16>(up_to & ~below);
}

template <Form form, std::size_t many, std::size_t groups>
VICINAL_VNNI_INLINE void fold_groups(const LaneQueries& queries, std::size_t first, const LaneTokens& tokens,
                                     std::size_t group, std::size_t begin, std::size_t end,
                                     const std::byte*& ahead, __m512 (&least)[many]) {
  const __m512i evens = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
  Sums<many, groups> sums;
#pragma GCC unroll 8
  for (std::size_t q = 0; q < many; ++q) {
    for (std::size_t g = 0; g < groups; ++g) sums.of[q][g] = _mm512_setzero_si512();
  }
  add_products<form>(queries, first, tokens.groups + group * queries.steps * 4 * lane_tokens, ahead, sums);
#pragma GCC unroll 2
  for (std::size_t g = 0; g < groups; ++g) {
    float copy[2 * lane_tokens];
    const float* const factors = group_factors(tokens, group + g, copy);
    const __m512 one = _mm512_loadu_ps(factors);
    const __m512 other = _mm512_loadu_ps(factors + lane_tokens);
    const __m512 scales = _mm512_permutex2var_ps(one, evens, other);
    const __m512 offsets = _mm512_permutex2var_ps(one, _mm512_add_epi32(evens, _mm512_set1_epi32(1)), other);
    const __mmask16 inside = lanes_inside((group + g) * lane_tokens, begin, end);
#pragma GCC unroll 8
    for (std::size_t q = 0; q < many; ++q) {
      __m512i dots = sums.of[q][g];
      if constexpr (form == Form::nibbles) dots = _mm512_add_epi32(dots, dots);
      const __m512 distance = distances(queries.terms[first + q], scales, offsets, dots);
      least[q] = _mm512_mask_min_ps(least[q], inside, distance, least[q]);
    }
  }
}

template <Form form, std::size_t many>
VICINAL_VNNI void nearest_tile(const LaneQueries& queries, std::size_t first, const LaneTokens& tokens,
                               std::size_t begin, std::size_t end, float* nearest) {
  __m512 least[many];
  for (__m512& one : least) one = _mm512_set1_ps(std::numeric_limits<float>::infinity());
  const std::byte* ahead = first == 0 ? tokens.next : nullptr;
  std::size_t group = begin / lane_tokens;
  const std::size_t last = (end + lane_tokens - 1) / lane_tokens;
  for (; group + 2 <= last; group += 2)
    fold_groups<form, many, 2>(queries, first, tokens, group, begin, end, ahead, least);
  if (group < last) fold_groups<form, many, 1>(queries, first, tokens, group, begin, end, ahead, least);
#pragma GCC unroll 8
  for (std::size_t q = 0; q < many; ++q) nearest[first + q] = _mm512_reduce_min_ps(least[q]);
}

template <Form form>
void nearest_vnni(const LaneQueries& queries, const LaneTokens& tokens, std::size_t begin, std::size_t end,
                  float* nearest) {
  static constexpr LaneTile tiles[most_queries] = {
      &nearest_tile<form, 1>, &nearest_tile<form, 2>, &nearest_tile<form, 3>, &nearest_tile<form, 4>,
      &nearest_tile<form, 5>, &nearest_tile<form, 6>, &nearest_tile<form, 7>, &nearest_tile<form, 8>};
  in_tiles(tiles, queries, tokens, begin, end, nearest);
}

}  // namespace

void use_lanes_vnni(LaneKernels& table) {
  if (table.name != "avx3_vnni") return;  // which kernels() has where the CPU has it
  table.i8 = &nearest_vnni<Form::bytes>;
  table.i4 = &nearest_vnni<Form::nibbles>;
}

}  // namespace vicinal
#else
namespace vicinal {
void use_lanes_vnni(LaneKernels& /*table*/) {}
}  // namespace vicinal
#endif
