// Learning a product quantiser: k-means in every sub-space, and for OPQ a rotation that makes sub-spaces worth it.
#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "vicinal/core/error.hpp"
#include "vicinal/core/random.hpp"
#include "vicinal/quant/codec.hpp"
#include "vicinal/quant/codec_parts.hpp"
#include "vicinal/quant/covariance.hpp"
#include "vicinal/quant/kmeans.hpp"
#include "vicinal/quant/product_quantiser.hpp"
#include "vicinal/quant/symmetric_eigen.hpp"

namespace vicinal {
namespace {

constexpr std::size_t most_rows = 65'536;           // that centroids are learnt from
constexpr std::size_t most_rotation_rows = 16'384;  // that a rotation is learnt from
constexpr std::size_t iterations = 25;
constexpr std::size_t iterations_after_rotation = 15;  // the rotation's rounds have begun
constexpr std::size_t rotation_rounds = 8;
constexpr std::size_t iterations_per_round = 2;
constexpr std::size_t rows_per_task = 128;
constexpr std::uint64_t rows_stream = 0x7071'726F'7773;   // "pqrows"
constexpr std::uint64_t means_stream = 0x7071'0000'0000;  // "pq", plus the sub-space

// Rows of floats that end in zeros up to a multiple of 32, as the kernels want a query.
struct PaddedRows {
  PaddedRows(std::size_t rows, std::size_t dim)
      : count(rows), stride(padded(dim, 32)), values(checked_product(rows, stride, "training rows")) {}
  [[nodiscard]] float* row(std::size_t i) { return values.data() + i * stride; }
  [[nodiscard]] const float* row(std::size_t i) const { return values.data() + i * stride; }

  std::size_t count;
  std::size_t stride;
  Array<float> values;
};

PaddedRows training_rows(MatrixView<const float> documents, bool normalised, std::uint64_t seed) {
  const std::vector<std::size_t> chosen = spread_rows(documents.rows(), most_rows, seed, rows_stream);
  const std::size_t dim = documents.cols();
  PaddedRows rows(chosen.size(), dim);
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    const std::span<float> row(rows.row(i), dim);
    if (normalised) {
      normalise(documents[chosen[i]], row);
      continue;
    }
    std::ranges::copy(documents[chosen[i]], row.begin());
    if (largest_magnitude(row) <= largest_trained_value) continue;
    throw InvalidArgument("row " + std::to_string(chosen[i]) + " has values up to " +
                          std::to_string(largest_magnitude(row)) +
                          ", a product quantiser holds magnitudes up to 2^54");
  }
  return rows;
}

class Trainer {
 public:
  Trainer(const ProductShape& shape, std::uint64_t seed, const BuildControl& control)
      : shape_(shape), seed_(seed), control_(control), clusters_(shape.parts) {}

  // k-means in every sub-space, a task each.
  void cluster(const PaddedRows& rows, std::size_t rounds) {
    control_.executor.for_each(shape_.parts, [&](std::size_t part, std::size_t) {
      if (control_.stop.stop_requested()) return;
      const std::size_t first = shape_.begin(part);
      const std::size_t dims = shape_.begin(part + 1) - first;
      std::vector<float> points(rows.count * dims);
      for (std::size_t i = 0; i < rows.count; ++i)
        std::copy_n(rows.row(i) + first, dims, points.data() + i * dims);
      improve_clusters(points.data(), rows.count, dims, shape_.centroids(), rounds, seed_,
                       means_stream + part, clusters_[part]);
    });
    control_.throw_if_stopped();
  }

  // All directions times every row; `out` may be the rows themselves.
  void rotate(const PaddedRows& rows, const Array<double>& directions, PaddedRows& out) const {
    const std::size_t dim = shape_.dim;
    PaddedRows floats(dim, dim);
    for (std::size_t i = 0; i < dim; ++i) {
      for (std::size_t j = 0; j < dim; ++j) floats.row(i)[j] = static_cast<float>(directions[i * dim + j]);
    }
    const std::size_t tasks = (rows.count + rows_per_task - 1) / rows_per_task;
    control_.executor.for_each(tasks, [&](std::size_t task, std::size_t) {
      if (control_.stop.stop_requested()) return;
      const std::size_t first = task * rows_per_task;
      const std::size_t count = std::min(rows_per_task, rows.count - first);
      const Records records{reinterpret_cast<const std::byte*>(rows.row(first)), rows.stride * sizeof(float),
                            nullptr};
      std::vector<float> turned(dim * count);  // a direction's products with all rows side by side
      for (std::size_t i = 0; i < dim; ++i)
        kernels().dot_f32(floats.row(i), dim, records, count, turned.data() + i * count);
      for (std::size_t r = 0; r < count; ++r) {
        for (std::size_t i = 0; i < dim; ++i) out.row(first + r)[i] = turned[i * count + r];
      }
    });
    control_.throw_if_stopped();
  }

