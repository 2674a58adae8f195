#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "vicinal/core/array.hpp"
#include "vicinal/core/control.hpp"
#include "vicinal/core/matrix_view.hpp"
#include "vicinal/core/metric.hpp"
#include "vicinal/quant/kernels.hpp"
#include "vicinal/quant/rotation.hpp"

namespace vicinal {

/// How a vector is stored. Stored in files: values never change meaning.
enum class CodecKind : std::uint8_t {
  f32 = 0,   ///< IEEE binary32, as given
  f16 = 1,   ///< IEEE binary16, rounded to nearest even; values beyond +-65504 are refused
  bf16 = 2,  ///< bfloat16, rounded to nearest even
  i8 = 3,    ///< one signed byte a dimension with a scale per vector, after centring and rotation
  e4m3 =
      4,  ///< float8 with 3 bits of mantissa (quant/float8.hpp), times a power of two that the documents choose
  e5m2 = 5,  ///< float8 with 2
  e3m4 = 6,  ///< float8 with 4
  i4 =
      7,  ///< half a byte a dimension, -7 to 7, with a scale per vector that is searched for, after centring and rotation
  b1 =
      8,  ///< one bit a dimension, its sign after centring and rotation, with an unbiased scale per vector: RaBitQ (Gao and Long,
          ///< SIGMOD 2024)
  pq8 =
      9,  ///< product quantisation (quant/product_quantiser.hpp): a byte names the nearest of 256 centroids of a sub-space; with a
          ///< learnt rotation OPQ
  pq4 = 10,  ///< the same with 16 centroids and half a byte
  b2 =
      11,  ///< two bits a dimension, -3, -1, 1 or 3 after centring and rotation, with an unbiased scale per vector: RaBitQ of one more bit
           ///< (Gao et al., SIGMOD 2025)
};
std::string_view to_string(CodecKind kind);
constexpr bool is_float8(CodecKind kind) { return kind >= CodecKind::e4m3 && kind <= CodecKind::e3m4; }
/// Whole numbers with a scale per vector, scored by exact integer arithmetic.
constexpr bool is_integer(CodecKind kind) {
  return kind == CodecKind::i8 || kind == CodecKind::i4 || kind == CodecKind::b1 || kind == CodecKind::b2;
}
/// RaBitQ's: the scale makes estimates of distances unbiased, and errors have a bound.
constexpr bool is_rabitq(CodecKind kind) { return kind == CodecKind::b1 || kind == CodecKind::b2; }

/// Of which the first files had another layout (Codec::layout()).
constexpr bool has_layouts(CodecKind kind) {
  return kind == CodecKind::i8 || kind == CodecKind::i4 || kind == CodecKind::b2;
}
constexpr bool is_product(CodecKind kind) { return kind == CodecKind::pq8 || kind == CodecKind::pq4; }

/// How many sub-spaces pq8 and pq4 cut vectors into: `parts`, or where that is 0 one for every `divisor` dimensions, rounded up.
struct ProductSize {
  std::size_t parts = 0;
  std::size_t divisor = 0;

  [[nodiscard]] constexpr std::size_t of(std::size_t dim) const {
    return parts != 0 || divisor == 0 ? parts : dim / divisor + (dim % divisor != 0 ? 1 : 0);
  }
  friend bool operator==(const ProductSize&, const ProductSize&) = default;
};
class ProductQuantiser;

struct CodecOptions {
  CodecKind kind = CodecKind::f32;
  bool rotate = true;  ///< integers: by a random rotation; pq8 and pq4: by a learnt one
  bool centre =
      true;  ///< integers only: subtract the mean of the documents. Exact for l2; for ip and cosine <q, mean> is added back
  std::uint64_t seed = 0;  ///< of the rotation; pq8 and pq4: of the rows that are learnt from
  /// Integers only, not for cosine: vectors have one value more than are coded, their last. That of a document is added to its offset, so
  /// that it counts exactly: with weight 1 for l2, for ip with the query's last value as its weight (Projection makes such vectors). They
  /// have no mean.
  bool side_value = false;
  ProductSize product = {};  ///< pq8 and pq4 only
  bool norm =
      true;  ///< float8 only: for ip and cosine a factor per vector gives a record its vector's length

