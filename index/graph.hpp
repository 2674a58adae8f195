#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "vicinal/core/container.hpp"

namespace vicinal {

/// The adjacency of a layered graph, apart from what the nodes are. Slots are numbered so that the nodes of every upper level
/// are the first ones: level l holds slots [0, level_size(l)), level_size(0) = size(). A list is `degree` places: neighbours
/// first, nearest first, then `no_slot`. Immutable once built.
class Graph {
 public:
  static constexpr std::uint32_t no_slot = 0xFFFF'FFFF;

  struct Level {
    std::size_t size = 0;        ///< nodes
    std::size_t degree = 0;      ///< places a node
    Array<std::uint32_t> links;  ///< size x degree
    [[nodiscard]] const std::uint32_t* list(std::size_t slot) const { return links.data() + slot * degree; }
  };

  Graph() = default;
  explicit Graph(std::vector<Level> levels) : levels_(std::move(levels)) {}

  [[nodiscard]] std::size_t size() const { return levels_.empty() ? 0 : levels_[0].size; }
  [[nodiscard]] std::size_t levels() const { return levels_.size(); }
  [[nodiscard]] const Level& level(std::size_t l) const { return levels_[l]; }
  [[nodiscard]] std::size_t memory_bytes() const;

  void save(ContainerWriter& writer, const std::string& prefix) const;
  /// Checks sizes, that ids are in range, not the node itself, not repeated, and that lists are padded at their end only.
  static Graph load(const Container& file, const std::string& prefix, std::size_t size);

 private:
  std::vector<Level> levels_;
};

/// What an audit of a graph finds.
struct GraphAudit {
  std::size_t unreachable = 0;  ///< nodes of level 0 with no path from slot 0
  std::size_t edges = 0;        ///< on level 0
  std::size_t min_out_degree = 0, max_out_degree = 0;
  std::size_t min_in_degree = 0, max_in_degree = 0;
};
GraphAudit audit(const Graph& graph);

}  // namespace vicinal
