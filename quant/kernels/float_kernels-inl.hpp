// Float kernels, written once and compiled for every instruction set (included by portable.cpp through foreach_target).
#if defined(VICINAL_QUANT_FLOAT_KERNELS_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef VICINAL_QUANT_FLOAT_KERNELS_INL
#undef VICINAL_QUANT_FLOAT_KERNELS_INL
#else
#define VICINAL_QUANT_FLOAT_KERNELS_INL
#endif

#include <hwy/highway.h>

#include <cstring>

#include "vicinal/core/prefetch.hpp"
#include "vicinal/quant/kernels.hpp"

HWY_BEFORE_NAMESPACE();
namespace vicinal::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using FloatTag = hn::CappedTag<float, 16>;
using FloatVector = hn::Vec<FloatTag>;
inline constexpr std::size_t float_lanes = hn::MaxLanes(FloatTag());
// The contract's 32 lanes, as however many registers they take here.
inline constexpr std::size_t registers = 32 / float_lanes;
// Records scored side by side: enough independent sums to hide the latency of an addition, within 16 registers.
inline constexpr std::size_t side_by_side = registers <= 4 ? 8 / registers : 1;

struct F32 {
  using Element = float;
  static HWY_INLINE FloatVector load(const float* p) { return hn::LoadU(FloatTag(), p); }
};
struct F16 {
  using Element = hwy::float16_t;
  static HWY_INLINE FloatVector load(const hwy::float16_t* p) {
    return hn::PromoteTo(FloatTag(), hn::LoadU(hn::Rebind<hwy::float16_t, FloatTag>(), p));
  }
};
struct BF16 {
  using Element = hwy::bfloat16_t;
  static HWY_INLINE FloatVector load(const hwy::bfloat16_t* p) {
    return hn::PromoteTo(FloatTag(), hn::LoadU(hn::Rebind<hwy::bfloat16_t, FloatTag>(), p));
  }
};

// One byte whose bits become those of a binary16 (f8_to_f16_bits): widen, move sign and magnitude to their places.
template <int mantissa_bits>
struct F8 {
  using Element = std::uint8_t;
  static HWY_INLINE FloatVector load(const std::uint8_t* p) {
    const hn::Rebind<std::uint16_t, FloatTag> d16;
    const auto code = hn::PromoteTo(d16, hn::LoadU(hn::Rebind<std::uint8_t, FloatTag>(), p));
    const auto sign = hn::ShiftLeft<8>(hn::And(code, hn::Set(d16, 0x80)));
    const auto magnitude = hn::ShiftLeft<10 - mantissa_bits>(hn::And(code, hn::Set(d16, 0x7F)));
    return hn::PromoteTo(FloatTag(),
                         hn::BitCast(hn::Rebind<hwy::float16_t, FloatTag>(), hn::Or(sign, magnitude)));
  }
};

template <bool squared_difference>
HWY_INLINE FloatVector accumulate(FloatVector sum, FloatVector q, FloatVector x) {
  if constexpr (squared_difference) {
    const FloatVector difference = hn::Sub(q, x);
    return hn::Add(sum, hn::Mul(difference, difference));
  } else {
    return hn::Add(sum, hn::Mul(q, x));
  }
}

// Folds 32 lanes 32 -> 16 -> ... -> 1, lane j taking lane j + width.
HWY_INLINE float fold(const FloatVector* sums) {
  HWY_ALIGN float lanes[32];
  for (std::size_t r = 0; r < registers; ++r) hn::Store(sums[r], FloatTag(), lanes + r * float_lanes);
  for (std::size_t width = 16; width >= 4; width /= 2) {
    for (std::size_t j = 0; j < width; ++j) lanes[j] += lanes[j + width];
  }
  lanes[0] += lanes[2];
  lanes[1] += lanes[3];
  return lanes[0] + lanes[1];
}

template <class Type, bool squared_difference, std::size_t many>
HWY_INLINE void score_many(const float* HWY_RESTRICT query, std::size_t dim, const std::byte* const* records,
                           float* out) {
  using Element = typename Type::Element;
  FloatVector sums[many][registers];
  for (std::size_t m = 0; m < many; ++m) {
    for (std::size_t r = 0; r < registers; ++r) sums[m][r] = hn::Zero(FloatTag());
  }
  const std::size_t whole = dim & ~std::size_t{31};
  for (std::size_t i = 0; i < whole; i += 32) {
    for (std::size_t r = 0; r < registers; ++r) {
      const FloatVector q = hn::Load(FloatTag(), query + i + r * float_lanes);
      for (std::size_t m = 0; m < many; ++m) {
        const auto* x = reinterpret_cast<const Element*>(records[m]) + i + r * float_lanes;
        sums[m][r] = accumulate<squared_difference>(sums[m][r], q, Type::load(x));
      }
    }
  }
  if (whole != dim) {
    for (std::size_t m = 0; m < many; ++m) {
      alignas(64) Element tail[32] = {};
      std::memcpy(static_cast<void*>(tail), records[m] + whole * sizeof(Element),
                  (dim - whole) * sizeof(Element));
      for (std::size_t r = 0; r < registers; ++r) {
        const FloatVector q = hn::Load(FloatTag(), query + whole + r * float_lanes);
        sums[m][r] = accumulate<squared_difference>(sums[m][r], q, Type::load(tail + r * float_lanes));
      }
    }
  }
  for (std::size_t m = 0; m < many; ++m) out[m] = fold(sums[m]);
}

template <class Type, bool squared_difference>
void score_floats(const float* query, std::size_t dim, const Records& records, std::size_t count,
                  float* out) {
  const std::size_t bytes = dim * sizeof(typename Type::Element);
  const auto record = [&](std::size_t i) {
    return records.base + records.stride * (records.ids == nullptr ? i : records.ids[i]);
  };
  std::size_t i = 0;
  for (; i + side_by_side <= count; i += side_by_side) {
    const std::byte* group[side_by_side];
    for (std::size_t m = 0; m < side_by_side; ++m) group[m] = record(i + m);
    if (records.ids != nullptr) {
      for (std::size_t next = i + side_by_side; next < i + 2 * side_by_side && next < count; ++next) {
        prefetch(record(next), bytes);
      }
    } else if constexpr (sizeof(typename Type::Element) <
                         sizeof(float)) {  // Of binary32 there is too little to compute.
      prefetch_ahead(group[0], side_by_side * records.stride);
    }
    score_many<Type, squared_difference, side_by_side>(query, dim, group, out + i);
  }
  for (; i < count; ++i) {
    const std::byte* one = record(i);
    score_many<Type, squared_difference, 1>(query, dim, &one, out + i);
  }
}

}  // namespace vicinal::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per target
