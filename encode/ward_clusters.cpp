#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>

#include "vicinal/encode/token_clusters.hpp"

namespace vicinal {
namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

// The power of two that brings the largest magnitude into [0.5, 1).
float scale_of(MatrixView<const float> tokens) {
  float largest = 0;
  for (std::size_t i = 0; i < tokens.rows(); ++i) {
    for (const float value : tokens[i]) largest = std::max(largest, std::fabs(value));
  }
  int exponent = 0;
  std::frexp(largest, &exponent);
  return std::ldexp(1.0F, std::min(-exponent, 126));
}

// Squared distances of all tokens, of themselves infinite. Tokens whose squares leave the range of floats are
// scaled first: that is rare, and seen by the norms.
void fill_matrix(const PoolingKernels& kernels, const ClusterTask& task, ClusterScratch& scratch) {
  const MatrixView<const float>& tokens = task.tokens;
  const std::size_t count = tokens.rows();
  const std::size_t stride = matrix_stride(count);
  float* const matrix = scratch.matrix.data();
  const auto fill = [&](float scale) {
    kernels.pack(tokens.data(), tokens.stride(), count, tokens.cols(), scale, scratch.panels.data());
    kernels.squared_distances(scratch.panels.data(), count, tokens.cols(), scratch.norms.data(), matrix,
                              stride);
  };
  fill(1);
  float largest = 0;
  for (std::size_t i = 0; i < count; ++i) largest = std::max(largest, scratch.norms[i]);
  if (!(largest > 0x1.0p-60F && largest < 0x1.0p60F)) fill(scale_of(tokens));
  for (std::size_t i = 0; i < count; ++i) {
    float* const row = matrix + i * stride;
    if (!task.weights.empty()) {
      const float own = task.weights[i];
      // Halves, so that the order of the two factors does not show.
      for (std::size_t j = 0; j < count; ++j) row[j] *= 2 * (own * task.weights[j] / (own + task.weights[j]));
    }
    row[i] = infinity;
  }
}

// Slots 0 to live - 1 hold the clusters.
class Dendrogram {
 public:
  Dendrogram(const PoolingKernels& kernels, std::size_t tokens, ClusterScratch& scratch)
      : kernels_(kernels), scratch_(scratch), stride_(matrix_stride(tokens)), live_(tokens) {}

  // Each chain leads from a cluster to its nearest one, and so on. Distances along it descend, so it ends in two that are nearest to each
  // other; they are united, which makes no cluster's nearest one nearer, so that what is left of the chain stays one.
  void build() {
    std::vector<std::uint32_t>& chain = scratch_.chain;
    chain.clear();
    while (live_ > 1) {
      if (chain.empty()) chain.push_back(0);
      const std::uint32_t tip = chain.back();
      const float* const distances = row(tip);
      const auto nearest = static_cast<std::uint32_t>(kernels_.least(distances, live_));
      // Of equally near ones it is the one before, which ends the chain.
      if (chain.size() == 1 || distances[nearest] != distances[chain[chain.size() - 2]]) {
        chain.push_back(nearest);
        continue;
      }
      const std::uint32_t before = chain[chain.size() - 2];
      chain.resize(chain.size() - 2);
      unite(std::min(tip, before), std::max(tip, before));
    }
  }

 private:
  [[nodiscard]] float* row(std::size_t slot) const { return scratch_.matrix.data() + slot * stride_; }

  // The union takes the place of the first, the last cluster that of the second.
  void unite(std::uint32_t first, std::uint32_t second) {
    Array<float>& sizes = scratch_.sizes;
    std::vector<std::uint32_t>& tokens = scratch_.first_tokens;
    const auto last = static_cast<std::uint32_t>(live_ - 1);
    float* const united = row(first);
    float* const moved = row(second);
    const float apart = united[second];
    scratch_.merges.push_back(
        {apart, std::min(tokens[first], tokens[second]), std::max(tokens[first], tokens[second])});
    kernels_.unite(united, moved, sizes.data(), whole_panels(live_), sizes[first], sizes[second], apart);
    sizes[first] += sizes[second];
    tokens[first] = std::min(tokens[first], tokens[second]);
    united[first] = infinity;
    if (second == last) {
      for (std::size_t k = 0; k < last; ++k) row(k)[first] = united[k];
    } else {
      united[second] = united[last];
      std::copy_n(row(last), last, moved);
      moved[first] = united[second];
      moved[second] = infinity;
      for (std::size_t k = 0; k < last; ++k) {
        row(k)[first] = united[k];
        row(k)[second] = moved[k];
      }
      sizes[second] = sizes[last];
      tokens[second] = tokens[last];
      std::replace(scratch_.chain.begin(), scratch_.chain.end(), last, second);
    }
    --live_;
  }

  const PoolingKernels& kernels_;
  ClusterScratch& scratch_;
  std::size_t stride_;
  std::size_t live_;
};

}  // namespace

void ward_clusters(const PoolingKernels& kernels, const ClusterTask& task, std::uint32_t* clusters,
                   ClusterScratch& scratch) {
  const std::size_t count = task.tokens.rows();
  const std::size_t padded = whole_panels(count);
  reserve_scratch(scratch.panels, checked_product(padded, task.tokens.cols(), "panels"));
  reserve_scratch(scratch.matrix, checked_product(padded, matrix_stride(count), "distances"));
  reserve_scratch(scratch.norms, padded);
  reserve_scratch(scratch.sizes, padded);
  for (std::size_t i = 0; i < padded; ++i)
    scratch.sizes[i] = i >= count ? 0.0F : task.weights.empty() ? 1.0F : task.weights[i];
  scratch.first_tokens.resize(count);
  std::iota(scratch.first_tokens.begin(), scratch.first_tokens.end(), 0U);
  scratch.merges.clear();
  fill_matrix(kernels, task, scratch);
  Dendrogram(kernels, count, scratch).build();

  // The lowest merges are made. A chain finds them in another order, but each after those it stands on, which are not higher. So the
  // (height, order) of a cluster's parts comes before its own. Heights are not negative: their bits are in the order of their values.
  std::vector<std::uint64_t>& keys = scratch.keys;
  keys.clear();
  for (const ClusterScratch::Merge& merge : scratch.merges)
    keys.push_back(std::uint64_t{std::bit_cast<std::uint32_t>(merge.height)} << 32 | keys.size());
  const auto made = static_cast<std::ptrdiff_t>(count - task.wanted);
  std::nth_element(keys.begin(), keys.begin() + made, keys.end());
  std::vector<std::uint32_t>& parents = scratch.parents;
  parents.resize(count);
  std::iota(parents.begin(), parents.end(), 0U);
  for (std::ptrdiff_t i = 0; i < made; ++i) {
    const ClusterScratch::Merge& merge =
        scratch.merges[static_cast<std::uint32_t>(keys[static_cast<std::size_t>(i)])];
    parents[merge.absorbed] = merge.kept;
  }
  std::uint32_t found = 0;
  for (std::size_t i = 0; i < count; ++i) clusters[i] = parents[i] == i ? found++ : clusters[parents[i]];
}

}  // namespace vicinal
