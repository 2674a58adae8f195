#pragma once

#include <cstddef>
#include <string>

namespace vicinal::tools {

/// The processor's model name as the operating system tells it ("AMD EPYC 9654 96-Core Processor"), or the architecture when
/// it tells none.
std::string cpu_model();

/// Threads this process may run at one time (its affinity mask, not the machine's total); at least 1.
std::size_t usable_threads();

}  // namespace vicinal::tools
