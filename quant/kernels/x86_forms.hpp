#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

// What the kernels for AVX2 and AVX-512 VNNI and VBMI share. Functions carry their own target attribute; include this only where the CPU is x86-64.
#define VICINAL_AVX2 __attribute__((target("avx2")))
#define VICINAL_VNNI __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")))
#define VICINAL_VBMI __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vnni")))

namespace vicinal {

struct Kernels;
/// Puts the kernels for groups of queries into the table.
void use_vnni_groups(Kernels& table);

namespace {  // NOLINT: each file that includes this compiles its own, for its own target.

// What a record is made of, and how many elements its "line" has: 64 bytes, 64 bytes of two halves each, 64 bits or
// 16 bytes of four quarters each.
enum class Form : std::uint8_t { bytes, nibbles, bits, quarters };
constexpr std::size_t elements_of(Form form) { return form == Form::nibbles ? 128 : 64; }
constexpr std::size_t bytes_of(Form form) {
  return form == Form::bits ? 8 : form == Form::quarters ? 16 : 64;
}

template <Form form>
constexpr bool cut = form == Form::bytes || form == Form::nibbles;  // The last line may have fewer bytes.

// Four sums of sixteen lanes each to one register of four sums.
VICINAL_VNNI inline __m128i fold4(__m512i a, __m512i b, __m512i c, __m512i d) {
  const __m512i ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
  const __m512i cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
  const __m512i abcd = _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
  const __m256i half = _mm256_add_epi32(_mm512_castsi512_si256(abcd), _mm512_extracti64x4_epi64(abcd, 1));
  return _mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
}

// What four records with these {scale, offset} have: (constant + offset_weight * offset) + (weight * scale) * dot.
VICINAL_AVX2 inline __m128 four_results(const float* const (&factors)[4], float weight, float constant,
                                        float offset_weight, __m128 dots) {
  const auto pair = [&](std::size_t m) VICINAL_AVX2 {
    return _mm_castsi128_ps(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(factors[m])));
  };
  const __m128 first = _mm_movelh_ps(pair(0), pair(1));
  const __m128 second = _mm_movelh_ps(pair(2), pair(3));
  const __m128 scales = _mm_shuffle_ps(first, second, 0x88);
  const __m128 offsets = _mm_mul_ps(_mm_set1_ps(offset_weight), _mm_shuffle_ps(first, second, 0xDD));
  return _mm_add_ps(_mm_add_ps(_mm_set1_ps(constant), offsets),
                    _mm_mul_ps(_mm_mul_ps(_mm_set1_ps(weight), scales), dots));
}

// 64 codes of a line of bits (0 or 1) or of quarters (twice the code).
template <Form form>
VICINAL_VNNI inline __m512i small_codes(const std::byte* line) {
  if constexpr (form == Form::bits) {
    __mmask64 chosen = 0;
    __builtin_memcpy(&chosen, line, sizeof(chosen));
    return _mm512_maskz_set1_epi8(chosen, 1);
  } else {
    // Rotated so that twice each lane's quarters lie under the mask: by one to the left, and by 1, 3 and 5 to the right.
    const __m512i turns = _mm512_set_epi64(0x5'0000'0005, 0x5'0000'0005, 0x3'0000'0003, 0x3'0000'0003,
                                           0x1'0000'0001, 0x1'0000'0001, 0x1F'0000'001F, 0x1F'0000'001F);
    const __m512i four = _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(line)));
    return _mm512_and_si512(_mm512_rorv_epi32(four, turns), _mm512_set1_epi8(6));
  }
}

}  // namespace
}  // namespace vicinal
