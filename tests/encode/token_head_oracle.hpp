#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <vector>

#include "vicinal/core/container.hpp"
#include "vicinal/encode/token_head.hpp"

namespace vicinal {

/// A TokenHead from its definition, in double precision, of the samples and directions that the head stores.
class HeadOracle {
 public:
  HeadOracle(const TokenHead& head, const TokenHeadOptions& options, std::size_t token_dim)
      : options_(options), dim_(token_dim) {
    const std::filesystem::path path = std::filesystem::temp_directory_path() / "vicinal_head_oracle.vcn";
    ContainerWriter writer;
    head.save(writer, "h");
    writer.write(path);
    const Container file = Container::open(path, OpenMode::load);
    const Array<float> samples =
        file.array<float>("h/samples", file.info("h/samples").length / sizeof(float));
    const Array<float> directions = file.array<float>("h/directions", options.dim * dim_);
    float threshold = 0;
    std::memcpy(&threshold, file.metadata("h/options").data() + 64, sizeof(threshold));
    threshold_ = static_cast<double>(threshold);
    samples_.assign(samples.data(), samples.data() + samples.size());
    directions_.assign(directions.data(), directions.data() + directions.size());
    std::filesystem::remove(path);
    linear_ = 1 + std::min(dim_, options.dim / 2);
    for (std::size_t s = 0; s < sample_count(); ++s) features_.push_back(features_of(sample(s)));
    inverse_ = inverse_of_moments();
  }

  [[nodiscard]] std::size_t sample_count() const { return samples_.size() / dim_; }

  [[nodiscard]] std::vector<double> query(MatrixView<const float> tokens) const {
    std::vector<double> sum(options_.dim);
    for (std::size_t t = 0; t < tokens.rows(); ++t) {
      const std::vector<double> own = features_of(token_of(tokens[t]));
      for (std::size_t f = 0; f < sum.size(); ++f) sum[f] += own[f];
    }
    return sum;
  }

