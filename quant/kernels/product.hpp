#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "vicinal/quant/kernels.hpp"

// Loops of product quantisation. The same bits on every instruction set: sums over the dimensions of a sub-space run in order, one
// rounding per operation, each centroid in a lane of its own; sums over sub-spaces are of integers. Not installed.
namespace vicinal {

/// The least and the largest value of a table.
struct TableRange {
  float least;
  float most;
};

/// `columns` holds the centroids of one sub-space: row j has component j of each of `centroids` centroids, 16 or 256; those that find
/// the nearest take any multiple of 32 up to 256 as well.
struct ProductKernels {
  /// ids[i] = the centroid nearest to point i (points + i * stride, `dims` values), the lowest of equally near ones.
  using NearestKernel = void (*)(const float* points, std::size_t stride, std::size_t count,
                                 const float* columns, std::size_t dims, std::size_t centroids,
                                 const float* start, std::uint32_t* ids);
  /// out[c] = a value of the point and centroid c; returns the range of all.
  using TableKernel = TableRange (*)(const float* point, const float* columns, std::size_t dims,
                                     std::size_t centroids, float* out);
  /// out[i] = constant + weight * (the sum over sub-spaces s of entry s of record i's code of s). Entries have 16 bits. 8 bits: byte s
  /// of the record is the code, tables are 256 entries a sub-space. 4 bits: sub-space s has the low half of byte s / 2 when s is even,
  /// else the high; tables are as set_product4_table() writes them, zeros where a record has no code. `bytes` is that of a record, at
  /// most most_product_bytes, of 4 bits half of that; `tables` is 64-byte aligned.
  using SumKernel = void (*)(const std::byte* tables, std::size_t bytes, const Records& records, float weight,
                             float constant, std::size_t count, float* out);

  std::string_view name;
  NearestKernel nearest_by_product = nullptr;  ///< of least start[c] - <point, c>
  NearestKernel nearest_by_square = nullptr;   ///< of least |point - c|^2; `start` is not read
  TableKernel products = nullptr;              ///< <point, c>
  TableKernel squares = nullptr;               ///< |point - c|^2
  /// out[c] = (values[c] - least) * inverse, rounded to nearest even. `count` is a multiple of 16.
  void (*round16)(const float* values, std::size_t count, float least, float inverse,
                  std::uint16_t* out) = nullptr;
  SumKernel product8 = nullptr;
  SumKernel product4 = nullptr;
};
/// Bytes of tables for 4-bit records, and how those of sub-space s are written: for every eight bytes of a record the tables of the
/// eight low halves lie together, then those of the high ones, first the low bytes of all entries, then their high bytes.
constexpr std::size_t product4_bytes(std::size_t bytes) { return (bytes + 7) / 8 * 512; }
inline void set_product4_table(std::byte* tables, std::size_t s, const std::uint16_t* entries) {
  std::byte* const table = tables + s / 16 * 512 + s % 2 * 128 + s % 16 / 2 * 16;
  for (std::size_t c = 0; c < 16; ++c) {
    table[c] = static_cast<std::byte>(entries[c] & 0xFF);
    table[c + 256] = static_cast<std::byte>(entries[c] >> 8);
  }
}
/// Sums of this many entries of 16 bits stay below 2^31.
inline constexpr std::size_t most_product_bytes = 32'768;

/// Of the instruction set that kernels() has chosen.
const ProductKernels& product_kernels();
/// Every set this CPU can run, in the order of available_kernels(): for tests.
std::span<const ProductKernels> available_product_kernels();

ProductKernels scalar_product_kernels();
std::vector<ProductKernels> portable_product_kernels();
/// Replaces product4 by one that permutes bytes where the CPU has AVX-512 VBMI; for tables of "avx3" and better.
void use_product_vbmi(ProductKernels& table);

}  // namespace vicinal
