#pragma once

#include <cstddef>

#include "vicinal/core/executor.hpp"

namespace vicinal::python {

/// The executor for `threads` threads (0: as many as this process may run on), kept for the life of the process because starting
/// one costs more than a search. In a process forked from one that had used such threads they no longer exist, and work is done on
/// the calling thread. Safe to call from many threads.
ExecutorRef executor(std::size_t threads);

}  // namespace vicinal::python
