#include "vicinal/core/append_log.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "vicinal/core/error.hpp"
#include "temporary_folder.hpp"

namespace vicinal {
namespace {

constexpr AppendLog::Identity identity{1, 2, 3};
constexpr std::size_t header_bytes = 64, frame_header_bytes = 32;

void append(AppendLog& log, const std::string& text) {
  const std::span<const std::byte> bytes = std::as_bytes(std::span(text));
  const std::size_t half = bytes.size() / 2;
  const std::span<const std::byte> parts[] = {bytes.first(half), bytes.subspan(half)};
  log.append(parts);
}

std::vector<std::string> records_of(const std::filesystem::path& path) {
  std::vector<std::string> records;
  AppendLog::open(path, [&](std::span<const std::byte> record) {
    records.emplace_back(reinterpret_cast<const char*>(record.data()), record.size());
  });
  return records;
}

const std::vector<std::string> some{"first", "", "a record of more than eight bytes", "last one"};

std::filesystem::path make_log(const TemporaryFolder& folder, std::vector<std::size_t>* ends = nullptr) {
  const std::filesystem::path path = folder / "index.log";
  AppendLog log = AppendLog::create(path, identity);
  for (const std::string& record : some) {
    append(log, record);
    if (ends != nullptr) ends->push_back(log.bytes());
  }
  return path;
}

TEST(AppendLog, GivesBackWhatWasAppendedInOrder) {
  const TemporaryFolder folder;
  const std::filesystem::path path = make_log(folder);
  EXPECT_EQ(records_of(path), some);
  EXPECT_EQ(AppendLog::identity_of(path), identity);
  EXPECT_EQ(std::filesystem::file_size(path) % 8, 0U);
}

TEST(AppendLog, GoesOnAfterItWasOpened) {
  const TemporaryFolder folder;
  const std::filesystem::path path = make_log(folder);
  {
    AppendLog log = AppendLog::open(path, [](auto) {});
    EXPECT_EQ(log.records(), some.size());
    append(log, "one more");
  }
  std::vector<std::string> expected = some;
  expected.emplace_back("one more");
  EXPECT_EQ(records_of(path), expected);
}

TEST(AppendLog, WhateverWasNotWrittenWholeIsCutOff) {
  const TemporaryFolder folder;
  std::vector<std::size_t> ends;
  const std::vector<char> bytes = read_bytes(make_log(folder, &ends));
  for (std::size_t length = header_bytes; length <= bytes.size(); ++length) {
    const std::filesystem::path path = folder / "cut.log";
    write_bytes(path, std::span(bytes).first(length));
    // A record is whole with its last byte, padding or not.
    std::size_t whole = 0;
    for (std::size_t i = 0, begin = header_bytes; i < some.size(); begin = ends[i], ++i)
      whole += length >= begin + frame_header_bytes + some[i].size() ? 1 : 0;
    EXPECT_EQ(records_of(path), std::vector(some.begin(), some.begin() + static_cast<std::ptrdiff_t>(whole)))
        << length;
    AppendLog log = AppendLog::open(path, [](auto) {});
    append(log, "after");
    EXPECT_EQ(records_of((log = AppendLog(), path)).back(), "after") << length;
  }
}

TEST(AppendLog, EveryDamagedBitOfARecordThatOthersFollowIsAnError) {
  const TemporaryFolder folder;
  std::vector<std::size_t> ends;
  const std::vector<char> bytes = read_bytes(make_log(folder, &ends));
  const std::filesystem::path path = folder / "damaged.log";
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    std::vector<char> damaged = bytes;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x10);
    write_bytes(path, damaged);
    const std::size_t last = ends[ends.size() - 2];
    if (at < header_bytes) {
      EXPECT_THROW(records_of(path), CorruptFile) << at;
    } else if (at >= last) {
      // Nobody can tell it from one that was cut short; padding is no part of it.
      const bool padding = at >= last + frame_header_bytes + some.back().size();
      EXPECT_EQ(records_of(path).size(), padding ? some.size() : some.size() - 1) << at;
    } else {
      bool padding = false;
      for (std::size_t i = 0, begin = header_bytes; i < some.size(); begin = ends[i], ++i)
        padding = padding || (at < ends[i] && at >= begin + frame_header_bytes + some[i].size());
      if (padding) {
        EXPECT_EQ(records_of(path), some) << at;
      } else {
        EXPECT_THROW(records_of(path), CorruptFile) << at;
      }
    }
  }
}

TEST(AppendLog, HasOneWriterAtATime) {
  const TemporaryFolder folder;
  const std::filesystem::path path = make_log(folder);
  AppendLog log = AppendLog::open(path, [](auto) {});
  EXPECT_THROW(AppendLog::open(path, [](auto) {}), IoError);
  log = AppendLog();
  EXPECT_NO_THROW(AppendLog::open(path, [](auto) {}));
}

TEST(AppendLog, SaysWhatIsWrong) {
  const TemporaryFolder folder;
  EXPECT_THROW(AppendLog::open(folder / "absent.log", [](auto) {}), IoError);
  write_bytes(folder / "short.log", std::vector<char>(10));
  EXPECT_THROW(AppendLog::open(folder / "short.log", [](auto) {}), CorruptFile);
  write_bytes(folder / "other.log", std::vector<char>(200, 'x'));
  EXPECT_THROW(AppendLog::open(folder / "other.log", [](auto) {}), CorruptFile);
}

}  // namespace
}  // namespace vicinal
