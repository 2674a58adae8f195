#pragma once

#include <algorithm>
#include <mutex>
#include <span>

#include "vicinal/index/fused_rows.hpp"
#include "vicinal/index/graph_search.hpp"
#include "vicinal/index/hnsw.hpp"
#include "vicinal/index/two_level.hpp"

namespace vicinal {

/// What an Hnsw shares among its copies. Constant but for the scratch it lends.
struct Hnsw::State {
  static constexpr std::size_t scan_block = 256;  // slots scored at one time where all that passes is
  static constexpr std::size_t starts =
      2;  // nodes that a walk with a filter, or of pages, begins at, of those that enter() finds

  HnswOptions options;
  CodeStore codes;
  Graph graph;
  FusedRows rows;  // of the fused layout, whose links on level 0 are a view of them
  Array<std::uint32_t> row_of_slot;
  mutable ScratchPool scratch;

  // The inverse of row_of_slot, made when first asked for: searches with a filter of ids need it, others do not.
  [[nodiscard]] std::span<const std::uint32_t> slot_of_row() const {
    std::call_once(inverted_, [this] { slots_ = slots_of_rows(row_of_slot.span()); });
    return slots_.span();
  }
  // Links of a node on level 0, in the mean of a sample that is large enough to plan with.
  [[nodiscard]] double mean_links() const {
    std::call_once(counted_, [this] {
      constexpr std::size_t most = 256;
      const Graph::Level& level = graph.level(0);
      const std::size_t nodes = std::min(level.size, most);
      std::size_t count = 0;
      for (std::size_t i = 0; i < nodes; ++i) count += level.count(i * level.size / nodes);
      links_ = static_cast<double>(count) / static_cast<double>(nodes);
    });
    return links_;
  }

 private:
  mutable std::once_flag inverted_;
  mutable Array<std::uint32_t> slots_;
  mutable std::once_flag counted_;
  mutable double links_ = 0;
};

}  // namespace vicinal
