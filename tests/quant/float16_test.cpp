// Both 16-bit formats, every code and every tie between neighbours.
#include "vicinal/quant/float16.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>

#include "kernel_oracle.hpp"

namespace vicinal {
namespace {

static_assert(f16_to_f32(0x3C00) == 1.0F && f16_to_f32(0x0001) == 0x1.0p-24F &&
              f16_to_f32(0xFBFF) == -65504.0F);
static_assert(f32_to_f16(1.0F) == 0x3C00 && f32_to_f16(65519.0F) == 0x7BFF && f32_to_f16(65520.0F) == 0x7C00);
static_assert(bf16_to_f32(0x3F80) == 1.0F && f32_to_bf16(1.0F + 0x1.0p-8F) == 0x3F80 &&
              f32_to_bf16(1.0F + 0x3.0p-8F) == 0x3F82);

constexpr float infinity = std::numeric_limits<float>::infinity();

struct Format {
  const char* name;
  float (*decode)(std::uint16_t);
  std::uint16_t (*encode)(float);
  double (*value)(std::uint16_t);
  std::uint16_t infinity;
  double beyond;  // what the code of infinity would stand for if it were finite
};

const Format formats[] = {{"f16", f16_to_f32, f32_to_f16, f16_value, 0x7C00, 0x1.0p16},
                          {"bf16", bf16_to_f32, f32_to_bf16, bf16_value, 0x7F80, 0x1.0p128}};

class Float16 : public testing::TestWithParam<Format> {
 protected:
  [[nodiscard]] static bool is_nan(std::uint16_t code) { return (code & 0x7FFFU) > GetParam().infinity; }
};

TEST_P(Float16, DecodesEveryCode) {
  for (std::uint32_t bits = 0; bits <= 0xFFFF; ++bits) {
    const auto code = static_cast<std::uint16_t>(bits);
    const float decoded = GetParam().decode(code);
    ASSERT_EQ(std::signbit(decoded), bits >> 15 != 0) << bits;
    if (is_nan(code)) {
      ASSERT_TRUE(std::isnan(decoded)) << bits;
    } else {
      ASSERT_EQ(static_cast<double>(decoded), GetParam().value(code)) << bits;
    }
  }
}

TEST_P(Float16, EncodesEveryCodesValueAsThatCode) {
  for (std::uint32_t bits = 0; bits <= 0xFFFF; ++bits) {
    const auto code = static_cast<std::uint16_t>(bits);
    const std::uint16_t again = GetParam().encode(GetParam().decode(code));
    if (is_nan(code)) {
      ASSERT_TRUE(is_nan(again) && again >> 15 == code >> 15) << bits;
    } else {
      ASSERT_EQ(again, code);
    }
  }
}

TEST_P(Float16, RoundsToNearestAndTiesToEven) {
  for (std::uint32_t bits = 0; bits < GetParam().infinity; ++bits) {
    const auto low = static_cast<std::uint16_t>(bits);
    const auto high = static_cast<std::uint16_t>(bits + 1);
    const double above = high == GetParam().infinity ? GetParam().beyond : GetParam().value(high);
    const auto middle = static_cast<float>((GetParam().value(low) + above) / 2);
    ASSERT_EQ(static_cast<double>(middle), (GetParam().value(low) + above) / 2)
        << "the tie is not a float: " << bits;
    for (const std::uint16_t sign : {std::uint16_t{0}, std::uint16_t{0x8000}}) {
      const float s = sign == 0 ? 1.0F : -1.0F;
      ASSERT_EQ(GetParam().encode(s * middle), sign | (low % 2 == 0 ? low : high)) << "tie above " << bits;
      ASSERT_EQ(GetParam().encode(s * std::nextafter(middle, 0.0F)), sign | low)
          << "below the tie above " << bits;
      ASSERT_EQ(GetParam().encode(s * std::nextafter(middle, infinity)), sign | high)
          << "beyond the tie above " << bits;
    }
  }
}

// A million floats spread evenly over all bit patterns (the step is odd, so low bits vary).
TEST_P(Float16, EncodesTheNearestCode) {
  for (std::uint64_t pattern = 0; pattern <= 0xFFFF'FFFF; pattern += 4099) {
    const auto value = std::bit_cast<float>(static_cast<std::uint32_t>(pattern));
    const std::uint16_t code = GetParam().encode(value);
    if (std::isnan(value)) {
      ASSERT_TRUE(is_nan(code)) << pattern;
      continue;
    }
    ASSERT_FALSE(is_nan(code)) << pattern;
    ASSERT_EQ(code >> 15, std::signbit(value) ? 1 : 0) << pattern;
    const double magnitude = std::abs(static_cast<double>(value));
    const auto magnitude_of = [](int bits) {
      return bits == GetParam().infinity ? GetParam().beyond
                                         : GetParam().value(static_cast<std::uint16_t>(bits));
    };
    const int positive = code & 0x7FFF;
    const double error = std::abs(magnitude_of(positive) - magnitude);
    if (positive > 0) {
      ASSERT_LE(error, std::abs(magnitude_of(positive - 1) - magnitude)) << pattern;
    }
    if (positive < GetParam().infinity) {
      ASSERT_LE(error, std::abs(magnitude_of(positive + 1) - magnitude)) << pattern;
    }
  }
}

TEST_P(Float16, KeepsInfinityAndZero) {
  EXPECT_EQ(GetParam().encode(infinity), GetParam().infinity);
  EXPECT_EQ(GetParam().encode(-infinity), GetParam().infinity | 0x8000);
  EXPECT_EQ(GetParam().encode(0.0F), 0);
  EXPECT_EQ(GetParam().encode(-0.0F), 0x8000);
  EXPECT_EQ(GetParam().encode(std::numeric_limits<float>::max()), GetParam().infinity);
  EXPECT_EQ(GetParam().encode(std::numeric_limits<float>::denorm_min()), 0);
}

INSTANTIATE_TEST_SUITE_P(Formats, Float16, testing::ValuesIn(formats),
                         [](const auto& tested) { return std::string(tested.param.name); });

// The compiler's own type: emulated by libgcc, so it needs no F16C.
#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ >= 12 && defined(__SSE2__)
TEST(Float16Compiler, HasTheSameConversions) {
  for (std::uint32_t bits = 0; bits <= 0xFFFF; ++bits) {
    const auto code = static_cast<std::uint16_t>(bits);
    if ((code & 0x7FFFU) > 0x7C00U) continue;
    ASSERT_PRED2(same_float, f16_to_f32(code), static_cast<float>(std::bit_cast<_Float16>(code))) << bits;
  }
  for (std::uint64_t pattern = 0; pattern <= 0xFFFF'FFFF; pattern += 4099) {
    const auto value = std::bit_cast<float>(static_cast<std::uint32_t>(pattern));
    if (std::isnan(value)) continue;
    ASSERT_EQ(f32_to_f16(value), std::bit_cast<std::uint16_t>(static_cast<_Float16>(value))) << pattern;
  }
}
#endif

}  // namespace
}  // namespace vicinal
