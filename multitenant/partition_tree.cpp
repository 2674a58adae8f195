#include "vicinal/multitenant/partition_tree.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "vicinal/core/error.hpp"
#include "vicinal/quant/kernels.hpp"

namespace vicinal {
namespace {

constexpr std::size_t float_lanes = 32;  // queries of kernels are padded to a multiple

}  // namespace

void TreeQuery::assign(std::span<const float> row) {
  const std::size_t padded = (row.size() + float_lanes - 1) / float_lanes * float_lanes;
  if (values_.size() != padded) values_ = Array<float>(padded);
  dim_ = row.size();
  std::ranges::copy(row, values_.data());
  std::fill(values_.data() + dim_, values_.data() + padded, 0.0F);
}

PartitionTree::PartitionTree(const PartitionTreeOptions& options, std::size_t dim)
    : options_(options),
      dim_(dim),
      nodes_(1),
      leaves_(1),
      used_(1),
      links_(most_nodes, 1),
      centroids_(most_nodes, dim) {
  links_.commit_rows(1);
  centroids_.commit_rows(1);
  links_[root] = {no_node, no_node, 0, 0};
}

std::size_t PartitionTree::memory_bytes() const {
  return links_.bytes() + centroids_.bytes() + free_blocks_.capacity() * sizeof(NodeId);
}

bool PartitionTree::contains(NodeId node, NodeId below) const {
  while (depth(below) > depth(node)) below = parent(below);
  return below == node;
}

std::vector<NodeId> PartitionTree::leaves_in_order() const {
  std::vector<NodeId> found;
  if (nodes_ == 0) return found;
  found.reserve(leaves_);
  std::vector<NodeId> open{root};
  while (!open.empty()) {
    const NodeId node = open.back();
    open.pop_back();
    if (is_leaf(node)) found.push_back(node);
    for (std::size_t c = children(node); c > 0; --c)
      open.push_back(first_child(node) + static_cast<NodeId>(c - 1));
  }
  return found;
}

NodeId PartitionTree::leaf_of(const TreeQuery& row) const {
  if (nodes_ == 0 || row.dim() != dim_)
    throw InvalidArgument(fmt::format("the row has dimension {}, the partition {}", row.dim(), dim_));
  const auto distances_to = kernels().l2_f32;
  float distances[16];
  NodeId node = root;
  while (!is_leaf(node)) {
    const Records records{reinterpret_cast<const std::byte*>(centroids_.row(first_child(node))),
                          dim_ * sizeof(float), nullptr};
    distances_to(row.values(), dim_, records, children(node), distances);
    const float* const nearest = std::min_element(distances, distances + children(node));
    node = first_child(node) + static_cast<NodeId>(nearest - distances);
  }
  return node;
}

void PartitionTree::squared_distances(const TreeQuery& query, std::span<const NodeId> nodes,
                                      float* out) const {
  const Records records{reinterpret_cast<const std::byte*>(centroids_.data()), dim_ * sizeof(float),
                        nodes.data()};
  kernels().l2_f32(query.values(), dim_, records, nodes.size(), out);
}

void PartitionTree::require_node(NodeId node) const {
  const bool known = node < used_ && (node == root || parent(node) != no_node);
  if (!known) throw InvalidArgument(fmt::format("node {} is not in the partition", node));
}

NodeId PartitionTree::take_block() {
  if (!free_blocks_.empty()) {
    const NodeId first = free_blocks_.back();
    free_blocks_.pop_back();
    return first;
  }
  // Room in the list, so that giving the block back cannot fail.
  free_blocks_.reserve((used_ + options_.fanout) / options_.fanout);
  links_.commit_rows(used_ + options_.fanout);
  centroids_.commit_rows(used_ + options_.fanout);
  const auto first = static_cast<NodeId>(used_);
  for (std::size_t c = 0; c < options_.fanout; ++c) links_[first + c] = {no_node, no_node, 0, 0};
  used_ += options_.fanout;
  return first;
}

// `centroids` are of as many children as there are rows of dim_ values in it.
void PartitionTree::give_children(NodeId node, std::span<const float> centroids) {
  const NodeId first = take_block();
  const std::size_t count = centroids.size() / dim_;
  const auto depth = static_cast<std::uint16_t>(links_[node].depth + 1);
  std::ranges::copy(centroids, centroids_.row(first));
  for (std::size_t c = 0; c < count; ++c) links_[first + c] = {node, no_node, 0, depth};
  links_[node].first_child = first;
  links_[node].children = static_cast<std::uint16_t>(count);
  nodes_ += count;
  leaves_ += count - 1;
}

void PartitionTree::merge(NodeId node) {
  require_node(node);
  if (is_leaf(node))
    throw InvalidArgument(fmt::format("node {} is a leaf, expected one with children", node));
  const NodeId first = first_child(node);
  const std::size_t count = children(node);
  for (std::size_t c = 0; c < count; ++c) {
    if (!is_leaf(first + static_cast<NodeId>(c)))
      throw InvalidArgument(
          fmt::format("child {} of node {} has children, expected leaves", first + c, node));
  }
  for (std::size_t c = 0; c < count; ++c) links_[first + c] = {no_node, no_node, 0, 0};
  links_[node].first_child = no_node;
  links_[node].children = 0;
  nodes_ -= count;
  leaves_ -= count - 1;
  free_blocks_.push_back(first);
}

}  // namespace vicinal
