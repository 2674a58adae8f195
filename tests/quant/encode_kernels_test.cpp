// The encoders' loops of every instruction set against the plain ones, bit by bit.
#include "vicinal/quant/kernels/encode.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "vicinal/core/random.hpp"
#include "vicinal/quant/float16.hpp"

namespace vicinal {
namespace {

constexpr std::uint8_t untouched = 0xA5;

// Any float but NaN: bits of every exponent alike.
float draw_any(RandomStream& random) {
  for (;;) {
    const float value = std::bit_cast<float>(static_cast<std::uint32_t>(random.next()));
    if (!std::isnan(value)) return value;
  }
}

class EncodeKernelSet : public testing::TestWithParam<EncodeKernels> {
 protected:
  static const EncodeKernels& plain() { return available_encode_kernels().front(); }
};

struct Float8Case {
  const char* name;
  EncodeKernels::Float8Encoder EncodeKernels::*encode;
  std::uint8_t (*code)(float);
  float largest;
};
const Float8Case float8_cases[] = {{"e4m3", &EncodeKernels::e4m3, f32_to_f8<Float8Format::e4m3>, 448.0F},
                                   {"e5m2", &EncodeKernels::e5m2, f32_to_f8<Float8Format::e5m2>, 57344.0F},
                                   {"e3m4", &EncodeKernels::e3m4, f32_to_f8<Float8Format::e3m4>, 15.5F}};

// The middles of codes, which tie, and their neighbours; the ends of the range.
std::vector<float> hard_values(const Float8Case& which) {
  std::vector<float> values{0.0F,
                            std::numeric_limits<float>::infinity(),
                            std::numeric_limits<float>::max(),
                            std::numeric_limits<float>::min(),
                            std::numeric_limits<float>::denorm_min(),
                            which.largest,
                            std::nextafter(which.largest, 1e30F)};
  for (std::uint32_t bits = 0x3000'0000; bits < 0x4800'0000; bits += 0x0000'8000) {
    const auto middle = std::bit_cast<float>(bits);
    values.insert(values.end(), {middle, std::nextafter(middle, 0.0F), std::nextafter(middle, 1e30F)});
  }
  const std::size_t positive = values.size();
  for (std::size_t i = 0; i < positive; ++i) values.push_back(-values[i]);
  return values;
}

TEST_P(EncodeKernelSet, HasEveryLoop) {
  EXPECT_FALSE(GetParam().name.empty());
  for (const Float8Case& which : float8_cases) EXPECT_NE(GetParam().*which.encode, nullptr);
  EXPECT_NE(GetParam().f16, nullptr);
  EXPECT_NE(GetParam().bf16, nullptr);
  EXPECT_NE(GetParam().walsh_hadamard, nullptr);
  EXPECT_NE(GetParam().multiply, nullptr);
}

TEST_P(EncodeKernelSet, Float8CodesAreThoseOfEachValue) {
  for (const Float8Case& which : float8_cases) {
    std::vector<float> values = hard_values(which);
    RandomStream random(4, 1);
    for (int i = 0; i < 300'000; ++i) values.push_back(draw_any(random));
    std::vector<std::uint8_t> codes(values.size());
    (GetParam().*which.encode)(values.data(), values.size(), 1.0F, 1.0F, codes.data());
    for (std::size_t i = 0; i < values.size(); ++i)
      ASSERT_EQ(codes[i], which.code(values[i])) << which.name << " of " << values[i];
  }
}

TEST_P(EncodeKernelSet, Float8IsScaledBothTimesAndWritesNoFurther) {
  RandomStream random(5, 1);
  for (const Float8Case& which : float8_cases) {
    for (std::size_t count = 0; count < 70; ++count) {
      std::vector<float> values(count);
      for (float& value : values) value = static_cast<float>(random.next_unit() - 0.5) * 0x1.0p-140F;
      std::vector<std::uint8_t> codes(count + 20, untouched);
      (GetParam().*which.encode)(values.data(), count, 0x1.0p127F, 0x1.0p15F, codes.data());
      for (std::size_t i = 0; i < count; ++i)
        ASSERT_EQ(codes[i], which.code(values[i] * 0x1.0p127F * 0x1.0p15F)) << which.name << ", " << count;
      for (std::size_t i = count; i < codes.size(); ++i) ASSERT_EQ(codes[i], untouched) << count;
    }
  }
}

TEST_P(EncodeKernelSet, HalvesAreThoseOfEachValueAndTheLargestIsReturned) {
  std::vector<float> values;
  for (std::uint32_t bits = 0x3280'0000; bits < 0x4790'0000; bits += 0x1000) {
    const auto middle = std::bit_cast<float>(bits);
    values.insert(values.end(), {middle, -std::nextafter(middle, 0.0F), std::nextafter(middle, 1e30F)});
  }
  RandomStream random(6, 1);
  for (int i = 0; i < 300'000; ++i) values.push_back(draw_any(random));
  std::vector<std::uint16_t> codes(values.size());
  GetParam().f16(values.data(), values.size(), codes.data());
  for (std::size_t i = 0; i < values.size(); ++i) ASSERT_EQ(codes[i], f32_to_f16(values[i])) << values[i];
  GetParam().bf16(values.data(), values.size(), codes.data());
  for (std::size_t i = 0; i < values.size(); ++i) ASSERT_EQ(codes[i], f32_to_bf16(values[i])) << values[i];

  for (std::size_t count = 0; count < 70; ++count) {
    for (std::size_t place = 0; place < count; ++place) {
      std::vector<float> ones(count, 1.0F);
      ones[place] = -70000.0F;
      std::vector<std::uint16_t> few(count + 20, 0xA5A5);
      ASSERT_EQ(GetParam().f16(ones.data(), count, few.data()), 0x7C00) << count << ", " << place;
      ASSERT_EQ(few[place], 0xFC00);
      ASSERT_EQ(GetParam().bf16(ones.data(), count, few.data()), f32_to_bf16(70000.0F));
      for (std::size_t i = count; i < few.size(); ++i) ASSERT_EQ(few[i], 0xA5A5) << count;
    }
  }
}

TEST_P(EncodeKernelSet, TransformsHaveTheBitsOfTheDefinition) {
  RandomStream random(7, 1);
  for (std::size_t size = 1; size <= 4096; size *= 2) {
    for (const bool with_signs : {false, true}) {
      std::vector<float> values(size + 1);
      std::vector<float> by(size);
      for (float& value : values) value = static_cast<float>(random.next_unit() - 0.5);
      for (float& value : by) value = (random.next() & 1) != 0 ? 0.7F : -0.7F;
      std::vector<float> expected = values;
      plain().walsh_hadamard(expected.data() + 1, with_signs ? by.data() : nullptr, size);
      std::vector<float> got = values;
      GetParam().walsh_hadamard(got.data() + 1, with_signs ? by.data() : nullptr, size);
      ASSERT_EQ(std::memcmp(got.data(), expected.data(), got.size() * sizeof(float)), 0) << size;
      for (std::size_t j = 0; j < size; ++j) expected[j] = got[j] * by[j];
      GetParam().multiply(got.data(), by.data(), size);
      ASSERT_EQ(std::memcmp(got.data(), expected.data(), got.size() * sizeof(float)), 0) << size;
    }
  }
}

TEST_P(EncodeKernelSet, SumsHaveTheBitsOfTheDefinition) {
  RandomStream random(8, 1);
  for (std::size_t count = 0; count < 140; ++count) {
    std::vector<float> values(count);
    for (float& value : values) value = static_cast<float>(2 * random.next_unit() - 1);
    const float inverses[nibble_steps] = {7.5F, 9.75F, 12.0F, 15.25F};
    NibbleSums sums[nibble_steps];
    GetParam().nibble_sums(values.data(), count, inverses, sums);
    for (std::size_t step = 0; step < nibble_steps; ++step) {
      const float inverse = inverses[step];
      // By the definition: nearest of 16 odd numbers, lanes, then one after the other.
      float products[16] = {};
      float squares[16] = {};
      std::vector<std::uint8_t> halves(count, 99);
      GetParam().nibbles(values.data(), count, inverse, halves.data());
      for (std::size_t j = 0; j < count; ++j) {
        const double place = std::nearbyint(static_cast<double>(values[j] * inverse + 7.5F));
        ASSERT_EQ(halves[j], std::min(15.0, std::max(0.0, place)));
        const auto code = static_cast<float>(2 * halves[j] - 15);
        products[j % 16] += values[j] * code;
        squares[j % 16] += code * code;
      }
      NibbleSums expected;
      for (std::size_t lane = 0; lane < 16; ++lane) {
        expected.product += products[lane];
        expected.squares += squares[lane];
      }
      ASSERT_EQ(sums[step].product, expected.product) << count;
      ASSERT_EQ(sums[step].squares, expected.squares) << count;
    }
    for (const float threshold : {0.0F, 0.3F, 2.0F}) {
      float lanes[16] = {};
      std::int32_t above = 0;
      for (std::size_t j = 0; j < count; ++j) {
        if (std::abs(values[j]) <= threshold) continue;
        lanes[j % 16] += std::abs(values[j]);
        ++above;
      }
      float sum = 0;
      for (const float lane : lanes) sum += lane;
      const SumAbove got = GetParam().sum_above(values.data(), count, threshold);
      ASSERT_EQ(got.sum, sum) << count;
      ASSERT_EQ(got.count, above) << count;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Sets, EncodeKernelSet,
                         testing::ValuesIn(std::vector<EncodeKernels>(available_encode_kernels().begin(),
                                                                      available_encode_kernels().end())),
                         [](const auto& tested) { return std::string(tested.param.name); });

}  // namespace
}  // namespace vicinal