  friend bool operator==(const CodecOptions&, const CodecOptions&) = default;
};

/// One query made ready for a codec's kernels. Reusable, also with another codec; preparing for the same codec again allocates
/// nothing. Not copyable, since a copy would share its memory.
class PreparedQuery {
 public:
  PreparedQuery() = default;
  PreparedQuery(const PreparedQuery&) = delete;
  PreparedQuery& operator=(const PreparedQuery&) = delete;
  PreparedQuery(PreparedQuery&&) = default;
  PreparedQuery& operator=(PreparedQuery&&) = default;
  ~PreparedQuery() = default;

 private:
  friend class Codec;
  friend class TwoLevelStore;
  Array<std::byte> values_;  // f32 values or signed bytes, zero padded
  Array<float> scratch_;
  bool l2_ = false;
  float unit_ = 1.0F;  // what an l2 distance of the kernels has to be multiplied with
  std::int32_t shift_ = 0;
  float weight_ = 1.0F;
  float constant_ = 0.0F;
  float offset_weight_ = 1.0F;
  float norm_ = 0.0F;          // RaBitQ: length of the query after centring
  float step_ = 0.0F;          // RaBitQ: what one unit of a byte of the query stands for
  bool whole_ = false;         // float8: values_ are the bytes of whole numbers
  Array<std::int8_t> tables_;  // of prepare_scan()
};

/// A trained map from vectors to records, and the distances on them. Immutable and thread-safe once made; cheap to copy.
///
/// A record is stride() bytes, plus f32 "factors" that lie apart. Float8 with `norm` has one, |x| / |what the codes of x stand for|, which what
/// they stand for is multiplied with; no more than 1,024. The integer codecs have two: {scale, offset}, where the scale turns
/// codes into values. With r the residual, the vector without the documents' mean, the offset is |decoded r|^2 for l2 and -<mean, r> for
/// ip and cosine, where a query is split into its part along the mean, for which the offset is exact, and the rest, which is
/// shorter and so suffers less from what the codes are off by. i8: byte b stands for (b - 128) * scale.
/// i4: element j lies in byte j / 128 * 64 + j % 64, in its low half when j % 128 < 64; a half h stands for (2 h - 15) * scale. Of the last
/// dim % 128 elements the first half, rounded up to a multiple of 8, are low and the others high.
/// Layout 0, as the first files had it: i8 padded to a multiple of 64 bytes, i4 to one of 64 as above with (h - 8) * scale.
/// b1: bit j % 8 of byte j / 8 is set where element j is not negative: its signs c, 1 or -1.
/// Values of queries are from -31 to 31 for b1 and b2, so that their sums can be looked up, and from -127 to 127 for the others and for b2 of
/// layout 0.
/// b2: element j lies in byte j / 64 * 16 + j % 16, in the two bits from 2 (j % 64 / 16) on; two bits b stand for c = 2 b - 3.
/// The scale of both is |r|^2 / <r, c> and their offset for l2 |r|^2, so distances are estimates without bias; those of l2 may be below 0.
/// pq8 and pq4: see ProductQuantiser. Of their options `product` is given in parts once there is a codec, and `centre` is false.
class Codec {
 public:
  Codec() = default;

