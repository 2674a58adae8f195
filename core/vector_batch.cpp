#include "vicinal/core/vector_batch.hpp"

#include <bit>
#include <cmath>
#include <string>

#include "vicinal/core/error.hpp"

namespace vicinal {
namespace {

// Without the sign bit, adding one to the exponent carries into the sign exactly when all exponent bits were set, which is
// what infinities and NaNs have. Only and, add and or: compilers turn the loop into whole-vector code.
bool all_finite(const float* values, std::size_t count) {
  std::uint32_t carries = 0;
  for (std::size_t i = 0; i < count; ++i)
    carries |= (std::bit_cast<std::uint32_t>(values[i]) & 0x7FFFFFFFU) + 0x00800000U;
  return carries >> 31 == 0;
}

[[noreturn]] void throw_not_finite(std::span<const float> row, const std::string& where) {
  std::size_t column = 0;
  while (std::isfinite(row[column])) ++column;
  const char* const value = std::isnan(row[column]) ? "nan" : row[column] > 0 ? "inf" : "-inf";
  throw InvalidArgument(where + " column " + std::to_string(column) + " is " + value +
                        ", expected a finite number");
}

void require_offsets(std::span<const std::uint64_t> offsets, std::size_t rows, const char* what) {
  const std::string noun(what);
  if (offsets.front() != 0) {
    throw InvalidArgument(noun + " offsets begin with " + std::to_string(offsets.front()) + ", expected 0");
  }
  for (std::size_t i = 1; i < offsets.size(); ++i) {
    if (offsets[i] >= offsets[i - 1]) continue;
    throw InvalidArgument(noun + " offsets must ascend: offset " + std::to_string(i) + " is " +
                          std::to_string(offsets[i]) + " after " + std::to_string(offsets[i - 1]));
  }
  if (offsets.back() != rows) {
    throw InvalidArgument(noun + " offsets end at row " + std::to_string(offsets.back()) + ", there are " +
                          std::to_string(rows) + " rows");
  }
}

}  // namespace

void require_finite(MatrixView<const float> rows, const char* what) {
  for (std::size_t i = 0; i < rows.rows(); ++i) {
    if (!all_finite(rows.row_data(i), rows.cols()))
      throw_not_finite(rows[i], std::string(what) + " row " + std::to_string(i));
  }
}

void validate_batch(const VectorBatch& batch, std::size_t dim, const char* what) {
  if (batch.dim() != dim) {
    throw InvalidArgument(std::string(what) + " have " + std::to_string(batch.dim()) +
                          (batch.dim() == 1 ? " column" : " columns") + ", the index has dimension " +
                          std::to_string(dim));
  }
  if (!batch.multi_vector()) return require_finite(batch.rows, what);
  require_offsets(batch.offsets, batch.rows.rows(), what);
  for (std::size_t item = 0; item < batch.size(); ++item) {
    for (std::size_t row = batch.offsets[item]; row < batch.offsets[item + 1]; ++row) {
      if (all_finite(batch.rows.row_data(row), batch.dim())) continue;
      throw_not_finite(batch.rows[row], std::string(what) + " item " + std::to_string(item) + " vector " +
                                            std::to_string(row - batch.offsets[item]) + " (row " +
                                            std::to_string(row) + ")");
    }
  }
}

void require_vectors(const VectorBatch& batch, const char* what) {
  for (std::size_t i = 0; batch.multi_vector() && i < batch.size(); ++i) {
    if (batch.offsets[i] != batch.offsets[i + 1]) continue;
    throw InvalidArgument(std::string(what) + " " + std::to_string(i) +
                          " has no vectors, expected at least 1");
  }
}

}  // namespace vicinal
