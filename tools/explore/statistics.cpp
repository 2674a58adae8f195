#include "vicinal/tools/explore/statistics.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "vicinal/core/array.hpp"
#include "vicinal/core/error.hpp"
#include "vicinal/core/random.hpp"

namespace vicinal::tools {
namespace {

constexpr std::uint64_t bootstrap_stream = 0x626f6f7473747261;
constexpr std::size_t most_draws = 20'000'000;

std::size_t resamples_for(std::size_t queries) {
  return std::clamp<std::size_t>(most_draws / std::max<std::size_t>(queries, 1), 200, 1000);
}

double mean_of(std::span<const double> values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

}  // namespace

Bootstrap::Bootstrap(std::size_t queries, std::uint64_t seed)
    : queries_(queries), resamples_(resamples_for(queries)) {
  if (queries == 0) throw InvalidArgument("there are no queries to resample");
  draws_.resize(checked_product(queries, resamples_, "bootstrap draws"));
  RandomStream stream(seed, bootstrap_stream);
  for (auto& draw : draws_) draw = static_cast<std::uint32_t>(stream.next_below(queries));
}

Estimate Bootstrap::mean(std::span<const double> values) const {
  if (values.size() != queries_)
    throw InvalidArgument(
        fmt::format("{} values, expected one for each of {} queries", values.size(), queries_));
  const auto count = static_cast<double>(queries_);
  std::vector<double> means(resamples_);
  for (std::size_t r = 0; r < resamples_; ++r) {
    double sum = 0;
    for (std::size_t i = 0; i < queries_; ++i) sum += values[draws_[r * queries_ + i]];
    means[r] = sum / count;
  }
  std::sort(means.begin(), means.end());
  const auto at = [&](double share) {
    return means[static_cast<std::size_t>(std::llround(share * static_cast<double>(resamples_ - 1)))];
  };
  const double sum = std::accumulate(values.begin(), values.end(), 0.0);
  return {sum / count, at(0.025), at(0.975)};
}

Estimate Bootstrap::difference(std::span<const double> a, std::span<const double> b) const {
  if (a.size() != b.size())
    throw InvalidArgument(fmt::format("{} values against {}, expected as many", a.size(), b.size()));
  std::vector<double> differences(a.size());
  for (std::size_t i = 0; i < a.size(); ++i) differences[i] = a[i] - b[i];
  return mean(differences);
}

double LossFit::recall(double rows) const {
  return std::clamp(1 - at_one - slope * std::log(std::max(rows, 1.0)), 0.0, 1.0);
}

LossFit fit_loss(std::span<const double> rows, std::span<const double> recalls) {
  if (rows.empty() || rows.size() != recalls.size())
    throw InvalidArgument(
        fmt::format("{} sizes and {} recalls, expected as many of both", rows.size(), recalls.size()));
  std::vector<double> x, y;
  for (const double value : rows) x.push_back(std::log(value));
  for (const double value : recalls) y.push_back(1 - value);
  const double mean_x = mean_of(x), mean_y = mean_of(y);
  double xx = 0, xy = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    xx += (x[i] - mean_x) * (x[i] - mean_x);
    xy += (x[i] - mean_x) * (y[i] - mean_y);
  }
  const double slope = xx > 0 ? std::max(0.0, xy / xx) : 0.0;
  return {mean_y - slope * mean_x, slope};
}

}  // namespace vicinal::tools
