// Mapping vectors. Training is in projection_train.cpp, files in projection_file.cpp.
#include "vicinal/quant/projection.hpp"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <vector>

#include "vicinal/core/error.hpp"
#include "vicinal/core/sums.hpp"
#include "vicinal/quant/codec.hpp"
#include "vicinal/quant/codec_parts.hpp"

namespace vicinal {
namespace {

// A whitened direction is not divided by less than this share of the largest variance: what lies below is rounding.
constexpr double least_variance = 0x1.0p-20;

Records rows_of(const Array<float>& matrix, std::size_t columns) {
  return {reinterpret_cast<const std::byte*>(matrix.data()), columns * sizeof(float), nullptr};
}

// `query` is padded and aligned as kernels want it.
float dot(const float* query, std::span<const float> record) {
  float result = 0;
  kernels().dot_f32(query, record.size(), {reinterpret_cast<const std::byte*>(record.data()), 0, nullptr}, 1,
                    &result);
  return result;
}

bool all_finite(std::span<const float> values) { return std::isfinite(largest_magnitude(values)); }

void require_size(std::size_t got, std::size_t expected, const char* what) {
  if (got == expected) return;
  throw InvalidArgument("the projection's " + std::string(what) + " has " + std::to_string(got) +
                        " values, expected " + std::to_string(expected));
}

}  // namespace

std::string_view to_string(ProjectionKind kind) {
  switch (kind) {
    case ProjectionKind::none: return "none";
    case ProjectionKind::truncate: return "truncate";
    case ProjectionKind::pca: return "pca";
    case ProjectionKind::query_pca: return "qpca";
  }
  return "unknown";
}

Projection::Projection(const ProjectionOptions& options, Metric metric, std::size_t in_dim, Parts parts)
    : options_(options), metric_(metric), in_dim_(in_dim), parts_(std::move(parts)) {
  const std::string name(to_string(options.kind));
  if (options.kind == ProjectionKind::none || options.kind > ProjectionKind::query_pca)
    throw InvalidArgument("a projection of kind " + name + ", expected truncate, pca or qpca");
  if (options.dim == 0) throw InvalidArgument(name + " keeps 0 dimensions, expected at least 1");
  if (options.dim > in_dim) {
    throw InvalidArgument(name + " keeps " + std::to_string(options.dim) + " dimensions, the vectors have " +
                          std::to_string(in_dim));
  }
  if (options.whiten && options.kind != ProjectionKind::pca)
    throw InvalidArgument(name + " does not whiten, only pca does");
  if (has_matrix() && in_dim > most_trained_dim) {
    throw InvalidArgument(name + " takes vectors of at most " + std::to_string(most_trained_dim) +
                          " dimensions, got " + std::to_string(in_dim));
  }
  set_mean(parts_.mean);
}

void Projection::set_mean(Array<float> mean) {
  parts_.mean = std::move(mean);
  mean_norm_ = static_cast<float>(inner_product(parts_.mean.span(), parts_.mean.span()));
}

void Projection::require_out(std::size_t columns, const char* what) const {
  if (columns != out_dim() + 1 || !has_side_value()) require_size(columns, out_dim(), what);
}

// Of a document that was centred and projected.
float Projection::side_value(std::span<const float> centred, std::span<const float> projected) const {
  if (metric_ != Metric::l2) return static_cast<float>(0.0 - inner_product(mean(), centred));
  return static_cast<float>(
      std::max(0.0, inner_product(centred, centred) - inner_product(projected, projected)));
}

Projection Projection::restore(const ProjectionOptions& options, Metric metric, std::size_t in_dim,
                               Parts parts) {
  Projection projection(options, metric, in_dim, std::move(parts));
  const Parts& own = projection.parts_;
  const bool matrix = projection.has_matrix();
  const bool apart = options.kind == ProjectionKind::query_pca && metric != Metric::l2;
  require_size(own.mean.size(), matrix ? in_dim : 0, "mean");
  require_size(own.documents.size(), matrix ? options.dim * in_dim : 0, "matrix of documents");
  require_size(own.queries.size(), apart ? options.dim * in_dim : 0, "matrix of queries");
  require_size(own.spectrum.size(), matrix ? in_dim : 0, "spectrum");
  if (!all_finite(own.mean.span()) || !all_finite(own.documents.span()) || !all_finite(own.queries.span()))
    throw InvalidArgument("the projection holds a value that is not finite");
  for (std::size_t i = 0; i < own.spectrum.size(); ++i) {
    const double value = own.spectrum[i];
    if (!std::isfinite(value) || std::signbit(value) || (i > 0 && value > own.spectrum[i - 1])) {
      throw InvalidArgument("the projection's spectrum is " + std::to_string(value) + " at " +
                            std::to_string(i) + ", expected finite values of at least 0 that do not rise");
    }
  }
  return projection;
}

std::size_t Projection::memory_bytes() const {
  return parts_.mean.bytes() + parts_.documents.bytes() + parts_.queries.bytes() + parts_.spectrum.bytes();
}

double Projection::lost_energy() const {
  double sum = 0;
  for (std::size_t i = spectrum().size(); i > out_dim(); --i) sum += parts_.spectrum[i - 1];
  return sum;
}

// What whitening divides by the root of.
double Projection::variance(std::size_t direction) const {
  const double largest = parts_.spectrum[0];
  return largest == 0 ? 1.0 : std::max(parts_.spectrum[direction], least_variance * largest);
}

Projection Projection::truncated_to(std::size_t dim) const {
  if (dim == 0 || dim > out_dim()) {
    throw InvalidArgument("a projection to " + std::to_string(out_dim()) + " dimensions cannot be cut to " +
                          std::to_string(dim));
  }
  Projection cut = *this;
  cut.options_.dim = dim;
  const auto first_rows = [&](Array<float>& matrix) {
    if (matrix.empty() || dim == out_dim()) return;
    Array<float> rows(dim * in_dim_);
    std::copy_n(matrix.data(), rows.size(), rows.data());
    matrix = std::move(rows);
  };
  first_rows(cut.parts_.documents);
  first_rows(cut.parts_.queries);
  return cut;
}

// Scaled and centred, ready for the matrix.
void Projection::prepare_document(std::span<const float> vector, std::span<float> out) const {
  if (metric_ == Metric::cosine) {
    normalise(vector, out);
  } else {
    std::copy(vector.begin(), vector.end(), out.begin());
  }
  const float* mean = parts_.mean.data();
  for (std::size_t j = 0; j < out.size(); ++j) out[j] -= mean[j];
}

void Projection::project_document(std::span<const float> vector, std::span<float> out) const {
  project_documents({vector.data(), 1, vector.size()}, {out.data(), 1, out.size()});
}

void Projection::project_documents(MatrixView<const float> vectors, MatrixView<float> out,
                                   const BuildControl& control) const {
  const bool side = has_side_value() && out.cols() == out_dim() + 1;
  if (vectors.cols() != in_dim() || (out.cols() != out_dim() && !side) || out.rows() != vectors.rows()) {
    throw InvalidArgument("vectors are " + std::to_string(vectors.rows()) + " x " +
                          std::to_string(vectors.cols()) + ", projected ones " + std::to_string(out.rows()) +
                          " x " + std::to_string(out.cols()) + ", the projection is from " +
                          std::to_string(in_dim()) + " dimensions to " + std::to_string(out_dim()));
  }
  constexpr std::size_t rows_per_task = 256;
  constexpr std::size_t block = 8;  // rows that stay in the first-level cache while the matrix passes by
  const std::size_t width = padded(in_dim(), 32);
  // Rows of the matrix are the kernel's queries here, whose terms are the same products in the same order.
  Array<float> directions(has_matrix() ? checked_product(out_dim(), width, "projection") : 0);
  for (std::size_t i = 0; has_matrix() && i < out_dim(); ++i)
    std::copy_n(parts_.documents.data() + i * in_dim(), in_dim(), directions.data() + i * width);
  const auto run_block = [&](std::size_t first, std::size_t count, Array<float>& prepared) {
    for (std::size_t r = 0; r < count; ++r)
      prepare_document(vectors[first + r], prepared.span().subspan(r * in_dim(), in_dim()));
    float found[block];
    for (std::size_t i = 0; i < out_dim(); ++i) {
      kernels().dot_f32(directions.data() + i * width, in_dim(), rows_of(prepared, in_dim()), count, found);
      for (std::size_t r = 0; r < count; ++r) out.row_data(first + r)[i] = found[r];
    }
    for (std::size_t r = 0; side && r < count; ++r) {
      out.row_data(first + r)[out_dim()] =
          side_value(prepared.span().subspan(r * in_dim(), in_dim()), out[first + r].first(out_dim()));
    }
  };
  control.executor.for_each((vectors.rows() + rows_per_task - 1) / rows_per_task,
                            [&](std::size_t task, std::size_t) {
                              if (control.stop.stop_requested()) return;
                              const std::size_t end = std::min(vectors.rows(), (task + 1) * rows_per_task);
                              Array<float> prepared(has_matrix() ? block * in_dim() : 0);
                              for (std::size_t row = task * rows_per_task; row < end; row += block) {
                                const std::size_t count = std::min(block, end - row);
                                if (has_matrix()) {
                                  run_block(row, count, prepared);
                                  continue;
                                }
                                for (std::size_t r = row; r < row + count; ++r) {
                                  const std::span<const float> prefix = vectors[r].first(out_dim());
                                  if (metric_ == Metric::cosine) {
                                    normalise(prefix, out[r]);
                                  } else {
                                    std::copy(prefix.begin(), prefix.end(), out[r].begin());
                                  }
                                }
                              }
                            });
  control.throw_if_stopped();
}

float Projection::project_query(std::span<const float> vector, std::span<float> out) const {
  Array<float> scratch;
  return project_query(vector, out, scratch);
}

float Projection::project_query(std::span<const float> vector, std::span<float> out,
                                Array<float>& scratch) const {
  require_size(vector.size(), in_dim(), "query");
  require_out(out.size(), "projected query");
  const bool side = out.size() == out_dim() + 1;
  if (!has_matrix()) {
    project_document(vector, out);
    return metric_ == Metric::cosine ? 1.0F : 0.0F;
  }
  const std::size_t width = padded(in_dim(), 32);
  if (scratch.size() < width) scratch = Array<float>(width);
  const std::span<float> query = scratch.span().first(in_dim());
  std::fill(query.data() + in_dim(), query.data() + width, 0.0F);
  if (metric_ == Metric::l2) {
    prepare_document(vector, query);
  } else if (metric_ == Metric::cosine) {
    normalise(vector, query);
  } else {
    std::copy(vector.begin(), vector.end(), query.begin());
  }
  float constant = metric_ == Metric::cosine ? 1.0F : 0.0F;
  if (!options_.whiten && metric_ != Metric::l2) {
    const float along_mean = dot(query.data(), mean());
    constant -= along_mean;
    if (side) {
      const float part = mean_norm_ > 0 ? along_mean / mean_norm_ : 0.0F;
      out[out_dim()] = std::isfinite(part) ? part : 0.0F;
      for (std::size_t j = 0; j < query.size(); ++j) query[j] -= out[out_dim()] * parts_.mean[j];
    }
  }
  const Array<float>& matrix = parts_.queries.empty() ? parts_.documents : parts_.queries;
  kernels().dot_f32(query.data(), in_dim(), rows_of(matrix, in_dim()), out_dim(), out.data());
  if (!options_.whiten && metric_ == Metric::l2) {
    const std::span<const float> kept = out.first(out_dim());
    const double lost = std::max(0.0, inner_product(query, query) - inner_product(kept, kept));
    if (side) {
      out[out_dim()] = 1.0F;
      constant = static_cast<float>(lost);
    } else if (out_dim() < in_dim()) {
      constant = static_cast<float>(lost + lost_energy());
    }
  }
  if (!all_finite(out) || !std::isfinite(constant))
    throw InvalidArgument("the query holds values that are too large to be projected");
  return constant;
}

void Projection::reconstruct(std::span<const float> projected, std::span<float> out) const {
  require_size(projected.size(), out_dim(), "projected vector");
  require_size(out.size(), in_dim(), "reconstructed vector");
  std::fill(out.begin(), out.end(), 0.0F);
  if (!has_matrix()) {
    std::copy(projected.begin(), projected.end(), out.begin());
    return;
  }
  // The map back of B (x - mean) is B^T, of U^T K^1/2 (x - mean) it is that of the queries; a whitened direction was divided by its
  // deviation twice, once in the value and once in the row.
  const Array<float>& matrix = parts_.queries.empty() ? parts_.documents : parts_.queries;
  for (std::size_t i = 0; i < out_dim(); ++i) {
    const float weight =
        options_.whiten ? static_cast<float>(static_cast<double>(projected[i]) * variance(i)) : projected[i];
    const float* row = matrix.data() + i * in_dim();
    for (std::size_t j = 0; j < in_dim(); ++j) out[j] += weight * row[j];
  }
  for (std::size_t j = 0; j < in_dim(); ++j) out[j] += parts_.mean[j];
}

}  // namespace vicinal
