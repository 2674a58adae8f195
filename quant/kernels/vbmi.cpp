// Inner products with float8 codes as whole numbers by AVX-512 VBMI, which looks bytes up among 128, and VNNI. Functions carry their own
// target attribute, so nothing else in this file, and no inline function of the standard library, is compiled for these sets.
#include "vicinal/quant/kernels/dispatch.hpp"

#if defined(__x86_64__)
#if defined(__GNUC__) && !defined(__clang__)
// GCC 12's own header hands deliberately undefined registers to its built-ins and then warns of them here.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>

#include "vicinal/core/prefetch.hpp"
#include "vicinal/quant/float8.hpp"
#include "vicinal/quant/kernels/x86_forms.hpp"

namespace vicinal {
namespace {

// f8_whole() of 128 magnitudes: its low bytes, then its high ones.
template <Float8Format format>
struct Table {
  alignas(64) std::uint8_t bytes[2][128];
  constexpr Table() : bytes() {
    for (std::size_t code = 0; code < 128; ++code) {
      const unsigned whole = f8_whole<format>(static_cast<std::uint8_t>(code));
      bytes[0][code] = static_cast<std::uint8_t>(whole & 0xFFU);
      bytes[1][code] = static_cast<std::uint8_t>(whole >> 8U);
    }
  }
};
template <Float8Format format>
constexpr Table<format> table;

// The sums of one record, by which bytes of the query and of the codes were multiplied: none exceeds 32 bits, since the high byte of a whole
// number is at most 120.
struct Sums {
  __m512i high;
  __m512i mixed;
  __m512i low;
};

struct Lookup {
  __m512i low_first;
  __m512i low_second;
  __m512i high_first;
  __m512i high_second;
};

VICINAL_VBMI inline void add_line(const Lookup& lookup, __m512i codes, __m512i query_high, __m512i query_low,
                                  Sums& sums) {
  // The look-up ignores the sign bit; a code's sign goes to the query.
  const __m512i low = _mm512_permutex2var_epi8(lookup.low_first, codes, lookup.low_second);
  const __m512i high = _mm512_permutex2var_epi8(lookup.high_first, codes, lookup.high_second);
  const __mmask64 negative = _mm512_movepi8_mask(codes);
  const __m512i zero = _mm512_setzero_si512();
  const __m512i signed_high = _mm512_mask_sub_epi8(query_high, negative, zero, query_high);
  const __m512i signed_low = _mm512_mask_sub_epi8(query_low, negative, zero, query_low);
  sums.high = _mm512_dpbusd_epi32(sums.high, high, signed_high);
  sums.mixed = _mm512_dpbusd_epi32(sums.mixed, low, signed_high);
  sums.low = _mm512_dpbusd_epi32(sums.low, low, signed_low);
  sums.mixed = _mm512_dpbusd_epi32(sums.mixed, high, signed_low);
}

template <Float8Format format>
VICINAL_VBMI void score_whole_vbmi(const std::int8_t* query, std::size_t dim, const Records& records,
                                   const float* factors, float weight, float constant, std::size_t count,
                                   float* out) {
  const Lookup lookup{
      _mm512_load_si512(table<format>.bytes[0]), _mm512_load_si512(table<format>.bytes[0] + 64),
      _mm512_load_si512(table<format>.bytes[1]), _mm512_load_si512(table<format>.bytes[1] + 64)};
  const std::size_t whole = dim / 64 * 64;
  const std::int8_t* const low_query = query + (dim + 63) / 64 * 64;
  const __mmask64 tail = (__mmask64{1} << (dim - whole)) - 1;
  for (std::size_t i = 0; i < count; i += 4) {
    // The last group repeats its last record rather than branch on how many there are.
    std::size_t record[4];
    const std::byte* at[4];
    for (std::size_t m = 0; m < 4; ++m) {
      const std::size_t place = i + m < count ? i + m : count - 1;
      record[m] = records.ids == nullptr ? place : records.ids[place];
      at[m] = records.base + records.stride * record[m];
    }
    if (records.ids != nullptr) {
      for (std::size_t next = i + 4; next < i + 8 && next < count; ++next)
        prefetch(records.base + records.stride * records.ids[next], dim);
    }
    const __m512i zero = _mm512_setzero_si512();
    Sums s0{zero, zero, zero};
    Sums s1 = s0;
    Sums s2 = s0;
    Sums s3 = s0;
    for (std::size_t j = 0; j < whole; j += 64) {
      // As much as is read here, and no more at a time than can be under way.
      if (records.ids == nullptr) prefetch_ahead(at[0] + 4 * j, 256);
      const __m512i high = _mm512_load_si512(query + j);
      const __m512i low = _mm512_load_si512(low_query + j);
      add_line(lookup, _mm512_loadu_si512(at[0] + j), high, low, s0);
      add_line(lookup, _mm512_loadu_si512(at[1] + j), high, low, s1);
      add_line(lookup, _mm512_loadu_si512(at[2] + j), high, low, s2);
      add_line(lookup, _mm512_loadu_si512(at[3] + j), high, low, s3);
    }
    if (whole != dim) {
      const __m512i high = _mm512_load_si512(query + whole);
      const __m512i low = _mm512_load_si512(low_query + whole);
      add_line(lookup, _mm512_maskz_loadu_epi8(tail, at[0] + whole), high, low, s0);
      add_line(lookup, _mm512_maskz_loadu_epi8(tail, at[1] + whole), high, low, s1);
      add_line(lookup, _mm512_maskz_loadu_epi8(tail, at[2] + whole), high, low, s2);
      add_line(lookup, _mm512_maskz_loadu_epi8(tail, at[3] + whole), high, low, s3);
    }
    // Below 2^53, so exact as doubles, and rounded once.
    const __m256d high = _mm256_cvtepi32_pd(fold4(s0.high, s1.high, s2.high, s3.high));
    const __m256d mixed = _mm256_cvtepi32_pd(fold4(s0.mixed, s1.mixed, s2.mixed, s3.mixed));
    const __m256d low = _mm256_cvtepi32_pd(fold4(s0.low, s1.low, s2.low, s3.low));
    const __m256d exact = _mm256_add_pd(_mm256_add_pd(_mm256_mul_pd(high, _mm256_set1_pd(0x1.0p16)),
                                                      _mm256_mul_pd(mixed, _mm256_set1_pd(0x1.0p8))),
                                        low);
    __m128 weights = _mm_set1_ps(weight);
    if (factors != nullptr) {
      const __m128 own =
          _mm_setr_ps(factors[record[0]], factors[record[1]], factors[record[2]], factors[record[3]]);
      weights = _mm_mul_ps(weights, own);
    }
    const __m128 result = _mm_add_ps(_mm_set1_ps(constant), _mm_mul_ps(weights, _mm256_cvtpd_ps(exact)));
    const auto filled = static_cast<__mmask8>(i + 4 <= count ? 0xFU : (1U << (count - i)) - 1U);
    _mm_mask_storeu_ps(out + i, filled, result);
  }
}

}  // namespace

void use_vbmi(Kernels& table) {
  if (!__builtin_cpu_supports("avx512vbmi") || table.name != "avx3_vnni") return;
  table.whole_e4m3 = &score_whole_vbmi<Float8Format::e4m3>;
  table.whole_e3m4 = &score_whole_vbmi<Float8Format::e3m4>;
}

}  // namespace vicinal
#else
namespace vicinal {
void use_vbmi(Kernels& /*table*/) {}
}  // namespace vicinal
#endif
