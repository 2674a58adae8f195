#include "vicinal/quant/rotation.hpp"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>
#include <xxhash.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "sample_vectors.hpp"

namespace vicinal {
namespace {

constexpr std::size_t dims[] = {1, 2, 3, 64, 100, 384, 784, 1536};

std::vector<float> rotated(const Rotation& rotation, std::span<const float> vector) {
  std::vector<float> result(vector.begin(), vector.end());
  rotation.apply(result);
  return result;
}

std::vector<float> random_vector(std::size_t dim, std::uint64_t seed) {
  RandomStream random(seed, 17);
  std::vector<float> vector(dim);
  for (float& v : vector) v = draw_normal(random);
  return vector;
}

class Rotations : public testing::TestWithParam<std::size_t> {};

TEST_P(Rotations, KeepNormsAndInnerProducts) {
  const std::size_t dim = GetParam();
  for (std::uint64_t seed = 0; seed < 5; ++seed) {
    const Rotation rotation(dim, seed);
    EXPECT_EQ(rotation.dim(), dim);
    const std::vector<float> a = random_vector(dim, 2 * seed);
    const std::vector<float> b = random_vector(dim, 2 * seed + 1);
    const std::vector<float> ra = rotated(rotation, a);
    const std::vector<float> rb = rotated(rotation, b);
    EXPECT_NEAR(norm_of(ra), norm_of(a), 1e-5 * norm_of(a));
    EXPECT_NEAR(dot_of(ra, rb), dot_of(a, b), 1e-5 * norm_of(a) * norm_of(b));
    EXPECT_NEAR(l2_of(ra, rb), l2_of(a, b), 1e-5 * l2_of(a, b));
  }
}

TEST_P(Rotations, AreUndoneByTheirInverse) {
  const Rotation rotation(GetParam(), 3);
  const std::vector<float> vector = random_vector(GetParam(), 1);
  std::vector<float> there_and_back = rotated(rotation, vector);
  rotation.apply_inverse(there_and_back);
  std::vector<float> back_and_there = vector;
  rotation.apply_inverse(back_and_there);
  rotation.apply(back_and_there);
  for (std::size_t j = 0; j < vector.size(); ++j) {
    ASSERT_NEAR(there_and_back[j], vector[j], 1e-5) << j;
    ASSERT_NEAR(back_and_there[j], vector[j], 1e-5) << j;
  }
}

TEST_P(Rotations, DependOnTheSeedAlone) {
  const std::vector<float> vector = random_vector(GetParam(), 1);
  EXPECT_EQ(rotated(Rotation(GetParam(), 5), vector), rotated(Rotation(GetParam(), 5), vector));
  // One or two signs may well agree.
  if (GetParam() < 8) return;
  EXPECT_NE(rotated(Rotation(GetParam(), 5), vector), rotated(Rotation(GetParam(), 6), vector));
  EXPECT_NE(rotated(Rotation(GetParam(), 5), vector),
            rotated(Rotation(GetParam(), 5 + (std::uint64_t{1} << 32)), vector));
}

class WideRotations : public testing::TestWithParam<std::size_t> {};

// Wherever the energy of a vector lies, afterwards no coordinate has much of it. A normal variable of variance 1 / dim passes
// six deviations in two of 10^9 draws; overlapping blocks make the variances of coordinates unequal, by a factor below two.
TEST_P(WideRotations, SpreadTheEnergyOfEveryOneHotVector) {
  const std::size_t dim = GetParam();
  const Rotation rotation(dim, 11);
  double fourth_powers = 0;
  for (std::size_t hot = 0; hot < dim; ++hot) {
    std::vector<float> vector(dim, 0.0F);
    vector[hot] = 1.0F;
    rotation.apply(vector);
    for (const float v : vector) {
      const double square = static_cast<double>(v) * static_cast<double>(v);
      ASSERT_LT(square * static_cast<double>(dim), 2.0 * 36.0) << "one-hot at " << hot;
      fourth_powers += square * square;
    }
  }
  // The mean kurtosis over all pairs of coordinates: 3 for normal variables, dim without any spreading.
  EXPECT_LT(fourth_powers * static_cast<double>(dim), 4.0 * static_cast<double>(dim));
}

INSTANTIATE_TEST_SUITE_P(Dimensions, WideRotations, testing::Values(64, 65, 100, 384, 784, 1536),
                         [](const auto& tested) { return std::to_string(tested.param); });
INSTANTIATE_TEST_SUITE_P(Dimensions, Rotations, testing::ValuesIn(dims),
                         [](const auto& tested) { return std::to_string(tested.param); });

RC_GTEST_PROP(Rotation, IsOrthogonalInEveryDimension, ()) {
  const auto dim = *rc::gen::inRange<std::size_t>(1, 2000);
  const Rotation rotation(dim, *rc::gen::arbitrary<std::uint64_t>());
  const std::vector<float> a = random_vector(dim, *rc::gen::arbitrary<std::uint64_t>());
  const std::vector<float> b = random_vector(dim, *rc::gen::arbitrary<std::uint64_t>());
  const double product = dot_of(rotated(rotation, a), rotated(rotation, b));
  RC_ASSERT(std::abs(product - dot_of(a, b)) <= 1e-5 * norm_of(a) * norm_of(b));
}

// Files hold only the seed, so a rotation may never change: records written before could not be compared with queries any more.
// When a hash differs, the rotation is at fault, not the hash. For a rotation of a new kind, which needs a version of its own in
// the file, the test prints what to write here.
TEST(Rotation, HasTheBitsThatFilesRelyOn) {
  constexpr std::pair<std::size_t, std::uint64_t> golden[] = {
      {1, 0xADEB6DC039F44DB0},   {2, 0x4931D441DDD3EB07},   {3, 0xDD8823FAD4690C92},
      {64, 0x8CD9340793FBEBD9},  {100, 0x085979CC846BFA48}, {384, 0x72B469F311E8BEB9},
      {784, 0x4AFEC913EEC52296}, {1536, 0x592F73451E8BE022}};
  for (const auto& [dim, hash] : golden) {
    // Multiples of 1/16 from -2 to 2, drawn without any rounding.
    RandomStream random(dim, 18);
    std::vector<float> vector(dim);
    for (float& v : vector) v = (static_cast<float>(random.next_below(65)) - 32.0F) / 16.0F;
    Rotation(dim, 0x1234'5678'9ABC'DEF0).apply(vector);
    const std::uint64_t got = XXH3_64bits(vector.data(), vector.size() * sizeof(float));
    char text[64];
    std::snprintf(text, sizeof(text), "{%zu, 0x%016llX}", dim, static_cast<unsigned long long>(got));
    EXPECT_EQ(got, hash) << "now: " << text;
  }
}

}  // namespace
}  // namespace vicinal
