#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
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
    Array<std::uint32_t> links;  ///< the list of a slot begins at slot * stride
    std::size_t stride = 0;      ///< degree, or more where lists lie in rows with other things

    Level() = default;
    /// Lists one after the other, or with a stride.
    Level(std::size_t nodes, std::size_t places, Array<std::uint32_t> lists, std::size_t list_stride = 0)
        : size(nodes),
          degree(places),
          links(std::move(lists)),
          stride(list_stride == 0 ? places : list_stride) {}
    [[nodiscard]] const std::uint32_t* list(std::size_t slot) const { return links.data() + slot * stride; }
    [[nodiscard]] std::size_t count(std::size_t slot) const {
      const std::uint32_t* const places = list(slot);
      std::size_t n = 0;
      while (n < degree && places[n] != no_slot) ++n;
      return n;
    }
    /// Whether the lists are part of rows that somebody else counts and saves.
    [[nodiscard]] bool is_view() const { return stride != degree; }
  };

  Graph() = default;
  explicit Graph(std::vector<Level> levels) : levels_(std::move(levels)) {}

  [[nodiscard]] std::size_t size() const { return levels_.empty() ? 0 : levels_[0].size; }
  [[nodiscard]] std::size_t levels() const { return levels_.size(); }
  [[nodiscard]] const Level& level(std::size_t l) const { return levels_[l]; }
  /// With another level 0 of the same shape.
  [[nodiscard]] Graph with_base(Level base) const {
    Graph result(*this);
    result.levels_[0] = std::move(base);
    return result;
  }
  [[nodiscard]] std::size_t memory_bytes() const;  ///< without levels that are views

  /// All levels but those that are views.
  void save(ContainerWriter& writer, const std::string& prefix) const;
  /// Checks sizes, that ids are in range, not the node itself, not repeated, and that lists are padded at their end only. `base` is level 0
  /// where that is a view, and checked likewise.
  static Graph load(const Container& file, const std::string& prefix, std::size_t size,
                    const Level* base = nullptr);

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
