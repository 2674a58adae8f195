#pragma once

namespace vicinal::bench {

/// Registers the benchmarks of MaxSim on stored documents.
void register_maxsim();

}  // namespace vicinal::bench
