// The loops in plain C++: their definition, and the fallback for any machine. And the choice among the sets.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "vicinal/encode/maxsim_lanes.hpp"
#include "vicinal/quant/float16.hpp"
#include "vicinal/quant/kernels/dispatch.hpp"

namespace vicinal {
namespace {

// Calls distance(query, token) for every token and keeps the least.
template <class Distance>
void nearest_of(const LaneQueries& queries, std::size_t begin, std::size_t end, float* nearest,
                const Distance& distance) {
  for (std::size_t q = 0; q < queries.count; ++q) {
    float least = std::numeric_limits<float>::infinity();
    for (std::size_t t = begin; t < end; ++t) {
      const float value = distance(q, t);
      least = value < least ? value : least;
    }
    nearest[q] = least;
  }
}

float value_of(float value) { return value; }
float value_of(std::uint16_t half) { return f16_to_f32(half); }

template <class Element>
void nearest_floats(const LaneQueries& queries, const LaneTokens& tokens, std::size_t begin, std::size_t end,
                    float* nearest) {
  nearest_of(queries, begin, end, nearest, [&](std::size_t q, std::size_t t) {
    const std::size_t first = t / lane_tokens * queries.steps * lane_tokens + t % lane_tokens;
    float dot = 0;
    for (std::size_t s = 0; s < queries.steps; ++s) {
      Element element;
      std::memcpy(&element, tokens.groups + (first + s * lane_tokens) * sizeof(Element), sizeof(Element));
      dot = std::fma(queries.floats[s * queries.stride + q], value_of(element), dot);
    }
    return queries.terms[q].constant - dot;
  });
}

float distance_of(const ByteQuery& query, const float* factors, std::int32_t dot) {
  return (query.constant + query.offset_weight * factors[1]) +
         (query.weight * factors[0]) * static_cast<float>(dot - query.shift);
}

// `halves` is 1 for i8, whose step has as many dimensions as bytes, and 2 for i4.
template <std::size_t halves>
void nearest_integers(const LaneQueries& queries, const LaneTokens& tokens, std::size_t begin,
                      std::size_t end, float* nearest) {
  nearest_of(queries, begin, end, nearest, [&](std::size_t q, std::size_t t) {
    const std::byte* const first =
        tokens.groups + (t / lane_tokens * queries.steps * lane_tokens + t % lane_tokens) * 4;
    std::int32_t dot = 0;
    for (std::size_t s = 0; s < queries.steps; ++s) {
      const std::int8_t* const values = queries.bytes + (s * queries.stride + q) * 4 * halves;
      for (std::size_t b = 0; b < 4; ++b) {
        const auto code = std::to_integer<std::int32_t>(first[s * lane_tokens * 4 + b]);
        dot += halves == 1 ? code * values[b] : 2 * ((code & 15) * values[b] + (code >> 4) * values[4 + b]);
      }
    }
    return distance_of(queries.terms[q], tokens.factors + 2 * t, dot);
  });
}

const std::vector<LaneKernels>& all_lane_kernels() {
  static const std::vector<LaneKernels> all = [] {
    std::vector<LaneKernels> found{scalar_lane_kernels()};
    for (const LaneKernels& portable : portable_lane_kernels()) found.push_back(portable);
    match_sets(found);
    for (LaneKernels& table : found) {
      use_lanes_avx2(table);
      use_lanes_vnni(table);
    }
    return found;
  }();
  return all;
}

}  // namespace

LaneKernels scalar_lane_kernels() {
  return {"scalar", &nearest_floats<float>, &nearest_floats<std::uint16_t>, &nearest_integers<1>,
          &nearest_integers<2>};
}

const LaneKernels& lane_kernels() {
  static const LaneKernels& chosen = chosen_set(all_lane_kernels());
  return chosen;
}

std::span<const LaneKernels> available_lane_kernels() { return all_lane_kernels(); }

}  // namespace vicinal
