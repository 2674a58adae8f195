#include "vicinal/core/atomic_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <string>

#include "vicinal/core/error.hpp"

namespace vicinal {
namespace {

constexpr std::size_t buffer_bytes = std::size_t{1} << 20;

std::filesystem::path folder_of(const std::filesystem::path& path) {
  return path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
}

// The mode of the file that `path` will be: that of the one it replaces, so that a private file stays private.
mode_t mode_for(const std::filesystem::path& path, bool& replaces) {
  struct stat status {};
  replaces = false;
  if (::stat(path.c_str(), &status) != 0) {
    if (errno != ENOENT) throw_io_error("cannot write", path.string());
    return 0644;
  }
  if (S_ISDIR(status.st_mode)) throw IoError("cannot write " + path.string() + ": it is a directory");
  // Renaming over a device or a pipe would replace it for everybody.
  if (!S_ISREG(status.st_mode)) throw IoError("cannot write " + path.string() + ": it is not a regular file");
  replaces = true;
  return status.st_mode & 0777;
}

// Creates a file nobody else has; short, so that it fits wherever the target's name does.
int create_unique(const std::filesystem::path& folder, mode_t mode, std::filesystem::path& path) {
  for (unsigned attempt = 0;; ++attempt) {
    const auto now = std::chrono::steady_clock::now().time_since_epoch().count();
    path = folder / (".vcn-" + std::to_string(::getpid()) + "-" + std::to_string(now) + "-" +
                     std::to_string(attempt) + ".tmp");
    const int descriptor = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (descriptor >= 0) return descriptor;
    if (errno != EINTR && !(errno == EEXIST && attempt < 1000)) return -1;
  }
}

int retry_fsync(int descriptor) {
  int result = 0;
  do {
    result = ::fsync(descriptor);
  } while (result != 0 && errno == EINTR);
  return result;
}

void sync_folder(const std::filesystem::path& folder) {
  const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) throw_io_error("cannot open the folder", folder.string());
  const int result = retry_fsync(descriptor);
  const int reason = errno;
  ::close(descriptor);
  errno = reason;
  // Some file systems cannot sync a folder and say EINVAL; there is nothing more to do on those.
  if (result != 0 && reason != EINVAL) throw_io_error("cannot sync the folder", folder.string());
}

}  // namespace

AtomicFile::AtomicFile(std::filesystem::path path) : path_(std::move(path)) {
  if (!path_.has_filename()) throw IoError("cannot write '" + path_.string() + "': it names no file");
  bool replaces = false;
  const mode_t mode = mode_for(path_, replaces);
  buffer_.reserve(buffer_bytes);
  descriptor_ = create_unique(folder_of(path_), mode, temporary_);
  if (descriptor_ < 0) throw_io_error("cannot create a file beside", path_.string());
  // The umask took bits from the mode; the replaced file's owner had chosen them.
  if (replaces) (void)!::fchmod(descriptor_, mode);
}

AtomicFile::~AtomicFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void AtomicFile::write(std::span<const std::byte> bytes) {
  if (buffer_.size() + bytes.size() > buffer_bytes) flush();
  if (bytes.size() >= buffer_bytes) {
    write_through(bytes);
  } else {
    buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
  }
}

void AtomicFile::flush() {
  write_through(buffer_);
  buffer_.clear();
}

void AtomicFile::write_through(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    // Linux writes at most 0x7ffff000 bytes in one call anyway.
    const ssize_t written = ::write(descriptor_, bytes.data(), bytes.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      throw_io_error("cannot write", path_.string());
    }
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
}

void AtomicFile::commit() {
  flush();
  if (retry_fsync(descriptor_) != 0) throw_io_error("cannot sync", path_.string());
  const int descriptor = descriptor_;
  descriptor_ = -1;
  // After EINTR the descriptor is closed nevertheless, and the bytes were synced above.
  if (::close(descriptor) != 0 && errno != EINTR) throw_io_error("cannot close", path_.string());
  if (::rename(temporary_.c_str(), path_.c_str()) != 0)
    throw_io_error("cannot rename a finished file to", path_.string());
  temporary_.clear();
  sync_folder(folder_of(path_));
}

void write_file_atomically(const std::filesystem::path& path, std::span<const std::byte> bytes) {
  AtomicFile file(path);
  file.write(bytes);
  file.commit();
}

}  // namespace vicinal
