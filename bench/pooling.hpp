#pragma once

namespace vicinal::bench {

/// Registers "pool/<method>/<tokens>/<factor>", "pool_clusters/<instruction set>/<tokens>" and "carve/<tokens>/<tau>": time of one document
/// or query of 128 dimensions, one thread.
void register_pooling();

}  // namespace vicinal::bench
