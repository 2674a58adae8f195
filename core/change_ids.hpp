#pragma once

#include <cstdint>
#include <span>

#include "vicinal/core/neighbors.hpp"

namespace vicinal {

/// Throws InvalidArgument unless the ids of a change are 0 or more, none twice among `added`, and none of them among `removed`, where an id may
/// be negative or twice.
void require_change_ids(std::span<const Id> added, std::span<const Id> removed);

}  // namespace vicinal
