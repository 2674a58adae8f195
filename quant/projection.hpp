#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "vicinal/core/array.hpp"
#include "vicinal/core/container.hpp"
#include "vicinal/core/control.hpp"
#include "vicinal/core/matrix_view.hpp"
#include "vicinal/core/metric.hpp"

namespace vicinal {

/// How vectors lose dimensions before they are encoded. Stored in files: values never change meaning.
enum class ProjectionKind : std::uint8_t {
  none = 0,
  truncate = 1,  ///< the first dimensions, as Matryoshka embeddings are made for
  pca = 2,       ///< the directions in which the documents vary most
  query_pca =
      3,  ///< those in which inner products of queries and documents vary most; for l2 the same as pca
};
/// As in a spec: "none", "truncate", "pca", "qpca".
std::string_view to_string(ProjectionKind kind);

struct ProjectionOptions {
  ProjectionKind kind = ProjectionKind::none;
  std::size_t dim = 0;  ///< dimensions kept
  bool whiten =
      false;  ///< pca only: divide every kept direction by its deviation. Another metric, chosen by the caller, not a compression
              ///< of the given one

  friend bool operator==(const ProjectionOptions&, const ProjectionOptions&) = default;
};

/// A linear map of documents and one of queries to fewer dimensions, such that distances between the mapped estimate distances
/// between the given. Immutable and thread-safe; copies share the matrices.
///
/// The documents' mean is subtracted from documents alone (l2: from both, which changes no distance), never from queries of an inner
/// product: <q, x> = <q, mean> + <q, x - mean>, and project_query() returns the first term.
///
///   pca        documents B (x - mean), queries B q, B the leading eigenvectors of the documents' covariance S, signs fixed by the
///              largest component
///   query_pca  with K the second moment of the queries and U the leading eigenvectors of K^1/2 S K^1/2: documents U^T K^1/2 (x - mean),
///              queries U^T K^-1/2 q. Of all maps to so few dimensions the one with the least expected squared error of <q, x>
///              (LeanVec: Tepper et al., "LeanVec: Searching vectors faster by making them fit", 2024). Of m queries of dimension d,
///              K is (1 - r) K + r trace(K) / d with r = d / (10 m), kept within 0.001 and 1: few queries give plain pca
///   truncate   a prefix, nothing is subtracted. Cosine compares prefixes: each is scaled to length 1
///
/// pca without whitening can give one value more, the side value, for codecs that take one (CodecOptions::side_value), of what the
/// kept dimensions do not say and which is then exact: for l2 the squared length of what a document loses; for ip and cosine
/// -<mean, x - mean>, whose weight is the query's part a along the mean: <q, x - mean> = a <mean, x - mean> + <q - a mean, x - mean>, and
/// only the rest of the query is projected.
///
/// Cosine scales vectors to length 1 first. The matrices are a function of the data and the options, the same bits on every
/// instruction set and for any number of threads (docs/numerics.md).
class Projection {
 public:
  /// The largest dimension of vectors that pca and query_pca take: their cost grows with its cube.
  static constexpr std::size_t most_trained_dim = 8192;

  Projection() = default;

  /// O(rows x dim^2 + dim^3). `queries` are read by query_pca for ip and cosine alone. Throws InvalidArgument: kind none, dim 0 or more
  /// than the documents', whiten with another kind than pca, no documents, query_pca without queries, magnitudes beyond 2^54; Cancelled.
  static Projection train(const ProjectionOptions& options, Metric metric, MatrixView<const float> documents,
                          MatrixView<const float> queries = {}, const BuildControl& control = {});

  /// What a projection is made of, row-major. All empty for truncate.
  struct Parts {
    Array<float> mean;       ///< in_dim
    Array<float> documents;  ///< out_dim x in_dim
    Array<float> queries;    ///< the same for query_pca unless the metric is l2, else empty
    Array<double> spectrum;  ///< in_dim
  };
  /// Throws InvalidArgument: options as train() refuses them, a part of another size, a value that is not finite, or a spectrum that is
  /// negative or rises.
  static Projection restore(const ProjectionOptions& options, Metric metric, std::size_t in_dim, Parts parts);

