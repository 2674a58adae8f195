// MaxSim of a TokenStore whose records lie in lanes.
#include <algorithm>
#include <limits>

#include "vicinal/core/neighbors.hpp"
#include "vicinal/core/prefetch.hpp"
#include "vicinal/encode/maxsim_lanes.hpp"
#include "vicinal/encode/scratch.hpp"
#include "vicinal/encode/token_store.hpp"

namespace vicinal {
namespace {

static_assert(lane_tokens == Codec::block_size);

LaneKernels::Nearest kernel_of(CodecKind kind) {
  const LaneKernels& kernels = lane_kernels();
  switch (kind) {
    case CodecKind::f32: return kernels.f32;
    case CodecKind::f16: return kernels.f16;
    case CodecKind::i8: return kernels.i8;
    default: return kernels.i4;
  }
}

constexpr std::size_t most_asked = 4096;  // bytes of factors asked for at once

// Of bytes that a query vector has in a step.
std::size_t step_width(CodecKind kind) { return kind == CodecKind::i8 ? 4 : 8; }

LaneTokens tokens_of(const CodeStore& codes) { return {codes.records(), codes.factors(), codes.size()}; }

}  // namespace

LaneQueries TokenStore::lanes_of(const MaxSimQuery& query) const {
  const CodecKind kind = codes_.codec().kind();
  const bool floats = !is_integer(kind);
  return {query.count_,
          query.count_,
          codes_.codec().lane_steps(),
          floats ? query.floats_.data() : nullptr,
          floats ? nullptr : query.bytes_.data(),
          kind == CodecKind::i8 ? query.words_.data() : nullptr,
          query.terms_.data()};
}

void TokenStore::prepare_lanes(MatrixView<const float> query, MaxSimQuery& prepared) const {
  const Codec& codec = codes_.codec();
  const std::size_t count = query.rows();
  const std::size_t steps = codec.lane_steps();
  const std::size_t width = step_width(codec.kind());
  const bool integers = is_integer(codec.kind());
  if (prepared.prepared_.empty()) prepared.prepared_.resize(1);
  prepared.nearest_.resize(count);
  prepared.terms_.resize(count);
  if (integers) {
    reserve_scratch(prepared.bytes_, steps * count * width);
    prepared.codes_.assign(steps * width, 0);
    if (codec.kind() == CodecKind::i8) reserve_scratch(prepared.words_, steps * count * width);
  } else {
    reserve_scratch(prepared.floats_, steps * count);
  }
  for (std::size_t q = 0; q < count; ++q) {
    PreparedQuery& one = prepared.prepared_.front();
    codec.prepare_query(query[q], one);
    prepared.terms_[q] = codec.lane_terms(one);
    if (!integers) {
      const std::span<const float> values = codec.lane_floats(one);
      for (std::size_t j = 0; j < values.size(); ++j) prepared.floats_[j * count + q] = values[j];
      continue;
    }
    codec.lane_codes(one, prepared.codes_);
    for (std::size_t s = 0; s < steps; ++s) {
      const std::int8_t* const values = prepared.codes_.data() + s * width;
      std::copy_n(values, width, prepared.bytes_.data() + (s * count + q) * width);
      if (codec.kind() != CodecKind::i8) continue;
      std::int16_t* const words = prepared.words_.data() + (s * count + q) * width;
      constexpr std::size_t order[] = {0, 2, 1, 3};
      std::ranges::transform(order, words, [values](std::size_t j) { return std::int16_t{values[j]}; });
    }
  }
}

float TokenStore::score_lanes(MaxSimQuery& query, std::size_t document, std::size_t next) const {
  const std::size_t begin = offsets_[document];
  const std::size_t end = offsets_[document + 1];
  const std::size_t bytes = codes_.codec().lane_group_bytes();
  LaneTokens tokens = tokens_of(codes_);
  if (next < size()) {
    const std::size_t first = offsets_[next];
    tokens.next = codes_.records() + first / lane_tokens * bytes;
    if (codes_.codec().has_factors())
      prefetch(codes_.factors() + 2 * first,
               std::min(most_asked, (offsets_[next + 1] - first) * 2 * sizeof(float)));
  }
  if (begin == end) return no_distance;
  kernel_of(codes_.codec().kind())(lanes_of(query), tokens, begin, end, query.nearest_.data());
  float sum = 0;
  for (std::size_t q = 0; q < query.count_; ++q) sum += query.weights_[q] * query.nearest_[q];
  return sum;
}

// The least of each group, then by halves which of a group's tokens has it: the least of any tokens with that one among them is the same.
void TokenStore::match_lanes(MaxSimQuery& query, std::size_t begin, std::size_t end,
                             std::span<std::uint32_t> tokens, std::span<float> distances) const {
  const CodecKind kind = codes_.codec().kind();
  const LaneKernels::Nearest nearest = kernel_of(kind);
  const LaneQueries queries = lanes_of(query);
  const LaneTokens all = tokens_of(codes_);
  std::ranges::fill(tokens, 0U);
  for (std::size_t first = begin; first < end;) {
    const std::size_t after = std::min(end, (first / lane_tokens + 1) * lane_tokens);
    nearest(queries, all, first, after, query.nearest_.data());
    for (std::size_t q = 0; q < query.count_; ++q) {
      if (!(query.nearest_[q] < distances[q])) continue;
      distances[q] = query.nearest_[q];
      tokens[q] = static_cast<std::uint32_t>(first - begin);
    }
    first = after;
  }
  for (std::size_t q = 0; q < query.count_; ++q) {
    std::size_t first = begin + tokens[q];
    std::size_t after = std::min(end, (first / lane_tokens + 1) * lane_tokens);
    while (after - first > 1) {
      const std::size_t middle = first + (after - first) / 2;
      float least = 0;
      nearest(queries.only(q, step_width(kind)), all, first, middle, &least);
      (least == distances[q] ? after : first) = middle;
    }
    tokens[q] = static_cast<std::uint32_t>(first - begin);
  }
}

}  // namespace vicinal
