#include "vicinal/bench/fashion_mnist.hpp"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>

#include "vicinal/core/error.hpp"

namespace vicinal::bench {
namespace {

struct CloseGzip {
  void operator()(gzFile file) const { gzclose(file); }
};
using Gzip = std::unique_ptr<gzFile_s, CloseGzip>;

void read_exactly(const Gzip& file, void* target, std::size_t bytes, const std::string& path) {
  auto* place = static_cast<unsigned char*>(target);
  while (bytes > 0) {
    const auto wanted = static_cast<unsigned>(std::min<std::size_t>(bytes, 1U << 20U));
    const int got = gzread(file.get(), place, wanted);
    if (got <= 0) throw CorruptFile(fmt::format("{} ends early or is damaged", path));
    place += got;
    bytes -= static_cast<std::size_t>(got);
  }
}

std::uint32_t read_big_endian(const Gzip& file, const std::string& path) {
  std::array<unsigned char, 4> b{};
  read_exactly(file, b.data(), b.size(), path);
  return std::uint32_t{b[0]} << 24U | std::uint32_t{b[1]} << 16U | std::uint32_t{b[2]} << 8U |
         std::uint32_t{b[3]};
}

}  // namespace

Images read_images(const std::filesystem::path& path, std::size_t most) {
  const std::string name = path.string();
  if (!std::filesystem::is_regular_file(path)) {
    throw IoError(fmt::format("there is no {}; the Debian package dataset-fashion-mnist has it", name));
  }
  const Gzip file(gzopen(name.c_str(), "rb"));
  if (!file) throw_io_error("cannot open", name);
  if (const auto magic = read_big_endian(file, name); magic != 0x00000803U) {
    throw CorruptFile(fmt::format(
        "{} begins with {:#010x}, expected the magic number of IDX images, 0x00000803", name, magic));
  }
  const std::uint32_t count = read_big_endian(file, name);
  const std::uint32_t height = read_big_endian(file, name);
  const std::uint32_t width = read_big_endian(file, name);
  if (height == 0 || width == 0 || height > 1024 || width > 1024) {
    throw CorruptFile(fmt::format("{} has images of {} x {}", name, height, width));
  }
  Images images;
  images.cols = std::size_t{height} * width;
  std::vector<std::uint8_t> row(images.cols);
  for (images.rows = 0; images.rows < std::min<std::size_t>(count, most); ++images.rows) {
    read_exactly(file, row.data(), row.size(), name);
    images.values.insert(images.values.end(), row.begin(), row.end());
  }
  return images;
}

}  // namespace vicinal::bench
