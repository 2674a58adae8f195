#pragma once

#include <cstdint>
#include <span>

#include "vicinal/index/any_retriever.hpp"

/// Searching as if a row had never been indexed, whatever decorators are around the graph. Not installed.
namespace vicinal {

/// Whether there is an Hnsw at the bottom.
bool has_graph(const AnyRetriever& retriever);

/// As retriever.search(), but query i acts as if row absent[i] had never been indexed; see Hnsw::search_without. Clears `out` first.
/// Throws Unsupported for a retriever without a graph.
void search_without(const AnyRetriever& retriever, const VectorBatch& queries,
                    std::span<const std::uint32_t> absent, NeighborsView out, const SearchOptions& options,
                    const SearchControl& control);

}  // namespace vicinal
