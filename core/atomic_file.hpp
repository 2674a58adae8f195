#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <vector>

namespace vicinal {

/// A file that appears at its path whole or not at all: written under a temporary name in the same folder, synced, renamed,
/// folder synced. A file that is replaced hands on its permissions, a new one gets 0644 less the umask; anything but a regular
/// file (a directory, a device) is refused, and a symbolic link is itself replaced. Without commit() (an exception on the way) the temporary file is removed and `path` is as before.
/// Not thread-safe; movable by nobody. Every failing system call throws IoError with the path and the reason.
class AtomicFile {
 public:
  explicit AtomicFile(std::filesystem::path path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(std::span<const std::byte>
                 bytes);  ///< appends (small pieces are gathered); retries short and interrupted writes
  void commit();

 private:
  void flush();
  void write_through(std::span<const std::byte> bytes);

  std::filesystem::path path_;
  std::filesystem::path temporary_;
  std::vector<std::byte> buffer_;
  int descriptor_ = -1;
};

/// Writes a whole file atomically.
void write_file_atomically(const std::filesystem::path& path, std::span<const std::byte> bytes);

}  // namespace vicinal
