#include "vicinal/encode/query_carving.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "vicinal/core/array.hpp"
#include "vicinal/core/error.hpp"
#include "vicinal/core/vector_batch.hpp"
#include "vicinal/quant/kernels.hpp"

namespace vicinal {
namespace {

constexpr std::size_t kernel_padding = 32;

void validate(MatrixView<const float> tokens, float tau, MatrixView<float> out,
              std::span<std::uint32_t> sizes) {
  if (!std::isfinite(tau)) throw InvalidArgument(fmt::format("tau is {}, expected a finite number", tau));
  if (out.rows() < tokens.rows()) {
    throw InvalidArgument(
        fmt::format("out has {} rows, expected at least {}, one for each token", out.rows(), tokens.rows()));
  }
  if (!tokens.empty() && out.cols() != tokens.cols()) {
    throw InvalidArgument(fmt::format("out has {} columns, the query has {}", out.cols(), tokens.cols()));
  }
  if (!sizes.empty() && sizes.size() < tokens.rows()) {
    throw InvalidArgument(fmt::format("sizes has {} elements, expected at least {}, one for each token",
                                      sizes.size(), tokens.rows()));
  }
  constexpr std::size_t most = std::numeric_limits<std::uint32_t>::max();
  if (tokens.rows() > most)
    throw InvalidArgument(fmt::format("the query has {} tokens, expected at most {}", tokens.rows(), most));
  require_finite(tokens, "query");
}

}  // namespace

std::size_t carve_query(MatrixView<const float> tokens, float tau, MatrixView<float> out,
                        std::span<std::uint32_t> sizes) {
  validate(tokens, tau, out, sizes);
  const std::size_t dim = tokens.cols();
  const auto* const base = reinterpret_cast<const std::byte*>(tokens.data());
  Array<float> centre((dim + kernel_padding - 1) / kernel_padding * kernel_padding);
  std::vector<std::uint32_t> left(tokens.rows());  // not absorbed yet, in order
  std::iota(left.begin(), left.end(), 0U);
  std::vector<float> products(left.size());
  std::vector<std::uint32_t> balls(left.size());  // of each token
  std::vector<std::uint32_t> counts;              // of each ball
  while (!left.empty()) {
    const auto ball = static_cast<std::uint32_t>(counts.size());
    std::copy_n(tokens.row_data(left.front()), dim, centre.data());
    kernels().dot_f32(centre.data(), dim, {base, tokens.stride() * sizeof(float), left.data()}, left.size(),
                      products.data());
    std::size_t kept = 0;
    for (std::size_t i = 0; i < left.size(); ++i) {
      // Opposite unit vectors may come out a little below -1, and a short vector is in its own ball all the same.
      if (i == 0 || products[i] >= tau || tau <= -1) {
        balls[left[i]] = ball;
      } else {
        left[kept++] = left[i];
      }
    }
    counts.push_back(static_cast<std::uint32_t>(left.size() - kept));
    left.resize(kept);
  }

  std::vector<std::uint32_t> order(counts.size());
  std::iota(order.begin(), order.end(), 0U);
  std::stable_sort(order.begin(), order.end(),
                   [&](std::uint32_t a, std::uint32_t b) { return counts[a] > counts[b]; });
  std::vector<std::uint32_t> places(counts.size());
  for (std::size_t row = 0; row < order.size(); ++row) {
    places[order[row]] = static_cast<std::uint32_t>(row);
    if (!sizes.empty()) sizes[row] = counts[order[row]];
  }
  std::vector<bool> begun(counts.size(), false);
  for (std::size_t i = 0; i < tokens.rows(); ++i) {
    const std::uint32_t row = places[balls[i]];
    const float* const token = tokens.row_data(i);
    float* const sum = out.row_data(row);
    if (begun[row]) {
      for (std::size_t j = 0; j < dim; ++j) sum[j] += token[j];
    } else {
      std::copy_n(token, dim, sum);
      begun[row] = true;
    }
  }
  return counts.size();
}

}  // namespace vicinal
