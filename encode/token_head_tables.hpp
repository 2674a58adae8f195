#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <span>
#include <vector>

#include "vicinal/core/array.hpp"
#include "vicinal/core/control.hpp"
#include "vicinal/core/vector_batch.hpp"
#include "vicinal/encode/pooling_kernels.hpp"
#include "vicinal/encode/token_head.hpp"
#include "vicinal/quant/kernels.hpp"

// What a TokenHead is made of. Not installed.
namespace vicinal {

/// Samples over which products are summed in single precision; sums of blocks are added in double.
inline constexpr std::size_t head_block = 256;

/// Samples in blocks for the kernel that finds the largest product with a document's tokens.
class SampleLanes {
 public:
  struct Scratch {
    Array<float> scaled;  // tokens of a chunk
    Array<float> groups;
    Array<float> least;
  };

  SampleLanes() = default;
  explicit SampleLanes(MatrixView<const float> samples);

  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] std::size_t bytes() const { return values_.bytes(); }
  /// out[s * out_stride] = the largest inner product of sample s with one of the tokens, of which there is one at least.
  void largest_products(MatrixView<const float> tokens, bool scale_tokens, Scratch& scratch, float* out,
                        std::size_t out_stride) const;

 private:
  // A multiple of the queries that the kernel takes at one time on any instruction set.
  static constexpr std::size_t block = 60;
  std::size_t size_ = 0;
  std::size_t dim_ = 0;
  Array<float> values_;  // [block][dimension][sample]
  std::vector<ByteQuery> terms_;
};

struct TokenHeadTables {
  TokenHeadOptions options;
  std::size_t token_dim = 0;
  std::size_t width = 0;  // features, rounded up to whole panels: those beyond are zero
  float threshold = 0;
  double health = 0;
  std::uint64_t fingerprint = 0;
  Array<float> samples;     // ... x token_dim
  Array<float> directions;  // dim x token_dim, of |x| a row of zeros
  Array<double> factor;     // cholesky() of the features' products over the samples plus ridge

  // Made from the above by prepare().
  Array<float> panels;       // the directions
  std::vector<float> slope;  // a feature is max(floor, <direction, x> + slope |x|)
  std::vector<float> floor;

  /// What only documents need, made from the above at first use.
  struct Fit {
    SampleLanes lanes;
    Array<float> features;  // [block of samples][panel of features][sample][feature]
  };

  [[nodiscard]] std::size_t sample_count() const { return samples.size() / token_dim; }
  [[nodiscard]] MatrixView<const float> sample_rows() const {
    return {samples.data(), sample_count(), token_dim};
  }
  [[nodiscard]] const float* fit_features(const Fit& of, std::size_t block, std::size_t panel) const {
    return of.features.data() + (block * (width / panel_tokens) + panel) * head_block * panel_tokens;
  }
  /// The first features: |x| and the coordinates.
  [[nodiscard]] static std::size_t linear_features(std::size_t dim, std::size_t token_dim);

  void prepare();
  [[nodiscard]] Fit make_fit(const BuildControl& control) const;
  [[nodiscard]] const Fit& fit(const BuildControl& control) const;

  mutable std::once_flag fit_once;
  mutable Fit made_fit;
};

/// The calling thread's memory while it encodes.
struct TokenHeadScratch {
  SampleLanes::Scratch lanes;
  Array<float> scaled;
  Array<float> panel;
  Array<float>
      products;  // of documents with samples, in panels of documents; or of a query's tokens with directions
  Array<double> sides;
};

/// Throws InvalidArgument for options or a dimension out of range.
void require_head_options(const TokenHeadOptions& options, std::size_t token_dim);
/// Throws InvalidArgument unless the batch has that dimension, offsets that end at its rows, and finite values of at most 2^54.
void require_head_tokens(const VectorBatch& batch, std::size_t token_dim, const char* what);

/// Adds up the features of all the tokens: `out` has dim values.
void add_features(const TokenHeadTables& t, MatrixView<const float> all, TokenHeadScratch& scratch,
                  std::span<float> out);
/// Encodings of documents [first, first + out.rows()), at most head_group of them.
void encode_head_documents(const TokenHeadTables& tables, const TokenHeadTables::Fit& fit,
                           const VectorBatch& documents, std::size_t first, MatrixView<float> out,
                           TokenHeadScratch& scratch, const BuildControl& control);
inline constexpr std::size_t head_group = 2 * panel_tokens;

std::uint64_t head_fingerprint(const TokenHeadTables& tables);

}  // namespace vicinal
