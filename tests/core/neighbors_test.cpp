#include "vicinal/core/neighbors.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <limits>
#include <set>
#include <vector>

#include "vicinal/core/error.hpp"

namespace vicinal {
namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;

MatrixView<const Id> matrix(const std::vector<Id>& ids, std::size_t cols) {
  return {ids.data(), ids.size() / cols, cols};
}

TEST(Neighbors, BeginEmpty) {
  Neighbors neighbors(2, 3);
  EXPECT_EQ(neighbors.size(), 2U);
  EXPECT_EQ(neighbors.k(), 3U);
  for (std::size_t q = 0; q < 2; ++q) {
    EXPECT_EQ(neighbors.counts()[q], 0U);
    for (std::size_t i = 0; i < 3; ++i) {
      EXPECT_EQ(neighbors.ids()[q][i], no_id);
      EXPECT_EQ(neighbors.distances()[q][i], no_distance);
    }
  }
  neighbors.view().rows_from(1, 1).ids[0][2] = 7;
  EXPECT_EQ(neighbors.ids()[1][2], 7);
}

TEST(Neighbors, RefusesSizesThatOverflow) {
  EXPECT_THROW(Neighbors(std::size_t{1} << 40, std::size_t{1} << 40), InvalidArgument);
}

TEST(Recall, CountsTheTrueNeighborsFound) {
  const std::vector<Id> truth = {1, 2, 3, 4, 5, 6};
  const std::vector<Id> found = {3, 1, 9, 6, 5, 4};
  EXPECT_DOUBLE_EQ(recall(matrix(found, 3), matrix(truth, 3), 3), (2.0 / 3 + 1) / 2);
  EXPECT_DOUBLE_EQ(recall(matrix(found, 3), matrix(truth, 3), 1), 0.0);
  EXPECT_DOUBLE_EQ(recall(matrix(found, 3), matrix(truth, 3), 2), (0.5 + 0.5) / 2);
}

TEST(Recall, ReadsOnlyTheFirstKColumnsOfTheTruth) {
  const std::vector<Id> truth = {1, 2, 3, 4};
  const std::vector<Id> found = {3, 4};
  EXPECT_DOUBLE_EQ(recall(matrix(found, 2), matrix(truth, 4), 2), 0.0);
}

TEST(Recall, NeverCountsPaddingOrRepeats) {
  const std::vector<Id> truth = {1, 2, -1, -1};
  EXPECT_DOUBLE_EQ(recall(matrix({1, 2, -1, -1}, 4), matrix(truth, 4), 4), 1.0);
  EXPECT_DOUBLE_EQ(recall(matrix({1, -1, -1, -1}, 4), matrix(truth, 4), 4), 0.5);
  EXPECT_DOUBLE_EQ(recall(matrix({-1, -1, -1, -1}, 4), matrix(truth, 4), 4), 0.0);
  EXPECT_DOUBLE_EQ(recall(matrix({1, 1, 1, 1}, 4), matrix(truth, 4), 4), 0.5);
}

TEST(Recall, LeavesOutQueriesWithoutTrueNeighbors) {
  EXPECT_DOUBLE_EQ(recall(matrix({1, 7, 5, 6}, 2), matrix({1, 2, -1, -1}, 2), 2), 0.5);
  EXPECT_DOUBLE_EQ(recall(matrix({1, 2}, 2), matrix({-1, -1}, 2), 2), 1.0);
  EXPECT_DOUBLE_EQ(recall(MatrixView<const Id>(nullptr, 0, 2), MatrixView<const Id>(nullptr, 0, 2), 2), 1.0);
}

RC_GTEST_PROP(Recall, AgreesWithSets, (std::uint8_t seed_k, const std::vector<std::uint8_t>& values)) {
  const std::size_t k = 1 + seed_k % 8;
  const std::size_t rows = values.size() / (2 * k);
  std::vector<Id> found;
  std::vector<Id> truth;
  for (std::size_t i = 0; i < rows * k; ++i) {
    found.push_back(static_cast<Id>(values[2 * i] % 12) - 1);
    truth.push_back(static_cast<Id>(values[2 * i + 1] % 12) - 1);
  }
  double sum = 0;
  std::size_t queries = 0;
  for (std::size_t q = 0; q < rows; ++q) {
    std::set<Id> true_ids(truth.data() + q * k, truth.data() + (q + 1) * k);
    std::set<Id> found_ids(found.data() + q * k, found.data() + (q + 1) * k);
    true_ids.erase(no_id);
    if (true_ids.empty()) continue;
    const auto hits =
        std::count_if(true_ids.begin(), true_ids.end(), [&](Id id) { return found_ids.contains(id); });
    sum += static_cast<double>(hits) / static_cast<double>(true_ids.size());
    ++queries;
  }
  const double expected = queries == 0 ? 1.0 : sum / static_cast<double>(queries);
  RC_ASSERT(recall({found.data(), rows, k}, {truth.data(), rows, k}, k) == expected);
}

TEST(Recall, NamesWhatDoesNotFit) {
  const std::vector<Id> six = {1, 2, 3, 4, 5, 6};
  EXPECT_THAT([&] { recall(matrix(six, 2), matrix(six, 3), 2); },
              ThrowsMessage<InvalidArgument>("results have 3 rows, true neighbors have 2"));
  EXPECT_THAT([&] { recall(matrix(six, 3), matrix(six, 3), 4); },
              ThrowsMessage<InvalidArgument>("recall@4 needs 4 columns, results have 3"));
  EXPECT_THAT(
      [&] {
        recall(MatrixView<const Id>(six.data(), 1, 6), matrix({1, 2}, 2), 4);
      },
      ThrowsMessage<InvalidArgument>("recall@4 needs 4 columns, true neighbors have 2"));
  EXPECT_THAT([&] { recall(matrix(six, 3), matrix(six, 3), 0); },
              ThrowsMessage<InvalidArgument>(HasSubstr("k must be")));
}

}  // namespace
}  // namespace vicinal
