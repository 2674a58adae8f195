#pragma once

#include <atomic>
#include <cstddef>
#include <thread>
#include <vector>

#include "vicinal/core/executor.hpp"

namespace vicinal {

/// An Executor of plain threads, begun anew for every call. ThreadSanitizer sees all of its synchronisation, which it does not
/// with ThreadPool: Debian's oneTBB is not compiled for it.
class ThreadExecutor {
 public:
  explicit ThreadExecutor(std::size_t threads) : threads_(threads) {}

  [[nodiscard]] std::size_t concurrency() const { return threads_; }
  void for_each(std::size_t count, ExecutorRef::Body body) const {
    std::atomic<std::size_t> next = 0;
    const auto work = [&](std::size_t worker) {
      for (std::size_t task = next++; task < count; task = next++) body(task, worker);
    };
    std::vector<std::jthread> others;
    for (std::size_t worker = 1; worker < threads_; ++worker) others.emplace_back(work, worker);
    work(0);
  }

 private:
  std::size_t threads_;
};
static_assert(Executor<ThreadExecutor>);

}  // namespace vicinal
