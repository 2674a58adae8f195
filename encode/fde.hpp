#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>

#include "vicinal/core/array.hpp"
#include "vicinal/core/container.hpp"
#include "vicinal/core/control.hpp"
#include "vicinal/core/vector_batch.hpp"

namespace vicinal {

/// How the sum of a bucket's tokens gets shorter. Stored in files: values never change meaning.
enum class FdeProjection : std::uint8_t {
  sketch = 0,    ///< a balanced sketch: every output adds up as many inputs, each with a random sign
  dense = 1,     ///< every output is a signed sum of all inputs, over sqrt(outputs): the paper's
  identity = 2,  ///< not at all
};
/// What a document's bucket holds. Stored in files.
enum class FdeBucket : std::uint8_t {
  unit = 0,  ///< the direction of the sum of its tokens
  mean = 1,  ///< the mean of its tokens: the paper's
};
/// What a bucket holds that none of a document's tokens fell into. Stored in files.
enum class FdeEmpty : std::uint8_t {
  zero = 0,     ///< nothing
  nearest = 1,  ///< the token on whose side of most planes the bucket lies, the first of those: the paper's
};

/// Into what a repetition cuts space. Stored in files.
enum class FdePartition : std::uint8_t {
  planes = 0,  ///< the sides of `bits` random planes: the paper's
  cross_polytope =
      1  ///< which of 2^(bits - 1) random directions a token is nearest to, or to the opposite of which (Andoni, Indyk, Laarhoven,
         ///< Razenshteyn and Schmidt, "Practical and optimal LSH for angular distance", NIPS 2015)
};

struct FdeOptions {
  std::size_t reps = 40;  ///< repetitions, each with planes and projections of its own
  std::size_t bits =
      3;  ///< 2^bits buckets a repetition, 0 to 16; a cross-polytope has at most twice the tokens' dimension
  std::size_t dim = 8;  ///< values a bucket, at most the tokens' dimension; identity: not read
  FdeProjection projection = FdeProjection::sketch;
  bool per_bucket = true;  ///< a projection for every bucket, else one for every repetition
  FdeBucket bucket = FdeBucket::unit;
  FdeEmpty empty = FdeEmpty::zero;  ///< with cross_polytope it is zero
  bool centre = true;  ///< subtract the documents' mean token from tokens of documents, not from queries'
  std::size_t final_dim =
      0;  ///< above 0: all buckets are added up in so many values, each from a random place on
  /// Empty: cross_polytope up to 4 bits, where it finds more and costs as much, if the tokens' dimension and `empty` allow; else planes.
  std::optional<FdePartition> partition = {};
  bool scale_tokens = false;  ///< to length 1 first, as cosine wants them
  std::uint64_t seed = 0;

  /// What an empty partition stands for, with tokens of this dimension.
  [[nodiscard]] FdePartition partition_for(std::size_t token_dim) const;
  /// As MUVERA's authors chose: planes (since empty buckets are filled), a dense projection for every repetition, means, empty buckets filled, nothing centred.
  static FdeOptions paper(std::size_t reps, std::size_t bits, std::size_t dim);
  friend bool operator==(const FdeOptions&, const FdeOptions&) = default;
};

/// Fixed-dimensional encodings: one vector for the many of a document and one for those of a query, so that their inner product
/// estimates MaxSim, the sum over the query's vectors of the largest inner product with one of the document's. MUVERA (Dhulipala, Hadian,
/// Jayaram, Lee and Mirrokni, "MUVERA: Multi-vector retrieval via fixed dimensional encodings", NeurIPS 2024, arXiv 2405.19504).
///
/// Every repetition cuts space into buckets. What a query has in a bucket is the sum of its tokens there, what a document
/// has is the direction (or mean) of its own; a projection of both to a few values estimates their inner product, and all buckets of
/// all repetitions lie one after the other. Encodings are to be compared by inner product and not to be scaled to length 1.
///
/// Planes and directions are coordinates after a random rotation (quant/rotation.hpp), which tokens keep for all that follows. A pure function of options,
/// dimension and mean; the same bits on every instruction set, for any number of threads, alone or in a batch. Immutable, thread-safe;
/// copies share the tables.
class FdeEncoder {
 public:
  FdeEncoder() = default;
  /// Without `centre` the documents are not read, and may be empty but for their dimension. Throws InvalidArgument: options out of range, no
  /// tokens to centre by, tables that would exceed most_table values.
  static FdeEncoder train(const FdeOptions& options, const VectorBatch& documents,
                          const BuildControl& control = {});
  /// As loaded from a file: `mean` is empty, or one value a dimension.
  static FdeEncoder restore(const FdeOptions& options, std::size_t token_dim, std::span<const float> mean);

  [[nodiscard]] const FdeOptions& options() const;
  [[nodiscard]] std::size_t token_dim() const;  ///< of the vectors encoded
  [[nodiscard]] std::size_t out_dim() const;    ///< of encodings
  [[nodiscard]] std::span<const float> mean() const;
  [[nodiscard]] std::size_t memory_bytes() const;

  /// tokens x token_dim() finite values to out_dim() values; no token at all gives zeros. Throws InvalidArgument for another shape.
  void encode_query(MatrixView<const float> tokens, std::span<float> out) const;
  void encode_document(MatrixView<const float> tokens, std::span<float> out) const;
  /// Item i to row i of `out`, on the executor. Throws InvalidArgument for another shape, Cancelled.
  void encode_queries(const VectorBatch& queries, MatrixView<float> out, ExecutorRef executor = {},
                      std::stop_token stop = {}) const;
  void encode_documents(const VectorBatch& documents, MatrixView<float> out,
                        const BuildControl& control = {}) const;

  /// 64 bits that differ between encoders whose encodings cannot be compared.
  [[nodiscard]] std::uint64_t fingerprint() const;

  /// Sections "<prefix>/options" and, when centred, "/mean".
  void save(ContainerWriter& writer, const std::string& prefix) const;
  /// Validates, and that it is an encoder with those options, before it makes tables; throws CorruptFile. Files from before there were other
  /// partitions than planes have those, where nothing else is expected.
  static FdeEncoder load(const Container& file, const std::string& prefix, const FdeOptions& expected,
                         std::size_t token_dim);

  static constexpr std::size_t most_table = std::size_t{1} << 28;
  static constexpr std::size_t most_bits = 16;

 private:
  struct Tables;
  struct Scratch;
  void encode(MatrixView<const float> tokens, std::span<float> out, bool document, Scratch& scratch) const;
  void encode_items(const VectorBatch& items, MatrixView<float> out, bool document,
                    const BuildControl& control) const;

  std::shared_ptr<const Tables> tables_;
};

}  // namespace vicinal
