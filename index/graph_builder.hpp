#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "vicinal/core/control.hpp"
#include "vicinal/index/graph.hpp"
#include "vicinal/index/hnsw.hpp"
#include "vicinal/quant/code_store.hpp"

namespace vicinal {

/// Links the records of `codes` (in slot order) into a layered graph by deterministic prefix doubling (after ParlayANN, Dobson
/// et al. 2023): nodes join in batches; all nodes of a batch search the graph of those before them, which nobody changes
/// meanwhile, and each other; then every node that gained links prunes its list once. No locks, and the graph is a function of
/// codes and options alone. Ends with a repair that makes every node reachable.
///
/// `extra` lifts inner product to Euclidean distance when norms differ: one value a slot, the square root of (largest squared norm - own
/// squared norm), as a further coordinate (Bachrach et al. 2014); empty when none is needed.
Graph build_graph(const CodeStore& codes, std::span<const float> extra, const HnswOptions& options,
                  const BuildControl& control);

}  // namespace vicinal
