// Sums of 4-bit look-ups with AVX-512 VBMI, which looks 64 bytes up in a table of 128. Functions carry their own target attribute,
// so nothing else in this file is compiled for that instruction set.
#include "vicinal/quant/kernels/product.hpp"

#if defined(__x86_64__)
#if defined(__GNUC__) && !defined(__clang__)
// GCC 12's own header hands deliberately undefined registers to its built-ins and then warns of them here.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>

#include "vicinal/core/prefetch.hpp"

#define VICINAL_VBMI __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi")))

namespace vicinal {
namespace {

// Eight bytes at each of two places.
VICINAL_VBMI inline __m128i two_of(const std::byte* a, const std::byte* b) {
  const __m128d low = _mm_load_sd(reinterpret_cast<const double*>(a));
  return _mm_castpd_si128(_mm_loadh_pd(low, reinterpret_cast<const double*>(b)));
}

VICINAL_VBMI inline __m512i eight_of(const std::byte* const (&record)[8], std::size_t at) {
  const auto four = [&](std::size_t m) VICINAL_VBMI {
    return _mm256_inserti128_si256(_mm256_castsi128_si256(two_of(record[m] + at, record[m + 1] + at)),
                                   two_of(record[m + 2] + at, record[m + 3] + at), 1);
  };
  return _mm512_inserti64x4(_mm512_castsi256_si512(four(0)), four(4), 1);
}

// Sums of the low and of the high bytes of entries, a record in each 64 bits.
struct Sums {
  __m512i low;
  __m512i high;
};

// Adds what sub-spaces of eight bytes of eight records have in the tables of those eight bytes.
VICINAL_VBMI inline void add_group(Sums& sums, __m512i codes, const std::byte* table) {
  const __m512i place =
      _mm512_set1_epi64(0x7060'5040'3020'1000);  // of the 16 entries of each byte's sub-space
  const __m512i half = _mm512_set1_epi8(15);
  const __m512i low = _mm512_or_si512(_mm512_and_si512(codes, half), place);
  const __m512i high = _mm512_or_si512(_mm512_and_si512(_mm512_srli_epi16(codes, 4), half), place);
  const auto found = [&](__m512i which, std::size_t at) VICINAL_VBMI {
    const __m512i entries =
        _mm512_permutex2var_epi8(_mm512_load_si512(table + at), which, _mm512_load_si512(table + at + 64));
    return _mm512_sad_epu8(entries, _mm512_setzero_si512());
  };
  sums.low = _mm512_add_epi64(sums.low, _mm512_add_epi64(found(low, 0), found(high, 128)));
  sums.high = _mm512_add_epi64(sums.high, _mm512_add_epi64(found(low, 256), found(high, 384)));
}

VICINAL_VBMI void product4_vbmi(const std::byte* tables, std::size_t bytes, const Records& records,
                                float weight, float constant, std::size_t count, float* out) {
  const auto at = [&](std::size_t i) {
    return records.base + records.stride * (records.ids == nullptr ? i : records.ids[i]);
  };
  const std::size_t whole = bytes / 8 * 8;
  for (std::size_t i = 0; i < count; i += 8) {
    const std::byte* record[8];
    for (std::size_t m = 0; m < 8; ++m) record[m] = at(i + m < count ? i + m : count - 1);
    if (records.ids != nullptr) {
      for (std::size_t next = i + 8; next < i + 16 && next < count; ++next) prefetch(at(next), bytes);
    } else {
      prefetch_ahead(record[0], 8 * records.stride);
    }
    Sums sums{_mm512_setzero_si512(), _mm512_setzero_si512()};
    for (std::size_t b = 0; b < whole; b += 8) add_group(sums, eight_of(record, b), tables + 64 * b);
    if (whole != bytes) {
      alignas(64) std::uint64_t last[8] = {};
      for (std::size_t m = 0; m < 8; ++m) __builtin_memcpy(last + m, record[m] + whole, bytes - whole);
      add_group(sums, _mm512_load_si512(last), tables + 64 * whole);
    }
    const __m512i sum = _mm512_add_epi64(sums.low, _mm512_slli_epi64(sums.high, 8));
    const __m256 values = _mm256_cvtepi32_ps(_mm512_cvtepi64_epi32(sum));
    const __m256 result =
        _mm256_add_ps(_mm256_set1_ps(constant), _mm256_mul_ps(_mm256_set1_ps(weight), values));
    const std::size_t left = count - i < 8 ? count - i : 8;
    _mm256_mask_storeu_ps(out + i, static_cast<__mmask8>((1U << left) - 1U), result);
  }
}

}  // namespace

void use_product_vbmi(ProductKernels& table) {
  if (__builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512bw"))
    table.product4 = &product4_vbmi;
}

}  // namespace vicinal
#else
namespace vicinal {
void use_product_vbmi(ProductKernels& /*table*/) {}
}  // namespace vicinal
#endif
