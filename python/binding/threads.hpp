#pragma once

#include <cstddef>

#include "vicinal/core/executor.hpp"

namespace vicinal::python {

/// The executor for `threads` threads (0: as many as this process may run on), kept for the life of the process because starting
/// one costs more than a search. In a process forked from one that had used such threads they no longer exist, and work is done on
/// the calling thread. Safe to call from many threads.
/// So is what runs within an InlineScope.
ExecutorRef executor(std::size_t threads);

/// While one lives, work begun on this thread stays on it: where a thread of a pool calls back into Python, a search begun there that
/// waited for threads of the same pool would wait for ever.
class InlineScope {
 public:
  InlineScope();
  ~InlineScope();
  InlineScope(const InlineScope&) = delete;
  InlineScope& operator=(const InlineScope&) = delete;
};

}  // namespace vicinal::python
