#pragma once

#include "vicinal/index/fused_rows.hpp"
#include "vicinal/index/graph_search.hpp"
#include "vicinal/index/hnsw.hpp"

namespace vicinal {

/// What an Hnsw shares among its copies. Constant but for the scratch it lends.
struct Hnsw::State {
  HnswOptions options;
  CodeStore codes;
  Graph graph;
  FusedRows rows;  // of the fused layout, whose links on level 0 are a view of them
  Array<std::uint32_t> row_of_slot;
  mutable ScratchPool scratch;
};

}  // namespace vicinal
