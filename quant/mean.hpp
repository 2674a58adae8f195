#pragma once

#include "vicinal/core/array.hpp"
#include "vicinal/core/executor.hpp"
#include "vicinal/core/matrix_view.hpp"

/// Not installed.
namespace vicinal {

/// The mean of at least one row, cols() values. Sums are in double precision and in an order that does not depend on the threads.
Array<float> mean_of_rows(MatrixView<const float> rows, ExecutorRef executor);
/// Of rows that are scaled to length 1 first; a row of zeros stays as it is.
Array<float> mean_of_unit_rows(MatrixView<const float> rows, ExecutorRef executor);

}  // namespace vicinal
