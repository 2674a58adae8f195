// Compiles the loops of pooling_kernels.hpp once per instruction set, and once in plain C++: their definition, and the fallback.
#include "vicinal/encode/pooling_kernels.hpp"

#include <algorithm>
#include <limits>
#include <vector>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "vicinal/encode/pooling_kernels.cpp"
// The same sets as those of the distance kernels.
#ifndef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS HWY_SSSE3
#endif
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#if HWY_TARGET != HWY_SCALAR
HWY_BEFORE_NAMESPACE();
namespace vicinal::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using PoolTag = hn::CappedTag<float, panel_tokens>;
using PoolVector = hn::Vec<PoolTag>;
inline constexpr std::size_t pool_lanes = hn::MaxLanes(PoolTag());
inline constexpr std::size_t panel_registers = panel_tokens / pool_lanes;
// Eight sums side by side: enough to hide the latency of an addition, within 16 registers.
inline constexpr std::size_t tile_rows = 8 / panel_registers;
inline constexpr std::size_t tile_size = panel_tokens * panel_tokens;

// to[j * to_stride + i] = from[i * from_stride + j] * scale for i, j < 4.
HWY_INLINE void transpose_4x4(const float* from, std::size_t from_stride, float scale, float* to,
                              std::size_t to_stride) {
  const hn::FixedTag<float, 4> d;
  const hn::RepartitionToWide<decltype(d)> pairs;
  const auto factor = hn::Set(d, scale);
  const auto a = hn::LoadU(d, from);
  const auto b = hn::LoadU(d, from + from_stride);
  const auto c = hn::LoadU(d, from + 2 * from_stride);
  const auto e = hn::LoadU(d, from + 3 * from_stride);
  const auto ab_low = hn::BitCast(pairs, hn::InterleaveLower(d, a, b));
  const auto ab_high = hn::BitCast(pairs, hn::InterleaveUpper(d, a, b));
  const auto ce_low = hn::BitCast(pairs, hn::InterleaveLower(d, c, e));
  const auto ce_high = hn::BitCast(pairs, hn::InterleaveUpper(d, c, e));
  const auto store = [&](auto row, std::size_t j) {
    hn::StoreU(hn::Mul(hn::BitCast(d, row), factor), d, to + j * to_stride);
  };
  store(hn::InterleaveLower(pairs, ab_low, ce_low), 0);
  store(hn::InterleaveUpper(pairs, ab_low, ce_low), 1);
  store(hn::InterleaveLower(pairs, ab_high, ce_high), 2);
  store(hn::InterleaveUpper(pairs, ab_high, ce_high), 3);
}

inline void pack(const float* rows, std::size_t row_stride, std::size_t tokens, std::size_t dim, float scale,
                 float* panels) {
  for (std::size_t first = 0; first < tokens; first += panel_tokens) {
    float* const panel = panels + first * dim;
    const float* const from = rows + first * row_stride;
    const std::size_t count = HWY_MIN(panel_tokens, tokens - first);
    const std::size_t whole = count / 4 * 4;
    const std::size_t fours = dim / 4 * 4;
    for (std::size_t j = 0; j < fours; j += 4) {
      for (std::size_t i = 0; i < whole; i += 4)
        transpose_4x4(from + i * row_stride + j, row_stride, scale, panel + j * panel_tokens + i,
                      panel_tokens);
    }
    for (std::size_t i = 0; i < panel_tokens; ++i) {
      for (std::size_t j = i < whole ? fours : 0; j < dim; ++j)
        panel[j * panel_tokens + i] = i < count ? from[i * row_stride + j] * scale : 0.0F;
    }
  }
}

// Products of the tokens of two panels, of the left one's first `rows` at least.
HWY_INLINE void multiply_panels(const float* HWY_RESTRICT left, std::size_t rows,
                                const float* HWY_RESTRICT right, std::size_t dim, float* HWY_RESTRICT out,
                                std::size_t stride) {
  const PoolTag d;
  for (std::size_t r = 0; r < rows; r += tile_rows) {
    PoolVector sums[tile_rows][panel_registers];
    for (auto& row : sums) {
      for (PoolVector& sum : row) sum = hn::Zero(d);
    }
    for (std::size_t j = 0; j < dim; ++j) {
      PoolVector y[panel_registers];
      for (std::size_t c = 0; c < panel_registers; ++c)
        y[c] = hn::Load(d, right + j * panel_tokens + c * pool_lanes);
      for (std::size_t i = 0; i < tile_rows; ++i) {
        const PoolVector x = hn::Set(d, left[j * panel_tokens + r + i]);
        for (std::size_t c = 0; c < panel_registers; ++c) sums[i][c] = hn::Add(sums[i][c], hn::Mul(x, y[c]));
      }
    }
    for (std::size_t i = 0; i < tile_rows; ++i) {
      for (std::size_t c = 0; c < panel_registers; ++c)
        hn::Store(sums[i][c], d, out + (r + i) * stride + c * pool_lanes);
    }
  }
}

