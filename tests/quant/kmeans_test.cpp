#include "vicinal/quant/kmeans.hpp"

#include <gtest/gtest.h>

#include <vector>

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

}  // namespace
}  // namespace vicinal
