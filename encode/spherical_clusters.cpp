#include <algorithm>
#include <cmath>
#include <limits>

#include "vicinal/core/random.hpp"
#include "vicinal/core/sums.hpp"
#include "vicinal/encode/token_clusters.hpp"

namespace vicinal {
namespace {

constexpr std::size_t most_iterations = 20;
constexpr std::uint64_t seeding_stream = 0x706F6F6C;  // of its own: "pool"

class SphericalMeans {
 public:
  SphericalMeans(const PoolingKernels& kernels, const ClusterTask& task, ClusterScratch& scratch)
      : kernels_(kernels),
        scratch_(scratch),
        count_(task.tokens.rows()),
        dim_(task.tokens.cols()),
        wanted_(task.wanted),
        weights_(task.weights),
        directions_(checked_product(count_, dim_, "tokens")) {
    for (std::size_t i = 0; i < count_; ++i) {
      const auto token = task.tokens[i];
      const double length = std::sqrt(sum_side_by_side(dim_, [&](std::size_t j) {
        return static_cast<double>(token[j]) * static_cast<double>(token[j]);
      }));
      for (std::size_t j = 0; j < dim_; ++j)
        directions_[i * dim_ + j] =
            length > 0 ? static_cast<float>(static_cast<double>(token[j]) / length) : 0.0F;
    }
    reserve_scratch(scratch.panels, checked_product(whole_panels(count_), dim_, "panels"));
    kernels.pack(directions_.data(), dim_, count_, dim_, 1, scratch.panels.data());
  }

  // k-means++: each next seed with a chance that grows with its squared distance to the nearest one so far.
  std::vector<std::uint32_t> seeds(std::uint64_t seed) {
    const std::size_t stride = matrix_stride(count_);
    reserve_scratch(scratch_.matrix, checked_product(whole_panels(count_), stride, "distances"));
    reserve_scratch(scratch_.norms, whole_panels(count_));
    kernels_.squared_distances(scratch_.panels.data(), count_, dim_, scratch_.norms.data(),
                               scratch_.matrix.data(), stride);
    RandomStream random(seed, seeding_stream);
    std::vector<double> gaps(count_, std::numeric_limits<double>::infinity());
    std::vector<bool> taken(count_, false);
    std::vector<std::uint32_t> chosen{static_cast<std::uint32_t>(random.next_below(count_))};
    while (true) {
      const std::uint32_t newest = chosen.back();
      taken[newest] = true;
      if (chosen.size() == wanted_) return chosen;
      const float* const row = scratch_.matrix.data() + newest * stride;
      double total = 0;
      for (std::size_t i = 0; i < count_; ++i) {
        gaps[i] = taken[i] ? 0 : std::min(gaps[i], weight(i) * static_cast<double>(row[i]));
        total += gaps[i];
      }
      chosen.push_back(draw(gaps, taken, total * random.next_unit()));
    }
  }

  void assign(const std::vector<std::uint32_t>& seeds, std::uint32_t* clusters) {
    centroids_.assign(wanted_ * dim_, 0.0F);
    for (std::size_t c = 0; c < wanted_; ++c) {
      for (std::size_t j = 0; j < dim_; ++j) centroids_[c * dim_ + j] = -directions_[seeds[c] * dim_ + j];
    }
    std::vector<std::uint32_t> before(count_);
    for (std::size_t round = 0; round < most_iterations; ++round) {
      find_nearest(clusters);
      if (round > 0 && std::equal(before.begin(), before.end(), clusters)) return;
      std::copy_n(clusters, count_, before.begin());
      update_centroids(clusters);
    }
  }

 private:
  [[nodiscard]] double weight(std::size_t i) const {
    return weights_.empty() ? 1.0 : static_cast<double>(weights_[i]);
  }

