// The loops of encode.hpp, written once and compiled for every instruction set (included by encode_portable.cpp through
// foreach_target).
#if defined(VICINAL_QUANT_ENCODE_KERNELS_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef VICINAL_QUANT_ENCODE_KERNELS_INL
#undef VICINAL_QUANT_ENCODE_KERNELS_INL
#else
#define VICINAL_QUANT_ENCODE_KERNELS_INL
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "vicinal/quant/kernels/encode.hpp"

// Without a vector unit the plain loops of encode_scalar.cpp serve.
#if HWY_TARGET != HWY_SCALAR
HWY_BEFORE_NAMESPACE();
namespace vicinal::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using ValueTag = hn::CappedTag<float, 16>;
using BitsTag = hn::RebindToUnsigned<ValueTag>;
using SignedBitsTag = hn::RebindToSigned<ValueTag>;
using ValueVector = hn::Vec<ValueTag>;
using BitsVector = hn::Vec<BitsTag>;
inline constexpr std::size_t value_lanes = hn::MaxLanes(ValueTag());

// The magnitude bits of a binary32 to a float of fewer bits, to nearest, ties to even, as f32_to_f8 and f32_to_f16 do it. `most`, the
// magnitude that gives the largest code, bounds what is above it.
template <int mantissa_bits, int bias>
HWY_INLINE BitsVector narrow(BitsVector magnitude, std::uint32_t most) {
  const BitsTag du;
  const ValueTag df;
  constexpr int dropped = 23 - mantissa_bits;
  constexpr std::uint32_t smallest_normal = static_cast<std::uint32_t>(128 - bias) << 23U;
  constexpr std::uint32_t magic = static_cast<std::uint32_t>(128 - bias - mantissa_bits + 23) << 23U;
  constexpr std::uint32_t rebias = static_cast<std::uint32_t>(127 - bias) << 23U;
  const auto clamped = hn::Min(magnitude, hn::Set(du, most));
  const auto odd = hn::And(hn::ShiftRight<dropped>(clamped), hn::Set(du, 1));
  const auto rounding = hn::Set(du, (std::uint32_t{1} << (dropped - 1)) - 1 - rebias);
  const auto normal = hn::ShiftRight<dropped>(hn::Add(hn::Add(clamped, rounding), odd));
  // A sum whose last place is one unit of the subnormal codes: the adder rounds.
  const auto sum = hn::Add(hn::BitCast(df, clamped), hn::BitCast(df, hn::Set(du, magic)));
  const auto subnormal = hn::Sub(hn::BitCast(du, sum), hn::Set(du, magic));
  const SignedBitsTag ds;  // Comparisons of signed integers are the ones every instruction set has.
  const auto is_small =
      hn::Lt(hn::BitCast(ds, clamped), hn::Set(ds, static_cast<std::int32_t>(smallest_normal)));
  return hn::IfThenElse(hn::RebindMask(du, is_small), subnormal, normal);
}

