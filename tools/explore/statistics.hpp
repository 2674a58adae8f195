#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace vicinal::tools {

/// A mean over queries and its 95 % interval.
struct Estimate {
  double mean = 0;
  double low = 0;
  double high = 0;
};

/// The bootstrap over queries (Efron 1979), percentile intervals: the same draws for every quantity, so that differences are paired.
/// The draws depend on the seed and the number of queries alone. O(queries x resamples) memory and time a quantity.
class Bootstrap {
 public:
  Bootstrap(std::size_t queries, std::uint64_t seed);

  [[nodiscard]] Estimate mean(std::span<const double> values) const;
  /// Of a - b, query by query. Throws InvalidArgument unless both have one value a query.
  [[nodiscard]] Estimate difference(std::span<const double> a, std::span<const double> b) const;
  [[nodiscard]] std::size_t resamples() const { return resamples_; }

 private:
  std::size_t queries_;
  std::size_t resamples_;
  std::vector<std::uint32_t> draws_;  // resamples x queries
};

/// A loss, 1 - recall, that is linear in the logarithm of the number of rows.
struct LossFit {
  double at_one = 0;  ///< loss at one row; the line is meant for the sizes it was fitted on and beyond
  double slope = 0;   ///< a factor e more rows

  [[nodiscard]] double recall(double rows) const;  ///< within [0, 1]
};
/// Least squares; at least two sizes that differ, else a line without slope through the mean. A loss that falls with size is taken
/// as constant, so that nothing is promised that was not seen.
LossFit fit_loss(std::span<const double> rows, std::span<const double> recalls);

}  // namespace vicinal::tools
