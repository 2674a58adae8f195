#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "vicinal/core/matrix_view.hpp"

namespace vicinal {

/// How a token is made shorter before it is added to a bucket.
enum class GoogleFdeProjection : std::uint8_t {
  identity = 0,    ///< not at all
  ams_sketch = 1,  ///< each coordinate is added to one of projection_dim, with a random sign
};

/// What FixedDimensionalEncodingConfig holds in the released encoder, its defaults included.
struct GoogleFdeOptions {
  std::size_t dim = 0;           ///< of a token, at least 1
  std::size_t repetitions = 1;   ///< at least 1
  std::size_t simhash_bits = 0;  ///< at most 30: 2^simhash_bits buckets in each repetition
  std::uint32_t seed = 1;        ///< theirs is signed: -1 is 4294967295
  GoogleFdeProjection projection = GoogleFdeProjection::identity;
  std::size_t projection_dim = 0;  ///< values in a bucket, for ams_sketch at least 1, else 0 or dim
  bool fill_empty = false;         ///< in a document an empty bucket gets the nearest token
  std::size_t final_dim = 0;       ///< the whole is sketched down to so many values; 0: it is not

  friend bool operator==(const GoogleFdeOptions&, const GoogleFdeOptions&) = default;
};

/// MUVERA (Dhulipala et al., NeurIPS 2024, arXiv 2405.19504) as the encoder that its authors released computes it
/// (google/graph-mining, sketching/point_cloud/fixed_dimensional_encoding): one vector for many, such that the inner product
/// of a query's and a document's approximates the sum over the query's tokens of the largest inner product with one of the
/// document's. For indexes whose vectors were made there; do not normalise what comes out.
///
/// Equal to theirs, value by value, when that is compiled for x86-64 without further instruction sets, with the libstdc++ of
/// GCC 11 or newer, Eigen 3.4 and glibc 2.28 or newer, for tokens of up to 680 dimensions, and beyond for an L1 cache of 32
/// KiB. The bits are the same too, but for zeros of tiny products (dim + tokens + projection_dim < 20), which theirs may copy
/// with a minus sign into an empty bucket. An Eigen that uses AVX or fused multiply-adds adds up the same terms in another
/// order: what ams_sketch gives then differs in its last places, and a token in another bucket lies within rounding of a
/// plane. So does Eigen 5.0 where one token is multiplied by one column, and one before 2019 for the last tokens. Another
/// standard library than libstdc++ draws other planes altogether: such encodings have nothing in common with these.
///
/// All that is random is drawn in the constructor: 4 (dim x simhash_bits + 2 dim) bytes a repetition, with final_dim 4 bytes
/// for each value that is sketched. Immutable; const functions may be called from several threads at once.
class GoogleFde {
 public:
  /// Throws InvalidArgument when an option is out of range, when repetitions x 2^simhash_bits x projection_dim exceeds
  /// 2147483647 (theirs counts in 32 bits), when the planes or the sketches are more than 2^38 values, and when there is not
  /// enough memory.
  explicit GoogleFde(const GoogleFdeOptions& options);

  [[nodiscard]] const GoogleFdeOptions& options() const { return options_; }
  [[nodiscard]] std::size_t dim() const { return options_.dim; }
  /// final_dim, or else repetitions x 2^simhash_bits x projection_dim.
  [[nodiscard]] std::size_t output_dim() const;

  /// A bucket is the sum of its tokens; fill_empty does not matter. `tokens` is any number of rows of dim() values, read
  /// during the call alone, `out` has output_dim() values. No tokens give zeros. Throws InvalidArgument, with nothing
  /// written, for a wrong size and for a value that is not finite, which is named by its row and column. O(rows x dim x
  /// simhash_bits x repetitions).
  void encode_query(MatrixView<const float> tokens, std::span<float> out) const;
  /// As encode_query, but a bucket is the average of its tokens. With fill_empty one that has none gets the token that fewest
  /// planes divide from it, the first of several. No tokens give zeros here, where the released encoder divides by zero or
  /// reads what is not there.
  void encode_document(MatrixView<const float> tokens, std::span<float> out) const;

  /// Of the options: equal for encoders that give the same vectors. The same on every machine and in every version.
  [[nodiscard]] std::uint64_t fingerprint() const;

 private:
  enum class Bucket { sum, average };
  struct Term {
    std::uint32_t coordinate;
    float sign;
  };
  struct Terms;
  struct Scratch;

  void draw_planes(std::uint32_t seed);
  void draw_sketch(std::uint32_t seed);
  void draw_final();
  void encode(MatrixView<const float> tokens, std::span<float> out, Bucket bucket) const;
  void find_sides(Scratch& scratch) const;
  void project(std::size_t repetition, Scratch& scratch) const;
  void fill_buckets(std::size_t repetition, Bucket bucket, Scratch& scratch, std::span<float> block) const;
  void finish_average(const std::uint32_t* sides, Scratch& scratch, std::span<float> block) const;

  GoogleFdeOptions options_;
  std::size_t bucket_dim_ = 0;
  std::size_t buckets_ = 0;    // of a repetition
  std::vector<float> planes_;  // repetition x bit x dim
  std::vector<Term> sketch_;   // repetition x dim, by the value that they are added to, then by coordinate
  std::vector<std::uint32_t> starts_;   // repetition x (bucket_dim + 1): where a value's terms begin
  std::vector<std::uint32_t> targets_;  // of the final sketch: 2 x target + (1 for the sign +)
};

}  // namespace vicinal