  /// Learns what the codec needs from the documents: i8 and i4 with centring the mean, float8 the exponent, pq8 and pq4 their centroids
  /// and rotation; the others do not read them.
  /// The result depends on documents, options and metric alone, not on the number of threads. Throws InvalidArgument (dim 0, or too
  /// large for i8; a product without or with more sub-spaces than dimensions).
  static Codec train(const CodecOptions& options, Metric metric, MatrixView<const float> documents,
                     const BuildControl& control = {});
  /// As loaded from a file: `mean` is empty or dim values, `exponent` is 0 but for float8. Without `split_queries`, as files had it
  /// before there was such a thing, offsets for ip and cosine are 0 and queries are taken whole. `layout` is 1, or 0 for what the first
  /// files held.
  static Codec restore(const CodecOptions& options, Metric metric, std::size_t dim,
                       std::span<const float> mean, int exponent = 0, bool split_queries = true,
                       int layout = newest_layout);
  /// A product codec as loaded from a file; throws InvalidArgument unless `options` describe the quantiser.
  static Codec restore(const CodecOptions& options, Metric metric, ProductQuantiser quantiser);

  [[nodiscard]] const CodecOptions& options() const { return options_; }
  [[nodiscard]] CodecKind kind() const { return options_.kind; }
  [[nodiscard]] Metric metric() const { return metric_; }
  [[nodiscard]] std::size_t dim() const { return dim_; }  ///< values that are coded
  /// Values of a vector and of a query: dim(), and one more with a side value.
  [[nodiscard]] std::size_t input_dim() const { return dim_ + (options_.side_value ? 1 : 0); }
  [[nodiscard]] int layout() const { return layout_; }                   ///< of i8, i4 and b2; of others 0
  [[nodiscard]] std::size_t stride() const { return stride_; }           ///< bytes a record
  [[nodiscard]] bool has_factors() const { return is_integer(kind()); }  ///< {scale, offset}
  [[nodiscard]] std::size_t factor_count() const {                       ///< floats beside a record
    return has_factors() ? 2 : is_float8(kind()) && options_.norm && metric_ != Metric::l2 ? 1 : 0;
  }
  [[nodiscard]] std::span<const float> mean() const { return mean_.span(); }
  /// Float8 codes stand for their value x 2^exponent: the smallest exponent at which every document is in the format's range. What
  /// is encoded later and lies beyond it saturates.
  [[nodiscard]] int exponent() const { return exponent_; }
  /// Whether offsets hold -<mean, r>: integers with a mean, for ip and cosine.
  [[nodiscard]] bool splits_queries() const { return split_queries_; }
  /// Of pq8 and pq4, else null; it lives as long as a copy of the codec.
  [[nodiscard]] const ProductQuantiser* product() const { return product_.get(); }
  /// What is kept beside the records: mean, centroids, learnt rotation.
  [[nodiscard]] std::size_t memory_bytes() const;
  static constexpr int least_exponent = -180, most_exponent = 130;
  static constexpr int newest_layout = 1;
  static constexpr float largest_norm_factor = 1024.0F;

  /// Encodes one vector (input_dim() values): writes stride() bytes and factor_count() factors. Cosine normalises first. `scratch` has dim
  /// values. Throws InvalidArgument for a value that f16, bf16 or i8 (2^54 after centring and rotation) cannot hold.
  void encode(std::span<const float> vector, std::byte* record, float* factors,
              std::span<float> scratch) const;

  /// Encodes rows `order[first]` to `order[end - 1]` (empty order: rows first to end - 1) to consecutive records and factors, as encode()
  /// does one by one; throws as it does, with the number of the row.
  void encode_rows(MatrixView<const float> documents, std::span<const std::uint32_t> order, std::size_t first,
                   std::size_t end, std::byte* records, float* factors) const;

  /// The vector a record stands for (after cosine's normalisation), dim values.
  void decode(const std::byte* record, const float* factors, std::span<float> out) const;

  /// Makes `query` ready: score() then gives distances of metric() between it and records. Throws InvalidArgument for a query
  /// that i8 cannot hold. input_dim() values.
  void prepare_query(std::span<const float> vector, PreparedQuery& query) const;