template <Float8Format format>
HWY_INLINE void encode_float8_lanes(const float* values, ValueVector first, ValueVector second,
                                    std::uint8_t* codes) {
  using Traits = Float8Traits<format>;
  const BitsTag du;
  constexpr std::uint32_t most = std::bit_cast<std::uint32_t>(f8_to_f32<format>(Traits::largest_code));
  const auto scaled = hn::Mul(hn::Mul(hn::LoadU(ValueTag(), values), first), second);
  const auto bits = hn::BitCast(du, scaled);
  const auto code =
      narrow<Traits::mantissa_bits, Traits::bias>(hn::And(bits, hn::Set(du, 0x7FFF'FFFFU)), most);
  const auto sign = hn::And(hn::ShiftRight<24>(bits), hn::Set(du, 0x80U));
  const hn::Rebind<std::uint8_t, ValueTag> d8;
  hn::StoreU(hn::DemoteTo(d8, hn::BitCast(SignedBitsTag(), hn::Or(code, sign))), d8, codes);
}

template <Float8Format format>
void encode_float8(const float* values, std::size_t count, float first, float second, std::uint8_t* codes) {
  const auto by_first = hn::Set(ValueTag(), first);
  const auto by_second = hn::Set(ValueTag(), second);
  std::size_t j = 0;
  for (; j + value_lanes <= count; j += value_lanes)
    encode_float8_lanes<format>(values + j, by_first, by_second, codes + j);
  if (j == count) return;
  HWY_ALIGN float rest[value_lanes] = {};
  HWY_ALIGN std::uint8_t rest_codes[value_lanes];
  std::memcpy(rest, values + j, (count - j) * sizeof(float));
  encode_float8_lanes<format>(rest, by_first, by_second, rest_codes);
  std::memcpy(codes + j, rest_codes, count - j);
}

struct ToF16 {
  // From 2^16 on, infinity.
  static HWY_INLINE BitsVector code(BitsVector magnitude) { return narrow<10, 15>(magnitude, 0x4780'0000U); }
};
struct ToBF16 {
  static HWY_INLINE BitsVector code(BitsVector magnitude) {
    const BitsTag du;
    const auto odd = hn::And(hn::ShiftRight<16>(magnitude), hn::Set(du, 1));
    return hn::ShiftRight<16>(hn::Add(hn::Add(magnitude, hn::Set(du, 0x7FFFU)), odd));
  }
};

// Returns the codes without their signs.
template <class Format>
HWY_INLINE BitsVector encode_half_lanes(const float* values, std::uint16_t* codes) {
  const BitsTag du;
  const auto bits = hn::BitCast(du, hn::LoadU(ValueTag(), values));
  const auto code = Format::code(hn::And(bits, hn::Set(du, 0x7FFF'FFFFU)));
  const auto sign = hn::And(hn::ShiftRight<16>(bits), hn::Set(du, 0x8000U));
  const hn::Rebind<std::uint16_t, ValueTag> d16;
  hn::StoreU(hn::DemoteTo(d16, hn::BitCast(SignedBitsTag(), hn::Or(code, sign))), d16, codes);
  return code;
}

template <class Format>
std::uint16_t encode_half(const float* values, std::size_t count, std::uint16_t* codes) {
  const BitsTag du;
  auto largest = hn::Zero(du);
  std::size_t j = 0;
  for (; j + value_lanes <= count; j += value_lanes)
    largest = hn::Max(largest, encode_half_lanes<Format>(values + j, codes + j));
  if (j != count) {
    HWY_ALIGN float rest[value_lanes] = {};
    HWY_ALIGN std::uint16_t rest_codes[value_lanes];
    std::memcpy(rest, values + j, (count - j) * sizeof(float));
    largest = hn::Max(largest, encode_half_lanes<Format>(rest, rest_codes));
    std::memcpy(codes + j, rest_codes, (count - j) * sizeof(std::uint16_t));
  }
  HWY_ALIGN std::uint32_t lanes[value_lanes];
  hn::Store(largest, du, lanes);
  return static_cast<std::uint16_t>(*std::max_element(lanes, lanes + value_lanes));
}

// One level within a register: `other` is v with the elements of each pair exchanged, `odd` has the sign bit where an element is its
// pair's second. a + b is b + a, and a - b is a + (-b), bit for bit.
HWY_INLINE ValueVector butterfly(ValueVector v, ValueVector other, ValueVector odd) {
  return hn::Add(other, hn::Xor(v, odd));
}

// The levels that fit in a register. `odd` holds one vector a level.
HWY_INLINE ValueVector transform_register(ValueVector v, const ValueVector* odd) {
  v = butterfly(v, hn::Shuffle2301(v), odd[0]);
  v = butterfly(v, hn::Shuffle1032(v), odd[1]);
#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL
  v = butterfly(v, hn::SwapAdjacentBlocks(v), odd[2]);
  v = butterfly(v, hn::ConcatLowerUpper(ValueTag(), v, v), odd[3]);
#elif HWY_TARGET == HWY_AVX2
  v = butterfly(v, hn::ConcatLowerUpper(ValueTag(), v, v), odd[2]);
#else
  static_assert(value_lanes == 4);
#endif
  return v;
}

// Two levels of four registers: pairs (0, 1) and (2, 3), then (0, 2) and (1, 3).
HWY_INLINE void transform_four(ValueVector& v0, ValueVector& v1, ValueVector& v2, ValueVector& v3) {
  const auto a = hn::Add(v0, v1);
  const auto b = hn::Sub(v0, v1);
  const auto c = hn::Add(v2, v3);
  const auto d = hn::Sub(v2, v3);
  v0 = hn::Add(a, c);
  v1 = hn::Add(b, d);
  v2 = hn::Sub(a, c);
  v3 = hn::Sub(b, d);
}

// The levels that fit in four registers.
template <bool multiplies>
HWY_INLINE void transform_lines(float* values, const float* signs, std::size_t size, const ValueVector* odd) {
  const ValueTag d;
  for (std::size_t i = 0; i < size; i += 4 * value_lanes) {
    ValueVector v[4];
    for (std::size_t r = 0; r < 4; ++r) {
      v[r] = hn::LoadU(d, values + i + r * value_lanes);
      if constexpr (multiplies) v[r] = hn::Mul(v[r], hn::LoadU(d, signs + i + r * value_lanes));
      v[r] = transform_register(v[r], odd);
    }
    transform_four(v[0], v[1], v[2], v[3]);
    for (std::size_t r = 0; r < 4; ++r) hn::StoreU(v[r], d, values + i + r * value_lanes);
  }
}

void multiply(float* values, const float* by, std::size_t size) {
  const ValueTag d;
  std::size_t j = 0;
  for (; j + value_lanes <= size; j += value_lanes)
    hn::StoreU(hn::Mul(hn::LoadU(d, values + j), hn::LoadU(d, by + j)), d, values + j);
  for (; j < size; ++j) values[j] *= by[j];
}

void walsh_hadamard(float* values, const float* signs, std::size_t size) {
  const ValueTag d;
  if (size < 4 * value_lanes) return scalar_encode_kernels().walsh_hadamard(values, signs, size);
  ValueVector odd[4];
  for (std::size_t level = 0; std::size_t{1} << level < value_lanes; ++level) {
    HWY_ALIGN float lanes[value_lanes];
    for (std::size_t j = 0; j < value_lanes; ++j) lanes[j] = (j >> level & 1) != 0 ? -0.0F : 0.0F;
    odd[level] = hn::Load(d, lanes);
  }
  if (signs != nullptr) {
    transform_lines<true>(values, signs, size, odd);
  } else {
    transform_lines<false>(values, signs, size, odd);
  }
  std::size_t half = 4 * value_lanes;
  for (; half * 2 < size; half *= 4) {
    for (std::size_t start = 0; start < size; start += 4 * half) {
      for (std::size_t i = start; i < start + half; i += value_lanes) {
        auto v0 = hn::LoadU(d, values + i);
        auto v1 = hn::LoadU(d, values + i + half);
        auto v2 = hn::LoadU(d, values + i + 2 * half);
        auto v3 = hn::LoadU(d, values + i + 3 * half);
        transform_four(v0, v1, v2, v3);
        hn::StoreU(v0, d, values + i);
        hn::StoreU(v1, d, values + i + half);
        hn::StoreU(v2, d, values + i + 2 * half);
        hn::StoreU(v3, d, values + i + 3 * half);
      }
    }
  }
  if (half == size) return;
  for (std::size_t i = 0; i < half; i += value_lanes) {
    const auto a = hn::LoadU(d, values + i);
    const auto b = hn::LoadU(d, values + i + half);
    hn::StoreU(hn::Add(a, b), d, values + i);
    hn::StoreU(hn::Sub(a, b), d, values + i + half);
  }
}

inline constexpr std::size_t sum_lanes = 16;
inline constexpr std::size_t sum_vectors = sum_lanes / value_lanes;

// The last elements, fewer than the lanes, then the lanes in order.
template <class Term>
HWY_INLINE float fold_lanes(const ValueVector* sums, const float* rest, std::size_t count, Term term) {
  HWY_ALIGN float lanes[sum_lanes];
  for (std::size_t v = 0; v < sum_vectors; ++v) hn::Store(sums[v], ValueTag(), lanes + v * value_lanes);
  for (std::size_t j = 0; j < count; ++j) lanes[j] += term(rest[j]);
  float sum = 0;
  for (const float lane : lanes) sum += lane;
  return sum;
}

// As nibble_of() has it, as floats.
HWY_INLINE ValueVector nibble_lanes(ValueVector values, ValueVector by) {
  const ValueTag d;
  const auto magic = hn::Set(d, 0x1.8p23F);
  const auto rounded = hn::Sub(hn::Add(hn::Add(hn::Mul(values, by), hn::Set(d, 7.5F)), magic), magic);
  return hn::Min(hn::Max(rounded, hn::Zero(d)), hn::Set(d, 15.0F));
}

// Of `steps` step widths at once, as many as registers hold sums for: what one waits for, others need not. Codes and sums of their
// squares are whole numbers that floats hold: fused or not, in any order, they are the same.
template <std::size_t steps>
HWY_INLINE void nibble_sums_of(const float* values, std::size_t count, const float* inverses,
                               NibbleSums* sums) {
  const ValueTag d;
  const auto two = hn::Set(d, 2.0F);
  const auto most = hn::Set(d, 15.0F);
  ValueVector products[steps][sum_vectors];
  ValueVector squares[steps];
  for (std::size_t s = 0; s < steps; ++s) {
    squares[s] = hn::Zero(d);
    for (std::size_t v = 0; v < sum_vectors; ++v) products[s][v] = hn::Zero(d);
  }
  const std::size_t whole = count / sum_lanes * sum_lanes;
  for (std::size_t j = 0; j < whole; j += sum_lanes) {
    for (std::size_t v = 0; v < sum_vectors; ++v) {
      const auto x = hn::LoadU(d, values + j + v * value_lanes);
      for (std::size_t s = 0; s < steps; ++s) {
        const auto code = hn::MulSub(nibble_lanes(x, hn::Set(d, inverses[s])), two, most);
        products[s][v] = hn::Add(products[s][v], hn::Mul(x, code));
        squares[s] = hn::MulAdd(code, code, squares[s]);
      }
    }
  }
  for (std::size_t s = 0; s < steps; ++s) {
    const auto code_of = [inverse = inverses[s]](float x) {
      return static_cast<float>(2 * nibble_of(x, inverse) - 15);
    };
    sums[s].product =
        fold_lanes(products[s], values + whole, count - whole, [&](float x) { return x * code_of(x); });
    sums[s].squares = hn::GetLane(hn::SumOfLanes(d, squares[s]));
    for (std::size_t j = whole; j < count; ++j) sums[s].squares += code_of(values[j]) * code_of(values[j]);
  }
}

inline void nibble_sums(const float* values, std::size_t count, const float* inverses, NibbleSums* sums) {
  constexpr std::size_t steps = value_lanes == 16 ? 4 : value_lanes == 8 ? 2 : 1;
  static_assert(nibble_steps % steps == 0);
  for (std::size_t s = 0; s < nibble_steps; s += steps)
    nibble_sums_of<steps>(values, count, inverses + s, sums + s);
}

inline void nibbles(const float* values, std::size_t count, float inverse, std::uint8_t* halves) {
  const ValueTag d;
  const hn::Rebind<std::uint8_t, ValueTag> d8;
  const auto by = hn::Set(d, inverse);
  std::size_t j = 0;
  for (; j + value_lanes <= count; j += value_lanes) {
    const auto half = hn::ConvertTo(SignedBitsTag(), nibble_lanes(hn::LoadU(d, values + j), by));
    hn::StoreU(hn::DemoteTo(d8, half), d8, halves + j);
  }
  for (; j < count; ++j) halves[j] = static_cast<std::uint8_t>(nibble_of(values[j], inverse));
}

inline SumAbove sum_above(const float* values, std::size_t count, float threshold) {
  const ValueTag d;
  const auto least = hn::Set(d, threshold);
  ValueVector sums[sum_vectors];
  for (std::size_t v = 0; v < sum_vectors; ++v) sums[v] = hn::Zero(d);
  SumAbove above;
  const std::size_t whole = count / sum_lanes * sum_lanes;
  for (std::size_t j = 0; j < whole; j += sum_lanes) {
    for (std::size_t v = 0; v < sum_vectors; ++v) {
      const auto magnitude = hn::Abs(hn::LoadU(d, values + j + v * value_lanes));
      const auto is_above = hn::Gt(magnitude, least);
      sums[v] = hn::Add(sums[v], hn::IfThenElseZero(is_above, magnitude));
      above.count += static_cast<std::int32_t>(hn::CountTrue(d, is_above));
    }
  }
  for (std::size_t j = whole; j < count; ++j) above.count += std::abs(values[j]) > threshold ? 1 : 0;
  above.sum = fold_lanes(sums, values + whole, count - whole,
                         [threshold](float x) { return std::abs(x) > threshold ? std::abs(x) : 0.0F; });
  return above;
}

}  // namespace vicinal::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // HWY_SCALAR

#endif  // per target
