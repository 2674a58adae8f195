#pragma once

#include <cstddef>
#include <memory>
#include <type_traits>

#include "vicinal/core/function_ref.hpp"

namespace vicinal {

/// Anything that can run `count` independent tasks: concurrency() threads at most at one time, for_each(count, body) calls
/// body(task, worker) once for every task in [0, count) with worker < concurrency(), unique among the tasks running at one
/// time, and returns when all are done. An exception thrown by a task is rethrown by for_each.
template <class E>
concept Executor = requires(E& executor, std::size_t count,
                            FunctionRef<void(std::size_t, std::size_t)> body) {
  { executor.concurrency() } -> std::convertible_to<std::size_t>;
  executor.for_each(count, body);
};

/// A borrowed Executor, two pointers wide. The default one runs everything inline on the calling thread: the library starts
/// no thread by itself. The referred executor must outlive the reference.
class ExecutorRef {
 public:
  using Body = FunctionRef<void(std::size_t task, std::size_t worker)>;

  ExecutorRef() = default;
  template <Executor E>
  requires(!std::same_as<std::remove_cvref_t<E>, ExecutorRef>)
      ExecutorRef(E& executor)  // NOLINT(google-explicit-constructor): borrowing is the point
      : object_(&executor),
        concurrency_([](void* object) -> std::size_t { return static_cast<E*>(object)->concurrency(); }),
        for_each_([](void* object, std::size_t count, Body body) {
          static_cast<E*>(object)->for_each(count, body);
        }) {}

  [[nodiscard]] std::size_t concurrency() const { return object_ == nullptr ? 1 : concurrency_(object_); }
  void for_each(std::size_t count, Body body) const {
    if (object_ != nullptr) {
      for_each_(object_, count, body);
    } else {
      for (std::size_t task = 0; task < count; ++task) body(task, 0);
    }
  }

 private:
  void* object_ = nullptr;
  std::size_t (*concurrency_)(void*) = nullptr;
  void (*for_each_)(void*, std::size_t, Body) = nullptr;
};

/// A fixed number of threads, oneTBB's arena. Threads start at first use and belong to the process's TBB pool; destroying a
/// ThreadPool releases its arena. Safe to use from several threads at once. Throws InvalidArgument for 0 threads.
class ThreadPool {
 public:
  explicit ThreadPool(std::size_t threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  [[nodiscard]] std::size_t concurrency() const;
  void for_each(std::size_t count, ExecutorRef::Body body);

 private:
  struct Arena;
  std::unique_ptr<Arena> arena_;
};
static_assert(Executor<ThreadPool>);

}  // namespace vicinal
