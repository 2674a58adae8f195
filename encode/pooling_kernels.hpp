#pragma once

#include <cstddef>
#include <span>
#include <string_view>

// The loops of token pooling, compiled for every instruction set; each gives the same bits on all of them: registers hold different tokens,
// so that no sum runs across lanes, and nothing is fused. Not installed.
namespace vicinal {

/// Tokens lie in panels of this many: value j of the panel's token i is at panel[j * panel_tokens + i]. What is left of the last panel is
/// zero.
inline constexpr std::size_t panel_tokens = 16;

[[nodiscard]] constexpr std::size_t panel_count(std::size_t tokens) {
  return (tokens + panel_tokens - 1) / panel_tokens;
}

/// Pointers to panels, matrices and rows are aligned to 64 bytes, strides and counts are multiples of panel_tokens where nothing else is said.
struct PoolingKernels {
  std::string_view name;

  /// Rows of any stride and alignment to panels: every value times `scale`.
  void (*pack)(const float* rows, std::size_t row_stride, std::size_t tokens, std::size_t dim, float scale,
               float* panels) = nullptr;

  /// norms[i] = <i, i> and matrix[i * stride + j] = max(0, (norms[i] + norms[j]) - 2 <i, j>) for i, j < tokens, where each product is a sum over
  /// dimensions in their order. So equal tokens are at distance 0 exactly, and the matrix is symmetric. What is beyond `tokens` in the
  /// last panel may be written to in norms and matrix.
  void (*squared_distances)(const float* panels, std::size_t tokens, std::size_t dim, float* norms,
                            float* matrix, std::size_t stride) = nullptr;

  /// out[i * stride + j] = <left i, right j>, a sum over dimensions in their order; beyond the last tokens as above.
  void (*products)(const float* left, std::size_t left_tokens, const float* right, std::size_t right_tokens,
                   std::size_t dim, float* out, std::size_t stride) = nullptr;

  /// The place of the least value, of equal ones the first. None is NaN, count > 0 is any; up to a whole panel is read.
  std::size_t (*least)(const float* values, std::size_t count) = nullptr;

  /// Ward's distances of the union of two clusters, which are `apart`, to all others: a[j] becomes
  /// max(min(a[j], b[j]), (((size_a + sizes[j]) a[j] + (size_b + sizes[j]) b[j]) - sizes[j] apart) / ((size_a + size_b) + sizes[j])).
  /// Up to a whole panel is read and written. The maximum changes nothing but rounding: without it a union could come out closer than both its parts.
  void (*unite)(float* a, const float* b, const float* sizes, std::size_t count, float size_a, float size_b,
                float apart) = nullptr;

  /// sums[j] += token[j], of any alignment. Returns the squared length of the token: eight sums side by side, folded in order, as
  /// sum_side_by_side() does.
  double (*add_token)(const float* token, std::size_t dim, double* sums) = nullptr;
};

/// Of the instruction set that kernels() has chosen.
const PoolingKernels& pooling_kernels();
/// Every set this CPU can run, in the order of available_kernels(): for tests.
std::span<const PoolingKernels> available_pooling_kernels();

}  // namespace vicinal
