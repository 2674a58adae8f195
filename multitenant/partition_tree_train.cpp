// How a PartitionTree learns: level by level, all nodes of a level at once.
#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <numeric>
#include <utility>

#include "vicinal/core/error.hpp"
#include "vicinal/core/vector_batch.hpp"
#include "vicinal/multitenant/partition_tree.hpp"
#include "vicinal/quant/covariance.hpp"
#include "vicinal/quant/kernels.hpp"
#include "vicinal/quant/kmeans.hpp"

namespace vicinal {
namespace {

constexpr std::size_t rows_per_child = 256;  // learnt from
constexpr std::size_t iterations = 10;
constexpr std::size_t kernel_centroids = 16;  // the fewest that kernels of k-means take
constexpr std::size_t rows_per_task = 1024;
constexpr std::size_t nodes_at_once = 4096;  // whose centroids are held beside the tree's
constexpr std::uint64_t sample_stream = 0x74726565'00000000;
constexpr std::uint64_t means_stream = 0x74726565'80000000;
constexpr std::size_t most_fanout = 16;

void require_options(const PartitionTreeOptions& options, std::size_t dim) {
  constexpr std::size_t most_capacity = 65'536;
  if (options.fanout < 2 || options.fanout > most_fanout)
    throw InvalidArgument(
        fmt::format("a partition has a fanout of {}, expected 2 to {}", options.fanout, most_fanout));
  if (options.leaf_capacity < options.fanout || options.leaf_capacity > most_capacity)
    throw InvalidArgument(fmt::format("a leaf holds {} rows, expected {} to {}", options.leaf_capacity,
                                      options.fanout, most_capacity));
  if (dim == 0) throw InvalidArgument("the dimension is 0, expected at least 1");
}

// Returns their mean.
Array<float> require_values(MatrixView<const float> rows, const BuildControl& control) {
  validate_batch(rows, rows.cols(), "rows");
  return rows.empty() ? Array<float>(rows.cols()) : column_range({rows, false, "rows"}, control).mean;
}

// Rows of a matrix, in an order.
struct Members {
  MatrixView<const float> rows;
  std::span<const std::uint32_t> order;
};

// The centroids of at most `fanout` parts, one after the other.
void learn(const Members& members, const PartitionTreeOptions& options, NodeId node,
           std::vector<float>& centroids) {
  const std::size_t dim = members.rows.cols();
  const std::vector<std::size_t> chosen =
      spread_rows(members.order.size(), rows_per_child * options.fanout, options.seed, sample_stream + node);
  Array<float> points(checked_product(chosen.size(), dim, "rows to cut"));
  for (std::size_t i = 0; i < chosen.size(); ++i)
    std::ranges::copy(members.rows[members.order[chosen[i]]], points.data() + i * dim);
  Clusters clusters;
  improve_clusters(points.data(), chosen.size(), dim, kernel_centroids, iterations, options.seed,
                   means_stream + node, clusters, options.fanout);
  const std::size_t count = std::min(options.fanout, chosen.size());
  centroids.resize(count * dim);
  for (std::size_t c = 0; c < count; ++c) {
    for (std::size_t j = 0; j < dim; ++j) centroids[c * dim + j] = clusters.columns[j * kernel_centroids + c];
  }
}

// parts[i] = the centroid nearest to row members.order[i], as leaf_of() finds it.
void assign(const Members& members, std::span<const float> centroids, std::uint8_t* parts) {
  const std::size_t dim = members.rows.cols();
  const std::size_t count = centroids.size() / dim;
  const Records records{reinterpret_cast<const std::byte*>(centroids.data()), dim * sizeof(float), nullptr};
  TreeQuery row;
  float distances[most_fanout];
  for (std::size_t i = 0; i < members.order.size(); ++i) {
    row.assign(members.rows[members.order[i]]);
    kernels().l2_f32(row.values(), dim, records, count, distances);
    parts[i] = static_cast<std::uint8_t>(std::min_element(distances, distances + count) - distances);
  }
}

// A node, and where its rows stand in the order.
struct OpenNode {
  NodeId node;
  std::size_t begin, end;
};

// Leaves out centroids that are nearest to no row, and numbers the others anew. Returns how many are left.
std::size_t drop_empty(std::span<std::uint8_t> parts, std::vector<float>& centroids, std::size_t dim) {
  std::size_t sizes[most_fanout] = {};
  for (const std::uint8_t part : parts) ++sizes[part];
  std::uint8_t numbers[most_fanout] = {};
  std::size_t kept = 0;
  for (std::size_t c = 0; c < centroids.size() / dim; ++c) {
    if (sizes[c] == 0) continue;
    numbers[c] = static_cast<std::uint8_t>(kept);
    std::copy_n(centroids.begin() + static_cast<std::ptrdiff_t>(c * dim), dim,
                centroids.begin() + static_cast<std::ptrdiff_t>(kept * dim));
    ++kept;
  }
  centroids.resize(kept * dim);
  for (std::uint8_t& part : parts) part = numbers[part];
  return kept;
}

// Puts the rows of each part together, in the order they had, and writes where each part ends.
void group(std::span<std::uint32_t> order, std::span<const std::uint8_t> parts, std::span<std::size_t> ends) {
  std::vector<std::uint32_t> grouped(order.size());
  std::ranges::fill(ends, std::size_t{0});
  for (const std::uint8_t part : parts) ++ends[part];
  std::vector<std::size_t> next(ends.size());
  std::exclusive_scan(ends.begin(), ends.end(), next.begin(), std::size_t{0});
  for (std::size_t i = 0; i < order.size(); ++i) grouped[next[parts[i]]++] = order[i];
  std::ranges::copy(next, ends.begin());
  std::ranges::copy(grouped, order.begin());
}

}  // namespace

PartitionTree PartitionTree::train(const PartitionTreeOptions& options, MatrixView<const float> rows,
                                   std::vector<NodeId>& leaves, const BuildControl& control) {
  require_options(options, rows.cols());
  if (rows.rows() > std::numeric_limits<std::uint32_t>::max())
    throw InvalidArgument(fmt::format("{} rows, expected fewer than 2^32", rows.rows()));
  const Array<float> mean = require_values(rows, control);
  PartitionTree tree(options, rows.cols());
  std::ranges::copy(mean.span(), tree.centroids_.row(root));
  std::vector<std::uint32_t> order(rows.rows());
  std::iota(order.begin(), order.end(), 0U);
  std::vector<NodeId> found(rows.rows(), root);
  std::vector<std::uint8_t> parts(rows.rows());
  std::vector<OpenNode> open, next;
  if (rows.rows() > options.leaf_capacity) open.push_back({root, 0, rows.rows()});
  const auto for_each = [&](std::size_t count, auto&& body) {
    control.executor.for_each(count, [&](std::size_t task, std::size_t) {
      if (!control.stop.stop_requested()) body(task);
    });
    control.throw_if_stopped();
  };
  while (!open.empty()) {
    next.clear();
    for (std::size_t first = 0; first < open.size(); first += nodes_at_once) {
      const std::span<const OpenNode> some =
          std::span(open).subspan(first, std::min(nodes_at_once, open.size() - first));
      std::vector<std::vector<float>> centroids(some.size());
      for_each(some.size(), [&](std::size_t n) {
        const std::span own = std::span(order).subspan(some[n].begin, some[n].end - some[n].begin);
        learn({rows, own}, options, some[n].node, centroids[n]);
      });
      // Runs of rows of one node each.
      std::vector<std::pair<std::size_t, std::size_t>> runs;
      for (std::size_t n = 0; n < some.size(); ++n) {
        for (std::size_t row = some[n].begin; row < some[n].end; row += rows_per_task)
          runs.emplace_back(n, row);
      }
      for_each(runs.size(), [&](std::size_t r) {
        const auto [n, row] = runs[r];
        const std::size_t count = std::min(rows_per_task, some[n].end - row);
        assign({rows, std::span(order).subspan(row, count)}, centroids[n], parts.data() + row);
      });
      std::vector<std::vector<std::size_t>> ends(some.size());
      for_each(some.size(), [&](std::size_t n) {
        const std::size_t count = some[n].end - some[n].begin;
        const std::span own = std::span(parts).subspan(some[n].begin, count);
        ends[n].resize(drop_empty(own, centroids[n], rows.cols()));
        group(std::span(order).subspan(some[n].begin, count), own, ends[n]);
      });
      for (std::size_t n = 0; n < some.size(); ++n) {
        if (ends[n].size() < 2) continue;  // rows that no cut tells apart
        tree.give_children(some[n].node, centroids[n]);
        std::size_t begin = some[n].begin;
        for (std::size_t c = 0; c < ends[n].size(); ++c) {
          const NodeId child = tree.first_child(some[n].node) + static_cast<NodeId>(c);
          const std::size_t end = some[n].begin + ends[n][c];
          for (std::size_t i = begin; i < end; ++i) found[order[i]] = child;
          if (end - begin > options.leaf_capacity) next.push_back({child, begin, end});
          begin = end;
        }
      }
    }
    std::swap(open, next);
  }
  leaves = std::move(found);
  return tree;
}

std::size_t PartitionTree::split(NodeId leaf, MatrixView<const float> rows,
                                 std::vector<NodeId>& child_of_row) {
  require_node(leaf);
  if (!is_leaf(leaf)) throw InvalidArgument(fmt::format("node {} has children, expected a leaf", leaf));
  if (rows.cols() != dim_)
    throw InvalidArgument(fmt::format("rows have dimension {}, the partition {}", rows.cols(), dim_));
  (void)require_values(rows, {});
  std::vector<std::uint32_t> order(rows.rows());
  std::iota(order.begin(), order.end(), 0U);
  std::vector<float> centroids;
  std::vector<std::uint8_t> parts(rows.rows());
  if (!rows.empty()) {
    learn({rows, order}, options_, leaf, centroids);
    assign({rows, order}, centroids, parts.data());
  }
  const std::size_t count = drop_empty(parts, centroids, dim_);
  if (count < 2) return 0;
  std::vector<NodeId> found(rows.rows());
  give_children(leaf, centroids);
  std::ranges::transform(parts, found.begin(),
                         [&](std::uint8_t part) { return first_child(leaf) + NodeId{part}; });
  child_of_row = std::move(found);
  return count;
}

}  // namespace vicinal
