#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include "vicinal/core/container.hpp"
#include "vicinal/core/control.hpp"
#include "vicinal/core/vector_batch.hpp"

namespace vicinal {

struct TokenHeadTables;

struct TokenHeadOptions {
  std::size_t dim = 1024;      ///< features, which is values of an encoding: 16 to 16,384
  std::size_t samples = 8192;  ///< tokens that the fit looks at, at most what there are: 1 to 65,536
  double ridge = 0.01;         ///< what is added to the diagonal, as a share of its mean: 1e-6 to 1e6
  bool scale_tokens = false;   ///< to length 1 first, as cosine wants them
  std::uint64_t seed = 0;

  friend bool operator==(const TokenHeadOptions&, const TokenHeadOptions&) = default;
};

/// A learned head: one vector for the many of a document and one for those of a query, so that their inner product estimates MaxSim. The
/// form of LEMUR ("Learned multi-vector retrieval", ICML 2026) without a trained network (features at random and least squares, as extreme
/// learning machines have them), fitted otherwise.
///
/// MaxSim is a sum over a query's tokens x of g(x), the largest inner product of x with a token of the document. g is approximated by a weighted
/// sum of features of x that are the same for all documents: the weights are the document's encoding, the sum of its tokens' features is a
/// query's. Features are |x|, coordinates of x in a random rotation (as many as x has, at most half of all features), and for the rest
/// max(0, <a, x> - t |x|), where the directions a are those of tokens less their mean. g(c x) = c g(x) for c >= 0, and so it is with the features.
/// Weights are the ridge regression of g over samples, which are tokens of the documents less their mean, scaled to length 1: queries' tokens lie
/// elsewhere than documents', and samples all around the mean cover both. t is 1.6 times the quadratic mean of <a, x> over the samples.
///
/// Encodings are to be compared by inner product and not to be scaled to length 1. A document that is new needs no other fit: its g at the
/// samples, which is MaxSim of single tokens, and a solution of a system whose matrix is factorised already.
///
/// A pure function of options and training batches; the same bits on every instruction set, for any number of threads, alone or in a
/// batch. Immutable, thread-safe; copies share the tables.
class TokenHead {
 public:
  TokenHead() = default;
  /// Draws samples from the documents, an eighth as many held out of the fit (for health()), and, where `queries` has tokens, up to
  /// half of the samples from those. Items may be without tokens. O(samples x dim^2 + dim^3 / 6), memory for samples x dim floats and dim^2
  /// doubles. Throws InvalidArgument: options out of range, more than most_table values of features at the samples, no token that is not zero,
  /// values that are not finite or beyond 2^54 (item, vector and column named), other dimensions of queries. Throws Cancelled.
  static TokenHead train(const TokenHeadOptions& options, const VectorBatch& documents,
                         const VectorBatch& queries = {}, const BuildControl& control = {});

  [[nodiscard]] const TokenHeadOptions& options() const;
  [[nodiscard]] std::size_t token_dim() const;  ///< of the vectors encoded
  [[nodiscard]] std::size_t out_dim() const;    ///< of encodings
  [[nodiscard]] std::size_t memory_bytes() const;

  /// tokens x token_dim() values to out_dim() values; no token at all gives zeros. A query costs tokens x token_dim x dim multiply-adds, a document
  /// samples x (tokens x token_dim + dim) + dim^2. The first document after loading also makes the features at the samples, once. Throws
  /// InvalidArgument for another shape, and for values that are not finite or beyond 2^54.
  void encode_query(MatrixView<const float> tokens, std::span<float> out) const;
  void encode_document(MatrixView<const float> tokens, std::span<float> out) const;
  /// Item i to row i of `out`, on the executor; documents in groups, which saves reading the tables for each. Throws InvalidArgument as
  /// above, Cancelled.
  void encode_queries(const VectorBatch& queries, MatrixView<float> out, ExecutorRef executor = {}) const;
  void encode_documents(const VectorBatch& documents, MatrixView<float> out,
                        const BuildControl& control = {}) const;

  /// How well the head fits what it was trained on: with r(x, d) the error of the estimate of g_d(x), for tokens x held out of the fit (made as
  /// samples are) and up to 128 training documents d, 1 - (the variance of r over documents) / (that of g), both summed over x. What is the same
  /// for all documents does not change their order and does not count. 1: perfect, 0 or less: worthless. 0 too where nothing could be
  /// measured: less than 9 tokens, or documents that are all the same. Estimates of queries, whose tokens are others, may be worse.
  [[nodiscard]] double health() const;

  /// 64 bits that differ between heads whose encodings cannot be compared.
  [[nodiscard]] std::uint64_t fingerprint() const;

  /// Sections "<prefix>/options", "/samples", "/directions" and "/factor".
  void save(ContainerWriter& writer, const std::string& prefix) const;
  /// Validates, and that it is a head with those options; throws CorruptFile.
  static TokenHead load(const Container& file, const std::string& prefix, const TokenHeadOptions& expected,
                        std::size_t token_dim);

  static constexpr std::size_t least_dim = 16;
  static constexpr std::size_t most_dim = 16'384;
  static constexpr std::size_t most_samples = 65'536;
  static constexpr std::size_t most_table = std::size_t{1} << 28;

 private:
  explicit TokenHead(std::shared_ptr<const TokenHeadTables> tables) : tables_(std::move(tables)) {}
  std::shared_ptr<const TokenHeadTables> tables_;
};

}  // namespace vicinal