  /// Whether records can lie in blocks, sixteen side by side (quant/kernels/bit_blocks.hpp), which is how they are scanned fastest: of b1 and of
  /// b2 from layout 1 on.
  [[nodiscard]] bool has_blocks() const {
    return kind() == CodecKind::b1 || (kind() == CodecKind::b2 && layout_ > 0);
  }
  [[nodiscard]] std::size_t block_bytes() const { return block_size * stride_; }
  static constexpr std::size_t block_size = 16;  ///< records
  /// Writes `record` to place `place` of a block, whose bytes there are 0, and back.
  void put_in_block(const std::byte* record, std::size_t place, std::byte* block) const;
  void take_from_block(const std::byte* block, std::size_t place, std::byte* record) const;

  /// Adds to a query just prepared what score_blocks() needs.
  void prepare_scan(PreparedQuery& query) const;

  /// Queries of prepare_scan() against the first `count` records of consecutive blocks: out[q * out_stride + r] is what score() gives.
  /// `blocks` is 64-byte aligned, and the last one is whole; `factors` is that of record 0.
  void score_blocks(std::span<const PreparedQuery> queries, const std::byte* blocks, const float* factors,
                    std::size_t count, float* out, std::size_t out_stride) const noexcept;

  /// Whether records can lie in lanes, sixteen side by side so that a register holds the same dimensions of all (encode/maxsim_lanes.hpp): of
  /// f32, f16, and of i8 and i4 from layout 1 on. A group of block_size records has lane_steps() steps, each of as many pieces as records. A
  /// piece is one value of f32 or f16, four bytes of i8, or four bytes of i4, whose low halves are elements 8 s to 8 s + 3 of
  /// step s and their high halves the next four. What is beyond dim() or the last record is lane_padding().
  [[nodiscard]] bool has_lanes() const;
  [[nodiscard]] std::size_t lane_steps() const;
  [[nodiscard]] std::size_t lane_group_bytes() const;  ///< a multiple of 32
  [[nodiscard]] std::byte lane_padding() const;        ///< a code of i8; of the others zeros
  /// Writes `record` to place `place` of a group, whose bytes are lane_padding(), and back.
  void put_in_lanes(const std::byte* record, std::size_t place, std::byte* group) const;
  void take_from_lanes(const std::byte* group, std::size_t place, std::byte* record) const;
  /// Of a query that prepare_query() made ready, for kernels that read lanes: what its sums are put into distances with (of floats only
  /// `constant`), and its dim() values in their order, of f32 and f16 or of i8 and i4.
  [[nodiscard]] ByteQuery lane_terms(const PreparedQuery& query) const;
  [[nodiscard]] std::span<const float> lane_floats(const PreparedQuery& query) const;
  void lane_codes(const PreparedQuery& query, std::span<std::int8_t> codes) const;

  /// Makes a record a query: score() then gives squared Euclidean distances between stored vectors whatever the metric, which
  /// is what a graph is built on. For integers pass `l2_factors` to score(): {scale, |decoded residual|^2}. Of float8 the distances are those
  /// of the codes, without the factors that keep lengths.
  void prepare_record(const std::byte* record, const float* l2_factors, PreparedQuery& query) const;

  /// out[i] = distance of the query to record ids[i] (ids == nullptr: to record i). Exact on the stored values, same bits on
  /// every instruction set. `factors` holds factor_count() a record.
  void score(const PreparedQuery& query, const std::byte* records, const float* factors,
             const std::uint32_t* ids, std::size_t count, float* out) const noexcept;

  /// Several prepared queries against records 0, 1, ..., count - 1: out[q * out_stride + r] is what score() gives, in less time where one
  /// load of a record can serve several queries. `factors` is that of record 0.
  void score_group(std::span<const PreparedQuery> queries, const std::byte* records, const float* factors,
                   std::size_t count, float* out, std::size_t out_stride) const noexcept;

