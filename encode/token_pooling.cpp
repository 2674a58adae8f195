#include "vicinal/encode/token_pooling.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <utility>

#include "vicinal/core/array.hpp"
#include "vicinal/core/error.hpp"
#include "vicinal/core/sums.hpp"
#include "vicinal/encode/token_clusters.hpp"

namespace vicinal {
namespace {

constexpr std::size_t documents_at_once = 1024;  // between reports of progress

struct PoolScratch {
  ClusterScratch clusters;
  std::vector<std::uint32_t> assignment;
  std::vector<std::uint32_t> heads,
      next;  // the first token of each cluster, and of each token the next in its cluster
  std::vector<double> sum;
};
constexpr std::uint32_t no_token = std::numeric_limits<std::uint32_t>::max();

void require_factor(const PoolingOptions& options) {
  if (!(options.factor >= 1) || !std::isfinite(options.factor)) {
    throw InvalidArgument(
        fmt::format("the pooling factor is {}, expected a finite number of at least 1", options.factor));
  }
}

// Of tokens that are not protected.
std::size_t cluster_count(std::size_t tokens, const PoolingOptions& options) {
  if (options.clusters != 0) return std::min(options.clusters, tokens);
  const double clusters = std::ceil(static_cast<double>(tokens) / options.factor);
  return std::min(tokens, std::max<std::size_t>(1, static_cast<std::size_t>(clusters)));
}

void cluster_run(const ClusterTask& task, const PoolingOptions& options, std::uint32_t* clusters,
                 ClusterScratch& scratch) {
  if (options.method == PoolingMethod::ward) {
    ward_clusters(pooling_kernels(), task, clusters, scratch);
  } else {
    spherical_clusters(pooling_kernels(), task, options.seed, clusters, scratch);
  }
}

void cluster_tokens(const ClusterTask& task, const PoolingOptions& options, std::uint32_t* clusters,
                    ClusterScratch& scratch);

// To as many clusters as can be clustered in one piece, and those, as means with weights, to fewer.
void cluster_twice(const ClusterTask& task, std::size_t runs, const PoolingOptions& options,
                   std::uint32_t* clusters, ClusterScratch& scratch) {
  const std::size_t count = task.tokens.rows();
  const std::size_t dim = task.tokens.cols();
  const std::size_t parts = std::max(max_pooled_run, 2 * runs);
  cluster_tokens({task.tokens, task.weights, parts}, options, clusters, scratch);
  std::vector<double> sums(checked_product(parts, dim, "means"));
  std::vector<float> means(sums.size());
  std::vector<float> weights(parts);
  for (std::size_t i = 0; i < count; ++i) {
    const float weight = task.weights.empty() ? 1.0F : task.weights[i];
    double* const sum = sums.data() + clusters[i] * dim;
    for (std::size_t j = 0; j < dim; ++j)
      sum[j] += static_cast<double>(weight) * static_cast<double>(task.tokens[i][j]);
    weights[clusters[i]] += weight;
  }
  for (std::size_t i = 0; i < sums.size(); ++i)
    means[i] = static_cast<float>(sums[i] / static_cast<double>(weights[i / dim]));
  std::vector<std::uint32_t> merged(parts);
  cluster_tokens({{means.data(), parts, dim}, weights, task.wanted}, options, merged.data(), scratch);
  // Both number by first tokens, so their composition does.
  for (std::size_t i = 0; i < count; ++i) clusters[i] = merged[clusters[i]];
}

// clusters[i] = the cluster of token i, numbered by first tokens.
void cluster_tokens(const ClusterTask& task, const PoolingOptions& options, std::uint32_t* clusters,
                    ClusterScratch& scratch) {
  const std::size_t count = task.tokens.rows();
  if (task.wanted == count) {
    for (std::size_t i = 0; i < count; ++i) clusters[i] = static_cast<std::uint32_t>(i);
    return;
  }
  if (task.wanted == 1) {
    std::fill_n(clusters, count, 0U);
    return;
  }
  if (count <= max_pooled_run) {
    cluster_run(task, options, clusters, scratch);
    return;
  }
  const std::size_t runs = (count + max_pooled_run - 1) / max_pooled_run;
  if (task.wanted < 2 * runs) {
    cluster_twice(task, runs, options, clusters, scratch);
    return;
  }
  // Of clusters there are at least two a run, so each run's share is at least one and at most its tokens.
  std::size_t begin = 0;
  std::size_t done = 0;
  for (std::size_t r = 1; r <= runs; ++r) {
    const std::size_t end = count / runs * r + std::min(r, count % runs);
    const std::size_t goal = checked_product(task.wanted, end, "share of a run") / count;
    const ClusterTask run{task.tokens.rows_from(begin, end - begin),
                          task.weights.empty() ? task.weights : task.weights.subspan(begin, end - begin),
                          goal - done};
    cluster_tokens(run, options, clusters + begin, scratch);
    for (std::size_t i = begin; i < end; ++i) clusters[i] += static_cast<std::uint32_t>(done);
    begin = end;
    done = goal;
  }
}

// The sum of several tokens becomes their mean.
void write_mean(const std::vector<double>& sum, double tokens, double lengths, bool renormalise, float* row) {
  double factor = 1 / tokens;
  double longest = 0;
  if (renormalise) {
    const double length =
        std::sqrt(sum_side_by_side(sum.size(), [&](std::size_t j) { return sum[j] * sum[j]; }));
    longest = lengths / tokens;
    factor = length > 0 ? longest / length : 0;
  }
  constexpr auto most = static_cast<double>(std::numeric_limits<float>::max());
  if (longest < most) {
    for (std::size_t j = 0; j < sum.size(); ++j) row[j] = static_cast<float>(sum[j] * factor);
  } else {  // Lengths may leave the range of floats where no value does.
    for (std::size_t j = 0; j < sum.size(); ++j)
      row[j] = static_cast<float>(std::clamp(sum[j] * factor, -most, most));
  }
}

// The means of the clusters of `tokens` as rows of `out`.
void write_means(MatrixView<const float> tokens, bool renormalise, MatrixView<float> out,
                 PoolScratch& scratch) {
  const std::size_t count = tokens.rows();
  // Members by cluster, as a list for each: entered from the last token to the first.
  scratch.heads.assign(out.rows(), no_token);
  scratch.next.resize(count);
  for (std::size_t i = count; i-- > 0;) {
    scratch.next[i] = std::exchange(scratch.heads[scratch.assignment[i]], static_cast<std::uint32_t>(i));
  }
  for (std::size_t c = 0; c < out.rows(); ++c) {
    std::uint32_t token = scratch.heads[c];
    if (scratch.next[token] == no_token) {
      std::copy_n(tokens.row_data(token), tokens.cols(), out.row_data(c));
      continue;
    }
    scratch.sum.assign(tokens.cols(), 0.0);
    double lengths = 0;
    double members = 0;
    for (; token != no_token; token = scratch.next[token], ++members)
      lengths +=
          std::sqrt(pooling_kernels().add_token(tokens.row_data(token), tokens.cols(), scratch.sum.data()));
    write_mean(scratch.sum, members, lengths, renormalise, out.row_data(c));
  }
}

// Checked before.
void pool_document(MatrixView<const float> tokens, const PoolingOptions& options, MatrixView<float> out,
                   std::span<std::uint32_t> assignment, PoolScratch& scratch) {
  const std::size_t count = tokens.rows();
  const std::size_t kept = std::min(count, options.protect);
  for (std::size_t i = 0; i < kept; ++i) std::copy_n(tokens.row_data(i), tokens.cols(), out.row_data(i));
  if (count > kept) {
    const MatrixView<const float> others = tokens.rows_from(kept, count - kept);
    scratch.assignment.resize(others.rows());
    cluster_tokens({others, {}, out.rows() - kept}, options, scratch.assignment.data(), scratch.clusters);
    write_means(others, options.renormalise, out.rows_from(kept, out.rows() - kept), scratch);
  }
  for (std::size_t i = 0; i < assignment.size(); ++i) {
    assignment[i] =
        static_cast<std::uint32_t>(i < kept ? i : kept + std::size_t{scratch.assignment[i - kept]});
  }
}

void require_columns(MatrixView<const float> rows, const char* what) {
  if (rows.cols() == 0 && !rows.empty())
    throw InvalidArgument(fmt::format("{} have 0 columns, expected at least 1", what));
}

void require_numbered(std::size_t tokens, const std::string& what) {
  constexpr std::size_t most = std::numeric_limits<std::uint32_t>::max();
  if (tokens > most)
    throw InvalidArgument(fmt::format("{} has {} tokens, expected at most {}", what, tokens, most));
}

void validate_documents(const VectorBatch& documents) {
  require_columns(documents.rows, "documents");
  // The offsets alone, of rows without columns: values are looked at document by document, to name it.
  const MatrixView<const float> rows(documents.rows.data(), documents.rows.rows(), 0,
                                     documents.rows.stride());
  validate_batch({rows, documents.offsets}, 0, "documents");
  for (std::size_t i = 0; i < documents.size(); ++i) {
    const MatrixView<const float> document = documents.item(i);
    try {
      require_finite(document, "document");
    } catch (const InvalidArgument&) {
      require_finite(document, fmt::format("document {}", i).c_str());
      throw;
    }
    require_numbered(document.rows(), fmt::format("document {}", i));
  }
}

}  // namespace

std::size_t pooled_count(std::size_t tokens, const PoolingOptions& options) {
  require_factor(options);
  const std::size_t kept = std::min(tokens, options.protect);
  return tokens == kept ? kept : kept + cluster_count(tokens - kept, options);
}

void pool_tokens(MatrixView<const float> tokens, const PoolingOptions& options, MatrixView<float> out,
                 std::span<std::uint32_t> assignment) {
  const std::size_t rows = pooled_count(tokens.rows(), options);
  require_columns(tokens, "tokens");
  require_numbered(tokens.rows(), "the document");
  if (out.rows() != rows) {
    throw InvalidArgument(
        fmt::format("out has {} rows, expected {} for {} tokens", out.rows(), rows, tokens.rows()));
  }
  if (rows != 0 && out.cols() != tokens.cols()) {
    throw InvalidArgument(fmt::format("out has {} columns, the tokens have {}", out.cols(), tokens.cols()));
  }
  if (!assignment.empty() && assignment.size() != tokens.rows()) {
    throw InvalidArgument(
        fmt::format("the assignment has {} elements, there are {} tokens", assignment.size(), tokens.rows()));
  }
  require_finite(tokens, "tokens");
  PoolScratch scratch;
  pool_document(tokens, options, out, assignment, scratch);
}

PooledTokens pool_tokens(const VectorBatch& documents, const PoolingOptions& options,
                         const BuildControl& control) {
  require_factor(options);
  validate_documents(documents);
  const std::size_t count = documents.size();
  const std::size_t dim = documents.dim();

  PooledTokens pooled;
  pooled.offsets.resize(count + 1, 0);
  for (std::size_t i = 0; i < count; ++i)
    pooled.offsets[i + 1] = pooled.offsets[i] + pooled_count(documents.item(i).rows(), options);
  pooled.rows.resize(checked_product(pooled.offsets.back(), dim, "pooled tokens"));

  std::vector<PoolScratch> scratch(control.executor.concurrency());
  for (std::size_t begin = 0; begin < count; begin += documents_at_once) {
    control.report("pooling", begin, count);
    control.executor.for_each(
        std::min(documents_at_once, count - begin), [&](std::size_t task, std::size_t worker) {
          if (control.stop.stop_requested()) return;
          const std::size_t i = begin + task;
          const std::size_t first = pooled.offsets[i];
          pool_document(documents.item(i), options,
                        {pooled.rows.data() + first * dim, pooled.offsets[i + 1] - first, dim}, {},
                        scratch[worker]);
        });
    control.throw_if_stopped();
  }
  control.report("pooling", count, count);
  return pooled;
}

}  // namespace vicinal
