#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>

namespace vicinal {

/// A file that records are appended to, each on disk before append() returns (docs/format.md). Frames carry a sequence number and checksums, so that a
/// record whose write was cut short is told from one that was damaged later: the former was never acknowledged and is dropped, the
/// latter is CorruptFile. One process at a time has a log open for appending; not thread-safe.
class AppendLog {
 public:
  /// What a log belongs to, in 16 bytes: the uuid of a container, or zeros.
  using Identity = std::array<std::uint8_t, 16>;
  using Visit = std::function<void(std::span<const std::byte> record)>;

  AppendLog() = default;
  AppendLog(const AppendLog&) = delete;
  AppendLog& operator=(const AppendLog&) = delete;
  AppendLog(AppendLog&& other) noexcept;
  AppendLog& operator=(AppendLog&& other) noexcept;
  ~AppendLog();

  /// An empty one in place of whatever is at `path`, atomically. Throws IoError.
  static AppendLog create(const std::filesystem::path& path, const Identity& identity);
  /// Shows `visit` every record, in order, and cuts off what was not written whole. Throws IoError, also when another process
  /// has it open, CorruptFile, Unsupported, and what `visit` throws.
  static AppendLog open(const std::filesystem::path& path, const Visit& visit);
  /// Of an existing log, without opening it for appending.
  static Identity identity_of(const std::filesystem::path& path);

  [[nodiscard]] bool is_open() const { return descriptor_ >= 0; }
  [[nodiscard]] std::uint64_t bytes() const { return end_; }
  [[nodiscard]] std::uint64_t records() const { return records_; }

  /// Appends one record made of `parts`, and returns when it is on disk. Throws IoError; the record is not in the log then, unless that could not be made
  /// sure of either, after which every append throws.
  void append(std::span<const std::span<const std::byte>> parts);

 private:
  void take(AppendLog& other) noexcept;
  void lock() const;

  std::filesystem::path path_;
  int descriptor_ = -1;
  std::uint64_t end_ = 0;
  std::uint64_t records_ = 0;
  bool broken_ = false;
};

}  // namespace vicinal
