#include "vicinal/quant/row_clusters.hpp"

#include <algorithm>

#include "vicinal/core/array.hpp"
#include "vicinal/core/metric.hpp"
#include "vicinal/quant/codec.hpp"
#include "vicinal/quant/covariance.hpp"
#include "vicinal/quant/kmeans.hpp"

namespace vicinal {
namespace {

constexpr std::size_t rows_per_cluster = 256;  // learnt from
constexpr std::size_t iterations = 20;
constexpr std::size_t iterations_at_once = 5;  // between two looks at the stop token
constexpr std::uint64_t sample_stream = 0x726F7763'6C757331;
constexpr std::uint64_t means_stream = 0x726F7763'6C757332;

// Kernels take the centroids in pairs of registers.
std::size_t padded_centroids(std::size_t count) { return count <= 16 ? 16 : (count + 31) / 32 * 32; }

void copy_row(std::span<const float> row, bool normalised, float* out) {
  if (normalised) {
    normalise(row, {out, row.size()});
  } else {
    std::ranges::copy(row, out);
  }
}

Clusters learn(MatrixView<const float> rows, bool normalised, std::size_t count, std::uint64_t seed,
               const BuildControl& control) {
  const std::vector<std::size_t> chosen =
      spread_rows(rows.rows(), count * rows_per_cluster, seed, sample_stream);
  const std::size_t dim = rows.cols();
  Array<float> points(checked_product(chosen.size(), dim, "rows to cluster"));
  for (std::size_t i = 0; i < chosen.size(); ++i)
    copy_row(rows[chosen[i]], normalised, points.data() + i * dim);
  Clusters clusters;
  for (std::size_t done = 0; done < iterations; done += iterations_at_once) {
    control.throw_if_stopped();
    improve_clusters(points.data(), chosen.size(), dim, padded_centroids(count), iterations_at_once, seed,
                     means_stream, clusters, count);
  }
  return clusters;
}

}  // namespace

std::vector<std::uint32_t> cluster_rows(MatrixView<const float> rows, bool normalised, std::size_t count,
                                        std::uint64_t seed, const BuildControl& control) {
  constexpr std::size_t rows_per_task = 256;
  (void)column_range({rows, normalised, "documents"}, control);
  const Clusters clusters = learn(rows, normalised, count, seed, control);
  std::vector<std::uint32_t> ids(rows.rows());
  control.executor.for_each((rows.rows() + rows_per_task - 1) / rows_per_task,
                            [&](std::size_t task, std::size_t) {
                              if (control.stop.stop_requested()) return;
                              const std::size_t first = task * rows_per_task;
                              const std::size_t own = std::min(rows_per_task, rows.rows() - first);
                              std::vector<float> points(own * rows.cols());
                              for (std::size_t i = 0; i < own; ++i)
                                copy_row(rows[first + i], normalised, points.data() + i * rows.cols());
                              nearest_centroids(points.data(), own, rows.cols(), padded_centroids(count),
                                                clusters.columns, ids.data() + first);
                            });
  control.throw_if_stopped();
  return ids;
}

}  // namespace vicinal