  // The first token at which the running sum of `gaps` exceeds `target`; where all are at 0, the first not taken.
  std::uint32_t draw(const std::vector<double>& gaps, const std::vector<bool>& taken, double target) const {
    std::size_t last = count_;
    double sum = 0;
    for (std::size_t i = 0; i < count_; ++i) {
      if (!(gaps[i] > 0)) continue;
      last = i;
      sum += gaps[i];
      if (sum > target) break;
    }
    if (last == count_)
      last = static_cast<std::size_t>(std::find(taken.begin(), taken.end(), false) - taken.begin());
    return static_cast<std::uint32_t>(last);
  }

  // Centroids are kept negated: the nearest is where the product is least.
  void find_nearest(std::uint32_t* clusters) {
    const std::size_t stride = whole_panels(wanted_);
    reserve_scratch(scratch_.centroid_panels, checked_product(stride, dim_, "centroids"));
    reserve_scratch(scratch_.scores, checked_product(whole_panels(count_), stride, "products"));
    float* const scores = scratch_.scores.data();
    kernels_.pack(centroids_.data(), dim_, wanted_, dim_, 1, scratch_.centroid_panels.data());
    kernels_.products(scratch_.panels.data(), count_, scratch_.centroid_panels.data(), wanted_, dim_, scores,
                      stride);
    std::vector<std::uint32_t> sizes(wanted_, 0);
    for (std::size_t i = 0; i < count_; ++i) {
      clusters[i] = static_cast<std::uint32_t>(kernels_.least(scores + i * stride, wanted_));
      ++sizes[clusters[i]];
    }
    // A cluster without tokens gets the one that is farthest from its centroid and not alone.
    std::vector<bool> moved(count_, false);
    for (std::uint32_t c = 0; c < wanted_; ++c) {
      if (sizes[c] != 0) continue;
      std::size_t farthest = count_;
      const auto score = [&](std::size_t i) { return scores[i * stride + clusters[i]]; };
      for (std::size_t i = 0; i < count_; ++i) {
        if (moved[i] || sizes[clusters[i]] < 2) continue;
        if (farthest == count_ || score(i) > score(farthest)) farthest = i;
      }
      --sizes[clusters[farthest]];
      clusters[farthest] = c;
      sizes[c] = 1;
      moved[farthest] = true;
    }
  }

  void update_centroids(const std::uint32_t* clusters) {
    std::vector<double> sums(wanted_ * dim_, 0.0);
    for (std::size_t i = 0; i < count_; ++i) {
      double* const sum = sums.data() + clusters[i] * dim_;
      for (std::size_t j = 0; j < dim_; ++j)
        sum[j] += weight(i) * static_cast<double>(directions_[i * dim_ + j]);
    }
    for (std::size_t c = 0; c < wanted_; ++c) {
      const double* const sum = sums.data() + c * dim_;
      const double length = std::sqrt(sum_side_by_side(dim_, [&](std::size_t j) { return sum[j] * sum[j]; }));
      for (std::size_t j = 0; j < dim_; ++j)
        centroids_[c * dim_ + j] = length > 0 ? static_cast<float>(-sum[j] / length) : 0.0F;
    }
  }

  const PoolingKernels& kernels_;
  ClusterScratch& scratch_;
  std::size_t count_;
  std::size_t dim_;
  std::size_t wanted_;
  std::span<const float> weights_;
  std::vector<float> directions_;
  std::vector<float> centroids_;
};

}  // namespace

void spherical_clusters(const PoolingKernels& kernels, const ClusterTask& task, std::uint64_t seed,
                        std::uint32_t* clusters, ClusterScratch& scratch) {
  SphericalMeans means(kernels, task, scratch);
  means.assign(means.seeds(seed), clusters);
  constexpr std::uint32_t unnamed = std::numeric_limits<std::uint32_t>::max();
  std::vector<std::uint32_t> names(task.wanted, unnamed);
  std::uint32_t found = 0;
  for (std::size_t i = 0; i < task.tokens.rows(); ++i) {
    std::uint32_t& name = names[clusters[i]];
    if (name == unnamed) name = found++;
    clusters[i] = name;
  }
}

}  // namespace vicinal
