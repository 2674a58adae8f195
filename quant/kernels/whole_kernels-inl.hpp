// Inner products with float8 codes as whole numbers, by widening to 16 bits, for every instruction set (included by portable.cpp through
// foreach_target).
#if defined(VICINAL_QUANT_WHOLE_KERNELS_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef VICINAL_QUANT_WHOLE_KERNELS_INL
#undef VICINAL_QUANT_WHOLE_KERNELS_INL
#else
#define VICINAL_QUANT_WHOLE_KERNELS_INL
#endif

#include <hwy/highway.h>

#include <cstring>

#include "vicinal/core/prefetch.hpp"
#include "vicinal/quant/float8.hpp"
#include "vicinal/quant/kernels.hpp"

HWY_BEFORE_NAMESPACE();
namespace vicinal::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET == HWY_SCALAR
template <Float8Format format>
std::int64_t whole_product(const std::int8_t* query, std::size_t dim, const std::uint8_t* codes) {
  const std::int8_t* const low_query = query + (dim + 63) / 64 * 64;
  std::int64_t dot = 0;
  for (std::size_t j = 0; j < dim; ++j) {
    const std::int32_t product = (256 * query[j] + low_query[j]) * f8_whole<format>(codes[j]);
    dot += codes[j] < 0x80 ? product : -product;
  }
  return dot;
}
#else
using WordTag = hn::CappedTag<std::uint16_t, 32>;
using SignedWordTag = hn::RebindToSigned<WordTag>;
using WordSumTag = hn::RepartitionToWide<SignedWordTag>;
using WordSum = hn::Vec<WordSumTag>;
inline constexpr std::size_t word_lanes = hn::MaxLanes(WordTag());
// Sums of so many products fit in 32 bits: 512 x 127 x 30,720.
inline constexpr std::size_t words_a_block = 512;

// Powers of two by exponent, which is what the bits of a mantissa are multiplied with: bytes 0 to 7 are the low bytes by exponent, and so
// are 8 to 15 for E4M3; with bit 3 of the exponent inverted, the same 16 bytes are the high ones.
template <Float8Format format>
inline constexpr std::uint8_t power_bytes[16] = {1, 2, 4, 8, 16, 32, 64, 128, 0, 0, 0, 0, 0, 0, 0, 0};
template <>
inline constexpr std::uint8_t power_bytes<Float8Format::e3m4>[16] = {32, 32, 64, 128, 0, 0, 0, 0,
                                                                     0,  0,  0,  0,   1, 2, 4, 8};

// f8_whole() of codes, with their signs.
template <Float8Format format>
HWY_INLINE hn::Vec<SignedWordTag> whole_numbers(const std::uint8_t* codes) {
  const WordTag d;
  const SignedWordTag ds;
  const hn::Repartition<std::uint8_t, WordTag> d8;
  constexpr int mantissa_bits = Float8Traits<format>::mantissa_bits;
  const auto code = hn::PromoteTo(d, hn::LoadU(hn::Rebind<std::uint8_t, WordTag>(), codes));
  // The mantissa with its leading one at the top of 16 bits.
  const auto mantissa = hn::Or(hn::ShiftLeft<15 - mantissa_bits>(code), hn::Set(d, 0x8000));
  const auto exponent = hn::And(hn::ShiftRight<mantissa_bits>(code), hn::Set(d, 0x7F >> mantissa_bits));
  const auto places = hn::Xor(hn::Or(exponent, hn::ShiftLeft<8>(exponent)), hn::Set(d, 0x0800));
  const auto powers = hn::TableLookupBytes(hn::LoadDup128(d8, power_bytes<format>), hn::BitCast(d8, places));
  auto magnitude = hn::MulHigh(mantissa, hn::BitCast(d, powers));
  if constexpr (format == Float8Format::e3m4) {
    // Subnormal codes have no leading one.
    const auto subnormal = hn::VecFromMask(d, hn::Eq(exponent, hn::Zero(d)));
    magnitude = hn::Sub(magnitude, hn::And(subnormal, hn::Set(d, 16)));
  }
  const auto sign = hn::ShiftRight<15>(hn::BitCast(ds, hn::ShiftLeft<8>(code)));
  return hn::Sub(hn::Xor(hn::BitCast(ds, magnitude), sign), sign);
}

template <Float8Format format>
HWY_INLINE void add_whole(const std::int8_t* high_query, const std::int8_t* low_query,
                          const std::uint8_t* codes, WordSum (&high)[2], WordSum (&low)[2]) {
  const hn::Rebind<std::int8_t, SignedWordTag> d8;
  const SignedWordTag ds;
  const auto whole = whole_numbers<format>(codes);
  high[0] = hn::ReorderWidenMulAccumulate(WordSumTag(), hn::PromoteTo(ds, hn::LoadU(d8, high_query)), whole,
                                          high[0], high[1]);
  low[0] = hn::ReorderWidenMulAccumulate(WordSumTag(), hn::PromoteTo(ds, hn::LoadU(d8, low_query)), whole,
                                         low[0], low[1]);
}

HWY_INLINE std::int32_t sum_of(const WordSum (&sums)[2]) {
  return hn::GetLane(hn::SumOfLanes(WordSumTag(), hn::Add(sums[0], sums[1])));
}

template <Float8Format format>
HWY_INLINE std::int64_t whole_product(const std::int8_t* query, std::size_t dim, const std::uint8_t* codes) {
  const std::int8_t* const low_query = query + (dim + 63) / 64 * 64;
  std::int64_t dot = 0;
  for (std::size_t begin = 0; begin < dim; begin += words_a_block) {
    const std::size_t end = begin + words_a_block < dim ? begin + words_a_block : dim;
    WordSum high[2] = {hn::Zero(WordSumTag()), hn::Zero(WordSumTag())};
    WordSum low[2] = {hn::Zero(WordSumTag()), hn::Zero(WordSumTag())};
    std::size_t j = begin;
    for (; j + word_lanes <= end; j += word_lanes)
      add_whole<format>(query + j, low_query + j, codes + j, high, low);
    if (j != end) {
      std::uint8_t tail[word_lanes] = {};
      std::memcpy(tail, codes + j, end - j);
      add_whole<format>(query + j, low_query + j, tail, high, low);
    }
    dot += std::int64_t{256} * sum_of(high) + sum_of(low);
  }
  return dot;
}

#endif  // HWY_SCALAR

template <Float8Format format>
void score_whole(const std::int8_t* query, std::size_t dim, const Records& records, const float* factors,
                 float weight, float constant, std::size_t count, float* out) {
  constexpr std::size_t ahead = 4;
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t record = records.ids == nullptr ? i : records.ids[i];
    if (records.ids != nullptr && i + ahead < count)
      prefetch(records.base + records.stride * records.ids[i + ahead], dim);
    if (records.ids == nullptr) prefetch_ahead(records.base + records.stride * record, records.stride);
    const auto* codes = reinterpret_cast<const std::uint8_t*>(records.base + records.stride * record);
    const auto dot = static_cast<float>(whole_product<format>(query, dim, codes));
    out[i] = constant + (factors == nullptr ? weight : weight * factors[record]) * dot;
  }
}

}  // namespace vicinal::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per target
