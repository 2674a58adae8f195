#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "vicinal/core/error.hpp"
#include "vicinal/quant/covariance.hpp"
#include "vicinal/quant/projection.hpp"
#include "vicinal/quant/symmetric_eigen.hpp"

namespace vicinal {
namespace {

// Rows of doubles as floats; a value beyond their range becomes the largest.
Array<float> rounded(const Array<double>& matrix, std::size_t count) {
  constexpr double most = std::numeric_limits<float>::max();
  Array<float> result(count);
  for (std::size_t i = 0; i < count; ++i) result[i] = static_cast<float>(std::clamp(matrix[i], -most, most));
  return result;
}

Array<double> spectrum_of(const SymmetricEigen& eigen) {
  Array<double> spectrum(eigen.values.size());
  // A hair below zero is zero.
  for (std::size_t i = 0; i < spectrum.size(); ++i) spectrum[i] = eigen.values[i] > 0 ? eigen.values[i] : 0.0;
  return spectrum;
}

// The queries' second moment as eigenvalues and vectors, made definite: see Projection.
SymmetricEigen query_moments(const TrainingRows& queries, const BuildControl& control) {
  const std::size_t dim = queries.rows.cols();
  Array<double> moments = second_moments(queries, column_range(queries, control), {}, control);
  double trace = 0;
  for (std::size_t i = 0; i < dim; ++i) trace += moments[i * dim + i];
  const double share =
      std::clamp(static_cast<double>(dim) / (10.0 * static_cast<double>(queries.rows.rows())), 1e-3, 1.0);
  const double ridge = trace == 0 ? 1.0 : share * trace / static_cast<double>(dim);
  for (std::size_t i = 0; i < dim * dim; ++i) moments[i] *= 1 - share;
  for (std::size_t i = 0; i < dim; ++i) moments[i * dim + i] += ridge;
  SymmetricEigen eigen = symmetric_eigen(std::move(moments), dim, control);
  // No eigenvalue is below the ridge but by rounding.
  for (double& value : eigen.values) value = std::max(value, ridge * 0.5);
  return eigen;
}

}  // namespace

Projection Projection::train(const ProjectionOptions& options, Metric metric,
                             MatrixView<const float> documents, MatrixView<const float> queries,
                             const BuildControl& control) {
  const std::size_t dim = documents.cols();
  Projection projection(options, metric, dim, {});
  if (options.kind == ProjectionKind::truncate) return projection;
  const std::string name(to_string(options.kind));
  if (documents.empty()) throw InvalidArgument(name + " learns from documents, got none");
  const bool for_queries = options.kind == ProjectionKind::query_pca && metric != Metric::l2;
  if (for_queries && queries.empty()) {
    throw InvalidArgument(name +
                          " learns from sample queries, got none: give it queries such as will be asked, " +
                          std::to_string(5 * dim) + " or more, or take pca");
  }
  if (for_queries && queries.cols() != dim) {
    throw InvalidArgument("queries have " + std::to_string(queries.cols()) + " columns, documents have " +
                          std::to_string(dim));
  }

  const TrainingRows rows{documents, metric == Metric::cosine, "documents"};
  ColumnRange range = column_range(rows, control);
  Array<double> covariance = second_moments(rows, range, range.mean.span(), control);
  projection.set_mean(range.mean);
  if (!for_queries) {
    SymmetricEigen eigen = symmetric_eigen(std::move(covariance), dim, control);
    projection.parts_.spectrum = spectrum_of(eigen);
    for (std::size_t i = 0; options.whiten && i < options.dim; ++i) {
      const double scale = 1 / std::sqrt(projection.variance(i));
      for (std::size_t j = 0; j < dim; ++j) eigen.vectors[i * dim + j] *= scale;
    }
    projection.parts_.documents = rounded(eigen.vectors, options.dim * dim);
    return projection;
  }

  // In the basis V of the eigenvectors of K = V L V^T, where its root is that of a diagonal.
  const TrainingRows asked{queries, metric == Metric::cosine, "queries"};
  SymmetricEigen k = query_moments(asked, control);
  Array<double> product = multiply(k.vectors, dim, dim, covariance, dim, control);
  covariance = {};
  product = multiply(product, dim, dim, transposed(k.vectors, dim, dim), dim, control);
  std::vector<double> root(dim);
  for (std::size_t i = 0; i < dim; ++i) root[i] = std::sqrt(k.values[i]);
  // The two triangles differ by rounding: their mean is symmetric.
  for (std::size_t i = 0; i < dim; ++i) {
    for (std::size_t j = 0; j <= i; ++j) {
      const double mean = 0.5 * (product[i * dim + j] + product[j * dim + i]);
      product[i * dim + j] = product[j * dim + i] = mean * (root[i] * root[j]);
    }
  }
  SymmetricEigen u = symmetric_eigen(std::move(product), dim, control);
  projection.parts_.spectrum = spectrum_of(u);
  Array<double> to_documents(options.dim * dim);
  Array<double> to_queries(options.dim * dim);
  for (std::size_t i = 0; i < options.dim; ++i) {
    for (std::size_t j = 0; j < dim; ++j) {
      to_documents[i * dim + j] = u.vectors[i * dim + j] * root[j];
      to_queries[i * dim + j] = u.vectors[i * dim + j] / root[j];
    }
  }
  projection.parts_.documents =
      rounded(multiply(to_documents, options.dim, dim, k.vectors, dim, control), options.dim * dim);
  projection.parts_.queries =
      rounded(multiply(to_queries, options.dim, dim, k.vectors, dim, control), options.dim * dim);
  return projection;
}

}  // namespace vicinal