  /// Sections "<prefix>/options", "/mean", "/documents", "/queries", "/spectrum", those that are not empty.
  void save(ContainerWriter& writer, const std::string& prefix) const;
  static Projection load(const Container& file,
                         const std::string& prefix);  ///< validates; throws CorruptFile

  [[nodiscard]] const ProjectionOptions& options() const { return options_; }
  [[nodiscard]] ProjectionKind kind() const { return options_.kind; }
  [[nodiscard]] std::size_t in_dim() const { return in_dim_; }
  [[nodiscard]] std::size_t out_dim() const { return options_.dim; }
  [[nodiscard]] Metric metric() const { return metric_; }
  /// Of distances between mapped vectors: l2 for l2, else ip.
  [[nodiscard]] Metric inner_metric() const { return metric_ == Metric::l2 ? Metric::l2 : Metric::ip; }
  [[nodiscard]] std::span<const float> mean() const { return parts_.mean.span(); }
  /// Whether a side value can be had.
  [[nodiscard]] bool has_side_value() const { return kind() == ProjectionKind::pca && !options_.whiten; }
  [[nodiscard]] std::size_t memory_bytes() const;

  /// pca: the in_dim() eigenvalues of the documents' covariance, descending; query_pca: those of K^1/2 S K^1/2. The sum of those
  /// from out_dim() on is the expected squared error: of a vector for pca, of an inner product for query_pca. Empty for truncate.
  [[nodiscard]] std::span<const double> spectrum() const { return parts_.spectrum.span(); }
  /// That sum.
  [[nodiscard]] double lost_energy() const;
  /// The same training with fewer dimensions kept: equal to train() with that dim. Throws InvalidArgument unless 0 < dim <= out_dim().
  [[nodiscard]] Projection truncated_to(std::size_t dim) const;

  /// in_dim() values to out_dim(), or to one more, the last of them the side value: Here and below the size of `out` chooses.
  void project_document(std::span<const float> vector, std::span<float> out) const;
  /// All rows, on control.executor. The same bits as row by row. Throws Cancelled.
  void project_documents(MatrixView<const float> vectors, MatrixView<float> out,
                         const BuildControl& control = {}) const;

  /// Returns what is to be added to distances of inner_metric() between `out` and projected documents so that they estimate those of
  /// metric(): minus <q, mean> for ip, 1 less that for cosine; for l2 the squared length of the part of q that is lost and, without side
  /// values, the documents' expected one, which makes the estimate unbiased. It is the same for all documents, so it changes no order. For whitened
  /// vectors and truncated ones 0 (cosine: 1). Throws InvalidArgument when the result is not finite.
  float project_query(std::span<const float> vector, std::span<float> out) const;
  /// With scratch of the caller's that calls may share, one at a time: allocates only when it is too small.
  float project_query(std::span<const float> vector, std::span<float> out, Array<float>& scratch) const;

  /// The best guess of a document that was mapped (for cosine: after scaling to length 1), in_dim() values. Truncated: zeros follow.
  void reconstruct(std::span<const float> projected, std::span<float> out) const;

 private:
  Projection(const ProjectionOptions& options, Metric metric, std::size_t in_dim, Parts parts);
  [[nodiscard]] bool has_matrix() const {
    return kind() == ProjectionKind::pca || kind() == ProjectionKind::query_pca;
  }
  [[nodiscard]] double variance(std::size_t direction) const;
  void prepare_document(std::span<const float> vector, std::span<float> out) const;
  [[nodiscard]] float side_value(std::span<const float> centred, std::span<const float> projected) const;
  void set_mean(Array<float> mean);
  void require_out(std::size_t columns, const char* what) const;

  ProjectionOptions options_;
  Metric metric_ = Metric::l2;
  std::size_t in_dim_ = 0;
  Parts parts_;
  float mean_norm_ = 0;  // |mean|^2
};

}  // namespace vicinal