  /// How far score() may be from the distance to the vector that was encoded as `record`: the estimate of b1 and b2 is off by more with
  /// a probability of at most 2 (1 - Phi(epsilon)), 5.8 % for 1.9, over the rotation (RaBitQ, theorem 3.2); needs rotate and dim > 1. The
  /// other codecs keep no error: Unsupported.
  [[nodiscard]] float error_bound(const PreparedQuery& query, const std::byte* record, const float* factors,
                                  float epsilon = 1.9F) const;

  /// |decoded residual|^2 of a record, in the arithmetic of the kernels (integers only).
  [[nodiscard]] float residual_norm(const std::byte* record, float scale) const noexcept;

  /// 64 bits that differ between codecs whose records cannot be compared.
  [[nodiscard]] std::uint64_t fingerprint() const;

 private:
  friend class TwoLevelStore;
  // Calls run(queries as the kernels take them, number of the first), sixteen queries at a time; values(query) is what their kernel reads.
  template <class Values, class Run>
  static void for_each_group(std::span<const PreparedQuery> queries, const Values& values, const Run& run);
  Codec(const CodecOptions& options, Metric metric, std::size_t dim, int layout = newest_layout);
  void encode_float8(std::span<const float> source, std::byte* record) const;
  void encode_half(std::span<const float> source, std::byte* record) const;
  [[nodiscard]] float norm_factor(std::span<const float> source, const std::byte* record) const;
  [[nodiscard]] int kernel_exponent() const;
  // Makes the values of `vector` whole numbers where that is what the codec's inner products are made of; false where it is not.
  bool set_whole_query(std::span<const float> vector, PreparedQuery& query) const;
  void encode_bytes(std::span<const float> residual, std::byte* record, float* factors) const;
  void encode_nibbles(std::span<float> residual, std::byte* record, float* factors) const;
  [[nodiscard]] std::size_t kernel_dim() const;
  void arrange_query(std::int8_t* values) const;
  // |c|^2 of a record of RaBitQ.
  [[nodiscard]] double code_norm(const std::byte* record) const;
  // The squared cosine of a residual and its code: exact where the offset is |r|^2, else what a random rotation makes it all but surely.
  [[nodiscard]] double code_cosine_squared(const float* factors, double norm) const;
  // <r, c> / |c|^2, the multiple of the code that is closest to the residual.
  [[nodiscard]] float closest_scale(const std::byte* record, const float* factors) const;
  void set_mean(Array<float> mean, bool split_queries);
  void encode_rotated_rows(MatrixView<const float> documents, std::span<const std::uint32_t> order,
                           std::size_t first, std::size_t end, std::byte* records) const;
  void prepare_product(std::span<const float> vector, PreparedQuery& query) const;
  void prepare_product_record(const std::byte* record, PreparedQuery& query) const;
  void encode_bits(std::span<const float> residual, std::byte* record, float* factors) const;
  void encode_quarters(std::span<const float> residual, std::byte* record, float* factors) const;
  [[nodiscard]] float mean_product(std::span<const float> residual) const;
  void set_signed_query(std::span<const float> residual, PreparedQuery& query, float& scale,
                        float& norm) const;

  CodecOptions options_;
  Metric metric_ = Metric::l2;
  std::size_t dim_ = 0;
  std::size_t stride_ = 0;
  Array<float> mean_;
  float mean_norm_ = 0.0F;  // |mean|^2
  bool split_queries_ = false;
  int exponent_ = 0;
  int layout_ = 0;
  std::shared_ptr<const Rotation> rotation_;
  std::shared_ptr<const ProductQuantiser> product_;
  const Kernels* kernels_ = nullptr;
};

/// The inverse square root scale etc. of cosine: writes vector / |vector| to `out` (zero stays zero) with the norm summed in the
/// kernels' order, so that it has the same bits everywhere.
void normalise(std::span<const float> vector, std::span<float> out);

}  // namespace vicinal
