// MaxSim on floats in lanes, once per instruction set of Highway's that has a fused multiply-add; the others take the plain loops.
#include "vicinal/encode/maxsim_lanes.hpp"

#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "vicinal/encode/maxsim_lanes_portable.cpp"
// The same sets as those of quant.
#ifndef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS HWY_SSSE3
#endif
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#if HWY_TARGET != HWY_SCALAR
HWY_BEFORE_NAMESPACE();
namespace vicinal::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET == HWY_SSE4 || (HWY_ARCH_ARM && !HWY_ARCH_ARM_A64)
// Highway's MulAdd rounds twice here.
inline LaneKernels lane_table(std::string_view name) {
  LaneKernels table = scalar_lane_kernels();
  table.name = name;
  return table;
}
#else
using LaneTag = hn::CappedTag<float, lane_tokens>;
using LaneVector = hn::Vec<LaneTag>;
inline constexpr std::size_t lane_register = hn::MaxLanes(LaneTag());
inline constexpr std::size_t lane_registers = lane_tokens / lane_register;
// As many sums as hide the latency of an addition and leave registers for what they are made of.
inline constexpr std::size_t lane_queries = lane_registers == 1 ? 12 : lane_registers == 2 ? 6 : 5;

HWY_INLINE LaneVector lane_values(const float* from) { return hn::Load(LaneTag(), from); }
HWY_INLINE LaneVector lane_values(const hwy::float16_t* from) {
  return hn::PromoteTo(LaneTag(), hn::Load(hn::Rebind<hwy::float16_t, LaneTag>(), from));
}

template <class Element, std::size_t many>
void nearest_tile(const LaneQueries& queries, std::size_t first, const LaneTokens& tokens, std::size_t begin,
                  std::size_t end, float* nearest) {
  const LaneTag d;
  const auto none = hn::Set(d, std::numeric_limits<float>::infinity());
  LaneVector least[many];
  for (auto& one : least) one = none;
  const std::byte* ahead = first == 0 ? tokens.next : nullptr;
  for (std::size_t group = begin / lane_tokens; group * lane_tokens < end; ++group) {
    const auto* at = reinterpret_cast<const Element*>(tokens.groups) + group * queries.steps * lane_tokens;
    const float* values = queries.floats + first;
    LaneVector sums[many][lane_registers];
    for (auto& own : sums) {
      for (auto& sum : own) sum = hn::Zero(d);
    }
    for (std::size_t s = 0; s < queries.steps; ++s, at += lane_tokens, values += queries.stride) {
      for (std::size_t line = 0; line < lane_tokens * sizeof(Element); line += 64) ask_for_line(ahead);
      LaneVector x[lane_registers];
#pragma GCC unroll 4
      for (std::size_t r = 0; r < lane_registers; ++r) x[r] = lane_values(at + r * lane_register);
#pragma GCC unroll 12
      for (std::size_t q = 0; q < many; ++q) {
        const auto value = hn::Set(d, values[q]);
#pragma GCC unroll 4
        for (std::size_t r = 0; r < lane_registers; ++r) sums[q][r] = hn::MulAdd(value, x[r], sums[q][r]);
      }
    }
    const std::size_t token = group * lane_tokens;
    const bool edge = token < begin || token + lane_tokens > end;
    const auto from = static_cast<std::int32_t>(token < begin ? begin - token : 0);
    const auto to = static_cast<std::int32_t>(edge && end - token < lane_tokens ? end - token : lane_tokens);
    const hn::RebindToSigned<LaneTag> di;
#pragma GCC unroll 12
    for (std::size_t q = 0; q < many; ++q) {
      const auto constant = hn::Set(d, queries.terms[first + q].constant);
#pragma GCC unroll 4
      for (std::size_t r = 0; r < lane_registers; ++r) {
        auto distance = hn::Sub(constant, sums[q][r]);
        if (edge) {
          const auto lane = hn::Iota(di, static_cast<std::int32_t>(r * lane_register));
          const auto inside = hn::AndNot(hn::VecFromMask(di, hn::Lt(lane, hn::Set(di, from))),
                                         hn::VecFromMask(di, hn::Lt(lane, hn::Set(di, to))));
          distance = hn::IfThenElse(hn::RebindMask(d, hn::MaskFromVec(inside)), distance, none);
        }
        least[q] = hn::Min(distance, least[q]);
      }
    }
  }
  for (std::size_t q = 0; q < many; ++q) nearest[first + q] = hn::GetLane(hn::MinOfLanes(d, least[q]));
}

template <class Element, std::size_t... i>
HWY_INLINE void nearest_in_tiles(std::index_sequence<i...> /*sizes*/, const LaneQueries& queries,
                                 const LaneTokens& tokens, std::size_t begin, std::size_t end,
                                 float* nearest) {
  static constexpr LaneTile tiles[] = {&nearest_tile<Element, i + 1>...};
  in_tiles(tiles, queries, tokens, begin, end, nearest);
}

template <class Element>
void nearest_floats(const LaneQueries& queries, const LaneTokens& tokens, std::size_t begin, std::size_t end,
                    float* nearest) {
  nearest_in_tiles<Element>(std::make_index_sequence<lane_queries>(), queries, tokens, begin, end, nearest);
}

inline LaneKernels lane_table(std::string_view name) {
  LaneKernels table = scalar_lane_kernels();
  table.name = name;
  table.f32 = &nearest_floats<float>;
  table.f16 = &nearest_floats<hwy::float16_t>;
  return table;
}
#endif

}  // namespace vicinal::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // HWY_SCALAR

#if HWY_ONCE
#include "vicinal/quant/kernels/portable_sets-inl.hpp"

namespace vicinal {

std::vector<LaneKernels> portable_lane_kernels() {
  std::vector<LaneKernels> found;
  VICINAL_APPEND_SETS(found, lane_table)
  return found;
}

}  // namespace vicinal
#endif  // HWY_ONCE
