#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <thread>

#include "vicinal/index/index.hpp"
#include "random_rows.hpp"
#include "thread_executor.hpp"

namespace vicinal {
namespace {

std::string bytes_of(const Index& index) {
  const std::filesystem::path path =
      std::filesystem::temp_directory_path() /
      ("vicinal-concurrent-" + std::to_string(std::random_device()()) + ".vcn");
  index.save(path);
  std::ifstream file(path, std::ios::binary);
  std::string bytes{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  std::filesystem::remove(path);
  return bytes;
}

TEST(ConcurrentBuild, TheFileDoesNotDependOnTheNumberOfThreads) {
  const RandomRows base(700, 16, 1);
  constexpr const char* spec = "i8 | hnsw(m=8, efc=40) | rerank(f16, 3x)";
  const std::string inline_bytes = bytes_of(Index::build(base.view(), spec, Metric::cosine));
  ASSERT_FALSE(inline_bytes.empty());
  for (const std::size_t threads : {2U, 4U}) {
    ThreadExecutor pool(threads);
    BuildControl control;
    control.executor = pool;
    EXPECT_TRUE(bytes_of(Index::build(base.view(), spec, Metric::cosine, {}, control)) == inline_bytes)
        << threads << " threads made another file";
  }
}

TEST(ConcurrentBuild, ProgressComesOnTheCallingThreadOnly) {
  const RandomRows base(700, 16, 2);
  ThreadExecutor pool(4);
  BuildControl control;
  control.executor = pool;
  std::atomic<std::size_t> calls = 0, elsewhere = 0;
  const std::thread::id caller = std::this_thread::get_id();
  control.progress = [&](std::string_view, std::uint64_t, std::uint64_t) {
    ++calls;
    if (std::this_thread::get_id() != caller) ++elsewhere;
  };
  (void)Index::build(base.view(), "hnsw(m=8, efc=40)", Metric::l2, {.calibrate = false}, control);
  EXPECT_GT(calls, 0U);
  EXPECT_EQ(elsewhere, 0U);
}

TEST(ConcurrentBuild, AStopFromAnotherThreadThrowsCancelled) {
  const RandomRows base(3000, 16, 3);
  ThreadExecutor pool(2);
  std::stop_source source;
  BuildControl control;
  control.executor = pool;
  control.stop = source.get_token();
  std::jthread stopper;
  control.progress = [&](std::string_view, std::uint64_t, std::uint64_t) {
    if (!stopper.joinable()) stopper = std::jthread([&] { source.request_stop(); });
  };
  EXPECT_THROW((void)Index::build(base.view(), "hnsw(m=8, efc=200)", Metric::l2, {}, control), Cancelled);
}

}  // namespace
}  // namespace vicinal
