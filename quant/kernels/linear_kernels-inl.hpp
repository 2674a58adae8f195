// The loops of linear.hpp, written once and compiled for every instruction set (included by linear_portable.cpp through
// foreach_target).
#if defined(VICINAL_QUANT_LINEAR_KERNELS_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef VICINAL_QUANT_LINEAR_KERNELS_INL
#undef VICINAL_QUANT_LINEAR_KERNELS_INL
#else
#define VICINAL_QUANT_LINEAR_KERNELS_INL
#endif

#include <hwy/highway.h>

#include <cstring>

#include "vicinal/quant/kernels/linear.hpp"

// Without a vector unit the plain loops of linear_scalar.cpp serve.
#if HWY_TARGET != HWY_SCALAR
HWY_BEFORE_NAMESPACE();
namespace vicinal::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using DoubleTag = hn::CappedTag<double, 8>;
using DoubleVector = hn::Vec<DoubleTag>;
inline constexpr std::size_t double_lanes = hn::MaxLanes(DoubleTag());

using IntegerTag = hn::CappedTag<std::int32_t, 16>;
using PairTag = hn::Repartition<std::int16_t, IntegerTag>;
using IntegerVector = hn::Vec<IntegerTag>;
inline constexpr std::size_t integer_lanes = hn::MaxLanes(IntegerTag());
// Rows of a tile whose sums stay in registers: 8 x 2 of 32 registers, 4 x 2 of 16 (with 2 loaded and 1 broadcast).
inline constexpr std::size_t rows_at_once = integer_lanes == 16 ? 8 : 4;

// Two columns of registers of `rows_at_once` rows of a tile.
HWY_INLINE void add_part(const std::int16_t* left, const std::int16_t* right, std::size_t pairs,
                         std::int64_t* sums) {
  const IntegerTag d32;
  const PairTag d16;
  constexpr std::size_t step = 2 * tile_columns;
  IntegerVector low[rows_at_once][2];
  [[maybe_unused]] IntegerVector high[rows_at_once][2];
  for (std::size_t i = 0; i < rows_at_once; ++i) {
    for (std::size_t c = 0; c < 2; ++c) {
      low[i][c] = hn::Zero(d32);
      high[i][c] = hn::Zero(d32);
    }
  }
  for (std::size_t p = 0; p < pairs; ++p) {
    const auto y0 = hn::LoadU(d16, right + p * step);
    const auto y1 = hn::LoadU(d16, right + p * step + 2 * integer_lanes);
    for (std::size_t i = 0; i < rows_at_once; ++i) {
      std::int32_t both = 0;
      std::memcpy(&both, left + p * step + 2 * i, sizeof(both));
      const auto x = hn::BitCast(d16, hn::Set(d32, both));
      low[i][0] = hn::ReorderWidenMulAccumulate(d32, x, y0, low[i][0], high[i][0]);
      low[i][1] = hn::ReorderWidenMulAccumulate(d32, x, y1, low[i][1], high[i][1]);
    }
  }
  HWY_ALIGN std::int32_t part[2 * integer_lanes];
  for (std::size_t i = 0; i < rows_at_once; ++i) {
    hn::Store(hn::RearrangeToOddPlusEven(low[i][0], high[i][0]), d32, part);
    hn::Store(hn::RearrangeToOddPlusEven(low[i][1], high[i][1]), d32, part + integer_lanes);
    for (std::size_t j = 0; j < 2 * integer_lanes; ++j) sums[i * tile_columns + j] += part[j];
  }
}

inline void add_products(const std::int16_t* left, const std::int16_t* right, std::size_t pairs,
                         std::int64_t* sums) {
  if (pairs == 0) return;  // Of nothing there need not even be an address.
  for (std::size_t i = 0; i < tile_columns; i += rows_at_once) {
    for (std::size_t j = 0; j < tile_columns; j += 2 * integer_lanes)
      add_part(left + 2 * i, right + 2 * j, pairs, sums + i * tile_columns + j);
  }
}

HWY_INLINE DoubleVector times(double factor, DoubleVector x) {
  return hn::Mul(hn::Set(DoubleTag(), factor), x);
}

// `many` rows over all columns: each element of `y` takes the rows' terms in the order of the rows, whatever the blocking. `vi` and
// `wi` are the rows' own elements of v and w.
template <std::size_t many, bool update>
HWY_INLINE void update_and_multiply_rows(double* a, std::size_t stride, std::size_t begin, std::size_t end,
                                         const double* v, const double* w, const double* vi, const double* wi,
                                         const double* ui, double* y) {
  const DoubleTag d;
  std::size_t j = begin;
  for (; j + double_lanes <= end; j += double_lanes) {
    DoubleVector sum = hn::LoadU(d, y + j);
    for (std::size_t i = 0; i < many; ++i) {
      DoubleVector x = hn::LoadU(d, a + i * stride + j);
      if constexpr (update) {
        const DoubleVector change =
            hn::Add(times(vi[i], hn::LoadU(d, w + j)), times(wi[i], hn::LoadU(d, v + j)));
        x = hn::Sub(x, change);
        hn::StoreU(x, d, a + i * stride + j);
      }
      sum = hn::Add(sum, times(ui[i], x));
    }
    hn::StoreU(sum, d, y + j);
  }
  for (; j < end; ++j) {
    for (std::size_t i = 0; i < many; ++i) {
      double& x = a[i * stride + j];
      if constexpr (update) x -= vi[i] * w[j] + wi[i] * v[j];
      y[j] += ui[i] * x;
    }
  }
}