  [[nodiscard]] std::vector<double> document(MatrixView<const float> tokens) const {
    const std::size_t n = options_.dim;
    std::vector<double> right(n);
    std::vector<double> weights(n);
    if (tokens.empty()) return weights;
    for (std::size_t s = 0; s < sample_count(); ++s) {
      double best = -1e300;
      for (std::size_t t = 0; t < tokens.rows(); ++t)
        best = std::max(best, dot(sample(s), token_of(tokens[t])));
      for (std::size_t f = 0; f < n; ++f) right[f] += best * features_[s][f];
    }
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t j = 0; j < n; ++j) weights[i] += inverse_[i * n + j] * right[j];
    }
    return weights;
  }

  /// Every sample is a token of the documents less the mean of all, of length 1, and no two are the same.
  void expect_samples_of(const VectorBatch& documents) const {
    std::vector<double> mean(dim_);
    for (std::size_t t = 0; t < documents.rows.rows(); ++t) {
      const std::vector<double> token = token_of(documents.rows[t]);
      for (std::size_t j = 0; j < dim_; ++j) mean[j] += token[j] / static_cast<double>(documents.rows.rows());
    }
    std::vector<std::size_t> places;
    for (std::size_t s = 0; s < sample_count(); ++s)
      places.push_back(place_among(sample(s), documents, mean));
    EXPECT_TRUE(std::ranges::all_of(places, [&](std::size_t p) { return p < documents.rows.rows(); }));
    std::ranges::sort(places);
    EXPECT_EQ(std::ranges::adjacent_find(places), places.end());
  }
  [[nodiscard]] bool is_token_of(std::size_t s, const VectorBatch& items) const {
    return place_among(sample(s), items, std::vector<double>(dim_)) < items.rows.rows();
  }

  void expect_threshold() const {
    ASSERT_LE(sample_count(), 1024U);
    double squares = 0;
    for (std::size_t s = 0; s < sample_count(); ++s) {
      for (std::size_t f = linear_; f < options_.dim; ++f)
        squares += std::pow(dot(sample(s), direction(f)), 2);
    }
    const auto terms = static_cast<double>(sample_count() * (options_.dim - linear_));
    EXPECT_NEAR(threshold_, 1.6 * std::sqrt(squares / terms), 1e-5);
  }

 private:
  using Vector = std::vector<double>;
  static double dot(const Vector& a, const Vector& b) {
    double sum = 0;
    for (std::size_t j = 0; j < a.size(); ++j) sum += a[j] * b[j];
    return sum;
  }
  static Vector scaled(Vector v) {
    const double length = std::sqrt(dot(v, v));
    for (double& x : v) x = length > 0 ? x / length : 0;
    return v;
  }
  [[nodiscard]] Vector row(const std::vector<float>& of, std::size_t i) const {
    return {of.begin() + static_cast<std::ptrdiff_t>(i * dim_),
            of.begin() + static_cast<std::ptrdiff_t>((i + 1) * dim_)};
  }
  [[nodiscard]] Vector sample(std::size_t s) const { return row(samples_, s); }
  [[nodiscard]] Vector direction(std::size_t f) const { return row(directions_, f); }
  [[nodiscard]] Vector token_of(std::span<const float> token) const {
    const Vector v(token.begin(), token.end());
    return options_.scale_tokens ? scaled(v) : v;
  }
  [[nodiscard]] Vector features_of(const Vector& token) const {
    const double length = std::sqrt(dot(token, token));
    Vector own{length};
    for (std::size_t f = 1; f < options_.dim; ++f) {
      const double product = dot(direction(f), token);
      own.push_back(f < linear_ ? product : std::max(0.0, product - threshold_ * length));
    }
    return own;
  }
  [[nodiscard]] std::size_t place_among(const Vector& sample, const VectorBatch& items,
                                        const Vector& mean) const {
    for (std::size_t t = 0; t < items.rows.rows(); ++t) {
      Vector token = token_of(items.rows[t]);
      for (std::size_t j = 0; j < dim_; ++j) token[j] -= mean[j];
      if (dot(scaled(token), sample) > 1 - 1e-5) return t;
    }
    return items.rows.rows();
  }
  // Gauss and Jordan's elimination with pivots.
  [[nodiscard]] Vector inverse_of_moments() const {
    const std::size_t n = options_.dim;
    Vector a(n * n);
    Vector inverse(n * n);
    double trace = 0;
    for (const Vector& own : features_) {
      for (std::size_t i = 0; i < n; ++i) {
        trace += own[i] * own[i];
        for (std::size_t j = 0; j < n; ++j) a[i * n + j] += own[i] * own[j];
      }
    }
    for (std::size_t i = 0; i < n; ++i) {
      a[i * n + i] += options_.ridge * trace / static_cast<double>(n);
      inverse[i * n + i] = 1;
    }
    for (std::size_t c = 0; c < n; ++c) {
      std::size_t pivot = c;
      for (std::size_t i = c; i < n; ++i)
        pivot = std::abs(a[i * n + c]) > std::abs(a[pivot * n + c]) ? i : pivot;
      for (std::size_t j = 0; j < n; ++j) {
        std::swap(a[c * n + j], a[pivot * n + j]);
        std::swap(inverse[c * n + j], inverse[pivot * n + j]);
      }
      const double scale = 1 / a[c * n + c];
      for (std::size_t j = 0; j < n; ++j) {
        a[c * n + j] *= scale;
        inverse[c * n + j] *= scale;
      }
      for (std::size_t i = 0; i < n; ++i) {
        const double factor = i == c ? 0 : a[i * n + c];
        for (std::size_t j = 0; j < n && factor != 0; ++j) {
          a[i * n + j] -= factor * a[c * n + j];
          inverse[i * n + j] -= factor * inverse[c * n + j];
        }
      }
    }
    return inverse;
  }

  TokenHeadOptions options_;
  std::size_t dim_;
  std::size_t linear_ = 0;
  double threshold_ = 0;
  std::vector<float> samples_;
  std::vector<float> directions_;
  std::vector<Vector> features_;
  Vector inverse_;
};

}  // namespace vicinal