inline void products(const float* left, std::size_t left_tokens, const float* right, std::size_t right_tokens,
                     std::size_t dim, float* out, std::size_t stride) {
  for (std::size_t a = 0; a < left_tokens; a += panel_tokens) {
    const std::size_t rows = HWY_MIN(panel_tokens, left_tokens - a);
    for (std::size_t b = 0; b < right_tokens; b += panel_tokens)
      multiply_panels(left + a * dim, rows, right + b * dim, dim, out + a * stride + b, stride);
  }
}

HWY_INLINE void square_norms(const float* panel, std::size_t dim, float* norms) {
  const PoolTag d;
  for (std::size_t c = 0; c < panel_tokens; c += pool_lanes) {
    PoolVector sum = hn::Zero(d);
    for (std::size_t j = 0; j < dim; ++j) {
      const PoolVector x = hn::Load(d, panel + j * panel_tokens + c);
      sum = hn::Add(sum, hn::Mul(x, x));
    }
    hn::Store(sum, d, norms + c);
  }
}

inline void squared_distances(const float* panels, std::size_t tokens, std::size_t dim, float* norms,
                              float* matrix, std::size_t stride) {
  const PoolTag d;
  HWY_ALIGN float tile[tile_size] = {};
  for (std::size_t a = 0; a < tokens; a += panel_tokens) {
    const std::size_t rows = HWY_MIN(panel_tokens, tokens - a);
    square_norms(panels + a * dim, dim, norms + a);
    for (std::size_t b = 0; b <= a; b += panel_tokens) {
      multiply_panels(panels + a * dim, rows, panels + b * dim, dim, tile, panel_tokens);
      for (std::size_t i = 0; i < rows; ++i) {
        const PoolVector norm = hn::Set(d, norms[a + i]);
        for (std::size_t c = 0; c < panel_tokens; c += pool_lanes) {
          const PoolVector product = hn::Load(d, tile + i * panel_tokens + c);
          const PoolVector both = hn::Add(norm, hn::Load(d, norms + b + c));
          const PoolVector distance = hn::Max(hn::Zero(d), hn::Sub(both, hn::Add(product, product)));
          hn::Store(distance, d, tile + i * panel_tokens + c);
          hn::Store(distance, d, matrix + (a + i) * stride + b + c);
        }
      }
      if (a == b) continue;
      for (std::size_t i = 0; i < rows; i += 4) {
        for (std::size_t j = 0; j < panel_tokens; j += 4)
          transpose_4x4(tile + i * panel_tokens + j, panel_tokens, 1.0F, matrix + (b + j) * stride + a + i,
                        stride);
      }
    }
  }
}

inline std::size_t least(const float* values, std::size_t count) {
  const PoolTag d;
  const std::size_t whole = count / panel_tokens * panel_tokens;
  PoolVector low[panel_registers];
  for (PoolVector& least : low) least = hn::Set(d, std::numeric_limits<float>::infinity());
  for (std::size_t j = 0; j < whole; j += panel_tokens) {
    for (std::size_t c = 0; c < panel_registers; ++c)
      low[c] = hn::Min(low[c], hn::Load(d, values + j + c * pool_lanes));
  }
  for (std::size_t c = 1; c < panel_registers; ++c) low[0] = hn::Min(low[0], low[c]);
  for (std::size_t j = whole; j < count; j += pool_lanes) {
    const auto inside = hn::FirstN(d, count - j);
    low[0] = hn::IfThenElse(inside, hn::Min(low[0], hn::Load(d, values + j)), low[0]);
  }
  const PoolVector lowest = hn::MinOfLanes(d, low[0]);
  // What is beyond the last value may be equal too, but is not the first.
  for (std::size_t j = 0;; j += pool_lanes) {
    const auto found = hn::FindFirstTrue(d, hn::Eq(hn::Load(d, values + j), lowest));
    if (found >= 0) return j + static_cast<std::size_t>(found);
  }
}

inline void unite(float* a, const float* b, const float* sizes, std::size_t count, float size_a, float size_b,
                  float apart) {
  const PoolTag d;
  const PoolVector first = hn::Set(d, size_a);
  const PoolVector second = hn::Set(d, size_b);
  const PoolVector both = hn::Set(d, size_a + size_b);
  const PoolVector between = hn::Set(d, apart);
  for (std::size_t j = 0; j < count; j += pool_lanes) {
    const PoolVector size = hn::Load(d, sizes + j);
    const PoolVector x = hn::Load(d, a + j);
    const PoolVector y = hn::Load(d, b + j);
    const PoolVector sum = hn::Add(hn::Mul(hn::Add(first, size), x), hn::Mul(hn::Add(second, size), y));
    const PoolVector united = hn::Div(hn::Sub(sum, hn::Mul(size, between)), hn::Add(both, size));
    hn::Store(hn::Max(hn::Min(x, y), united), d, a + j);
  }
}

