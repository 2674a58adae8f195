#include "vicinal/quant/kmeans.hpp"

#include <gtest/gtest.h>

#include <vector>

#include "vicinal/core/executor.hpp"
#include "vicinal/quant/row_clusters.hpp"
#include "sample_vectors.hpp"

namespace vicinal {
namespace {

// Lloyd's two steps, until nothing changes: each centroid is the mean of its points, each point with its nearest centroid.
TEST(KMeans, EndsWhereNothingMoves) {
  constexpr std::size_t rows = 400;
  constexpr std::size_t dims = 2;
  const SampleVectors points = clustered_vectors(rows, dims, 6);
  Clusters clusters;
  improve_clusters(points.values.data(), rows, dims, 16, 500, 1, 1, clusters);
  ASSERT_EQ(clusters.ids.size(), rows);
  for (std::size_t c = 0; c < 16; ++c) {
    for (std::size_t j = 0; j < dims; ++j) {
      double sum = 0;
      std::size_t own = 0;
      for (std::size_t row = 0; row < rows; ++row) {
        if (clusters.ids[row] != c) continue;
        sum += static_cast<double>(points[row][j]);
        ++own;
      }
      ASSERT_GT(own, 0U);
      EXPECT_NEAR(static_cast<double>(clusters.columns[j * 16 + c]), sum / static_cast<double>(own), 1e-5);
    }
  }
}

// Heaps of equal points: as many centroids as there are values, even where all starts lie on few of them.
TEST(KMeans, GivesLostCentroidsToTheFarthestPoints) {
  constexpr std::size_t rows = 5000;
  std::vector<float> points(rows, 0.0F);
  for (std::size_t i = 0; i < 12; ++i) points[rows - 1 - i] = static_cast<float>(i + 1);
  Clusters clusters;
  improve_clusters(points.data(), rows, 1, 16, 30, 1, 1, clusters);
  for (std::size_t i = 0; i < rows; ++i) EXPECT_EQ(clusters.columns[clusters.ids[i]], points[i]);
}

TEST(KMeans, UsesNoMoreThanAsked) {
  constexpr std::size_t rows = 600;
  const SampleVectors points = clustered_vectors(rows, 3, 6);
  Clusters clusters;
  improve_clusters(points.values.data(), rows, 3, 16, 20, 1, 1, clusters, 5);
  std::vector<std::size_t> sizes(16);
  for (const std::uint32_t c : clusters.ids) ++sizes[c];
  for (std::size_t c = 0; c < 16; ++c) EXPECT_EQ(sizes[c] > 0, c < 5) << c;
}

// Near rows come together, far ones do not, whatever the number of threads.
TEST(RowClusters, AreThoseOfTheData) {
  std::vector<float> values;
  for (std::size_t row = 0; row < 2000; ++row) {
    for (std::size_t j = 0; j < 5; ++j)
      values.push_back((row % 40 == j * 7 ? 100.0F : 0.0F) +
                       static_cast<float>((row * 7 + j * 3) % 11) / 11.0F);
  }
  const MatrixView<const float> rows(values.data(), 2000, 5);
  for (const std::size_t count : {1U, 2U, 17U, 33U, 256U}) {
    const std::vector<std::uint32_t> ids = cluster_rows(rows, false, count, 3);
    ASSERT_EQ(ids.size(), 2000U);
    for (const std::uint32_t id : ids) EXPECT_LT(id, count);
    ThreadPool threads(3);
    BuildControl control;
    control.executor = threads;
    EXPECT_EQ(cluster_rows(rows, false, count, 3, control), ids);
    if (count < 17) continue;
    for (std::size_t row = 0; row < 40; ++row) {
      if (row % 7 != 0 || row >= 35) continue;
      EXPECT_NE(ids[row], ids[row + 1]) << row;
    }
  }
}

}  // namespace
}  // namespace vicinal
