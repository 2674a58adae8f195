#pragma once

#include <cstddef>
#include <filesystem>
#include <vector>

#include "vicinal/core/matrix_view.hpp"

namespace vicinal::bench {

/// Images as rows of grey values 0 to 255.
struct Images {
  std::vector<float> values;
  std::size_t rows = 0;
  std::size_t cols = 0;

  [[nodiscard]] MatrixView<const float> view() const { return {values.data(), rows, cols}; }
};

/// Reads the first `most` images of a gzip-compressed IDX file (the format of MNIST: big-endian magic 0x00000803, count,
/// height, width, then bytes). Throws IoError, with the Debian package that has the file when it is missing, and CorruptFile.
Images read_images(const std::filesystem::path& path, std::size_t most);

}  // namespace vicinal::bench
