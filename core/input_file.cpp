#include "vicinal/core/input_file.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "vicinal/core/array.hpp"
#include "vicinal/core/error.hpp"

namespace vicinal {

InputFile::InputFile(const std::filesystem::path& path) : path_(path.string()) {
  do {
    // Without O_NONBLOCK opening a pipe waits for its writer.
    descriptor_ = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  } while (descriptor_ < 0 && errno == EINTR);
  if (descriptor_ < 0) throw_io_error("cannot open", path_);
  try {
    size_ = current_size();
  } catch (...) {
    ::close(descriptor_);  // The destructor of a half-made object does not run.
    throw;
  }
}

InputFile::~InputFile() { ::close(descriptor_); }

std::uint64_t InputFile::current_size() const {
  struct stat status {};
  if (::fstat(descriptor_, &status) != 0) throw_io_error("cannot examine", path_);
  if (S_ISDIR(status.st_mode)) throw IoError("cannot read " + path_ + ": it is a directory");
  if (!S_ISREG(status.st_mode)) throw IoError("cannot read " + path_ + ": it is not a regular file");
  return static_cast<std::uint64_t>(status.st_size);
}

void InputFile::read(std::uint64_t offset, std::span<std::byte> bytes) const {
  while (!bytes.empty()) {
    const ssize_t got = ::pread(descriptor_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (got < 0) {
      if (errno == EINTR) continue;
      throw_io_error("cannot read", path_);
    }
    if (got == 0) throw IoError("cannot read " + path_ + ": it became shorter while it was read");
    bytes = bytes.subspan(static_cast<std::size_t>(got));
    offset += static_cast<std::uint64_t>(got);
  }
}

void InputFile::require_unchanged() const {
  const std::uint64_t now = current_size();
  if (now == size_) return;
  throw IoError("cannot read " + path_ + ": its size changed from " + std::to_string(size_) + " to " +
                std::to_string(now) + " bytes while it was read");
}

std::shared_ptr<std::byte> InputFile::map() const {
  // Anonymous pages first and the file over them: where the file ends with its last page, a zero page follows that may be read.
  const auto reserved = static_cast<std::size_t>(size_) + readable_past_end;
  void* const address =
      ::mmap(nullptr, reserved, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (address == MAP_FAILED) throw_io_error("cannot reserve addresses to map", path_);
  std::shared_ptr<std::byte> pages(static_cast<std::byte*>(address),
                                   [reserved](std::byte* begin) { ::munmap(begin, reserved); });
  if (size_ != 0 && ::mmap(address, static_cast<std::size_t>(size_), PROT_READ, MAP_PRIVATE | MAP_FIXED,
                           descriptor_, 0) == MAP_FAILED) {
    throw_io_error("cannot map", path_);
  }
  return pages;
}

}  // namespace vicinal
