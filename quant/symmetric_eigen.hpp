#pragma once

#include <cstddef>
#include <vector>

#include "vicinal/core/array.hpp"
#include "vicinal/core/control.hpp"

// Dense matrices of doubles with the same bits on every instruction set and for any number of threads: every element of a result
// is made by the same operations in the same order (quant/kernels/linear.hpp). Not installed.
namespace vicinal {

/// Row-major; row i of `vectors` is the eigenvector of values[i].
struct SymmetricEigen {
  std::vector<double> values;  ///< descending
  Array<double> vectors;       ///< dim x dim, orthonormal rows, the largest component of each positive
};

/// All eigenvalues and eigenvectors of a symmetric matrix (both triangles given; used as scratch). Householder's
/// tridiagonalisation, then QL with implicit shifts (Golub & Van Loan, Matrix Computations, 8.3), whose rotations are applied to the
/// vectors strip by strip. Absolute errors are a few units of rounding of the largest eigenvalue. O(dim^3), memory for two
/// matrices.
SymmetricEigen symmetric_eigen(Array<double> matrix, std::size_t dim, const BuildControl& control = {});

/// left (rows x inner) times right (inner x columns), row-major.
Array<double> multiply(const Array<double>& left, std::size_t rows, std::size_t inner,
                       const Array<double>& right, std::size_t columns, const BuildControl& control = {});
Array<double> transposed(const Array<double>& matrix, std::size_t rows, std::size_t columns);

}  // namespace vicinal
