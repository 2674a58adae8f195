#include "vicinal/index/calibration.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "vicinal/core/error.hpp"
#include "vicinal/core/executor.hpp"
#include "sample_data.hpp"

namespace vicinal {
namespace {

// Answers exactly, by the tests' own arithmetic, but forgets the nearest `forgotten` of every query.
struct Forgetful {
  const Rows& base;
  Metric metric;
  std::function<std::size_t(std::size_t effort)> forgotten;

  void operator()(const VectorBatch& queries, std::span<const std::uint32_t> absent, NeighborsView out,
                  std::size_t effort, const SearchControl&) const {
    for (std::size_t q = 0; q < queries.size(); ++q) {
      const auto passes = [&](Id id) { return absent.empty() || id != static_cast<Id>(absent[q]); };
      const std::size_t first = forgotten(effort);
      const auto found = exact_neighbors(base, queries.rows[q], metric, out.k(), passes);
      for (std::size_t i = first; i < found.size(); ++i) {
        out.ids[q][i - first] = found[i].second;
        out.distances[q][i - first] = static_cast<float>(found[i].first);
        ++out.counts[q];
      }
    }
  }
};

std::vector<double> recalls_of(const Calibration& calibration) {
  std::vector<double> recalls;
  for (const Calibration::Point& point : calibration.points) recalls.push_back(point.recall);
  return recalls;
}

class CalibrateTest : public ::testing::TestWithParam<Metric> {
 protected:
  Rows base_ = make_rows(640, 9, 81);
};

// The truth that is measured against is the truth: an exact search has recall 1 at once. A zero row has a cosine of 0.
TEST_P(CalibrateTest, AnExactSearchNeedsTheLeastEffort) {
  std::fill_n(base_.values.begin() + 9 * 5, 9, 0.0F);
  const Forgetful exact{base_, GetParam(), [](std::size_t) { return 0; }};
  const auto calibration = calibrate(base_.view(), GetParam(), {}, 1, exact);
  ASSERT_TRUE(calibration.has_value());
  EXPECT_EQ(calibration->k, 10U);
  EXPECT_EQ(calibration->queries, 500U);
  ASSERT_EQ(calibration->points.size(), 1U);
  EXPECT_EQ(calibration->points[0].effort, 10U);
  EXPECT_NEAR(calibration->points[0].recall, 1.0, 5e-4) << "the kernels' floats may swap a tie";
}

INSTANTIATE_TEST_SUITE_P(Metrics, CalibrateTest, ::testing::Values(Metric::l2, Metric::ip, Metric::cosine));

TEST_F(CalibrateTest, MeasuresHowMuchIsMissed) {
  const Forgetful search{base_, Metric::l2, [](std::size_t effort) {
                           return effort < 32 ? 3 : effort < 100 ? 1 : 0;
                         }};
  const auto calibration = calibrate(base_.view(), Metric::l2, {}, 1, search);
  ASSERT_TRUE(calibration.has_value());
  EXPECT_THAT(recalls_of(*calibration),
              ::testing::Pointwise(::testing::DoubleNear(1e-3), {0.7, 0.7, 0.7, 0.9, 0.9, 0.9, 0.9, 1.0}));
  EXPECT_EQ(calibration->points.back().effort, 128U);
}

TEST_F(CalibrateTest, NeverTellsThatMoreEffortFindsLess) {
  const Forgetful search{base_, Metric::l2, [](std::size_t effort) { return effort == 24 ? 1 : 4; }};
  const auto calibration = calibrate(base_.view(), Metric::l2, {}, 1, search);
  ASSERT_TRUE(calibration.has_value());
  EXPECT_THAT(recalls_of(*calibration), ::testing::Each(::testing::Ge(0.599)));
  EXPECT_THAT(recalls_of(*calibration),
              ::testing::WhenSorted(::testing::ElementsAreArray(recalls_of(*calibration))));
  EXPECT_NEAR(calibration->points.back().recall, 0.9, 1e-3);
}

TEST_F(CalibrateTest, SearchesForRowsThatAreToBeAbsent) {
  std::vector<std::uint32_t> sampled;
  const auto search = [&](const VectorBatch& queries, std::span<const std::uint32_t> absent, NeighborsView,
                          std::size_t, const SearchControl&) {
    ASSERT_EQ(queries.size(), absent.size());
    for (std::size_t q = 0; q < queries.size(); ++q) {
      EXPECT_TRUE(std::ranges::equal(queries.rows[q], base_[absent[q]]));
    }
    sampled.assign(absent.begin(), absent.end());
  };
  (void)calibrate(base_.view(), Metric::l2, {}, 1, search);
  EXPECT_EQ(std::set(sampled.begin(), sampled.end()).size(), 500U) << "each row once";
  EXPECT_GT(sampled.back(), 600U) << "from the whole base";
  const std::vector<std::uint32_t> first = sampled;
  (void)calibrate(base_.view(), Metric::l2, {}, 1, search);
  EXPECT_EQ(sampled, first);
  (void)calibrate(base_.view(), Metric::l2, {}, 2, search);
  EXPECT_NE(sampled, first) << "the seed chooses";
}

TEST_F(CalibrateTest, DoesNotDependOnThreads) {
  const Forgetful search{base_, Metric::cosine, [](std::size_t effort) { return effort < 64 ? 2 : 0; }};
  ThreadPool pool(4);
  BuildControl control;
  control.executor = pool;
  EXPECT_EQ(calibrate(base_.view(), Metric::cosine, {}, 1, search),
            calibrate(base_.view(), Metric::cosine, {}, 1, search, control));
}

TEST_F(CalibrateTest, ReadsTheBaseThroughItsStride) {
  std::vector<float> wide(640 * 11, 1e9F);
  for (std::size_t i = 0; i < 640; ++i) {
    std::ranges::copy(base_[i], wide.begin() + static_cast<std::ptrdiff_t>(11 * i));
  }
  const Forgetful search{base_, Metric::cosine, [](std::size_t effort) { return effort < 64 ? 2 : 0; }};
  EXPECT_EQ(calibrate(base_.view(), Metric::cosine, {}, 1, search),
            calibrate({wide.data(), 640, 9, 11}, Metric::cosine, {}, 1, search));
}

TEST_F(CalibrateTest, NeedsSomethingToMeasure) {
  const Forgetful search{base_, Metric::l2, [](std::size_t) { return 0; }};
  EXPECT_FALSE(calibrate(base_.view().rows_from(0, 1), Metric::l2, {}, 1, search).has_value());
}

TEST_F(CalibrateTest, StopsWhenAsked) {
  std::stop_source source;
  source.request_stop();
  BuildControl control;
  control.stop = source.get_token();
  const Forgetful search{base_, Metric::l2, [](std::size_t) { return 0; }};
  EXPECT_THROW((void)calibrate(base_.view(), Metric::l2, {}, 1, search, control), Cancelled);
}

}  // namespace
}  // namespace vicinal
