// Clusters of tokens against plain definitions, and the loops of every instruction set against the plain ones.
#include "vicinal/encode/token_clusters.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>
#include <string>
#include <vector>

#include "shared_documents.hpp"
#include "token_samples.hpp"

namespace vicinal {
namespace {

using Labels = std::vector<std::uint32_t>;

// Numbers clusters by their first tokens.
Labels by_first_token(const std::vector<std::size_t>& owners) {
  Labels labels(owners.size());
  std::vector<std::size_t> seen;
  for (std::size_t i = 0; i < owners.size(); ++i) {
    const auto at = std::find(seen.begin(), seen.end(), owners[i]);
    labels[i] = static_cast<std::uint32_t>(at - seen.begin());
    if (at == seen.end()) seen.push_back(owners[i]);
  }
  return labels;
}

// Ward's method as it is defined: of all pairs of clusters the one whose union adds least to the squared error is united, until `wanted` are
// left. The growth is computed from the means, in double.
Labels ward_oracle(MatrixView<const float> tokens, std::size_t wanted,
                   const std::vector<float>& weights = {}) {
  struct Cluster {
    std::vector<double> mean;
    double size;
  };
  const std::size_t count = tokens.rows();
  std::vector<Cluster> clusters;
  std::vector<std::size_t> owners(count);
  for (std::size_t i = 0; i < count; ++i) {
    clusters.push_back(
        {{tokens[i].begin(), tokens[i].end()}, weights.empty() ? 1.0 : static_cast<double>(weights[i])});
    owners[i] = i;
  }
  const auto growth = [&](std::size_t a, std::size_t b) {
    double squares = 0;
    for (std::size_t j = 0; j < tokens.cols(); ++j)
      squares += std::pow(clusters[a].mean[j] - clusters[b].mean[j], 2);
    return squares * clusters[a].size * clusters[b].size / (clusters[a].size + clusters[b].size);
  };
  constexpr double gone = std::numeric_limits<double>::infinity();
  std::vector<double> growths(count * count, gone);
  for (std::size_t a = 0; a < count; ++a) {
    for (std::size_t b = a + 1; b < count; ++b) growths[a * count + b] = growth(a, b);
  }
  for (std::size_t left = count; left > wanted; --left) {
    const auto best =
        static_cast<std::size_t>(std::min_element(growths.begin(), growths.end()) - growths.begin());
    const std::size_t a = best / count;
    const std::size_t b = best % count;
    const double size = clusters[a].size + clusters[b].size;
    for (std::size_t j = 0; j < tokens.cols(); ++j) {
      double& mean = clusters[a].mean[j];
      mean = (mean * clusters[a].size + clusters[b].mean[j] * clusters[b].size) / size;
    }
    clusters[a].size = size;
    clusters[b].size = 0;
    std::replace(owners.begin(), owners.end(), b, a);
    for (std::size_t k = 0; k < count; ++k) {
      growths[std::min(b, k) * count + std::max(b, k)] = gone;
      if (k != a && clusters[k].size > 0) growths[std::min(a, k) * count + std::max(a, k)] = growth(a, k);
    }
  }
  return by_first_token(owners);
}

Labels ward(MatrixView<const float> tokens, std::size_t wanted, const std::vector<float>& weights = {},
            const PoolingKernels& kernels = pooling_kernels()) {
  Labels labels(tokens.rows());
  ClusterScratch scratch;
  ward_clusters(kernels, {tokens, weights, wanted}, labels.data(), scratch);
  return labels;
}

Labels spherical(MatrixView<const float> tokens, std::size_t wanted, std::uint64_t seed = 0,
                 const PoolingKernels& kernels = pooling_kernels()) {
  Labels labels(tokens.rows());
  ClusterScratch scratch;
  spherical_clusters(kernels, {tokens, {}, wanted}, seed, labels.data(), scratch);
  return labels;
}

// All labels below `wanted` occur, each for the first time after those below it.
void expect_numbered(const Labels& labels, std::size_t wanted) {
  std::uint32_t next = 0;
  for (const std::uint32_t label : labels) {
    ASSERT_LE(label, next);
    if (label == next) ++next;
  }
  EXPECT_EQ(next, wanted);
}

TEST(WardClusters, AreThoseOfTheDefinition) {
  for (std::size_t count = 1; count <= 70; count += count < 20 ? 1 : 7) {
    for (const std::size_t dim : {1UL, 2UL, 3UL, 16UL, 37UL}) {
      for (std::size_t wanted = 1; wanted <= count; wanted += 1 + count / 6) {
        const Tokens tokens = random_tokens(count, dim, wanted);
        ASSERT_EQ(ward(tokens.view(), wanted), ward_oracle(tokens.view(), wanted))
            << count << " tokens of " << dim << " values to " << wanted;
      }
    }
  }
}

TEST(WardClusters, CountTokensByTheirWeights) {
  for (std::size_t count = 2; count <= 50; count += 3) {
    const Tokens tokens = random_tokens(count, 7, count);
    RandomStream random(count, 5);
    std::vector<float> weights(count);
    for (float& weight : weights) weight = static_cast<float>(1 + random.next_below(40));
    for (std::size_t wanted = 1; wanted <= count; wanted += 4)
      ASSERT_EQ(ward(tokens.view(), wanted, weights), ward_oracle(tokens.view(), wanted, weights));
  }
}

TEST(WardClusters, OfRealDocumentsAreThoseOfTheDefinition) {
  const auto documents = shared_documents();
  if (!documents) GTEST_SKIP() << "no lotte-dev-colbert: set VICINAL_SHARED";
  for (std::size_t i = 0; i + 1 < documents->offsets.size(); ++i) {
    const std::size_t first = documents->offsets[i];
    const std::size_t count = documents->offsets[i + 1] - first;
    const auto tokens = documents->tokens.view().rows_from(first, count);
    const std::size_t wanted = std::max<std::size_t>(1, count / (2 + i % 5));
    ASSERT_EQ(ward(tokens, wanted), ward_oracle(tokens, wanted)) << "document " << i << " to " << wanted;
  }
}

TEST(WardClusters, DoNotDependOnTheOrderOfTokens) {
  const Tokens tokens = random_tokens(60, 12, 8);
  RandomStream random(8, 8);
  std::vector<std::size_t> order(60);
  std::iota(order.begin(), order.end(), 0UL);
  for (std::size_t i = 60; i > 1; --i) std::swap(order[i - 1], order[random.next_below(i)]);
  Tokens moved{std::vector<float>(tokens.values.size()), 12};
  for (std::size_t i = 0; i < 60; ++i)
    std::copy_n(tokens.view().row_data(order[i]), 12, moved.values.data() + i * 12);
  const Labels labels = ward(tokens.view(), 20);
  std::vector<std::size_t> owners(60);
  for (std::size_t i = 0; i < 60; ++i) owners[i] = labels[order[i]];
  EXPECT_EQ(ward(moved.view(), 20), by_first_token(owners));
}

TEST(WardClusters, UniteEqualTokensFirst) {
  const Tokens few = random_tokens(20, 33, 4);
  Tokens tokens{{}, 33};
  for (int copy = 0; copy < 3; ++copy)
    tokens.values.insert(tokens.values.end(), few.values.begin(), few.values.end());
  const Labels labels = ward(tokens.view(), 20);
  for (std::size_t i = 0; i < 60; ++i) EXPECT_EQ(labels[i], i % 20);
  const Tokens one{std::vector<float>(40 * 5, 0.1F), 5};
  for (std::size_t wanted = 1; wanted <= 40; ++wanted) expect_numbered(ward(one.view(), wanted), wanted);
}

TEST(WardClusters, OfTiesAreCompleteAndAlwaysTheSame) {
  for (std::size_t count = 2; count <= 90; count += 11) {
    const Tokens tokens = grid_tokens(count, 3, count);
    for (std::size_t wanted = 1; wanted <= count; wanted += 3) {
      const Labels labels = ward(tokens.view(), wanted);
      expect_numbered(labels, wanted);
      EXPECT_EQ(ward(tokens.view(), wanted), labels);
    }
  }
}

TEST(WardClusters, DoNotDependOnTheScale) {
  const Tokens tokens = random_tokens(50, 20, 3);
  const Labels expected = ward(tokens.view(), 17);
  for (const float scale : {0x1.0p-90F, 0x1.0p-40F, 0x1.0p40F, 0x1.0p90F, 0x1.0p126F}) {
    Tokens scaled = tokens;
    for (float& value : scaled.values) value *= scale;
    EXPECT_EQ(ward(scaled.view(), 17), expected) << scale;
  }
}

TEST(SphericalClusters, FindDirectionsFarApart) {
  Tokens tokens = random_tokens(90, 24, 2);
  for (std::size_t i = 0; i < 90; ++i) {
    for (std::size_t j = 0; j < 24; ++j) {
      float& value = tokens.values[i * 24 + j];
      // Lengths differ, which does not matter.
      value = static_cast<float>(1 + i % 5) * (value * 0.02F + (j == i % 9 ? 1.0F : 0.0F));
    }
  }
  for (std::uint64_t seed = 0; seed < 5; ++seed) {
    const Labels labels = spherical(tokens.view(), 9, seed);
    for (std::size_t i = 0; i < 90; ++i) ASSERT_EQ(labels[i], i % 9) << "seed " << seed;
  }
}

TEST(SphericalClusters, AreCompleteAndAlwaysTheSame) {
  for (std::size_t count = 1; count <= 80; count += 9) {
    for (const Tokens& tokens :
         {random_tokens(count, 10, 1), grid_tokens(count, 2, 1),
          Tokens{std::vector<float>(count * 3, 1.0F), 3}, Tokens{std::vector<float>(count * 3, 0.0F), 3}}) {
      for (std::size_t wanted = 1; wanted <= count; wanted += 1 + count / 5) {
        const Labels labels = spherical(tokens.view(), wanted, 3);
        expect_numbered(labels, wanted);
        EXPECT_EQ(spherical(tokens.view(), wanted, 3), labels);
      }
    }
  }
  const Tokens tokens = random_tokens(80, 10, 6);
  std::set<Labels> found;
  for (std::uint64_t seed = 0; seed < 4; ++seed) found.insert(spherical(tokens.view(), 20, seed));
  EXPECT_GT(found.size(), 1U) << "the seed does nothing";
}

class PoolingKernelSet : public testing::TestWithParam<PoolingKernels> {};

TEST_P(PoolingKernelSet, GivesThePlainClusters) {
  const PoolingKernels& plain = available_pooling_kernels().front();
  for (const std::size_t count : {2UL, 15UL, 16UL, 17UL, 50UL, 113UL}) {
    for (const Tokens& tokens : {random_tokens(count, 29, 7), grid_tokens(count, 6, 7)}) {
      for (const std::size_t wanted : {count / 4 + 1, count / 2}) {
        EXPECT_EQ(ward(tokens.view(), wanted, {}, GetParam()), ward(tokens.view(), wanted, {}, plain));
        EXPECT_EQ(spherical(tokens.view(), wanted, 1, GetParam()),
                  spherical(tokens.view(), wanted, 1, plain));
      }
    }
  }
}

TEST_P(PoolingKernelSet, GivesThePlainBits) {
  const PoolingKernels& plain = available_pooling_kernels().front();
  ASSERT_EQ(plain.name, "scalar");
  const PoolingKernels& set = GetParam();
  for (std::size_t count = 1; count <= 50; ++count) {
    for (const std::size_t dim : {1UL, 3UL, 4UL, 7UL, 8UL, 13UL, 128UL}) {
      const std::size_t padded = panel_count(count) * panel_tokens;
      const Tokens tokens = random_tokens(count, dim + 2, count);
      const std::string what = std::to_string(count) + " tokens of " + std::to_string(dim);
      Array<float> panels[2], norms[2], matrix[2], products[2];
      std::vector<double> sums[2];
      std::vector<double> lengths[2];
      for (std::size_t s = 0; s < 2; ++s) {
        const PoolingKernels& one = s == 0 ? plain : set;
        panels[s] = Array<float>(padded * dim);
        norms[s] = Array<float>(padded);
        matrix[s] = Array<float>(padded * padded);
        products[s] = Array<float>(padded * padded);
        std::fill_n(panels[s].data(), panels[s].size(), 9.0F);
        one.pack(tokens.values.data() + 1, dim + 2, count, dim, 0.5F, panels[s].data());
        one.squared_distances(panels[s].data(), count, dim, norms[s].data(), matrix[s].data(), padded);
        one.products(panels[s].data(), count, panels[s].data(), count, dim, products[s].data(), padded);
        sums[s].resize(dim);
        for (std::size_t i = 0; i < count; ++i)
          lengths[s].push_back(one.add_token(tokens.view().row_data(i) + 1, dim, sums[s].data()));
      }
      ASSERT_TRUE(std::ranges::equal(panels[0].span(), panels[1].span())) << what;
      ASSERT_TRUE(std::equal(norms[0].data(), norms[0].data() + count, norms[1].data())) << what;
      ASSERT_EQ(sums[0], sums[1]) << what;
      ASSERT_EQ(lengths[0], lengths[1]) << what;
      for (std::size_t i = 0; i < count; ++i) {
        const float* const row = matrix[0].data() + i * padded;
        ASSERT_TRUE(std::equal(row, row + count, matrix[1].data() + i * padded)) << what;
        ASSERT_TRUE(std::equal(products[0].data() + i * padded, products[0].data() + i * padded + count,
                               products[1].data() + i * padded))
            << what;
        ASSERT_EQ(row[i], 0.0F) << what;
        ASSERT_EQ(set.least(row, count), plain.least(row, count)) << what;
      }
      const std::size_t last = count - 1;
      Array<float> united[2] = {Array<float>(padded), Array<float>(padded)};
      for (std::size_t s = 0; s < 2; ++s) {
        std::copy_n(matrix[0].data(), padded, united[s].data());
        (s == 0 ? plain : set)
            .unite(united[s].data(), matrix[0].data() + last * padded, norms[0].data(), count, 3, 2, 0.25F);
      }
      ASSERT_TRUE(std::equal(united[0].data(), united[0].data() + count, united[1].data())) << what;
    }
  }
}

TEST_P(PoolingKernelSet, FindsTheFirstOfEqualValues) {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  Array<float> values(64);
  for (std::size_t count = 1; count <= 64; ++count) {
    for (std::size_t at = 0; at < count; ++at) {
      // What is beyond the count is smaller and must not be seen.
      for (std::size_t i = 0; i < 64; ++i) values[i] = i >= count ? -1.0F : i >= at ? 1.0F : infinity;
      ASSERT_EQ(GetParam().least(values.data(), count), at) << count;
    }
    std::fill_n(values.data(), 64, infinity);
    ASSERT_EQ(GetParam().least(values.data(), count), 0U);
  }
}

INSTANTIATE_TEST_SUITE_P(Available, PoolingKernelSet,
                         testing::ValuesIn(available_pooling_kernels().begin(),
                                           available_pooling_kernels().end()),
                         [](const auto& tested) { return std::string(tested.param.name); });

}  // namespace
}  // namespace vicinal
