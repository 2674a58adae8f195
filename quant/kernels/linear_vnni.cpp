// 16-bit products with AVX-512 VNNI, as vnni.cpp has them for bytes: functions carry their own target attribute.
#include "vicinal/quant/kernels/linear.hpp"

#if defined(__x86_64__)
#if defined(__GNUC__) && !defined(__clang__)
// GCC 12's own header hands deliberately undefined registers to its built-ins and then warns of them here.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
#include <immintrin.h>

#include <cstring>

#define VICINAL_VNNI __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")))

namespace vicinal {
namespace {

constexpr std::size_t rows_at_once = 8;

// Adds sixteen 32-bit sums to as many of 64 bits.
VICINAL_VNNI inline void add_to(std::int64_t* sums, __m512i part) {
  const __m512i low = _mm512_cvtepi32_epi64(_mm512_castsi512_si256(part));
  const __m512i high = _mm512_cvtepi32_epi64(_mm512_extracti64x4_epi64(part, 1));
  _mm512_storeu_si512(sums, _mm512_add_epi64(_mm512_loadu_si512(sums), low));
  _mm512_storeu_si512(sums + 8, _mm512_add_epi64(_mm512_loadu_si512(sums + 8), high));
}

VICINAL_VNNI void add_products(const std::int16_t* left, const std::int16_t* right, std::size_t pairs,
                               std::int64_t* sums) {
  constexpr std::size_t step = 2 * tile_columns;
  for (std::size_t first = 0; first < tile_columns; first += rows_at_once) {
    __m512i part[rows_at_once][2];
    for (auto& row : part) row[0] = row[1] = _mm512_setzero_si512();
    for (std::size_t p = 0; p < pairs; ++p) {
      const __m512i y0 = _mm512_loadu_si512(right + p * step);
      const __m512i y1 = _mm512_loadu_si512(right + p * step + tile_columns);
#pragma GCC unroll 8
      for (std::size_t i = 0; i < rows_at_once; ++i) {
        std::int32_t both = 0;
        std::memcpy(&both, left + p * step + 2 * (first + i), sizeof(both));
        const __m512i x = _mm512_set1_epi32(both);
        part[i][0] = _mm512_dpwssd_epi32(part[i][0], x, y0);
        part[i][1] = _mm512_dpwssd_epi32(part[i][1], x, y1);
      }
    }
#pragma GCC unroll 8
    for (std::size_t i = 0; i < rows_at_once; ++i) {
      add_to(sums + (first + i) * tile_columns, part[i][0]);
      add_to(sums + (first + i) * tile_columns + 16, part[i][1]);
    }
  }
}

}  // namespace

bool use_linear_vnni(LinearKernels& table) {
  if (!__builtin_cpu_supports("avx512vnni") || !__builtin_cpu_supports("avx512vl") || table.name != "avx3")
    return false;
  table.name = "avx3_vnni";
  table.add_products = &add_products;
  return true;
}

}  // namespace vicinal
#else
namespace vicinal {
bool use_linear_vnni(LinearKernels& /*table*/) { return false; }
}  // namespace vicinal
#endif
