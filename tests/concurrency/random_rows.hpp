#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "vicinal/core/matrix_view.hpp"
#include "vicinal/core/random.hpp"

namespace vicinal {

/// Uniform in [0, 1), the same for the same seed.
struct RandomRows {
  RandomRows(std::size_t row_count, std::size_t columns, std::uint64_t seed)
      : rows(row_count), cols(columns), values(row_count * columns) {
    RandomStream random(seed, 0);
    for (float& value : values) value = static_cast<float>(random.next_unit());
  }
  [[nodiscard]] MatrixView<const float> view() const { return {values.data(), rows, cols}; }

  std::size_t rows, cols;
  std::vector<float> values;
};

}  // namespace vicinal
