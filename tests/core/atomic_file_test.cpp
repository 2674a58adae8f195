#include "vicinal/core/atomic_file.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <filesystem>
#include <string>
#include <vector>

#include "vicinal/core/error.hpp"
#include "temporary_folder.hpp"

namespace vicinal {
namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;

std::span<const std::byte> bytes_of(const std::string& text) { return std::as_bytes(std::span(text)); }
std::string content(const std::filesystem::path& path) {
  const auto bytes = read_bytes(path);
  return {bytes.begin(), bytes.end()};
}

TEST(AtomicFile, HoldsPiecesOfEverySizeInOrder) {
  const TemporaryFolder folder;
  const auto path = folder / "file";
  std::string expected;
  {
    AtomicFile file(path);
    for (const std::size_t size :
         {0U, 1U, 63U, 1U << 19, (1U << 20) - 1, 1U << 20, (1U << 20) + 1, 7U, 3U << 20, 5U}) {
      const std::string piece(size, static_cast<char>('a' + size % 23));
      file.write(bytes_of(piece));
      expected += piece;
    }
    EXPECT_FALSE(std::filesystem::exists(path));
    file.commit();
  }
  EXPECT_TRUE(content(path) == expected);
  EXPECT_EQ(folder.entries(), 1U);
}

TEST(AtomicFile, LeavesNothingWithoutCommit) {
  const TemporaryFolder folder;
  write_file_atomically(folder / "old", bytes_of("old"));
  {
    AtomicFile file(folder / "old");
    file.write(bytes_of("new"));
    AtomicFile another(folder / "old");  // Two writers do not share a temporary file.
    EXPECT_EQ(folder.entries(), 3U);
  }
  EXPECT_EQ(content(folder / "old"), "old");
  EXPECT_EQ(folder.entries(), 1U);
}

TEST(AtomicFile, KeepsThePermissionsOfTheFileItReplaces) {
  const TemporaryFolder folder;
  const auto permissions = [&] { return std::filesystem::status(folder / "file").permissions(); };
  const mode_t old_mask = ::umask(027);
  write_file_atomically(folder / "file", bytes_of("1"));
  ::umask(old_mask);
  EXPECT_EQ(permissions(), std::filesystem::perms(0640));
  std::filesystem::permissions(folder / "file", std::filesystem::perms(0606));
  write_file_atomically(folder / "file", bytes_of("2"));
  EXPECT_EQ(permissions(), std::filesystem::perms(0606));
  EXPECT_EQ(content(folder / "file"), "2");
}

TEST(AtomicFile, RefusesTargetsThatAreNotFiles) {
  const TemporaryFolder folder;
  const auto create = [](const std::filesystem::path& path) { AtomicFile file(path); };
  EXPECT_THAT([&] { create(folder.path()); }, ThrowsMessage<IoError>(HasSubstr("is a directory")));
  EXPECT_THAT([&] { create(folder.path() / ""); }, ThrowsMessage<IoError>(HasSubstr("names no file")));
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  EXPECT_THAT([&] { create(folder / "pipe"); }, ThrowsMessage<IoError>(HasSubstr("not a regular file")));
  EXPECT_TRUE(std::filesystem::is_fifo(folder / "pipe"));
  write_bytes(folder / "file", {});
  EXPECT_THAT([&] { create(folder / "file" / "inside"); },
              ThrowsMessage<IoError>(HasSubstr("Not a directory")));
  EXPECT_THAT([&] { create(folder / "absent" / "inside"); },
              ThrowsMessage<IoError>(HasSubstr("No such file or directory")));
  EXPECT_EQ(folder.entries(), 2U);
}

TEST(AtomicFile, KeepsTheOldFileWhenTheDiskIsFull) {
  const TemporaryFolder folder;
  const auto path = folder / "file";
  write_file_atomically(path, bytes_of("old"));

  // A limit on file sizes fails the write as a full disk does, also for root.
  rlimit old_limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &old_limit), 0);
  rlimit limit = old_limit;
  limit.rlim_cur = 1000;
  auto* const old_handler = ::signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &limit), 0);
  EXPECT_THAT([&] { write_file_atomically(path, bytes_of(std::string(5000, 'n'))); },
              ThrowsMessage<IoError>(HasSubstr("File too large")));
  ::setrlimit(RLIMIT_FSIZE, &old_limit);
  ::signal(SIGXFSZ, old_handler);

  EXPECT_EQ(content(path), "old");
  EXPECT_EQ(folder.entries(), 1U);
}

TEST(AtomicFile, WorksInTheCurrentFolderAndWithLongNames) {
  const TemporaryFolder folder;
  const auto before = std::filesystem::current_path();
  std::filesystem::current_path(folder.path());
  write_file_atomically("bare", bytes_of("x"));
  write_file_atomically(std::string(255, 'n'), bytes_of("y"));
  std::filesystem::current_path(before);
  EXPECT_EQ(content(folder / "bare"), "x");
  EXPECT_EQ(content(folder / std::string(255, 'n')), "y");
}

}  // namespace
}  // namespace vicinal
