#pragma once

namespace vicinal::bench {

/// Registers "fde/document/<recipe>" and "fde/query/<recipe>": time of one item of a batch, 128 dimensions, one thread.
void register_fde();

}  // namespace vicinal::bench
