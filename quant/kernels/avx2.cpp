// 8-bit dot products with AVX2, which multiplies bytes in pairs and adds the two products in 16 bits. Functions carry their own target
// attribute, so nothing else in this file is compiled for that instruction set.
#include "vicinal/quant/kernels/dispatch.hpp"

#if defined(__x86_64__)
#include "vicinal/core/prefetch.hpp"
#include "vicinal/quant/kernels/x86_forms.hpp"

namespace vicinal {
namespace {

struct Arguments {
  const std::int8_t* query;
  std::size_t lines;  // whole ones
  std::size_t rest;   // bytes of the last line, which is not whole
  Records records;
  const float* factors;
  std::int32_t shift;
  float weight;
  float constant;
  float offset_weight;
};

VICINAL_AVX2 inline __m256i load(const void* from) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(from));
}
VICINAL_AVX2 inline __m256i widened(__m256i sums) { return _mm256_madd_epi16(sums, _mm256_set1_epi16(1)); }

// 32 of the query's values where the bits are set, else 0.
VICINAL_AVX2 inline __m256i chosen(const std::byte* bits, __m256i values) {
  std::int32_t word = 0;
  __builtin_memcpy(&word, bits, sizeof(word));
  const __m256i byte_of = _mm256_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2,
                                           2, 2, 3, 3, 3, 3, 3, 3, 3, 3);
  const __m256i bit_of = _mm256_set1_epi64x(static_cast<std::int64_t>(0x8040'2010'0804'0201));
  const __m256i own = _mm256_and_si256(_mm256_shuffle_epi8(_mm256_set1_epi32(word), byte_of), bit_of);
  return _mm256_and_si256(_mm256_cmpeq_epi8(own, bit_of), values);
}

// 64 bytes, or as many as there are of the bits and quarters of 64 elements.
struct WholeLine {
  const std::byte* at;
  [[nodiscard]] VICINAL_AVX2 __m256i half(std::size_t part) const { return load(at + 32 * part); }
};
// The first `words` times 4 bytes of a line; the others are 0.
struct PartOfLine {
  const std::byte* at;
  int words;
  [[nodiscard]] VICINAL_AVX2 __m256i half(std::size_t part) const {
    const __m256i lanes = _mm256_add_epi32(_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7),
                                           _mm256_set1_epi32(8 * static_cast<int>(part)));
    const __m256i present = _mm256_cmpgt_epi32(_mm256_set1_epi32(words), lanes);
    return _mm256_maskload_epi32(reinterpret_cast<const int*>(at) + 8 * part, present);
  }
};

// Sums of the products of one line, in lanes of 32 bits; those of bytes are of codes less 128. Pairs of products are added in 16 bits, where
// two of 127 x 127 fit, four of 15 x 127 and two of 3 x 127.
template <Form form, class Line>
VICINAL_AVX2 inline __attribute__((always_inline)) __m256i line_sums(const Line& line,
                                                                     const __m256i (&q)[4]) {
  if constexpr (form == Form::bytes) {
    const auto products = [&](std::size_t part) VICINAL_AVX2 {
      // The query's signs go to the codes.
      const __m256i values = _mm256_xor_si256(line.half(part), _mm256_set1_epi8(-128));
      return widened(_mm256_maddubs_epi16(q[2 + part], _mm256_sign_epi8(values, q[part])));
    };
    return _mm256_add_epi32(products(0), products(1));
  } else if constexpr (form == Form::nibbles) {
    const __m256i mask = _mm256_set1_epi8(15);
    const auto products = [&](std::size_t part) VICINAL_AVX2 {
      const __m256i both = line.half(part);
      const __m256i low = _mm256_and_si256(both, mask);
      const __m256i high = _mm256_and_si256(_mm256_srli_epi16(both, 4), mask);
      return _mm256_add_epi16(_mm256_maddubs_epi16(low, q[part]), _mm256_maddubs_epi16(high, q[2 + part]));
    };
    return widened(_mm256_add_epi16(products(0), products(1)));
  } else if constexpr (form == Form::bits) {
    const __m256i one = _mm256_set1_epi8(1);
    return widened(_mm256_add_epi16(_mm256_maddubs_epi16(one, chosen(line.at, q[0])),
                                    _mm256_maddubs_epi16(one, chosen(line.at + 4, q[1]))));
  } else {
    const __m256i mask = _mm256_set1_epi8(3);
    const __m256i four =
        _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(line.at)));
    const __m256i first = _mm256_srlv_epi32(four, _mm256_setr_epi32(0, 0, 0, 0, 2, 2, 2, 2));
    const __m256i second = _mm256_srlv_epi32(four, _mm256_setr_epi32(4, 4, 4, 4, 6, 6, 6, 6));
    return widened(_mm256_add_epi16(_mm256_maddubs_epi16(_mm256_and_si256(first, mask), q[0]),
                                    _mm256_maddubs_epi16(_mm256_and_si256(second, mask), q[1])));
  }
}

