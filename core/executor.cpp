#include "vicinal/core/executor.hpp"

#include <oneapi/tbb/global_control.h>
#include <oneapi/tbb/info.h>
#include <oneapi/tbb/parallel_for.h>
#include <oneapi/tbb/task_arena.h>

#include <algorithm>
#include <atomic>
#include <limits>
#include <mutex>
#include <optional>
#include <string>

#include "vicinal/core/error.hpp"

namespace vicinal {
namespace {

// TBB gives the whole process as many threads as the machine has cores, however many slots an arena has. A pool of four
// threads on two cores would never run four tasks at one time, so while the live pools need more than that, the limit is
// raised to their sum. One control for all of them, because of several controls TBB obeys the lowest: with one in each
// pool the smallest pool would throttle the others. A lower limit that the application sets is obeyed too.
class ProcessThreads {
 public:
  static ProcessThreads& instance() {
    static ProcessThreads threads;
    return threads;
  }

  void reserve(std::size_t workers) {
    change([&] { workers_ += workers; });
  }
  void release(std::size_t workers) {
    change([&] { workers_ -= workers; });
  }

 private:
  template <class Change>
  void change(Change apply) {
    const std::scoped_lock lock(mutex_);
    apply();
    const std::size_t needed = workers_ + 1;
    limit_.reset();
    if (needed > static_cast<std::size_t>(tbb::info::default_concurrency())) {
      limit_.emplace(tbb::global_control::max_allowed_parallelism, needed);
    }
  }

  std::mutex mutex_;
  std::size_t workers_ = 0;  // threads of all pools, without the callers'
  std::optional<tbb::global_control> limit_;
};

int arena_slots(std::size_t threads) {
  constexpr std::size_t most = std::numeric_limits<std::uint16_t>::max();
  if (threads == 0 || threads > most) {
    throw InvalidArgument("a thread pool of " + std::to_string(threads) + " threads; 1 to " +
                          std::to_string(most) + " are possible");
  }
  return static_cast<int>(threads);
}

}  // namespace

struct ThreadPool::Arena {
  explicit Arena(std::size_t thread_count)
      : threads(thread_count), arena(arena_slots(thread_count), /*reserved_for_masters=*/1) {
    ProcessThreads::instance().reserve(threads - 1);
  }
  ~Arena() { ProcessThreads::instance().release(threads - 1); }
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  std::size_t threads;
  tbb::task_arena arena;
};

ThreadPool::ThreadPool(std::size_t threads) : arena_(std::make_unique<Arena>(threads)) {}
ThreadPool::~ThreadPool() = default;

std::size_t ThreadPool::concurrency() const { return arena_->threads; }

void ThreadPool::for_each(std::size_t count, ExecutorRef::Body body) {
  if (count == 0) return;
  std::atomic<std::size_t> next{0};
  // Every thread takes the next task until none is left: tasks are as unequal as searches are, so none is dealt out ahead.
  const auto take_tasks = [&](std::size_t) {
    const auto worker = static_cast<std::size_t>(tbb::this_task_arena::current_thread_index());
    try {
      for (std::size_t task = next.fetch_add(1); task < count; task = next.fetch_add(1)) body(task, worker);
    } catch (...) {
      next.store(count);  // The other threads begin no further task.
      throw;
    }
  };
  arena_->arena.execute([&] {
    // Isolation: a thread that waits here must not take up a task of another for_each, which would then run with a worker
    // number that is in use further down its stack. The context of its own keeps foreign cancellation out.
    tbb::this_task_arena::isolate([&] {
      tbb::task_group_context context(tbb::task_group_context::isolated);
      tbb::parallel_for(std::size_t{0}, std::min(count, arena_->threads), take_tasks,
                        tbb::simple_partitioner(), context);
    });
  });
}

}  // namespace vicinal
