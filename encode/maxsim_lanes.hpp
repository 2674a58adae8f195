#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "vicinal/core/prefetch.hpp"
#include "vicinal/quant/kernels.hpp"

// MaxSim on tokens in lanes (Codec::has_lanes()): a register holds the same dimensions of sixteen tokens, a query's value meets all of them at
// once, and what is left of a document is a minimum a lane. Distances are not written to memory. Not installed.
namespace vicinal {

/// Vectors of a query. Their values lie step after step, `stride` vectors side by side in each; a step is one dimension of f32 and f16, four of i8
/// and eight of i4, the last padded with zeros.
struct LaneQueries {
  std::size_t count = 0;
  std::size_t stride = 0;
  std::size_t steps = 0;
  const float* floats = nullptr;        ///< f32 and f16: [step][stride]
  const std::int8_t* bytes = nullptr;   ///< i8: [step][stride][4], i4: [step][stride][8]
  const std::int16_t* words = nullptr;  ///< i8: [step][stride][4], dimensions 0, 2, 1 and 3 of the step
  const ByteQuery* terms = nullptr;     ///< count of them, `values` unused; of floats `constant` alone counts

  /// One of the vectors by itself.
  [[nodiscard]] LaneQueries only(std::size_t q, std::size_t bytes_a_step) const {
    return {1,
            stride,
            steps,
            floats == nullptr ? nullptr : floats + q,
            bytes == nullptr ? nullptr : bytes + q * bytes_a_step,
            words == nullptr ? nullptr : words + q * 4,
            terms + q};
  }
};

struct LaneTokens {
  const std::byte* groups = nullptr;  ///< 64-byte aligned, the last one whole
  const float* factors = nullptr;     ///< of i8 and i4: {scale, offset} of `size` tokens
  std::size_t size = 0;
  /// Groups to be scored next, or none: as many bytes from here are asked for as are read, line by line, since a burst of requests would wait for
  /// the few that a core can have on the way. They need not be part of an object.
  const std::byte* next = nullptr;
};
inline constexpr std::size_t lane_tokens = 16;  ///< in a group

struct LaneKernels {
  std::string_view name;
  /// nearest[q] = the least distance of vector q to tokens begin, begin + 1, ..., end - 1; begin < end <= tokens.size. Distances of i8 and i4
  /// are those of Kernels::bytes and Kernels::nibbles; those of f32 and f16 constant - dot, where dot takes dimension after dimension by a
  /// fused multiply-add.
  using Nearest = void (*)(const LaneQueries& queries, const LaneTokens& tokens, std::size_t begin,
                           std::size_t end, float* nearest);
  Nearest f32 = nullptr, f16 = nullptr, i8 = nullptr, i4 = nullptr;
};

/// Of the instruction set that kernels() has chosen.
const LaneKernels& lane_kernels();
/// Every set this CPU can run, in the order of available_kernels(): for tests and benchmarks.
std::span<const LaneKernels> available_lane_kernels();

LaneKernels scalar_lane_kernels();
std::vector<LaneKernels> portable_lane_kernels();
/// Replaces i8 and i4 of "avx2" and "avx3", or of "avx3_vnni".
void use_lanes_avx2(LaneKernels& table);
void use_lanes_vnni(LaneKernels& table);

/// A function for 1, 2, ..., most vectors of a query from `first` on.
using LaneTile = void (*)(const LaneQueries& queries, std::size_t first, const LaneTokens& tokens,
                          std::size_t begin, std::size_t end, float* nearest);
/// All vectors in as few tiles as there can be, and those as even as can be.
template <std::size_t most>
void in_tiles(const LaneTile (&tiles)[most], const LaneQueries& queries, const LaneTokens& tokens,
              std::size_t begin, std::size_t end, float* nearest) {
  const std::size_t parts = (queries.count + most - 1) / most;
  for (std::size_t part = 0, first = 0; part < parts; ++part) {
    const std::size_t after = queries.count * (part + 1) / parts;
    tiles[after - first - 1](queries, first, tokens, begin, end, nearest);
    first = after;
  }
}

/// Asks for the cache line, if any, and goes on to the one after it.
[[gnu::always_inline]] inline void ask_for_line(const std::byte*& ahead) {
  if (ahead == nullptr) return;
  prefetch<CacheLevel::second>(ahead, 64);
  ahead += 64;
}

/// The factors of a group, in place or, where the last group has fewer tokens, copied.
inline const float* group_factors(const LaneTokens& tokens, std::size_t group,
                                  float (&copy)[2 * lane_tokens]) {
  const float* const from = tokens.factors + 2 * lane_tokens * group;
  const std::size_t present = tokens.size - lane_tokens * group;
  if (present >= lane_tokens) return from;
  for (std::size_t i = 0; i < 2 * lane_tokens; ++i) copy[i] = i < 2 * present ? from[i] : 0.0F;
  return copy;
}

}  // namespace vicinal
