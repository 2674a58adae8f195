#pragma once

#include <cstddef>
#include <span>

#include "vicinal/core/array.hpp"
#include "vicinal/core/control.hpp"
#include "vicinal/core/matrix_view.hpp"

// What training a projection reads off a set of vectors. Not installed.
namespace vicinal {

/// The largest magnitude that training takes.
inline constexpr float largest_trained_value = 0x1.0p54F;

/// The rows to read: as they are, or each scaled to length 1.
struct TrainingRows {
  MatrixView<const float> rows;
  bool normalised = false;
  const char* name = "documents";  ///< in messages
};

/// Per column: the mean, and the largest distance of a value from `centre`.
struct ColumnRange {
  Array<float> mean;
  Array<float> least;
  Array<float> most;
};

/// O(rows x dim); the bits do not depend on the threads. Throws InvalidArgument for a magnitude beyond largest_trained_value.
ColumnRange column_range(const TrainingRows& rows, const BuildControl& control);

/// The mean of (x - centre)(x - centre)^T over the rows, dim x dim, both triangles. `centre` is empty for the origin.
///
/// Made from integers, so that no order of summation matters: x - centre is rounded to 14 bits with a power of two for each column,
/// chosen from its range. Their products are summed exactly, in 32 bits over as many rows as cannot overflow (by Cauchy-Schwarz from
/// the columns' sums of squares), then in 64. The rounding adds at most 2^-27 of the square of the
/// largest deviation to a column's variance. Memory for a block of rows and dim^2; O(rows x dim^2).
Array<double> second_moments(const TrainingRows& rows, const ColumnRange& range,
                             std::span<const float> centre, const BuildControl& control);

}  // namespace vicinal
