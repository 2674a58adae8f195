#pragma once

#include <cstddef>
#include <span>

#include "vicinal/index/build_space.hpp"
#include "vicinal/index/graph.hpp"

namespace vicinal {

/// Gives every node of a level a path from slot 0 and returns how many lacked one. A lost node is linked from the nearest reachable
/// node that has a free place, or whose farthest link is no part of the paths that make others reachable; so no node is ever lost in
/// exchange. `distances` runs parallel to level.links. Deterministic; one thread.
std::size_t make_reachable(Graph::Level& level, const BuildSpace& space, std::size_t width,
                           std::span<float> distances);

}  // namespace vicinal
