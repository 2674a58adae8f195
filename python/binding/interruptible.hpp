#pragma once

#include <nanobind/nanobind.h>

#include <cstdint>
#include <functional>
#include <stop_token>
#include <string_view>

#include "vicinal/core/control.hpp"
#include "vicinal/core/function_ref.hpp"

namespace vicinal::python {

/// What a long call gets: when to stop, and where to say how far it is (from one thread).
struct Job {
  std::stop_token stop;
  std::function<void(std::string_view phase, std::uint64_t done, std::uint64_t total)> report;
};

/// Runs `work` without the GIL while Python's signal handlers keep being served: it runs on a thread of its own, and the calling
/// thread looks for signals 20 times a second. When a handler raises (Ctrl-C: KeyboardInterrupt), the job is asked to stop, waited
/// for, and the exception goes on; so it does with what `progress` raises, which is called as progress(phase, done, total) when there
/// is news. Exceptions of `work` come out as they are. Call with the GIL held.
void run_interruptibly(FunctionRef<void(const Job&)> work, nanobind::handle progress = {});

}  // namespace vicinal::python
