#include "vicinal/quant/mean.hpp"

#include <algorithm>
#include <cstddef>
#include <vector>

#include "vicinal/quant/codec.hpp"

namespace vicinal {
namespace {

// Rows are summed in blocks of this many, block sums in order: the order, so the bits, never depend on the threads.
constexpr std::size_t mean_block = 4096;

Array<float> mean_of(MatrixView<const float> rows, bool scaled, ExecutorRef executor) {
  const std::size_t dim = rows.cols();
  const std::size_t blocks = (rows.rows() + mean_block - 1) / mean_block;
  std::vector<double> sums(blocks * dim, 0.0);
  executor.for_each(blocks, [&](std::size_t block, std::size_t) {
    double* sum = sums.data() + block * dim;
    std::vector<float> unit(dim);
    const std::size_t end = std::min(rows.rows(), (block + 1) * mean_block);
    for (std::size_t row = block * mean_block; row < end; ++row) {
      const float* vector = rows.row_data(row);
      if (scaled) {
        normalise(rows[row], unit);
        vector = unit.data();
      }
      for (std::size_t j = 0; j < dim; ++j) sum[j] += static_cast<double>(vector[j]);
    }
  });
  Array<float> mean(dim);
  for (std::size_t j = 0; j < dim; ++j) {
    double sum = 0;
    for (std::size_t block = 0; block < blocks; ++block) sum += sums[block * dim + j];
    mean[j] = static_cast<float>(sum / static_cast<double>(rows.rows()));
  }
  return mean;
}

}  // namespace

Array<float> mean_of_rows(MatrixView<const float> rows, ExecutorRef executor) {
  return mean_of(rows, false, executor);
}

Array<float> mean_of_unit_rows(MatrixView<const float> rows, ExecutorRef executor) {
  return mean_of(rows, true, executor);
}

}  // namespace vicinal
