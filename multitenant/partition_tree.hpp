#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "vicinal/core/array.hpp"
#include "vicinal/core/control.hpp"
#include "vicinal/core/matrix_view.hpp"
#include "vicinal/core/reserved_array.hpp"

namespace vicinal {

/// A node of a PartitionTree. The number of a node that is gone is given to another one.
using NodeId = std::uint32_t;
inline constexpr NodeId no_node = std::numeric_limits<NodeId>::max();

struct PartitionTreeOptions {
  std::size_t fanout = 4;           ///< most children of a node: 2 to 16
  std::size_t leaf_capacity = 128;  ///< most rows of a leaf, where they differ: fanout to 65,536
  std::uint64_t seed = 0;

  friend bool operator==(const PartitionTreeOptions&, const PartitionTreeOptions&) = default;
};

/// A row, or a query, as a PartitionTree compares it with centroids. Reusable.
class TreeQuery {
 public:
  TreeQuery() = default;
  explicit TreeQuery(std::span<const float> row) { assign(row); }
  void assign(std::span<const float> row);
  [[nodiscard]] std::size_t dim() const { return dim_; }
  [[nodiscard]] const float* values() const { return values_.data(); }

 private:
  std::size_t dim_ = 0;
  Array<float> values_;  // padded with zeros, as kernels want it
};

/// Space cut by k-means, and every part cut again, until each has few rows (hierarchical k-means: Nister and Stewenius, "Scalable recognition
/// with a vocabulary tree", CVPR 2006; the shared tree of Curator, arXiv 2401.07119). It holds centroids and no rows. Leaves can be cut
/// and joined again, which moves no other node and changes no other number.
///
/// A row belongs to the leaf that is reached from the root by going to the child whose centroid is nearest by squared distance, of equally
/// near ones the first. Distances have the same bits on every instruction set, and nothing depends on the number of threads.
///
/// One thread at a time may change a tree. Meanwhile others may ask for centroids, and distances to them, of nodes that stay: those
/// never move in memory.
class PartitionTree {
 public:
  static constexpr NodeId root = 0;
  static constexpr std::size_t most_nodes = std::size_t{1} << 24U;

  PartitionTree() = default;

  /// Cuts until no leaf has more than leaf_capacity rows, but for leaves whose rows no cut tells apart. leaves[i] is the leaf of row i.
  /// Centroids are learnt from at most some 256 rows a child. Without rows the root is the only leaf. O(rows x fanout x dim x depth) and as
  /// much for every pass of k-means, on the executor. Throws InvalidArgument: options out of range, no columns, a value that is not
  /// finite or beyond 2^54 (row named); Cancelled; std::bad_alloc for more than most_nodes.
  static PartitionTree train(const PartitionTreeOptions& options, MatrixView<const float> rows,
                             std::vector<NodeId>& leaves, const BuildControl& control = {});

  [[nodiscard]] const PartitionTreeOptions& options() const { return options_; }
  [[nodiscard]] std::size_t dim() const { return dim_; }
  [[nodiscard]] std::size_t nodes() const { return nodes_; }  ///< with the root
  [[nodiscard]] std::size_t leaves() const { return leaves_; }
  [[nodiscard]] std::size_t memory_bytes() const;

  [[nodiscard]] bool is_leaf(NodeId node) const { return links_[node].children == 0; }
  [[nodiscard]] NodeId parent(NodeId node) const { return links_[node].parent; }  ///< no_node of the root
  [[nodiscard]] std::size_t depth(NodeId node) const { return links_[node].depth; }
  /// Children are numbered one after the other from the first on.
  [[nodiscard]] NodeId first_child(NodeId node) const { return links_[node].first_child; }
  [[nodiscard]] std::size_t children(NodeId node) const { return links_[node].children; }
  /// Whether `below` is `node` or comes under it.
  [[nodiscard]] bool contains(NodeId node, NodeId below) const;
  /// All leaves, those of a child before those of the next.
  [[nodiscard]] std::vector<NodeId> leaves_in_order() const;
  /// dim() values: the mean of rows that it was learnt from, of the root of all.
  [[nodiscard]] std::span<const float> centroid(NodeId node) const { return {centroids_.row(node), dim_}; }

  /// Throws InvalidArgument for another dimension.
  [[nodiscard]] NodeId leaf_of(const TreeQuery& row) const;
  /// out[i] = the squared distance of the query to the centroid of nodes[i].
  void squared_distances(const TreeQuery& query, std::span<const NodeId> nodes, float* out) const;

  /// Cuts a leaf by k-means of its rows: child_of_row[i] is where row i goes, and as leaf_of() would find. Returns the number of children; 0 where no
  /// cut tells the rows apart, and then nothing has changed. Throws InvalidArgument for another dimension, a node that is no leaf, and
  /// values that are not finite or beyond 2^54; std::bad_alloc. Nothing changes then.
  std::size_t split(NodeId leaf, MatrixView<const float> rows, std::vector<NodeId>& child_of_row);
  /// Makes a node a leaf again, whose children are gone. Throws InvalidArgument unless it has children, which all are leaves.
  void merge(NodeId node);

 private:
  struct Links {
    NodeId parent;
    NodeId first_child;
    std::uint16_t children;
    std::uint16_t depth;
  };

  PartitionTree(const PartitionTreeOptions& options, std::size_t dim);
  // Numbers for `fanout` children, not in use.
  NodeId take_block();
  void give_children(NodeId node, std::span<const float> centroids);
  void require_node(NodeId node) const;

  PartitionTreeOptions options_;
  std::size_t dim_ = 0;
  std::size_t nodes_ = 0;
  std::size_t leaves_ = 0;
  std::size_t used_ = 0;  // numbers given so far
  ReservedArray<Links> links_;
  ReservedArray<float> centroids_;
  std::vector<NodeId> free_blocks_;  // first numbers
};

}  // namespace vicinal
