#include "threads.hpp"

#include <pthread.h>

#include <map>
#include <memory>
#include <mutex>

#include "vicinal/tools/machine.hpp"

namespace vicinal::python {
namespace {

struct Pools {
  std::mutex mutex;
  std::map<std::size_t, std::unique_ptr<ThreadPool>> by_size;
};

// Never destroyed: at exit other threads may still search, and after a fork the arenas' threads are not there to be ended.
Pools* pools = new Pools;
bool orphaned = false;

// Runs in the child, where only the forking thread exists. What the parent's threads held is left alone.
void abandon_threads() {
  orphaned = orphaned || !pools->by_size.empty();
  pools = new Pools;
}

thread_local int inline_scopes = 0;

const int registered = pthread_atfork(nullptr, nullptr, &abandon_threads);

}  // namespace

ExecutorRef executor(std::size_t threads) {
  static_cast<void>(registered);
  if (threads == 0) threads = tools::usable_threads();
  if (threads == 1 || orphaned || inline_scopes != 0) return {};
  const std::lock_guard lock(pools->mutex);
  std::unique_ptr<ThreadPool>& pool = pools->by_size[threads];
  if (pool == nullptr) pool = std::make_unique<ThreadPool>(threads);
  return *pool;
}

InlineScope::InlineScope() { ++inline_scopes; }
InlineScope::~InlineScope() { --inline_scopes; }

}  // namespace vicinal::python
