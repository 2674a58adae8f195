// 8-bit dot products with AVX-512 VNNI. Functions carry their own target attribute, so nothing else in this file, and no
// inline function of the standard library, is compiled for that instruction set.
#include "vicinal/quant/kernels/dispatch.hpp"

#if defined(__x86_64__)
#if defined(__GNUC__) && !defined(__clang__)
// GCC 12's own header hands deliberately undefined registers to its built-ins and then warns of them here.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>

#include "vicinal/core/prefetch.hpp"
#include "vicinal/quant/kernels/x86_forms.hpp"

namespace vicinal {
namespace {

struct Arguments {
  const std::int8_t* query;
  std::size_t lines;  // whole ones
  __mmask64 rest;     // bytes of the last line, which is not whole
  Records records;
  const float* factors;
  std::int32_t shift;
  float weight;
  float constant;
  float offset_weight;
};

VICINAL_VNNI inline std::size_t number(const Arguments& a, std::size_t i) {
  return a.records.ids == nullptr ? i : a.records.ids[i];
}

// The products of one line of a record that has 64 bytes.
template <Form form>
VICINAL_VNNI inline __m512i add_bytes(__m512i sum, __m512i codes, const std::int8_t* query) {
  const __m512i first = _mm512_load_si512(query);
  if constexpr (form == Form::bytes) return _mm512_dpbusd_epi32(sum, codes, first);
  const __m512i mask = _mm512_set1_epi8(15);
  const __m512i low = _mm512_and_si512(codes, mask);
  const __m512i high = _mm512_and_si512(_mm512_srli_epi16(codes, 4), mask);
  return _mm512_dpbusd_epi32(_mm512_dpbusd_epi32(sum, low, first), high, _mm512_load_si512(query + 64));
}

// The products of one line.
template <Form form>
VICINAL_VNNI inline __m512i add_line(__m512i sum, const std::byte* line, const std::int8_t* query) {
  if constexpr (form == Form::bits || form == Form::quarters) {
    return _mm512_dpbusd_epi32(sum, small_codes<form>(line), _mm512_load_si512(query));
  } else {
    return add_bytes<form>(sum, _mm512_loadu_si512(line), query);
  }
}

// Scores one record; its lines go to two sums in turn, so that fewer wait for the one before.
template <std::size_t fixed_lines, Form form, bool has_rest>
VICINAL_VNNI void score_one(const Arguments& a, float* out) {
  const std::size_t lines = fixed_lines == 0 ? a.lines : fixed_lines;
  const std::size_t record = number(a, 0);
  const std::byte* const at = a.records.base + a.records.stride * record;
  __m512i sums[2] = {_mm512_setzero_si512(), _mm512_setzero_si512()};
#pragma GCC unroll 16
  for (std::size_t line = 0; line < lines; ++line) {
    sums[line % 2] =
        add_line<form>(sums[line % 2], at + line * bytes_of(form), a.query + line * elements_of(form));
  }
  if constexpr (has_rest) {
    sums[lines % 2] =
        add_bytes<form>(sums[lines % 2], _mm512_maskz_loadu_epi8(a.rest, at + lines * bytes_of(form)),
                        a.query + lines * elements_of(form));
  }
  constexpr std::int32_t times = form == Form::bits || form == Form::nibbles ? 2 : 1;
  const std::int32_t sum = times * _mm512_reduce_add_epi32(_mm512_add_epi32(sums[0], sums[1]));
  const float* const own = a.factors + 2 * record;
  const float* const factors[4] = {own, own, own, own};
  const __m128 dots = _mm_cvtepi32_ps(_mm_set1_epi32(sum - a.shift));
  _mm_store_ss(out, four_results(factors, a.weight, a.constant, a.offset_weight, dots));
}

// Scores `count` records, four side by side. With `fixed_lines` the query stays in registers; 0 takes the count from `a`.
template <std::size_t fixed_lines, Form form, bool has_rest>
VICINAL_VNNI void score(const Arguments& a, std::size_t count, float* out) {
  if (count == 1) return score_one<fixed_lines, form, has_rest>(a, out);
  const std::size_t lines = fixed_lines == 0 ? a.lines : fixed_lines;
  const __m128i shift = _mm_set1_epi32(a.shift);
  for (std::size_t i = 0; i < count; i += 4) {
    // The last group repeats its last record rather than branch on how many there are.
    std::size_t record[4];
    const std::byte* at[4];
    for (std::size_t m = 0; m < 4; ++m) {
      record[m] = number(a, i + m < count ? i + m : count - 1);
      at[m] = a.records.base + a.records.stride * record[m];
    }
    if (a.records.ids != nullptr) {
      for (std::size_t next = i + 4; next < i + 8 && next < count; ++next) {
        prefetch(a.records.base + a.records.stride * a.records.ids[next],
                 (lines + (has_rest ? 1 : 0)) * bytes_of(form));
        prefetch(a.factors + 2 * static_cast<std::size_t>(a.records.ids[next]), 1);
      }
    } else if constexpr (form != Form::bytes) {  // Of bytes there is too little to compute for that to help.
      prefetch_ahead(at[0], 4 * a.records.stride);
      prefetch_ahead(a.factors + 2 * record[0], 1);
    }
    __m512i s0 = _mm512_setzero_si512();
    __m512i s1 = s0;
    __m512i s2 = s0;
    __m512i s3 = s0;
    for (std::size_t line = 0; line < lines; ++line) {
      const std::int8_t* const values = a.query + line * elements_of(form);
      s0 = add_line<form>(s0, at[0] + line * bytes_of(form), values);
      s1 = add_line<form>(s1, at[1] + line * bytes_of(form), values);
      s2 = add_line<form>(s2, at[2] + line * bytes_of(form), values);
      s3 = add_line<form>(s3, at[3] + line * bytes_of(form), values);
    }
    if constexpr (has_rest) {
      const std::int8_t* const values = a.query + lines * elements_of(form);
      const auto rest = [&](std::size_t m) VICINAL_VNNI {
        return _mm512_maskz_loadu_epi8(a.rest, at[m] + lines * bytes_of(form));
      };
      s0 = add_bytes<form>(s0, rest(0), values);
      s1 = add_bytes<form>(s1, rest(1), values);
      s2 = add_bytes<form>(s2, rest(2), values);
      s3 = add_bytes<form>(s3, rest(3), values);
    }
    __m128i sums = fold4(s0, s1, s2, s3);
    if constexpr (form == Form::bits || form == Form::nibbles) sums = _mm_add_epi32(sums, sums);
    const __m128 dots = _mm_cvtepi32_ps(_mm_sub_epi32(sums, shift));
    const float* const factors[4] = {a.factors + 2 * record[0], a.factors + 2 * record[1],
                                     a.factors + 2 * record[2], a.factors + 2 * record[3]};
    const __m128 result = four_results(factors, a.weight, a.constant, a.offset_weight, dots);
    if (i + 4 <= count) {
      _mm_storeu_ps(out + i, result);
    } else {
      _mm_mask_storeu_ps(out + i, static_cast<__mmask8>((1U << (count - i)) - 1U), result);
    }
  }
}

template <Form form, bool has_rest>
void score_lines(const Arguments& a, std::size_t count, float* out) {
  switch (a.lines) {
    case 1: return score<1, form, has_rest>(a, count, out);
    case 2: return score<2, form, has_rest>(a, count, out);
    case 3: return score<3, form, has_rest>(a, count, out);
    case 4: return score<4, form, has_rest>(a, count, out);
    case 6: return score<6, form, has_rest>(a, count, out);
    case 8: return score<8, form, has_rest>(a, count, out);
    case 12: return score<12, form, has_rest>(a, count, out);
    case 13: return score<13, form, has_rest>(a, count, out);
    case 16: return score<16, form, has_rest>(a, count, out);
    default: return score<0, form, has_rest>(a, count, out);
  }
}

template <Form form>
void score_vnni(const std::int8_t* query, std::size_t dim, const Records& records, const float* factors,
                std::int32_t shift, float weight, float constant, float offset_weight, std::size_t count,
                float* out) {
  if (count == 0) return;
  constexpr std::size_t elements = elements_of(form);
  const std::size_t rest = cut<form> ? dim % elements * bytes_of(form) / elements : 0;
  const std::size_t lines = cut<form> ? dim / elements : (dim + elements - 1) / elements;
  const __mmask64 mask = (__mmask64{1} << rest) - 1;
  const Arguments a{query, lines, mask, records, factors, shift, weight, constant, offset_weight};
  if constexpr (cut<form>) {
    if (rest != 0) return score_lines<form, true>(a, count, out);
  }
  score_lines<form, false>(a, count, out);
}

}  // namespace

bool use_vnni(Kernels& table) {
  if (!__builtin_cpu_supports("avx512vnni") || !__builtin_cpu_supports("avx512vl") || table.name != "avx3")
    return false;
  table.name = "avx3_vnni";
  table.bytes = &score_vnni<Form::bytes>;
  table.nibbles = &score_vnni<Form::nibbles>;
  table.bits = &score_vnni<Form::bits>;
  table.quarters = &score_vnni<Form::quarters>;
  use_vnni_groups(table);
  table.fast_bytes = true;
  return true;
}

}  // namespace vicinal
#else
namespace vicinal {
bool use_vnni(Kernels& /*table*/) { return false; }
}  // namespace vicinal
#endif