inline double add_token(const float* token, std::size_t dim, double* sums) {
  const hn::CappedTag<double, 8> d;
  const hn::Rebind<float, decltype(d)> half;
  constexpr std::size_t lanes = hn::MaxLanes(d);
  constexpr std::size_t registers = 8 / lanes;
  hn::Vec<decltype(d)> squares[registers];
  for (auto& sum : squares) sum = hn::Zero(d);
  std::size_t j = 0;
  for (; j + 8 <= dim; j += 8) {
    for (std::size_t c = 0; c < registers; ++c) {
      double* const sum = sums + j + c * lanes;
      const auto x = hn::PromoteTo(d, hn::LoadU(half, token + j + c * lanes));
      hn::StoreU(hn::Add(hn::LoadU(d, sum), x), d, sum);
      squares[c] = hn::Add(squares[c], hn::Mul(x, x));
    }
  }
  HWY_ALIGN double side_by_side[8];
  for (std::size_t c = 0; c < registers; ++c) hn::Store(squares[c], d, side_by_side + c * lanes);
  for (std::size_t c = 0; j < dim; ++j, ++c) {
    const auto x = static_cast<double>(token[j]);
    sums[j] += x;
    side_by_side[c] += x * x;
  }
  double length = 0;
  for (const double part : side_by_side) length += part;
  return length;
}

inline PoolingKernels pooling_table(std::string_view name) {
  return {.name = name,
          .pack = &pack,
          .squared_distances = &squared_distances,
          .products = &products,
          .least = &least,
          .unite = &unite,
          .add_token = &add_token};
}

}  // namespace vicinal::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // HWY_SCALAR

#if HWY_ONCE
#include "vicinal/core/sums.hpp"
#include "vicinal/quant/kernels/dispatch.hpp"
#include "vicinal/quant/kernels/portable_sets-inl.hpp"

namespace vicinal {
namespace {

// Value j of token i.
std::size_t place_in_panels(std::size_t i, std::size_t j, std::size_t dim) {
  return (i / panel_tokens * dim + j) * panel_tokens + i % panel_tokens;
}

float plain_product(const float* left, std::size_t a, const float* right, std::size_t b, std::size_t dim) {
  float sum = 0;
  for (std::size_t j = 0; j < dim; ++j)
    sum += left[place_in_panels(a, j, dim)] * right[place_in_panels(b, j, dim)];
  return sum;
}

PoolingKernels plain_pooling_kernels() {
  PoolingKernels table{.name = "scalar"};
  table.pack = [](const float* rows, std::size_t row_stride, std::size_t tokens, std::size_t dim, float scale,
                  float* panels) {
    for (std::size_t i = 0; i < panel_count(tokens) * panel_tokens; ++i) {
      for (std::size_t j = 0; j < dim; ++j)
        panels[place_in_panels(i, j, dim)] = i < tokens ? rows[i * row_stride + j] * scale : 0.0F;
    }
  };
  table.squared_distances = [](const float* panels, std::size_t tokens, std::size_t dim, float* norms,
                               float* matrix, std::size_t stride) {
    for (std::size_t i = 0; i < tokens; ++i) {
      norms[i] = plain_product(panels, i, panels, i, dim);
      for (std::size_t j = 0; j <= i; ++j) {
        const float product = plain_product(panels, i, panels, j, dim);
        const float distance = std::max(0.0F, (norms[i] + norms[j]) - (product + product));
        matrix[i * stride + j] = distance;
        matrix[j * stride + i] = distance;
      }
    }
  };
  table.products = [](const float* left, std::size_t left_tokens, const float* right,
                      std::size_t right_tokens, std::size_t dim, float* out, std::size_t stride) {
    for (std::size_t i = 0; i < left_tokens; ++i) {
      for (std::size_t j = 0; j < right_tokens; ++j)
        out[i * stride + j] = plain_product(left, i, right, j, dim);
    }
  };
  table.least = [](const float* values, std::size_t count) {
    return static_cast<std::size_t>(std::min_element(values, values + count) - values);
  };
  table.unite = [](float* a, const float* b, const float* sizes, std::size_t count, float size_a,
                   float size_b, float apart) {
    for (std::size_t j = 0; j < count; ++j) {
      const float sum = (size_a + sizes[j]) * a[j] + (size_b + sizes[j]) * b[j];
      const float united = (sum - sizes[j] * apart) / ((size_a + size_b) + sizes[j]);
      a[j] = std::max(std::min(a[j], b[j]), united);
    }
  };
  table.add_token = [](const float* token, std::size_t dim, double* sums) {
    return sum_side_by_side(dim, [&](std::size_t j) {
      const auto x = static_cast<double>(token[j]);
      sums[j] += x;
      return x * x;
    });
  };
  return table;
}

const std::vector<PoolingKernels>& all_pooling_kernels() {
  static const std::vector<PoolingKernels> all = [] {
    std::vector<PoolingKernels> found{plain_pooling_kernels()};
    VICINAL_APPEND_SETS(found, pooling_table)
    match_sets(found);
    return found;
  }();
  return all;
}

}  // namespace

const PoolingKernels& pooling_kernels() {
  static const PoolingKernels& chosen = chosen_set(all_pooling_kernels());
  return chosen;
}

std::span<const PoolingKernels> available_pooling_kernels() { return all_pooling_kernels(); }

}  // namespace vicinal
#endif  // HWY_ONCE
