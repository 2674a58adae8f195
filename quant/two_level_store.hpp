#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "vicinal/quant/code_store.hpp"

namespace vicinal {

/// One query made ready for both levels. Reusable; preparing for the same store again allocates nothing. Not copyable.
class TwoLevelQuery {
 private:
  friend class TwoLevelStore;
  PreparedQuery
      centred_;  // as the first level's codec makes it: centred and rotated values, and the constants
  // What a level's kernel multiplies: the rounded query, and what the rounding took from it.
  struct Level {
    PreparedQuery rounded, rest;
  };
  Level first_, second_;
  float constant_ = 0.0F;
};

/// Vectors as the sum of two levels of integer codes: the first are those of an index, the second stand for what the first lack,
/// vector - decode(first), so that together they are about as exact as one code of as many bits, without the vectors. Distances are
/// those to the sum: inner products of the levels add up, and for l2 the second level's offset is |sum|^2 (about the first level's
/// mean). Queries are rounded to twice the bits that one level rounds them to, since their error would show. The same bits on every
/// instruction set. Immutable; copies share the memory; safe to read from many threads.
class TwoLevelStore {
 public:
  TwoLevelStore() = default;

  /// Encodes the second level of documents[row_of_slot[0]], ... (empty: of the rows as they come), in the slots of `first`, which holds
  /// their codes already. `second` as second_codec() gives it. Runs on control.executor; the bytes do not depend on the number of
  /// threads. Throws InvalidArgument (shapes; a first level that is not of integers), Cancelled.
  static TwoLevelStore build(CodeStore first, CodecKind second, MatrixView<const float> documents,
                             std::span<const std::uint32_t> row_of_slot, const BuildControl& control = {});
  /// Of levels that were stored. Throws InvalidArgument when they do not fit together.
  TwoLevelStore(CodeStore first, CodeStore second);

  /// What codes the residuals of `first`: not centred, and rotated as the first level is, where its errors are even. Throws
  /// InvalidArgument unless the first level is of i8, i4, b2 or b1 and the second of i8 or i4.
  static CodecOptions second_codec(const CodecOptions& first, CodecKind second);
  /// Inner products for cosine too: residuals have no length to normalise to.
  static Metric second_metric(Metric metric) { return metric == Metric::l2 ? Metric::l2 : Metric::ip; }

  [[nodiscard]] const CodeStore& first() const { return first_; }
  [[nodiscard]] const CodeStore& second() const { return second_; }
  [[nodiscard]] std::size_t bytes_per_vector() const {
    return first_.bytes_per_vector() + second_.bytes_per_vector();
  }

  /// Throws InvalidArgument for a query that the first level's codec cannot hold.
  void prepare_query(std::span<const float> vector, TwoLevelQuery& query) const;
  /// out[i] = distance of the query to slots[i], in the metric of the first level.
  void score(const TwoLevelQuery& query, const std::uint32_t* slots, std::size_t count,
             float* out) const noexcept;
  /// decode(first) + decode(second), dim values.
  void decode(std::size_t slot, std::span<float> out) const;

 private:
  void prepare_level(const TwoLevelQuery& query, const Codec& codec, TwoLevelQuery::Level& level) const;

  CodeStore first_;
  CodeStore second_;
};

}  // namespace vicinal