// Adds the products of a line of each record with the query's values there.
template <Form form, class Line, std::size_t many>
VICINAL_AVX2 inline __attribute__((always_inline)) void add_line(const Line (&lines)[many],
                                                                 const std::int8_t* query,
                                                                 __m256i (&sums)[many]) {
  __m256i q[4] = {load(query), load(query + 32)};
  if constexpr (form == Form::nibbles) {
    q[2] = load(query + 64);
    q[3] = load(query + 96);
  } else if constexpr (form == Form::bytes) {
    q[2] = _mm256_abs_epi8(q[0]);
    q[3] = _mm256_abs_epi8(q[1]);
  }
#pragma GCC unroll 4
  for (std::size_t m = 0; m < many; ++m) sums[m] = _mm256_add_epi32(sums[m], line_sums<form>(lines[m], q));
}

// Four sums of eight lanes each to one register of four sums.
VICINAL_AVX2 inline __m128i fold4(__m256i a, __m256i b, __m256i c, __m256i d) {
  const __m256i sums = _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
  return _mm_add_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
}

VICINAL_AVX2 inline std::int32_t sum_of(const std::int8_t* values, std::size_t lines) {
  __m256i sums = _mm256_setzero_si256();
  for (std::size_t at = 0; at < 64 * lines; at += 32)
    sums = _mm256_add_epi32(sums, widened(_mm256_maddubs_epi16(_mm256_set1_epi8(1), load(values + at))));
  const __m256i none = _mm256_setzero_si256();
  return _mm_cvtsi128_si32(fold4(sums, none, none, none));
}

VICINAL_AVX2 inline std::size_t number(const Arguments& a, std::size_t i) {
  return a.records.ids == nullptr ? i : a.records.ids[i];
}

// Asks for the records from `begin` on, up to `end`, and their factors.
VICINAL_AVX2 inline void ask_for(const Arguments& a, std::size_t begin, std::size_t end) {
  for (std::size_t next = begin; next < end; ++next) {
    const std::size_t record = a.records.ids[next];
    prefetch(a.records.base + a.records.stride * record, a.records.stride);
    prefetch(a.factors + 2 * record, 1);
  }
}

