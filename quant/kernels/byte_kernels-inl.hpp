// The byte kernel by widening to 16 bits, for every instruction set (included by portable.cpp through foreach_target). The
// products are exact: 255 * 127 * 2 fits in 32 bits, where an 8-bit multiply-add with 16-bit sums would saturate.
#if defined(VICINAL_QUANT_BYTE_KERNELS_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef VICINAL_QUANT_BYTE_KERNELS_INL
#undef VICINAL_QUANT_BYTE_KERNELS_INL
#else
#define VICINAL_QUANT_BYTE_KERNELS_INL
#endif

#include <hwy/highway.h>

#include "vicinal/core/prefetch.hpp"
#include "vicinal/quant/kernels.hpp"

HWY_BEFORE_NAMESPACE();
namespace vicinal::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

HWY_INLINE std::int32_t dot_bytes(const std::int8_t* HWY_RESTRICT query,
                                  const std::uint8_t* HWY_RESTRICT record, std::size_t padded_dim) {
  const hn::CappedTag<std::int16_t, 32> d16;
  const hn::Rebind<std::uint8_t, decltype(d16)> d_unsigned;
  const hn::Rebind<std::int8_t, decltype(d16)> d_signed;
  const hn::RepartitionToWide<decltype(d16)> d32;
  constexpr std::size_t lanes = hn::MaxLanes(d16);
  auto low = hn::Zero(d32);
  auto high = hn::Zero(d32);
  for (std::size_t i = 0; i < padded_dim; i += lanes) {
    const auto q = hn::PromoteTo(d16, hn::LoadU(d_signed, query + i));
    const auto x = hn::PromoteTo(d16, hn::LoadU(d_unsigned, record + i));
    low = hn::ReorderWidenMulAccumulate(d32, q, x, low, high);
  }
  return hn::GetLane(hn::SumOfLanes(d32, hn::Add(low, high)));
}

inline void score_bytes(const std::int8_t* query, std::size_t dim, const Records& records,
                        const float* factors, std::int32_t shift, float weight, float constant,
                        std::size_t count, float* out) {
  const std::size_t padded = (dim + 63) & ~std::size_t{63};
  constexpr std::size_t ahead = 4;
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t record = records.ids == nullptr ? i : records.ids[i];
    if (records.ids != nullptr && i + ahead < count) {
      prefetch(records.base + records.stride * records.ids[i + ahead], padded);
    }
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(records.base + records.stride * record);
    const std::int32_t dot = dot_bytes(query, bytes, padded) - shift;
    out[i] = (constant + factors[2 * record + 1]) + (weight * factors[2 * record]) * static_cast<float>(dot);
  }
}

}  // namespace vicinal::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per target
