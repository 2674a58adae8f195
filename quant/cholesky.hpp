#pragma once

#include <cstddef>

#include "vicinal/core/array.hpp"
#include "vicinal/core/control.hpp"

// Systems of linear equations with the same bits on every instruction set and for any number of threads, as symmetric_eigen.hpp
// says. Not installed.
namespace vicinal {

/// The upper triangular U with U^T U = `matrix`, symmetric and positive definite, of which the upper triangle is read. Row k of U lies
/// after the rows before, its dim - k values from the diagonal on. Every element takes the terms of the rows above in their order.
/// O(dim^3). Throws InvalidArgument when a pivot is not above 0, Cancelled.
Array<double> cholesky(Array<double> matrix, std::size_t dim, const BuildControl& control = {});

[[nodiscard]] constexpr std::size_t cholesky_size(std::size_t dim) { return dim * (dim + 1) / 2; }

/// Puts the solutions of U^T U x = b in the place of the right sides, columns of `sides` (dim x columns, row-major). A solution does not
/// depend on the columns beside it. O(dim^2 x columns).
void cholesky_solve(const Array<double>& factor, std::size_t dim, double* sides, std::size_t columns);

}  // namespace vicinal