// Records `begin` to `end`, `many` side by side.
template <std::size_t fixed_lines, Form form, std::size_t many>
VICINAL_AVX2 inline __attribute__((always_inline)) void score_some(const Arguments& a, std::size_t begin,
                                                                   std::size_t end, std::size_t count,
                                                                   float* out) {
  const std::size_t lines = fixed_lines == 0 ? a.lines : fixed_lines;
  const bool has_rest = cut<form> && a.rest != 0;
  const __m128i shift = _mm_set1_epi32(a.shift);
  for (std::size_t i = begin; i < end; i += many) {
    std::size_t record[many];
    const std::byte* at[many];
#pragma GCC unroll 4
    for (std::size_t m = 0; m < many; ++m) {
      record[m] = number(a, i + m);
      at[m] = a.records.base + a.records.stride * record[m];
    }
    if (a.records.ids != nullptr) {
      // The single ones after groups of four have been asked for by the last of these.
      if (many > 1 || begin == 0) ask_for(a, i + many, count < i + 2 * many ? count : i + 2 * many);
    } else {
      prefetch_ahead(at[0], many * a.records.stride);
      prefetch_ahead(a.factors + 2 * record[0], 1);
    }
    __m256i wide[many] = {};
    for (std::size_t line = 0; line < lines; ++line) {
      WholeLine here[many];
#pragma GCC unroll 4
      for (std::size_t m = 0; m < many; ++m) here[m] = {at[m] + line * bytes_of(form)};
      add_line<form>(here, a.query + line * elements_of(form), wide);
    }
    if (has_rest) {
      const std::size_t from = lines * bytes_of(form);
      const std::int8_t* const values = a.query + lines * elements_of(form);
      if (a.rest % 4 == 0) {
        PartOfLine here[many];
        for (std::size_t m = 0; m < many; ++m) here[m] = {at[m] + from, static_cast<int>(a.rest / 4)};
        add_line<form>(here, values, wide);
      } else {
        alignas(32) std::byte last[many][64] = {};
        WholeLine here[many];
        for (std::size_t m = 0; m < many; ++m) {
          __builtin_memcpy(last[m], at[m] + from, a.rest);
          here[m] = {last[m]};
        }
        add_line<form>(here, values, wide);
      }
    }
    __m128i sums = many == 1 ? fold4(wide[0], wide[0], wide[0], wide[0])
                             : fold4(wide[0], wide[1 % many], wide[2 % many], wide[3 % many]);
    if constexpr (form != Form::bytes) sums = _mm_add_epi32(sums, sums);
    const __m128 dots = _mm_cvtepi32_ps(_mm_sub_epi32(sums, shift));
    const float* factors[4];
    for (std::size_t m = 0; m < 4; ++m) factors[m] = a.factors + 2 * record[m % many];
    const __m128 result = four_results(factors, a.weight, a.constant, a.offset_weight, dots);
    if constexpr (many == 4) {
      _mm_storeu_ps(out + i, result);
    } else {
      _mm_store_ss(out + i, result);
    }
  }
}

template <std::size_t fixed_lines, Form form>
VICINAL_AVX2 void score(Arguments a, std::size_t count, float* out) {
  if constexpr (form == Form::bytes) a.shift -= 128 * sum_of(a.query, a.lines + (a.rest != 0 ? 1 : 0));
  const std::size_t whole = count / 4 * 4;
  if (whole != 0) score_some<fixed_lines, form, 4>(a, 0, whole, count, out);
  if (whole != count) score_some<fixed_lines, form, 1>(a, whole, count, count, out);
}

template <Form form>
void score_avx2(const std::int8_t* query, std::size_t dim, const Records& records, const float* factors,
                std::int32_t shift, float weight, float constant, float offset_weight, std::size_t count,
                float* out) {
  if (count == 0) return;
  constexpr std::size_t elements = elements_of(form);
  const std::size_t rest = cut<form> ? dim % elements * bytes_of(form) / elements : 0;
  const std::size_t lines = cut<form> ? dim / elements : (dim + elements - 1) / elements;
  const Arguments a{query, lines, rest, records, factors, shift, weight, constant, offset_weight};
  switch (lines) {
    case 3: return score<3, form>(a, count, out);
    case 4: return score<4, form>(a, count, out);
    case 6: return score<6, form>(a, count, out);
    case 12: return score<12, form>(a, count, out);
    default: return score<0, form>(a, count, out);
  }
}

}  // namespace

void use_avx2(Kernels& table) {
  if (table.name != "avx2") return;
  table.bytes = &score_avx2<Form::bytes>;
  table.nibbles = &score_avx2<Form::nibbles>;
  table.bits = &score_avx2<Form::bits>;
  table.quarters = &score_avx2<Form::quarters>;
}

}  // namespace vicinal
#else
namespace vicinal {
void use_avx2(Kernels& /*table*/) {}
}  // namespace vicinal
#endif