  // The sum over rows of (what codes stand for) (row)^T, dim x dim: of all rotations the one nearest to it, in the sense of
  // Procrustes, turns the rows best to what their codes stand for.
  [[nodiscard]] Array<double> cross_moments(const PaddedRows& rows) const {
    const std::size_t dim = shape_.dim;
    const std::size_t count = shape_.centroids();
    Array<double> moments(checked_product(dim, dim, "moments"));
    control_.executor.for_each(shape_.parts, [&](std::size_t part, std::size_t) {
      if (control_.stop.stop_requested()) return;
      Array<double> sums(count * dim);
      for (std::size_t i = 0; i < rows.count; ++i) {
        double* const sum = sums.data() + clusters_[part].ids[i] * dim;
        const float* const row = rows.row(i);
        for (std::size_t j = 0; j < dim; ++j) sum[j] += static_cast<double>(row[j]);
      }
      const std::size_t first = shape_.begin(part);
      const std::size_t end = shape_.begin(part + 1);
      for (std::size_t j = first; j < end; ++j) {
        double* const moment = moments.data() + j * dim;
        for (std::size_t c = 0; c < count; ++c) {
          const auto x = static_cast<double>(clusters_[part].columns[(j - first) * count + c]);
          const double* const sum = sums.data() + c * dim;
          for (std::size_t k = 0; k < dim; ++k) moment[k] += x * sum[k];
        }
      }
    });
    control_.throw_if_stopped();
    return moments;
  }

  [[nodiscard]] Array<float> centroids() const {
    Array<float> all(shape_.dim * shape_.centroids());
    for (std::size_t part = 0; part < shape_.parts; ++part) {
      std::ranges::copy(clusters_[part].columns.span(), all.data() + shape_.begin(part) * shape_.centroids());
    }
    return all;
  }

 private:
  ProductShape shape_;
  std::uint64_t seed_;
  const BuildControl& control_;
  std::vector<Clusters> clusters_;
};

// A product of many positive numbers, beyond the range of any of them.
struct LongProduct {
  double fraction = 0.5;
  std::int64_t exponent = 1;

  void multiply(double value) {
    int more = 0;
    fraction = std::frexp(fraction * value, &more);
    exponent += more;
  }
  friend bool operator<(const LongProduct& a, const LongProduct& b) {
    return a.exponent != b.exponent ? a.exponent < b.exponent : a.fraction < b.fraction;
  }
};

// Eigenvectors dealt to sub-spaces, each to the one with room whose product of variances is least so far (eigenvalue allocation,
// Ge et al., section 3.2): for Gaussian data this is the optimum.
Array<double> dealt_directions(const ProductShape& shape, const SymmetricEigen& eigen) {
  const std::size_t dim = shape.dim;
  Array<double> directions(checked_product(dim, dim, "directions"));
  const double least = std::max(eigen.values.front() * 1e-12, 1e-300);
  std::vector<LongProduct> products(shape.parts);
  std::vector<std::size_t> filled(shape.parts);
  for (std::size_t i = 0; i < dim; ++i) {
    std::size_t best = shape.parts;
    for (std::size_t part = 0; part < shape.parts; ++part) {
      const std::size_t room = shape.begin(part + 1) - shape.begin(part);
      if (filled[part] < room && (best == shape.parts || products[part] < products[best])) best = part;
    }
    const std::size_t row = shape.begin(best) + filled[best]++;
    products[best].multiply(std::max(eigen.values[i], least) / least);
    std::copy_n(eigen.vectors.data() + i * dim, dim, directions.data() + row * dim);
  }
  return directions;
}

// The orthogonal matrix nearest to `moments` (its polar factor), leaning a little to what it was, which also decides where the
// moments say nothing.
Array<double> nearest_rotation(Array<double> moments, const Array<double>& before, std::size_t dim,
                               const BuildControl& control) {
  double agreement = 0;
  for (std::size_t i = 0; i < dim * dim; ++i) agreement += moments[i] * before[i];
  if (!(agreement > 0)) return before;
  const double pull = 1e-3 * agreement / static_cast<double>(dim);
  for (std::size_t i = 0; i < dim * dim; ++i) moments[i] += pull * before[i];
  // M (M^T M)^(-1/2). Scaled, so that squares stay in range.
  double largest = 0;
  for (std::size_t i = 0; i < dim * dim; ++i) largest = std::max(largest, std::abs(moments[i]));
  for (std::size_t i = 0; i < dim * dim; ++i) moments[i] /= largest;
  Array<double> squares = multiply(transposed(moments, dim, dim), dim, dim, moments, dim, control);
  for (std::size_t i = 0; i < dim; ++i) {
    for (std::size_t j = 0; j < i; ++j) squares[i * dim + j] = squares[j * dim + i];
  }
  const SymmetricEigen eigen = symmetric_eigen(std::move(squares), dim, control);
  Array<double> scaled(dim * dim);
  const double least = eigen.values.front() * 1e-15;
  for (std::size_t i = 0; i < dim; ++i) {
    const double scale = 1 / std::sqrt(std::max(eigen.values[i], least));
    for (std::size_t j = 0; j < dim; ++j) scaled[i * dim + j] = eigen.vectors[i * dim + j] * scale;
  }
  const Array<double> root = multiply(transposed(eigen.vectors, dim, dim), dim, dim, scaled, dim, control);
  Array<double> rotation = multiply(moments, dim, dim, root, dim, control);
  // One step of Newton and Schulz, R (3 - R^T R) / 2, takes away what the squares have cost in precision.
  Array<double> step = multiply(transposed(rotation, dim, dim), dim, dim, rotation, dim, control);
  for (std::size_t i = 0; i < dim * dim; ++i) step[i] *= -0.5;
  for (std::size_t i = 0; i < dim; ++i) step[i * dim + i] += 1.5;
  return multiply(rotation, dim, dim, step, dim, control);
}

Array<double> learn_rotation(const ProductShape& shape, const PaddedRows& rows, Trainer& trainer,
                             const BuildControl& control) {
  const std::size_t dim = shape.dim;
  const TrainingRows all{{rows.values.data(), rows.count, dim, rows.stride}, false, "documents"};
  const Array<float> none(dim);
  Array<double> directions = dealt_directions(
      shape,
      symmetric_eigen(second_moments(all, column_range(all, control), none.span(), control), dim, control));
  PaddedRows some(std::min(rows.count, most_rotation_rows), dim);
  for (std::size_t i = 0; i < some.count; ++i)
    std::copy_n(rows.row(i * rows.count / some.count), dim, some.row(i));
  PaddedRows turned(some.count, dim);
  for (std::size_t round = 0; round < rotation_rounds; ++round) {
    control.report("rotation", round, rotation_rounds);
    trainer.rotate(some, directions, turned);
    trainer.cluster(turned, iterations_per_round);
    directions = nearest_rotation(trainer.cross_moments(some), directions, dim, control);
  }
  return directions;
}

}  // namespace

