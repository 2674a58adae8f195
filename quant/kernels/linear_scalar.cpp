// The loops in plain C++: their definition, and the fallback for any machine. And the choice among the sets.
#include "vicinal/quant/kernels.hpp"
#include "vicinal/quant/kernels/dispatch.hpp"
#include "vicinal/quant/kernels/linear.hpp"

namespace vicinal {
namespace {

void add_products(const std::int16_t* left, const std::int16_t* right, std::size_t pairs,
                  std::int64_t* sums) {
  for (std::size_t i = 0; i < tile_columns; ++i) {
    std::int32_t row[tile_columns] = {};
    for (std::size_t p = 0; p < pairs; ++p) {
      const std::int16_t* x = left + (p * tile_columns + i) * 2;
      const std::int16_t* y = right + p * tile_columns * 2;
      for (std::size_t j = 0; j < tile_columns; ++j)
        row[j] += std::int32_t{x[0]} * y[2 * j] + std::int32_t{x[1]} * y[2 * j + 1];
    }
    for (std::size_t j = 0; j < tile_columns; ++j) sums[i * tile_columns + j] += row[j];
  }
}

void update_and_multiply(double* a, std::size_t stride, std::size_t rows, std::size_t begin, std::size_t end,
                         const double* v, const double* w, const double* u, double* y) {
  for (std::size_t i = 0; i < rows; ++i) {
    double* row = a + i * stride;
    if (v != nullptr) {
      for (std::size_t j = begin; j < end; ++j) row[j] -= v[i] * w[j] + w[i] * v[j];
    }
    for (std::size_t j = begin; j < end; ++j) y[j] += u[i] * row[j];
  }
}

void combine_rows(const double* a, std::size_t stride, std::size_t rows, std::size_t begin, std::size_t end,
                  const double* u, double* y) {
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t j = begin; j < end; ++j) y[j] += u[i] * a[i * stride + j];
  }
}

void subtract_outer(double* a, std::size_t stride, std::size_t rows, std::size_t begin, std::size_t end,
                    const double* u, const double* y) {
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t j = begin; j < end; ++j) a[i * stride + j] -= u[i] * y[j];
  }
}

void rotate(double* strip, std::span<const RotationSweep> sweeps, const PlaneRotation* rotations) {
  for (const RotationSweep& sweep : sweeps) {
    for (std::size_t r = sweep.first; r-- > sweep.last; ++rotations) {
      double* low = strip + r * strip_columns;
      double* high = low + strip_columns;
      for (std::size_t j = 0; j < strip_columns; ++j) {
        const double x = low[j];
        const double y = high[j];
        high[j] = rotations->sine * x + rotations->cosine * y;
        low[j] = rotations->cosine * x - rotations->sine * y;
      }
    }
  }
}

const std::vector<LinearKernels>& all_linear_kernels() {
  static const std::vector<LinearKernels> all = [] {
    std::vector<LinearKernels> found{scalar_linear_kernels()};
    for (const LinearKernels& portable : portable_linear_kernels()) found.push_back(portable);
    LinearKernels vnni = found.back();
    if (use_linear_vnni(vnni)) found.push_back(vnni);
    return found;
  }();
  return all;
}

}  // namespace

LinearKernels scalar_linear_kernels() {
  return {"scalar", &add_products, &update_and_multiply, &combine_rows, &subtract_outer, &rotate};
}

const LinearKernels& linear_kernels() {
  static const LinearKernels& chosen = chosen_set(all_linear_kernels());
  return chosen;
}

std::span<const LinearKernels> available_linear_kernels() { return all_linear_kernels(); }

}  // namespace vicinal
