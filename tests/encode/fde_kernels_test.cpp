// The loops of every instruction set against the plain ones, bit by bit.
#include "vicinal/encode/fde_kernels.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "vicinal/core/array.hpp"
#include "vicinal/core/random.hpp"
#include "vicinal/encode/maxsim_kernels.hpp"

namespace vicinal {
namespace {

Array<float> random_values(std::size_t count, std::uint64_t stream) {
  RandomStream random(5, stream);
  Array<float> values(count);
  for (float& v : values.span()) v = static_cast<float>(random.next_unit() * 2 - 1);
  return values;
}

void expect_same_bits(std::span<const float> got, std::span<const float> expected) {
  ASSERT_EQ(got.size(), expected.size());
  EXPECT_EQ(std::memcmp(got.data(), expected.data(), got.size_bytes()), 0);
}

class FdeKernelSet : public testing::TestWithParam<FdeKernels> {
 protected:
  static const FdeKernels& plain() { return available_fde_kernels().front(); }
};

TEST_P(FdeKernelSet, SignsOfValues) {
  for (const std::size_t count : {16U, 48U, 128U, 400U}) {
    Array<float> values = random_values(count, count);
    values[3] = 0.0F;
    values[4] = -0.0F;
    values[5] = std::numeric_limits<float>::denorm_min();
    std::vector<std::uint8_t> expected(count / 8 + 1, 0xA5);
    std::vector<std::uint8_t> got(count / 8 + 1, 0xA5);
    plain().positive_bits(values.data(), count, expected.data());
    GetParam().positive_bits(values.data(), count, got.data());
    EXPECT_EQ(got, expected);
    EXPECT_EQ(expected.back(), 0xA5);
    for (std::size_t j = 0; j < count; ++j)
      EXPECT_EQ((expected[j / 8] >> j % 8 & 1) != 0, values[j] > 0) << j;
  }
}

TEST_P(FdeKernelSet, CornersOfCrossPolytopes) {
  for (const std::size_t size : {1U, 2U, 4U, 8U, 16U, 64U}) {
    for (const std::size_t groups : {1U, 3U, 8U, 16U, 21U}) {
      Array<float> values(size * groups + fde_lanes);
      RandomStream random(7, size * 100 + groups);
      // Few different values, so that magnitudes are often equal, zeros of both signs among them.
      for (float& v : values.span())
        v = static_cast<float>(static_cast<int>(random.next_below(9)) - 4) * 0.25F;
      for (std::size_t i = 0; i < values.size(); i += 3) values[i] = values[i] == 0 ? -0.0F : values[i];
      std::vector<std::uint32_t> expected(groups + fde_lanes);
      std::vector<std::uint32_t> got(groups + fde_lanes);
      plain().corners(values.data(), groups, size, expected.data());
      GetParam().corners(values.data(), groups, size, got.data());
      for (std::size_t g = 0; g < groups; ++g) {
        EXPECT_EQ(got[g], expected[g]) << size << " " << groups << " " << g;
        const std::size_t place = expected[g] % size;
        const float winner = values[place * groups + g];
        EXPECT_EQ(expected[g] >= size, winner < 0);
        for (std::size_t j = 0; j < size; ++j) {
          const float magnitude = std::abs(values[j * groups + g]);
          EXPECT_TRUE(j < place ? magnitude < std::abs(winner) : magnitude <= std::abs(winner));
        }
      }
    }
  }
}

TEST_P(FdeKernelSet, SumsOfBuckets) {
  for (const std::size_t width : {16U, 32U, 128U, 144U}) {
    const std::size_t count = 37;
    const std::size_t buckets = 8;
    const Array<float> tokens = random_values(count * width, width);
    RandomStream random(1, width);
    std::vector<std::uint32_t> bucket(count);
    for (auto& b : bucket) b = static_cast<std::uint32_t>(random.next_below(buckets));
    Array<float> expected(buckets * width);
    Array<float> got(buckets * width);
    plain().add_rows(tokens.data(), bucket.data(), count, width, expected.data());
    GetParam().add_rows(tokens.data(), bucket.data(), count, width, got.data());
    expect_same_bits(got.span(), expected.span());
    EXPECT_EQ(std::bit_cast<std::uint32_t>(plain().squares(expected.data(), width)),
              std::bit_cast<std::uint32_t>(GetParam().squares(expected.data(), width)));
  }
}

TEST_P(FdeKernelSet, SketchesOfEverySize) {
  for (std::size_t size = 1; size <= 40; ++size) {
    for (const std::size_t chunks : {1U, 2U, 7U}) {
      const Array<float> values = random_values(chunks * size, size);
      Array<float> signs = random_values(chunks * size, size + 100);
      for (float& s : signs.span()) s = s > 0 ? 1.0F : -1.0F;
      Array<float> expected = random_values(size + 1, 7);
      Array<float> got = random_values(size + 1, 7);
      const float after = got[size];
      plain().add_sketch(values.data(), signs.data(), chunks, size, 0.37F, expected.data());
      GetParam().add_sketch(values.data(), signs.data(), chunks, size, 0.37F, got.data());
      expect_same_bits(got.span(), expected.span());
      EXPECT_EQ(got[size], after) << "writes beyond its " << size << " values";
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Sets, FdeKernelSet,
                         testing::ValuesIn(std::vector<FdeKernels>(available_fde_kernels().begin(),
                                                                   available_fde_kernels().end())),
                         [](const auto& set) { return std::string(set.param.name); });

class MaxSimKernelSet : public testing::TestWithParam<MaxSimKernels> {};

TEST_P(MaxSimKernelSet, TheLeastOfEveryCount) {
  EXPECT_EQ(GetParam().minimum(nullptr, 0), std::numeric_limits<float>::infinity());
  for (std::size_t count = 1; count < 140; ++count) {
    Array<float> values = random_values(count, count);
    for (const std::size_t place : {std::size_t{0}, count / 2, count - 1}) {
      const float before = values[place];
      values[place] = -3.0F;
      EXPECT_EQ(GetParam().minimum(values.data(), count), -3.0F) << count << " at " << place;
      values[place] = before;
    }
    EXPECT_EQ(GetParam().minimum(values.data(), count), *std::ranges::min_element(values.span())) << count;
  }
}

INSTANTIATE_TEST_SUITE_P(Sets, MaxSimKernelSet,
                         testing::ValuesIn(std::vector<MaxSimKernels>(available_maxsim_kernels().begin(),
                                                                      available_maxsim_kernels().end())),
                         [](const auto& set) { return std::string(set.param.name); });

}  // namespace
}  // namespace vicinal
