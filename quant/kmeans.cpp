#include "vicinal/quant/kmeans.hpp"

#include <algorithm>
#include <utility>

#include "vicinal/core/random.hpp"
#include "vicinal/quant/kernels/product.hpp"

namespace vicinal {
namespace {

constexpr float largest_centroid = 0x1.0p54F;

class Lloyd {
 public:
  Lloyd(const float* points, std::size_t rows, std::size_t dims, std::size_t count, std::size_t most_used,
        Clusters& clusters)
      : points_(points),
        rows_(rows),
        dims_(dims),
        count_(count),
        used_(std::min({rows, count, most_used})),
        clusters_(clusters),
        sums_(count * dims),
        sizes_(count),
        next_(rows) {}

  void begin_with_points(std::uint64_t seed, std::uint64_t stream) {
    clusters_.columns = Array<float>(dims_ * count_);
    RandomStream random(seed, stream);
    for (std::size_t c = 0; c < used_; ++c) {
      const std::size_t first = c * rows_ / used_;
      const std::size_t end = (c + 1) * rows_ / used_;
      set_centroid(c, point(first + random.next_below(end - first)));
    }
    repeat_first();
  }

  // Whether a point changed its centroid.
  bool assign() {
    nearest_centroids(points_, rows_, dims_, count_, clusters_.columns, next_.data());
    const bool changed = next_ != clusters_.ids;
    std::swap(next_, clusters_.ids);
    next_.resize(rows_);
    return changed;
  }

  void move_centroids() {
    std::fill(sums_.begin(), sums_.end(), 0.0);
    std::fill(sizes_.begin(), sizes_.end(), 0U);
    for (std::size_t i = 0; i < rows_; ++i) {
      const std::uint32_t c = clusters_.ids[i];
      ++sizes_[c];
      double* const sum = sums_.data() + c * dims_;
      for (std::size_t j = 0; j < dims_; ++j) sum[j] += static_cast<double>(points_[i * dims_ + j]);
    }
    std::vector<float> mean(dims_);
    std::vector<std::size_t> lost;
    for (std::size_t c = 0; c < used_; ++c) {
      if (sizes_[c] == 0) {
        lost.push_back(c);
        continue;
      }
      for (std::size_t j = 0; j < dims_; ++j)
        mean[j] = static_cast<float>(sums_[c * dims_ + j] / static_cast<double>(sizes_[c]));
      set_centroid(c, mean.data());
    }
    if (!lost.empty()) replace(lost);
    repeat_first();
  }

 private:
  [[nodiscard]] const float* point(std::size_t i) const { return points_ + i * dims_; }
  void set_centroid(std::size_t c, const float* values) {
    for (std::size_t j = 0; j < dims_; ++j)
      clusters_.columns[j * count_ + c] = std::clamp(values[j], -largest_centroid, largest_centroid);
  }
  void repeat_first() {
    for (std::size_t j = 0; j < dims_; ++j) {
      float* const row = clusters_.columns.data() + j * count_;
      std::fill(row + used_, row + count_, row[0]);
    }
  }

  // Centroids without points become the points that are farthest from their centroids; of equally far ones the first.
  void replace(const std::vector<std::size_t>& lost) {
    std::vector<std::pair<float, std::size_t>> errors(rows_);
    for (std::size_t i = 0; i < rows_; ++i) {
      float error = 0;
      for (std::size_t j = 0; j < dims_; ++j) {
        const float difference = points_[i * dims_ + j] - clusters_.columns[j * count_ + clusters_.ids[i]];
        error += difference * difference;
      }
      errors[i] = {-error, i};
    }
    std::partial_sort(errors.begin(), errors.begin() + static_cast<std::ptrdiff_t>(lost.size()),
                      errors.end());
    for (std::size_t i = 0; i < lost.size(); ++i) {
      // Where all points lie on centroids there is nothing to gain: the centroid repeats another.
      set_centroid(lost[i], point(errors[i].second));
    }
  }

  const float* points_;
  std::size_t rows_;
  std::size_t dims_;
  std::size_t count_;
  std::size_t used_;  // centroids that may have points of their own
  Clusters& clusters_;
  std::vector<double> sums_;
  std::vector<std::uint32_t> sizes_;
  std::vector<std::uint32_t> next_;
};

}  // namespace

std::vector<std::size_t> spread_rows(std::size_t rows, std::size_t wanted, std::uint64_t seed,
                                     std::uint64_t stream) {
  const std::size_t count = std::min(rows, wanted);
  RandomStream random(seed, stream);
  std::vector<std::size_t> chosen(count);
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t first = i * rows / count;
    chosen[i] = first + random.next_below((i + 1) * rows / count - first);
  }
  return chosen;
}

void nearest_centroids(const float* points, std::size_t rows, std::size_t dims, std::size_t count,
                       const Array<float>& columns, std::uint32_t* ids) {
  std::vector<float> start(count);  // half the squared length of each centroid
  for (std::size_t j = 0; j < dims; ++j) {
    for (std::size_t c = 0; c < count; ++c) {
      const float x = columns[j * count + c];
      start[c] += 0.5F * x * x;
    }
  }
  product_kernels().nearest_by_product(points, dims, rows, columns.data(), dims, count, start.data(), ids);
}

void improve_clusters(const float* points, std::size_t rows, std::size_t dims, std::size_t count,
                      std::size_t iterations, std::uint64_t seed, std::uint64_t stream, Clusters& clusters,
                      std::size_t most_used) {
  Lloyd lloyd(points, rows, dims, count, most_used, clusters);
  if (clusters.columns.size() != dims * count) lloyd.begin_with_points(seed, stream);
  if (rows == 0) return;
  clusters.ids.clear();
  for (std::size_t iteration = 0; iteration < iterations; ++iteration) {
    if (!lloyd.assign()) return;
    lloyd.move_centroids();
  }
  lloyd.assign();
}

}  // namespace vicinal