template <bool update>
void update_and_multiply_all(double* a, std::size_t stride, std::size_t rows, std::size_t begin,
                             std::size_t end, const double* v, const double* w, const double* u, double* y) {
  constexpr std::size_t many = 4;
  std::size_t i = 0;
  for (; i + many <= rows; i += many)
    update_and_multiply_rows<many, update>(a + i * stride, stride, begin, end, v, w, v + i, w + i, u + i, y);
  for (; i < rows; ++i)
    update_and_multiply_rows<1, update>(a + i * stride, stride, begin, end, v, w, v + i, w + i, u + i, y);
}

inline void update_and_multiply(double* a, std::size_t stride, std::size_t rows, std::size_t begin,
                                std::size_t end, const double* v, const double* w, const double* u,
                                double* y) {
  if (v == nullptr) {
    update_and_multiply_all<false>(a, stride, rows, begin, end, u, u, u, y);
  } else {
    update_and_multiply_all<true>(a, stride, rows, begin, end, v, w, u, y);
  }
}

template <std::size_t many>
HWY_INLINE void combine_some(const double* a, std::size_t stride, std::size_t begin, std::size_t end,
                             const double* ui, double* y) {
  const DoubleTag d;
  std::size_t j = begin;
  for (; j + double_lanes <= end; j += double_lanes) {
    DoubleVector sum = hn::LoadU(d, y + j);
    for (std::size_t i = 0; i < many; ++i) sum = hn::Add(sum, times(ui[i], hn::LoadU(d, a + i * stride + j)));
    hn::StoreU(sum, d, y + j);
  }
  for (; j < end; ++j) {
    for (std::size_t i = 0; i < many; ++i) y[j] += ui[i] * a[i * stride + j];
  }
}

inline void combine_rows(const double* a, std::size_t stride, std::size_t rows, std::size_t begin,
                         std::size_t end, const double* u, double* y) {
  constexpr std::size_t many = 8;
  std::size_t i = 0;
  for (; i + many <= rows; i += many) combine_some<many>(a + i * stride, stride, begin, end, u + i, y);
  for (; i < rows; ++i) combine_some<1>(a + i * stride, stride, begin, end, u + i, y);
}

inline void subtract_outer(double* a, std::size_t stride, std::size_t rows, std::size_t begin,
                           std::size_t end, const double* u, const double* y) {
  const DoubleTag d;
  for (std::size_t i = 0; i < rows; ++i) {
    double* row = a + i * stride;
    std::size_t j = begin;
    for (; j + double_lanes <= end; j += double_lanes)
      hn::StoreU(hn::Sub(hn::LoadU(d, row + j), times(u[i], hn::LoadU(d, y + j))), d, row + j);
    for (; j < end; ++j) row[j] -= u[i] * y[j];
  }
}

// A sweep carries one row down in registers, so that every rotation loads one row and stores one. Enough registers of a strip side
// by side to hide the latency of a rotation.
inline void rotate(double* strip, std::span<const RotationSweep> sweeps, const PlaneRotation* rotations) {
  const DoubleTag d;
  constexpr std::size_t side_by_side = 4;
  constexpr std::size_t width = side_by_side * double_lanes;
  static_assert(strip_columns % width == 0);
  for (const RotationSweep& sweep : sweeps) {
    for (std::size_t at = 0; at < strip_columns; at += width) {
      const PlaneRotation* rotation = rotations;
      DoubleVector carried[side_by_side];
      double* row = strip + sweep.first * strip_columns + at;
      for (std::size_t m = 0; m < side_by_side; ++m) carried[m] = hn::Load(d, row + m * double_lanes);
      for (std::size_t r = sweep.first; r-- > sweep.last; ++rotation) {
        const DoubleVector cosine = hn::Set(d, rotation->cosine);
        const DoubleVector sine = hn::Set(d, rotation->sine);
        double* low = row - strip_columns;
        for (std::size_t m = 0; m < side_by_side; ++m) {
          const DoubleVector x = hn::Load(d, low + m * double_lanes);
          hn::Store(hn::Add(hn::Mul(sine, x), hn::Mul(cosine, carried[m])), d, row + m * double_lanes);
          carried[m] = hn::Sub(hn::Mul(cosine, x), hn::Mul(sine, carried[m]));
        }
        row = low;
      }
      for (std::size_t m = 0; m < side_by_side; ++m) hn::Store(carried[m], d, row + m * double_lanes);
    }
    rotations += sweep.first - sweep.last;
  }
}

}  // namespace vicinal::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // HWY_SCALAR

#endif  // per target
