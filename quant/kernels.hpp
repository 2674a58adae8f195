#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace vicinal {

/// Where the records of a kernel call lie: record r starts at base + r * stride bytes. With `ids`, the call scores records
/// ids[0], ids[1], ...; without (nullptr), records 0, 1, ... in order.
struct Records {
  const std::byte* base = nullptr;
  std::size_t stride = 0;
  const std::uint32_t* ids = nullptr;
};

/// A query of a byte kernel and what goes with it, as the arguments of the same names.
struct ByteQuery {
  const std::int8_t* values = nullptr;
  std::int32_t shift = 0;
  float weight = 0;
  float constant = 0;
  float offset_weight = 0;
};

/// One instruction set's kernels. Each scores one prepared query against `count` records: batch-first, so that the dispatch
/// (one indirect call) is paid per list of neighbours, not per distance.
///
/// Numeric contract: every result has the same bits on every instruction set. Floating-point sums run in 32 lanes, lane j
/// adding the terms of elements j, j + 32, ... in order with one rounding per multiplication and per addition (no fused
/// multiply-add); the lanes are then folded 32 -> 16 -> ... -> 1. Integer sums are exact.
///
/// `query` has `dim` values padded with zeros to a multiple of 32 (floats) or 64 (bytes); 64-byte aligned. Records may be
/// unaligned; float and byte records are read up to `dim` values exactly.
struct Kernels {
  using FloatKernel = void (*)(const float* query, std::size_t dim, const Records& records, std::size_t count,
                               float* out);
  /// out[i] = (constant + offset_weight * factors[2 r + 1]) + (weight * factors[2 r]) * (dot - shift), where r is the record's number
  /// and dot is the exact sum of query[j] (signed, not -128) x record[j] (unsigned, not 0). dim <= max_byte_dim keeps it within int32.
  using ByteKernel = void (*)(const std::int8_t* query, std::size_t dim, const Records& records,
                              const float* factors, std::int32_t shift, float weight, float constant,
                              float offset_weight, std::size_t count, float* out);

  /// out[i] = constant + (weight * factors[r]) * dot, or constant + weight * dot without factors, where r is the record's number and dot the
  /// exact sum of q[j] x w[j], rounded once: w[j] is f8_whole() of a code with the code's sign, q[j] = 256 query[j] + query[part + j]
  /// with part = dim padded to a multiple of 64. None of the query's 2 part bytes is -128; records are read up to `dim` bytes
  /// exactly. dim <= max_whole_dim.
  using WholeKernel = void (*)(const std::int8_t* query, std::size_t dim, const Records& records,
                               const float* factors, float weight, float constant, std::size_t count,
                               float* out);

  std::string_view name;  ///< "scalar", "sse4", "avx2", "avx3", "avx3_vnni", "neon"
  FloatKernel dot_f32 = nullptr, l2_f32 = nullptr;
  FloatKernel dot_f16 = nullptr, l2_f16 = nullptr;    ///< records of IEEE binary16
  FloatKernel dot_bf16 = nullptr, l2_bf16 = nullptr;  ///< records of bfloat16
  /// Records of float8, decoded as f8_to_f16_bits() says: the code's value times 2^(bias - 15).
  FloatKernel dot_e4m3 = nullptr, l2_e4m3 = nullptr;
  FloatKernel dot_e5m2 = nullptr, l2_e5m2 = nullptr;
  FloatKernel dot_e3m4 = nullptr, l2_e3m4 = nullptr;
  WholeKernel whole_e4m3 = nullptr, whole_e3m4 = nullptr;
  ByteKernel bytes = nullptr;
  /// As bytes with twice the dot, for records of dim / 2 bytes of two halves each: byte b of a 64-byte line is multiplied with value b of the
  /// query's line of 128 in its low half and value b + 64 in its high half, also of the last line, which may have fewer bytes. The query is
  /// padded to a multiple of 128; dim is even.
  ByteKernel nibbles = nullptr;
  /// As bytes with twice the dot, which is the exact sum of query[j] over the set bits of the record: bit j % 8 of byte j / 8, read up
  /// to the next multiple of 8 bytes.
  ByteKernel bits = nullptr;
  /// As bytes with twice the dot, for records of a quarter of a byte: byte b of a 16-byte line holds elements b, b + 16, b + 32 and b + 48 of
  /// the line's 64, from its lowest bits up. The query is padded to a multiple of 64, records are read up to whole lines.
  ByteKernel quarters = nullptr;
  /// Several queries against records 0, 1, ... at base + r * stride: out[q * out_stride + r] is what the kernel of one query gives. Null where
  /// an instruction set gains nothing from more than one.
  using GroupKernel = void (*)(std::span<const ByteQuery> queries, std::size_t dim, const std::byte* base,
                               std::size_t stride, const float* factors, std::size_t count, float* out,
                               std::size_t out_stride);
  GroupKernel bytes_group = nullptr, nibbles_group = nullptr;
  /// Of values of queries whose sums are looked up (quant/kernels/bit_blocks.hpp).
  static constexpr std::int32_t largest_bit_value = 31;
  bool fast_bytes = false;  ///< bytes run on an instruction of their own, several times as fast as floats
};
inline constexpr std::size_t max_byte_dim = 65'536;
inline constexpr std::size_t max_whole_dim = 32'768;

/// The best kernels this CPU can run, chosen at first use; the environment variable VICINAL_SIMD (a name of Kernels) caps the
/// choice, an unknown name is ignored.
const Kernels& kernels();

/// Every set this CPU can run, from the plainest to the best: for tests and benchmarks.
std::span<const Kernels> available_kernels();

}  // namespace vicinal
