#include "interruptible.hpp"

#include <nanobind/stl/string.h>

#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <string>
#include <thread>

namespace nb = nanobind;

namespace vicinal::python {
namespace {

constexpr std::chrono::milliseconds watch_interval{50};

struct News {
  std::string phase;
  std::uint64_t done = 0;
  std::uint64_t total = 0;
};

// What the worker and the watcher share.
struct Board {
  std::mutex mutex;
  std::condition_variable changed;
  bool finished = false;
  bool fresh = false;
  News news;
};

// Runs with the GIL; throws what a signal handler or the callback raised.
void serve(Board& board, nb::handle progress) {
  if (PyErr_CheckSignals() != 0) throw nb::python_error();
  if (!progress.is_valid() || progress.is_none()) return;
  News news;
  {
    const std::lock_guard lock(board.mutex);
    if (!board.fresh) return;
    board.fresh = false;
    news = board.news;
  }
  progress(news.phase, news.done, news.total);
}

}  // namespace

void run_interruptibly(FunctionRef<void(const Job&)> work, nb::handle progress) {
  Board board;
  std::exception_ptr failure;
  std::exception_ptr interruption;
  std::stop_source source;
  {
    const nb::gil_scoped_release released;
    std::thread worker([&] {
      try {
        work({source.get_token(), [&](std::string_view phase, std::uint64_t done, std::uint64_t total) {
                const std::lock_guard lock(board.mutex);
                board.news = {std::string(phase), done, total};
                board.fresh = true;
              }});
      } catch (...) {
        failure = std::current_exception();
      }
      const std::lock_guard lock(board.mutex);
      board.finished = true;
      board.changed.notify_one();
    });
    std::unique_lock lock(board.mutex);
    while (!board.changed.wait_for(lock, watch_interval, [&] { return board.finished; })) {
      if (interruption != nullptr) continue;
      lock.unlock();
      try {
        const nb::gil_scoped_acquire acquired;
        serve(board, progress);
      } catch (...) {
        interruption = std::current_exception();
        source.request_stop();
      }
      lock.lock();
    }
    lock.unlock();
    worker.join();
  }
  if (interruption != nullptr) std::rethrow_exception(interruption);
  if (failure != nullptr) std::rethrow_exception(failure);
  serve(board, progress);  // the last news
}

}  // namespace vicinal::python
