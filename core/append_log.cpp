#include "vicinal/core/append_log.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>
#include <utility>
#include <vector>

#include "vicinal/core/atomic_file.hpp"
#include "vicinal/core/container_format.hpp"
#include "vicinal/core/error.hpp"

namespace vicinal {
namespace {

using container_format::bytes_of;
using container_format::hash;
using container_format::hash_of_block;

constexpr std::array<char, 8> log_magic = {'V', 'C', 'N', 'L', 'O', 'G', '\x1a', '\n'};
constexpr std::uint16_t log_major = 1;

struct LogHeader {
  std::array<char, 8> magic;
  std::uint32_t endianness;
  std::uint16_t major;
  std::uint16_t minor;
  std::array<std::uint8_t, 16> identity;
  std::array<std::byte, 24> reserved;
  std::uint64_t checksum;  // of the bytes before
};
static_assert(sizeof(LogHeader) == 64 && offsetof(LogHeader, checksum) == 56);

struct FrameHeader {
  std::uint64_t length;    // bytes of the record, which zeros follow up to the next multiple of 8
  std::uint64_t sequence;  // from 0
  std::uint64_t record_checksum;
  std::uint64_t checksum;  // of the bytes before
};
static_assert(sizeof(FrameHeader) == 32 && offsetof(FrameHeader, checksum) == 24);

constexpr std::uint64_t frame_alignment = 8;
std::uint64_t padded(std::uint64_t length) {
  return (length + frame_alignment - 1) / frame_alignment * frame_alignment;
}

int open_retrying(const std::filesystem::path& path, int flags) {
  int descriptor = -1;
  do {
    descriptor = ::open(path.c_str(), flags | O_CLOEXEC);
  } while (descriptor < 0 && errno == EINTR);
  return descriptor;
}

// Up to `bytes.size()` bytes from `offset` on; returns how many there were.
std::size_t read_at(int descriptor, std::uint64_t offset, std::span<std::byte> bytes,
                    const std::string& path) {
  std::size_t got = 0;
  while (got < bytes.size()) {
    const ssize_t count =
        ::pread(descriptor, bytes.data() + got, bytes.size() - got, static_cast<off_t>(offset + got));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw_io_error("cannot read", path);
    if (count == 0) break;
    got += static_cast<std::size_t>(count);
  }
  return got;
}

LogHeader read_header(int descriptor, const std::string& path) {
  LogHeader header{};
  if (read_at(descriptor, 0, std::as_writable_bytes(std::span(&header, 1)), path) != sizeof(header))
    throw CorruptFile(path + ": the file is too short to be a log");
  if (header.magic != log_magic) throw CorruptFile(path + ": the file is not a log");
  if (header.checksum != hash_of_block(header)) throw CorruptFile(path + ": the header's checksum is wrong");
  if (header.endianness != container_format::endianness_mark)
    throw CorruptFile(path + ": the byte order is another");
  if (header.major != log_major) {
    throw Unsupported(path + ": the log has version " + std::to_string(header.major) +
                      ", this library reads " + std::to_string(log_major));
  }
  return header;
}

bool is_frame(const FrameHeader& frame) { return frame.checksum == hash_of_block(frame); }

// Whether a whole frame with a later number lies behind `offset`: then what is at `offset` was whole once.
bool frame_follows(int descriptor, std::uint64_t offset, std::uint64_t end, std::uint64_t sequence,
                   const std::string& path) {
  constexpr std::size_t chunk = std::size_t{1} << 20;
  std::vector<std::byte> bytes(chunk + sizeof(FrameHeader));
  for (std::uint64_t at = offset; at < end; at += chunk) {
    const std::size_t got = read_at(descriptor, at, bytes, path);
    for (std::size_t i = 0; i + sizeof(FrameHeader) <= got; i += frame_alignment) {
      FrameHeader frame{};
      std::memcpy(&frame, bytes.data() + i, sizeof(frame));
      if (frame.sequence > sequence && frame.sequence - sequence < end && is_frame(frame)) return true;
    }
  }
  return false;
}

}  // namespace

AppendLog::AppendLog(AppendLog&& other) noexcept { take(other); }

AppendLog& AppendLog::operator=(AppendLog&& other) noexcept {
  if (this == &other) return *this;
  if (descriptor_ >= 0) ::close(descriptor_);
  take(other);
  return *this;
}

AppendLog::~AppendLog() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void AppendLog::take(AppendLog& other) noexcept {
  path_ = std::move(other.path_);
  descriptor_ = std::exchange(other.descriptor_, -1);
  end_ = other.end_;
  records_ = other.records_;
  broken_ = other.broken_;
}

void AppendLog::lock() const {
  if (::flock(descriptor_, LOCK_EX | LOCK_NB) == 0) return;
  if (errno == EWOULDBLOCK)
    throw IoError("cannot open " + path_.string() +
                  ": it is open for changes already, here or in another process");
  throw_io_error("cannot lock", path_.string());
}

AppendLog AppendLog::create(const std::filesystem::path& path, const Identity& identity) {
  LogHeader header{};
  header.magic = log_magic;
  header.endianness = container_format::endianness_mark;
  header.major = log_major;
  header.identity = identity;
  header.checksum = hash_of_block(header);
  write_file_atomically(path, bytes_of(header));
  AppendLog log;
  log.path_ = path;
  log.descriptor_ = open_retrying(path, O_RDWR);
  if (log.descriptor_ < 0) throw_io_error("cannot open", path.string());
  log.lock();
  log.end_ = sizeof(header);
  return log;
}

AppendLog::Identity AppendLog::identity_of(const std::filesystem::path& path) {
  const int descriptor = open_retrying(path, O_RDONLY);
  if (descriptor < 0) throw_io_error("cannot open", path.string());
  AppendLog closes;
  closes.descriptor_ = descriptor;
  return read_header(descriptor, path.string()).identity;
}

AppendLog AppendLog::open(const std::filesystem::path& path, const Visit& visit) {
  AppendLog log;
  log.path_ = path;
  log.descriptor_ = open_retrying(path, O_RDWR);
  if (log.descriptor_ < 0) throw_io_error("cannot open", path.string());
  log.lock();
  const std::string name = path.string();
  read_header(log.descriptor_, name);
  struct stat status {};
  if (::fstat(log.descriptor_, &status) != 0) throw_io_error("cannot look at", name);
  const auto end = static_cast<std::uint64_t>(status.st_size);
  log.end_ = sizeof(LogHeader);
  std::vector<std::byte> record;
  while (log.end_ < end) {
    FrameHeader frame{};
    const bool whole_header = read_at(log.descriptor_, log.end_, std::as_writable_bytes(std::span(&frame, 1)),
                                      name) == sizeof(frame) &&
                              is_frame(frame) && frame.sequence == log.records_;
    const std::uint64_t left = end - log.end_ - std::min<std::uint64_t>(end - log.end_, sizeof(frame));
    bool whole = whole_header && frame.length <= left;
    if (whole) {
      record.resize(frame.length);
      whole = read_at(log.descriptor_, log.end_ + sizeof(frame), record, name) == frame.length &&
              hash(record) == frame.record_checksum;
    }
    if (!whole) {
      if (frame_follows(log.descriptor_, log.end_ + frame_alignment, end, log.records_, name)) {
        throw CorruptFile(name + ": record " + std::to_string(log.records_) + " at byte " +
                          std::to_string(log.end_) + " is damaged, and others follow it");
      }
      break;
    }
    visit(record);
    ++log.records_;
    log.end_ = std::min(end, log.end_ + sizeof(frame) + padded(frame.length));
  }
  // A last record may lack its padding, which is no part of it.
  const std::uint64_t whole_end = padded(log.end_);
  if (end != whole_end && ::ftruncate(log.descriptor_, static_cast<off_t>(whole_end)) != 0)
    throw_io_error("cannot cut an unfinished record off", name);
  log.end_ = whole_end;
  return log;
}

void AppendLog::append(std::span<const std::span<const std::byte>> parts) {
  if (broken_)
    throw IoError("cannot append to " + path_.string() +
                  ": an earlier write failed and could not be undone; open it again");
  FrameHeader frame{};
  for (const std::span<const std::byte> part : parts) frame.length += part.size();
  std::vector<std::byte> bytes(sizeof(frame) + padded(frame.length));
  std::size_t at = sizeof(frame);
  for (const std::span<const std::byte> part : parts) {
    if (!part.empty()) std::memcpy(bytes.data() + at, part.data(), part.size());
    at += part.size();
  }
  frame.sequence = records_;
  frame.record_checksum = hash(std::span(bytes).subspan(sizeof(frame), frame.length));
  frame.checksum = hash_of_block(frame);
  std::memcpy(bytes.data(), &frame, sizeof(frame));

  std::size_t written = 0;
  int failed = 0;
  while (written < bytes.size() && failed == 0) {
    const ssize_t count = ::pwrite(descriptor_, bytes.data() + written, bytes.size() - written,
                                   static_cast<off_t>(end_ + written));
    if (count >= 0) {
      written += static_cast<std::size_t>(count);
    } else if (errno != EINTR) {
      failed = errno;
    }
  }
  // After a failed sync nobody knows what of the file is on disk, so that no later record may lean on it.
  const bool synced = failed == 0 && ::fdatasync(descriptor_) == 0;
  if (synced) {
    end_ += bytes.size();
    ++records_;
    return;
  }
  if (failed == 0) failed = errno;
  const bool undone = written < bytes.size() && ::ftruncate(descriptor_, static_cast<off_t>(end_)) == 0;
  broken_ = !undone;
  errno = failed;
  throw_io_error("cannot append to", path_.string());
}

}  // namespace vicinal
