#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>

namespace vicinal {

/// A regular file that is being read. Not installed: the readers of this layer share it. Everything throws IoError with the
/// path. Reading is thread-safe.
class InputFile {
 public:
  /// Opens `path`, which must be a regular file: a folder, a pipe or a device is refused without being waited for.
  explicit InputFile(const std::filesystem::path& path);
  ~InputFile();
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::uint64_t size() const { return size_; }  ///< bytes, when it was opened

  /// Reads exactly `bytes.size()` bytes at `offset`; throws when the file has become shorter.
  void read(std::uint64_t offset, std::span<std::byte> bytes) const;
  /// Throws when the file's size is not what it was when it was opened.
  void require_unchanged() const;
  /// The whole file, read-only, with at least `readable_past_end` bytes readable after the last. It must not be truncated while
  /// it is mapped. The mapping outlives this object.
  [[nodiscard]] std::shared_ptr<std::byte> map() const;

 private:
  [[nodiscard]] std::uint64_t current_size() const;

  std::string path_;
  int descriptor_ = -1;
  std::uint64_t size_ = 0;
};

}  // namespace vicinal