ProductQuantiser ProductQuantiser::train(const ProductShape& shape, bool normalised,
                                         MatrixView<const float> documents, std::uint64_t seed,
                                         const BuildControl& control) {
  const std::size_t dim = shape.dim;
  PaddedRows rows = training_rows(documents, normalised, seed);
  // About the mean, where sums of products lose least; the centroids get it back.
  const TrainingRows all{{rows.values.data(), rows.count, dim, rows.stride}, false, "documents"};
  const Array<float> mean = column_range(all, control).mean;
  for (std::size_t i = 0; i < rows.count; ++i) {
    for (std::size_t j = 0; j < dim; ++j) rows.row(i)[j] -= mean[j];
  }

  Trainer trainer(shape, seed, control);
  Array<float> directions(shape.rotated ? dim * dim : 0);
  std::vector<double> turned_mean(mean.span().begin(), mean.span().end());
  if (shape.rotated) {
    Array<double> learnt(dim * dim);
    for (std::size_t i = 0; i < dim; ++i) learnt[i * dim + i] = 1;
    if (rows.count > 1) {
      learnt = learn_rotation(shape, rows, trainer, control);
      trainer.rotate(rows, learnt, rows);
    }
    for (std::size_t i = 0; i < dim * dim; ++i)
      directions[i] = static_cast<float>(std::clamp(learnt[i], -1.0, 1.0));
    for (std::size_t i = 0; i < dim; ++i) {
      double sum = 0;
      for (std::size_t j = 0; j < dim; ++j) sum += learnt[i * dim + j] * static_cast<double>(mean[j]);
      turned_mean[i] = sum;
    }
  }
  control.report("centroids", 0, 1);
  trainer.cluster(rows, shape.rotated ? iterations_after_rotation : iterations);
  Array<float> centroids = trainer.centroids();
  const std::size_t count = shape.centroids();
  for (std::size_t j = 0; j < dim; ++j) {
    for (std::size_t c = 0; c < count; ++c) {
      const double moved = static_cast<double>(centroids[j * count + c]) + turned_mean[j];
      centroids[j * count + c] = static_cast<float>(std::clamp(
          moved, -static_cast<double>(largest_trained_value), static_cast<double>(largest_trained_value)));
    }
  }
  return {shape, std::move(centroids), std::move(directions)};
}

}  // namespace vicinal
