#include "vicinal/index/metadata.hpp"

#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <sstream>
#include <streambuf>
#include <cereal/archives/portable_binary.hpp>

#include "vicinal/core/error.hpp"

namespace vicinal {
namespace {

constexpr std::uint32_t newest_version = 1;
constexpr std::uint32_t most_points = 256;

[[noreturn]] void throw_corrupt(const std::string& reason) {
  throw CorruptFile("section index/meta: " + reason);
}

// Reads from memory that somebody else owns, and knows how much is left.
class MemoryBuffer : public std::streambuf {
 public:
  explicit MemoryBuffer(std::string_view bytes) {
    char* const begin = const_cast<char*>(bytes.data());  // The get area is never written to.
    setg(begin, begin, begin + bytes.size());
  }
  [[nodiscard]] std::size_t remaining() const { return static_cast<std::size_t>(egptr() - gptr()); }
};

class Reader {
 public:
  explicit Reader(std::string_view bytes) : buffer_(bytes), stream_(&buffer_), archive_(stream_) {}

  template <class T>
  T read() {
    T value{};
    archive_(value);
    return value;
  }
  bool read_bool(const char* what) {
    const auto value = read<std::uint8_t>();
    if (value > 1) throw_corrupt(fmt::format("{} is {}, expected 0 or 1", what, value));
    return value == 1;
  }
  std::string read_string() {
    const auto length = read<std::uint32_t>();
    if (length > buffer_.remaining())
      throw_corrupt(fmt::format("a string of {} bytes, {} are left", length, buffer_.remaining()));
    std::string value(length, '\0');
    archive_(cereal::binary_data(value.data(), value.size()));
    return value;
  }
  [[nodiscard]] std::size_t remaining() const { return buffer_.remaining(); }

 private:
  MemoryBuffer buffer_;
  std::istream stream_;
  cereal::PortableBinaryInputArchive archive_;
};

class Writer {
 public:
  template <class... T>
  void write(const T&... values) {
    archive_(values...);
  }
  void write_string(const std::string& value) {
    archive_(static_cast<std::uint32_t>(value.size()));
    archive_(cereal::binary_data(value.data(), value.size()));
  }
  [[nodiscard]] std::string bytes() const { return stream_.str(); }

 private:
  std::ostringstream stream_;
  cereal::PortableBinaryOutputArchive archive_{stream_,
                                               cereal::PortableBinaryOutputArchive::Options::LittleEndian()};
};

Calibration read_calibration(Reader& reader, std::uint64_t size) {
  Calibration calibration;
  calibration.k = reader.read<std::uint64_t>();
  calibration.queries = reader.read<std::uint64_t>();
  calibration.given_queries = reader.read_bool("given_queries");
  if (calibration.k == 0 || calibration.k > size)
    throw_corrupt(fmt::format("calibration k is {}", calibration.k));
  if (calibration.queries == 0) throw_corrupt("calibration on 0 queries");
  const auto count = reader.read<std::uint32_t>();
  if (count == 0 || count > most_points) {
    throw_corrupt(fmt::format("{} calibration points, expected 1 to {}", count, most_points));
  }
  Calibration::Point previous;
  for (std::uint32_t i = 0; i < count; ++i) {
    Calibration::Point point;
    point.effort = reader.read<std::uint64_t>();
    point.recall = reader.read<double>();
    const bool in_range =
        point.effort <= std::numeric_limits<std::uint32_t>::max() && point.recall >= 0 && point.recall <= 1;
    if (!in_range || point.effort <= previous.effort || point.recall < previous.recall) {
      throw_corrupt(fmt::format("calibration point {} (effort {}, recall {}) is out of range or order", i,
                                point.effort, point.recall));
    }
    calibration.points.push_back(point);
    previous = point;
  }
  return calibration;
}

IndexMetadata read_metadata(std::string_view bytes) {
  Reader reader(bytes);
  const auto version = reader.read<std::uint32_t>();
  if (version > newest_version) {
    throw Unsupported(
        fmt::format("section index/meta has version {}, this build reads up to {}", version, newest_version));
  }
  if (version == 0) throw_corrupt("version 0");
  IndexMetadata metadata;
  metadata.spec = reader.read_string();
  const auto metric = reader.read<std::uint8_t>();
  if (metric > static_cast<std::uint8_t>(Metric::cosine))
    throw_corrupt(fmt::format("metric {} is unknown", metric));
  metadata.metric = static_cast<Metric>(metric);
  metadata.dim = reader.read<std::uint64_t>();
  metadata.size = reader.read<std::uint64_t>();
  if (metadata.dim == 0 || metadata.size == 0) {
    throw_corrupt(
        fmt::format("{} items of dimension {}, expected at least 1 of 1", metadata.size, metadata.dim));
  }
  metadata.seed = reader.read<std::uint64_t>();
  metadata.has_ids = reader.read_bool("has_ids");
  if (reader.read_bool("has_calibration")) metadata.calibration = read_calibration(reader, metadata.size);
  if (reader.remaining() != 0) throw_corrupt(fmt::format("{} bytes too many", reader.remaining()));
  return metadata;
}

}  // namespace

std::string encode_metadata(const IndexMetadata& metadata) {
  Writer writer;
  writer.write(newest_version);
  writer.write_string(metadata.spec);
  writer.write(static_cast<std::uint8_t>(metadata.metric), metadata.dim, metadata.size, metadata.seed,
               static_cast<std::uint8_t>(metadata.has_ids),
               static_cast<std::uint8_t>(metadata.calibration.has_value()));
  if (metadata.calibration) {
    const Calibration& calibration = *metadata.calibration;
    writer.write(std::uint64_t{calibration.k}, std::uint64_t{calibration.queries},
                 static_cast<std::uint8_t>(calibration.given_queries),
                 static_cast<std::uint32_t>(calibration.points.size()));
    for (const Calibration::Point& point : calibration.points)
      writer.write(std::uint64_t{point.effort}, point.recall);
  }
  return writer.bytes();
}

IndexMetadata decode_metadata(std::string_view bytes) {
  // The archive's first byte tells its byte order; a save always writes little-endian.
  if (bytes.empty() || bytes.front() != 1) throw_corrupt("does not begin as an archive does");
  IndexMetadata metadata;
  try {
    metadata = read_metadata(bytes);
  } catch (const cereal::Exception&) {
    throw_corrupt(fmt::format("cut short after {} bytes", bytes.size()));
  }
  // Everything has one encoding (byte order, -0.0 among recalls, ...): a file with another one was not made by a save.
  if (encode_metadata(metadata) != bytes) throw_corrupt("not as encoded by a save");
  return metadata;
}

}  // namespace vicinal
