// Several queries against the same records with AVX-512 VNNI: a record is loaded and unpacked once for four queries.
#include "vicinal/quant/kernels/dispatch.hpp"

#if defined(__x86_64__)
#if defined(__GNUC__) && !defined(__clang__)
// GCC 12's own header hands deliberately undefined registers to its built-ins and then warns of them here.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include "vicinal/core/prefetch.hpp"
#include "vicinal/quant/kernels/x86_forms.hpp"

namespace vicinal {
namespace {

// Codes 64 step to 64 step + 63 of a record; of the last line `rest` tells the bytes there are.
template <Form form, bool whole>
VICINAL_VNNI inline __m512i codes_at(const std::byte* record, std::size_t step, __mmask64 rest) {
  const std::byte* const line = record + (form == Form::nibbles ? step / 2 : step) * 64;
  const __m512i codes = whole ? _mm512_loadu_si512(line) : _mm512_maskz_loadu_epi8(rest, line);
  if constexpr (form == Form::bytes) return codes;
  const __m512i mask = _mm512_set1_epi8(15);
  return _mm512_and_si512(step % 2 == 0 ? codes : _mm512_srli_epi16(codes, 4), mask);
}

constexpr std::size_t records_at_once = 4;

// What is the same for all records.
struct Task {
  const std::byte* base;
  std::size_t stride;
  std::size_t steps;  // of 64 elements, of whole lines
  std::size_t last;   // more of them, of the last line
  __mmask64 rest;
  const float* factors;
};

template <std::size_t group>
struct Accumulators {
  __m512i sums[group][records_at_once];
};

template <Form form, std::size_t group, bool whole>
VICINAL_VNNI inline __attribute__((always_inline)) void add_step(const ByteQuery* queries,
                                                                 const std::byte* const* at, std::size_t step,
                                                                 __mmask64 rest, Accumulators<group>& all) {
  __m512i codes[records_at_once];
#pragma GCC unroll 4
  for (std::size_t m = 0; m < records_at_once; ++m) codes[m] = codes_at<form, whole>(at[m], step, rest);
#pragma GCC unroll 4
  for (std::size_t q = 0; q < group; ++q) {
    const __m512i values = _mm512_load_si512(queries[q].values + step * 64);
#pragma GCC unroll 4
    for (std::size_t m = 0; m < records_at_once; ++m)
      all.sums[q][m] = _mm512_dpbusd_epi32(all.sums[q][m], codes[m], values);
  }
}

// `group` queries, out[q * out_stride + i].
template <Form form, std::size_t group>
VICINAL_VNNI void score(const ByteQuery* queries, const Task& task, std::size_t count, float* out,
                        std::size_t out_stride) {
  for (std::size_t i = 0; i < count; i += records_at_once) {
    // The last group repeats its last record rather than branch on how many there are.
    std::size_t record[records_at_once];
    const std::byte* at[records_at_once];
    for (std::size_t m = 0; m < records_at_once; ++m) {
      record[m] = i + m < count ? i + m : count - 1;
      at[m] = task.base + task.stride * record[m];
    }
    prefetch_ahead(at[0], records_at_once * task.stride);
    prefetch_ahead(task.factors + 2 * record[0], 1);
    Accumulators<group> all;
#pragma GCC unroll 4
    for (std::size_t q = 0; q < group; ++q) {
#pragma GCC unroll 4
      for (std::size_t m = 0; m < records_at_once; ++m) all.sums[q][m] = _mm512_setzero_si512();
    }
    for (std::size_t step = 0; step < task.steps; ++step)
      add_step<form, group, true>(queries, at, step, 0, all);
    for (std::size_t step = task.steps; step < task.steps + task.last; ++step)
      add_step<form, group, false>(queries, at, step, task.rest, all);

    const auto pair = [&](std::size_t m) VICINAL_VNNI {
      return _mm_castsi128_ps(
          _mm_loadl_epi64(reinterpret_cast<const __m128i*>(task.factors + 2 * record[m])));
    };
    const __m128 first = _mm_movelh_ps(pair(0), pair(1));
    const __m128 second = _mm_movelh_ps(pair(2), pair(3));
    const __m128 scales = _mm_shuffle_ps(first, second, 0x88);
    const __m128 offsets = _mm_shuffle_ps(first, second, 0xDD);
    const auto mask = static_cast<__mmask8>(i + records_at_once <= count ? 15U : (1U << (count - i)) - 1U);
#pragma GCC unroll 4
    for (std::size_t q = 0; q < group; ++q) {
      const ByteQuery& query = queries[q];
      __m128i sums = fold4(all.sums[q][0], all.sums[q][1], all.sums[q][2], all.sums[q][3]);
      if constexpr (form == Form::nibbles) sums = _mm_add_epi32(sums, sums);
      const __m128 dots = _mm_cvtepi32_ps(_mm_sub_epi32(sums, _mm_set1_epi32(query.shift)));
      const __m128 offset =
          _mm_add_ps(_mm_set1_ps(query.constant), _mm_mul_ps(_mm_set1_ps(query.offset_weight), offsets));
      const __m128 result =
          _mm_add_ps(offset, _mm_mul_ps(_mm_mul_ps(_mm_set1_ps(query.weight), scales), dots));
      _mm_mask_storeu_ps(out + q * out_stride + i, mask, result);
    }
  }
}

template <Form form>
void score_group(std::span<const ByteQuery> queries, std::size_t dim, const std::byte* base,
                 std::size_t stride, const float* factors, std::size_t count, float* out,
                 std::size_t out_stride) {
  if (count == 0) return;
  constexpr std::size_t elements = elements_of(form);
  constexpr std::size_t steps = elements / 64;
  const std::size_t rest = dim % elements * bytes_of(form) / elements;
  const std::size_t lines = dim / elements;
  const Task task{base, stride, lines * steps, rest == 0 ? 0 : steps, (__mmask64{1} << rest) - 1, factors};
  std::size_t q = 0;
  for (; q + 4 <= queries.size(); q += 4)
    score<form, 4>(&queries[q], task, count, out + q * out_stride, out_stride);
  for (; q + 2 <= queries.size(); q += 2)
    score<form, 2>(&queries[q], task, count, out + q * out_stride, out_stride);
  if (q < queries.size()) score<form, 1>(&queries[q], task, count, out + q * out_stride, out_stride);
}

}  // namespace

void use_vnni_groups(Kernels& table) {
  table.bytes_group = &score_group<Form::bytes>;
  table.nibbles_group = &score_group<Form::nibbles>;
}

}  // namespace vicinal
#endif
