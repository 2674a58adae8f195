// The integer kernels by widening to 16 bits, for every instruction set (included by portable.cpp through foreach_target). The
// products are exact: 255 * 127 * 2 fits in 32 bits, where an 8-bit multiply-add with 16-bit sums would saturate.
#if defined(VICINAL_QUANT_BYTE_KERNELS_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef VICINAL_QUANT_BYTE_KERNELS_INL
#undef VICINAL_QUANT_BYTE_KERNELS_INL
#else
#define VICINAL_QUANT_BYTE_KERNELS_INL
#endif

#include <hwy/highway.h>

#include <cstring>

#include "vicinal/core/prefetch.hpp"
#include "vicinal/quant/kernels.hpp"

HWY_BEFORE_NAMESPACE();
namespace vicinal::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Wide = hn::CappedTag<std::int16_t, 32>;
using WideSum = hn::RepartitionToWide<Wide>;
inline constexpr std::size_t wide_lanes = hn::MaxLanes(Wide());

using SumVector = hn::Vec<WideSum>;

// Products go to two running sums: a register of 16-bit values is widened in pairs.
template <class Stored>
HWY_INLINE void add_products(const std::int8_t* query, Stored stored, SumVector& low, SumVector& high) {
  const auto q = hn::PromoteTo(Wide(), hn::LoadU(hn::Rebind<std::int8_t, Wide>(), query));
  low = hn::ReorderWidenMulAccumulate(WideSum(), q, hn::PromoteTo(Wide(), stored), low, high);
}

struct Bytes {
  static constexpr std::size_t elements = 64, bytes = 64;  // of a line
  static constexpr bool cut = true;                        // The last line may have fewer bytes.
  static HWY_INLINE void add(const std::int8_t* query, const std::uint8_t* line, SumVector& low,
                             SumVector& high) {
    for (std::size_t at = 0; at < bytes; at += wide_lanes)
      add_products(query + at, hn::LoadU(hn::Rebind<std::uint8_t, Wide>(), line + at), low, high);
  }
};
// Twice the halves.
struct Nibbles {
  static constexpr std::size_t elements = 128, bytes = 64;
  static constexpr bool cut = true;
  static HWY_INLINE void add(const std::int8_t* query, const std::uint8_t* line, SumVector& low,
                             SumVector& high) {
    const hn::Rebind<std::uint8_t, Wide> d8;
    for (std::size_t at = 0; at < bytes; at += wide_lanes) {
      const auto both = hn::LoadU(d8, line + at);
      const auto mask = hn::Set(d8, 30);
      add_products(query + at, hn::And(hn::Add(both, both), mask), low, high);
      add_products(query + at + 64, hn::And(hn::ShiftRight<3>(both), mask), low, high);
    }
  }
};

// Bits choose which values of the query are summed, twice.
struct Bits {
  static constexpr std::size_t elements = 64, bytes = 8;
  static constexpr bool cut = false;
  static HWY_INLINE void add(const std::int8_t* query, const std::uint8_t* line, SumVector& low,
                             SumVector& high) {
    std::uint8_t bits[16] = {};  // Loading a mask reads 8 bytes from wherever it begins.
    std::memcpy(bits, line, bytes);
    const auto two = hn::Set(Wide(), 2);
    for (std::size_t at = 0; at < elements; at += wide_lanes) {
      const auto q = hn::PromoteTo(Wide(), hn::LoadU(hn::Rebind<std::int8_t, Wide>(), query + at));
      const auto chosen = hn::IfThenElseZero(hn::LoadMaskBits(Wide(), bits + at / 8), q);
      low = hn::ReorderWidenMulAccumulate(WideSum(), chosen, two, low, high);
    }
  }
};

// Twice the codes as bytes.
struct Quarters {
  static constexpr std::size_t elements = 64, bytes = 16;
  static constexpr bool cut = false;
  static HWY_INLINE void add(const std::int8_t* query, const std::uint8_t* line, SumVector& low,
                             SumVector& high) {
    const hn::CappedTag<std::uint8_t, bytes> d;
    const auto mask = hn::Set(d, 6);
    HWY_ALIGN std::uint8_t codes[elements];
    for (std::size_t at = 0; at < bytes; at += hn::MaxLanes(d)) {
      const auto four = hn::LoadU(d, line + at);
      hn::Store(hn::And(hn::Add(four, four), mask), d, codes + at);
      hn::Store(hn::And(hn::ShiftRight<1>(four), mask), d, codes + 16 + at);
      hn::Store(hn::And(hn::ShiftRight<3>(four), mask), d, codes + 32 + at);
      hn::Store(hn::And(hn::ShiftRight<5>(four), mask), d, codes + 48 + at);
    }
    Bytes::add(query, codes, low, high);
  }
};

template <class Type>
void score_integers(const std::int8_t* query, std::size_t dim, const Records& records, const float* factors,
                    std::int32_t shift, float weight, float constant, float offset_weight, std::size_t count,
                    float* out) {
  const std::size_t lines = Type::cut ? dim / Type::elements : (dim + Type::elements - 1) / Type::elements;
  const std::size_t rest = Type::cut ? dim % Type::elements * Type::bytes / Type::elements : 0;
  constexpr std::size_t ahead = 4;
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t record = records.ids == nullptr ? i : records.ids[i];
    if (records.ids != nullptr && i + ahead < count) {
      prefetch(records.base + records.stride * records.ids[i + ahead], lines * Type::bytes + rest);
      prefetch(factors + 2 * static_cast<std::size_t>(records.ids[i + ahead]), 1);
    }
    if (records.ids == nullptr) prefetch_ahead(records.base + records.stride * record, records.stride);
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(records.base + records.stride * record);
    SumVector low = hn::Zero(WideSum());
    SumVector high = hn::Zero(WideSum());
    for (std::size_t line = 0; line < lines; ++line)
      Type::add(query + line * Type::elements, bytes + line * Type::bytes, low, high);
    if (rest != 0) {
      HWY_ALIGN std::uint8_t last[Type::bytes] = {};
      std::memcpy(last, bytes + lines * Type::bytes, rest);
      Type::add(query + lines * Type::elements, last, low, high);
    }
    const std::int32_t dot = hn::GetLane(hn::SumOfLanes(WideSum(), hn::Add(low, high))) - shift;
    out[i] = (constant + offset_weight * factors[2 * record + 1]) +
             (weight * factors[2 * record]) * static_cast<float>(dot);
  }
}

}  // namespace vicinal::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per target
