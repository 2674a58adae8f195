// The loops of fde_kernels.hpp, written once and compiled for every instruction set (included by fde_kernels_portable.cpp through
// foreach_target).
#if defined(VICINAL_ENCODE_FDE_KERNELS_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef VICINAL_ENCODE_FDE_KERNELS_INL
#undef VICINAL_ENCODE_FDE_KERNELS_INL
#else
#define VICINAL_ENCODE_FDE_KERNELS_INL
#endif

#include <hwy/highway.h>

#include "vicinal/encode/fde_kernels.hpp"

// Without a vector unit the plain loops of fde_kernels_scalar.cpp serve.
#if HWY_TARGET != HWY_SCALAR
HWY_BEFORE_NAMESPACE();
namespace vicinal::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using FdeTag = hn::CappedTag<float, fde_lanes>;
inline constexpr std::size_t fde_register = hn::MaxLanes(FdeTag());
inline constexpr std::size_t fde_registers = fde_lanes / fde_register;

inline void positive_bits(const float* values, std::size_t count, std::uint8_t* bits) {
  const FdeTag d;
  for (std::size_t j = 0; j < count; j += 8) {
    if constexpr (fde_register == 16) {
      if (j % 16 == 0) hn::StoreMaskBits(d, hn::Gt(hn::LoadU(d, values + j), hn::Zero(d)), bits + j / 8);
    } else if constexpr (fde_register == 8) {
      hn::StoreMaskBits(d, hn::Gt(hn::LoadU(d, values + j), hn::Zero(d)), bits + j / 8);
    } else {
      std::uint8_t low[8];  // may be written past the one byte
      std::uint8_t high[8];
      hn::StoreMaskBits(d, hn::Gt(hn::LoadU(d, values + j), hn::Zero(d)), low);
      hn::StoreMaskBits(d, hn::Gt(hn::LoadU(d, values + j + 4), hn::Zero(d)), high);
      bits[j / 8] = static_cast<std::uint8_t>((low[0] & 15U) | (high[0] & 15U) << 4);
    }
  }
}

// A lane a group. Places are whole numbers far below 2^24, so floats hold them.
inline void corners(const float* values, std::size_t groups, std::size_t size, std::uint32_t* corners) {
  const FdeTag d;
  const hn::RebindToUnsigned<FdeTag> whole;
  const hn::RebindToSigned<FdeTag> integers;
  for (std::size_t g = 0; g < groups; g += fde_register) {
    auto winner = hn::LoadU(d, values + g);
    auto place = hn::Zero(d);
    for (std::size_t j = 1; j < size; ++j) {
      const auto value = hn::LoadU(d, values + j * groups + g);
      const auto larger = hn::Gt(hn::Abs(value), hn::Abs(winner));
      winner = hn::IfThenElse(larger, value, winner);
      place = hn::IfThenElse(larger, hn::Set(d, static_cast<float>(j)), place);
    }
    const auto negative = hn::Lt(winner, hn::Zero(d));
    place = hn::Add(place, hn::IfThenElseZero(negative, hn::Set(d, static_cast<float>(size))));
    hn::StoreU(hn::BitCast(whole, hn::ConvertTo(integers, place)), whole, corners + g);
  }
}

inline void add_rows(const float* tokens, const std::uint32_t* bucket, std::size_t count, std::size_t width,
                     float* sums) {
  const FdeTag d;
  for (std::size_t t = 0; t < count; ++t) {
    const float* const token = tokens + t * width;
    float* const sum = sums + bucket[t] * width;
    for (std::size_t j = 0; j < width; j += fde_lanes) {
      for (std::size_t r = 0; r < fde_lanes; r += fde_register)
        hn::Store(hn::Add(hn::Load(d, sum + j + r), hn::Load(d, token + j + r)), d, sum + j + r);
    }
  }
}

inline float squares(const float* values, std::size_t width) {
  const FdeTag d;
  hn::Vec<FdeTag> sums[fde_registers];
  for (auto& sum : sums) sum = hn::Zero(d);
  for (std::size_t j = 0; j < width; j += fde_lanes) {
    for (std::size_t r = 0; r < fde_registers; ++r) {
      const auto x = hn::Load(d, values + j + r * fde_register);
      sums[r] = hn::Add(sums[r], hn::Mul(x, x));
    }
  }
  HWY_ALIGN float lanes[fde_lanes];
  for (std::size_t r = 0; r < fde_registers; ++r) hn::Store(sums[r], d, lanes + r * fde_register);
  for (std::size_t half = fde_lanes / 2; half > 0; half /= 2) {
    for (std::size_t l = 0; l < half; ++l) lanes[l] += lanes[l + half];
  }
  return lanes[0];
}

// A sign times a value is exact, so that the fused form rounds as the two steps do.
template <class Tag>
HWY_INLINE void add_sketch_as(Tag d, const float* values, const float* signs, std::size_t chunks,
                              std::size_t size, float scale, float* out) {
  const auto factor = hn::Set(d, scale);
  for (std::size_t j = 0; j < size; j += hn::Lanes(d)) {
    auto sum = hn::Zero(d);
    for (std::size_t c = 0; c < chunks; ++c)
      sum = hn::MulAdd(hn::LoadU(d, signs + c * size + j), hn::LoadU(d, values + c * size + j), sum);
    hn::StoreU(hn::Add(hn::LoadU(d, out + j), hn::Mul(factor, sum)), d, out + j);
  }
}

inline void add_sketch(const float* values, const float* signs, std::size_t chunks, std::size_t size,
                       float scale, float* out) {
  if (size % fde_register == 0) return add_sketch_as(FdeTag(), values, signs, chunks, size, scale, out);
  if (size % 8 == 0) return add_sketch_as(hn::CappedTag<float, 8>(), values, signs, chunks, size, scale, out);
  if (size % 4 == 0) return add_sketch_as(hn::CappedTag<float, 4>(), values, signs, chunks, size, scale, out);
  add_sketch_as(hn::CappedTag<float, 1>(), values, signs, chunks, size, scale, out);
}

}  // namespace vicinal::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // HWY_SCALAR
#endif  // include guard
