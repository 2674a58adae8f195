// RaBitQ: codes of one or two bits, estimates without bias, and how far those may be off (Gao and Long, SIGMOD 2024; Gao et al.,
// SIGMOD 2025). With c the code of a residual r, <q, r> is estimated as <q, c> |r|^2 / <r, c>.
#include <cmath>
#include <cstring>
#include <iterator>
#include <limits>
#include <numbers>
#include <numeric>
#include <string>

#include "vicinal/core/error.hpp"
#include "vicinal/quant/codec_parts.hpp"
#include "vicinal/quant/kernels/encode.hpp"

namespace vicinal {
namespace {

// Sums side by side, folded in order: the same bits everywhere, and no addition waits for the one before.
constexpr std::size_t lanes = 8;

struct Sums {
  double magnitudes[lanes] = {};
  double squares[lanes] = {};

  void add(std::size_t j, double value) {
    magnitudes[j % lanes] += std::abs(value);
    squares[j % lanes] += value * value;
  }
};

double folded(const double (&sums)[lanes]) { return std::accumulate(std::begin(sums), std::end(sums), 0.0); }

void set_factors(double product, double squares, float* factors) {
  const bool none = product <= static_cast<double>(std::numeric_limits<float>::min());
  factors[0] = none ? 0.0F : static_cast<float>(squares / product);
  factors[1] = none ? 0.0F : static_cast<float>(squares);
}

// Of normal values the threshold that leaves the least error is 0.996 of their deviation; a vector's own is near.
constexpr float first_threshold = 0.72F;
constexpr float threshold_step = 0.05F;
constexpr int thresholds = 12;

float best_threshold(std::span<const float> residual, double magnitudes, double squares) {
  const auto dim = static_cast<double>(residual.size());
  const auto deviation = static_cast<float>(std::sqrt(squares / dim));
  double best = -1;
  float best_at = 0;
  for (int step = 0; step < thresholds; ++step) {
    const float threshold = deviation * (first_threshold + threshold_step * static_cast<float>(step));
    // Those above are 3, the others 1.
    const SumAbove above = encode_kernels().sum_above(residual.data(), residual.size(), threshold);
    const double product = magnitudes + 2 * static_cast<double>(above.sum);
    const double cosine = product * product / (dim + 8.0 * above.count);
    if (cosine > best) {
      best = cosine;
      best_at = threshold;
    }
  }
  return best_at;
}

}  // namespace

void Codec::encode_bits(std::span<const float> residual, std::byte* record, float* factors) const {
  require_byte_range(residual, to_string(kind()), "the vector");
  std::memset(record, 0, stride_);
  Sums sums;
  for (std::size_t j = 0; j < dim_; ++j) {
    record[j / 8] |= std::byte{residual[j] >= 0} << static_cast<int>(j % 8);
    sums.add(j, static_cast<double>(residual[j]));
  }
  set_factors(folded(sums.magnitudes), folded(sums.squares), factors);
}

// The code with the largest cosine: its large elements are those beyond a threshold, which is searched for.
void Codec::encode_quarters(std::span<const float> residual, std::byte* record, float* factors) const {
  require_byte_range(residual, to_string(kind()), "the vector");
  std::memset(record, 0, stride_);
  Sums sums;
  for (std::size_t j = 0; j < dim_; ++j) sums.add(j, static_cast<double>(residual[j]));
  const double squares = folded(sums.squares);
  const float threshold = best_threshold(residual, folded(sums.magnitudes), squares);
  double products[lanes] = {};
  for (std::size_t j = 0; j < dim_; ++j) {
    const float magnitude = std::abs(residual[j]);
    const int large = magnitude > threshold ? 1 : 0;
    products[j % lanes] += static_cast<double>(magnitude) * (1 + 2 * large);
    // -3, -1, 1, 3 are 0, 1, 2, 3.
    const int code = residual[j] >= 0 ? 2 + large : 1 - large;
    record[j / 64 * 16 + j % 16] |= static_cast<std::byte>(code << (j % 64 / 16 * 2));
  }
  set_factors(folded(products), squares, factors);
}

double Codec::code_norm(const std::byte* record) const {
  if (kind() == CodecKind::b1) return static_cast<double>(dim_);
  std::int64_t squares = 0;
  for_each_code(*this, record, [&](std::size_t, std::int32_t code) { squares += code * code; });
  return static_cast<double>(squares);
}

double Codec::code_cosine_squared(const float* factors, double norm) const {
  if (metric_ == Metric::l2 && !options_.side_value) {
    const auto scale = static_cast<double>(factors[0]);
    return static_cast<double>(factors[1]) / (norm * scale * scale);
  }
  // 2 / pi, and what is left of normal values by a quantiser of four equal steps at its best.
  return kind() == CodecKind::b1 ? 2 / std::numbers::pi : 0.8812;
}

float Codec::closest_scale(const std::byte* record, const float* factors) const {
  return factors[0] <= 0 ? 0.0F
                         : static_cast<float>(static_cast<double>(factors[0]) *
                                              code_cosine_squared(factors, code_norm(record)));
}

float Codec::error_bound(const PreparedQuery& query, const std::byte* record, const float* factors,
                         float epsilon) const {
  if (!is_rabitq(kind())) {
    throw Unsupported("error bounds are kept by b1 and b2, the codec is " + std::string(to_string(kind())));
  }
  if (factors[0] <= 0 || dim_ == 1) return 0.0F;
  // The unit vector of the code and that of the residual have the product x = |r| / (|c| scale); the estimate's deviation is
  // |q| |r| sqrt((1 - x^2) / x^2) / sqrt(dim - 1). To it comes the rounding of the query, uniform within a step.
  const auto scale = static_cast<double>(factors[0]);
  const auto norm = static_cast<double>(query.norm_);
  const double code = code_norm(record);
  const double length = code * scale * scale;  // (|r| / x)^2
  const double across = std::max(0.0, 1.0 - code_cosine_squared(factors, code));
  const auto step = static_cast<double>(query.step_);
  const double variance =
      norm * norm * length * across / (static_cast<double>(dim_) - 1) + step * step / 12 * length;
  return static_cast<float>((query.l2_ ? 2.0 : 1.0) * static_cast<double>(epsilon) * std::sqrt(variance));
}

}  // namespace vicinal
