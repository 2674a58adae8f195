#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "vicinal/core/array.hpp"
#include "vicinal/core/container.hpp"
#include "vicinal/core/control.hpp"
#include "vicinal/core/vector_batch.hpp"
#include "vicinal/quant/code_store.hpp"

namespace vicinal {

struct LaneQueries;

/// A query of several vectors made ready for TokenStore::score(), and the memory that takes. Reusable; of one thread at a time.
class MaxSimQuery {
 public:
  [[nodiscard]] std::size_t vectors() const { return count_; }

 private:
  friend class TokenStore;
  std::vector<PreparedQuery> prepared_;
  std::size_t count_ = 0;
  std::vector<float> weights_;  // count_
  Array<float> distances_;      // of a group of vectors to a run of tokens
  std::vector<float> nearest_;
  // For tokens in lanes, as LaneQueries says.
  Array<float> floats_;
  Array<std::int8_t> bytes_;
  Array<std::int16_t> words_;
  std::vector<ByteQuery> terms_;
  std::vector<std::int8_t> codes_;  // of one vector
};

/// The vectors of documents of several vectors each (tokens), coded, and MaxSim on them: the sum over the query's vectors of the largest inner
/// product with one of the document's, also called late interaction or Chamfer similarity (Khattab and Zaharia, "ColBERT", SIGIR 2020).
/// Distances are minus that, for cosine the number of the query's vectors less that: smaller is closer. Exact on the stored values,
/// with the same bits on every instruction set. Records of f32, f16, i8 and i4 lie in lanes (Codec::has_lanes()). Immutable; copies share the memory; safe to read from many threads.
class TokenStore {
 public:
  TokenStore() = default;

  /// Encodes all documents, whose numbers are their places. A document may have no vector: it has no distance and is never found. Throws
  /// InvalidArgument: metric l2, no document, or no vector at all, more than 2^32 - 2 vectors, what the codec refuses; Cancelled.
  static TokenStore build(const CodecOptions& options, Metric metric, const VectorBatch& documents,
                          const BuildControl& control = {});

  /// Encodes documents with a codec that is there already: document i is number order[i] of `documents`, or has no vector where that is
  /// no_document. There may be no vector at all. Throws InvalidArgument as build() does, and what the codec refuses, named by row; Cancelled.
  static constexpr std::uint32_t no_document = 0xFFFF'FFFF;
  static TokenStore encode(const Codec& codec, const VectorBatch& documents,
                           std::span<const std::uint32_t> order, const BuildControl& control = {});
  /// Documents of other stores of the same codec, copied as they are coded; without a store one that has no vector.
  struct Place {
    const TokenStore* store = nullptr;
    std::uint32_t document = 0;
  };
  static TokenStore gather(const Codec& codec, std::span<const Place> documents,
                           const BuildControl& control = {});

  [[nodiscard]] std::size_t size() const {
    return offsets_.empty() ? 0 : offsets_.size() - 1;
  }                                                                   ///< documents
  [[nodiscard]] std::size_t tokens() const { return codes_.size(); }  ///< vectors
  [[nodiscard]] std::size_t tokens(std::size_t document) const {
    return offsets_[document + 1] - offsets_[document];
  }
  [[nodiscard]] std::size_t dim() const { return codes_.dim(); }
  [[nodiscard]] Metric metric() const { return codes_.codec().metric(); }
  [[nodiscard]] const CodeStore& codes() const { return codes_; }
  [[nodiscard]] std::span<const std::uint64_t> offsets() const { return offsets_.span(); }
  [[nodiscard]] std::size_t memory_bytes() const { return codes_.memory_bytes() + offsets_.bytes(); }

  /// query vectors x dim() finite values, at least one. With weights, one a vector, finite and above 0, its distance counts so many
  /// times. Throws InvalidArgument.
  void prepare_query(MatrixView<const float> query, MaxSimQuery& prepared,
                     std::span<const float> weights = {}) const;
  /// out[i] = distance to documents[i]; no_distance to one without vectors. Best given in ascending order.
  void score(MaxSimQuery& query, std::span<const std::uint32_t> documents, float* out) const;
  /// Of documents first, first + 1, ..., first + count - 1.
  void score_range(MaxSimQuery& query, std::size_t first, std::size_t count, float* out) const;
  /// Which of the document's vectors is nearest to each of the query's, the first of equals: what a distance consists of. Both spans have
  /// query.vectors() values. A document without vectors has no such: InvalidArgument.
  void match(MaxSimQuery& query, std::size_t document, std::span<std::uint32_t> tokens,
             std::span<float> distances) const;

  /// The vectors of a document as they are stored, tokens(document) x dim().
  void decode(std::size_t document, MatrixView<float> out) const;

  /// Sections "<prefix>/offsets" and those of CodeStore.
  void save(ContainerWriter& writer, const std::string& prefix) const;
  static TokenStore load(const Container& file,
                         const std::string& prefix);  ///< validates; throws CorruptFile

 private:
  void prepare_lanes(MatrixView<const float> query, MaxSimQuery& prepared) const;
  [[nodiscard]] LaneQueries lanes_of(const MaxSimQuery& query) const;
  /// `next` is the document to be scored after it, of which memory is asked for meanwhile, or size().
  [[nodiscard]] float score_lanes(MaxSimQuery& query, std::size_t document, std::size_t next) const;
  void match_lanes(MaxSimQuery& query, std::size_t begin, std::size_t end, std::span<std::uint32_t> tokens,
                   std::span<float> distances) const;
  // Of codecs that have no lanes: calls each(query vector, first token, distances, count) for runs of tokens of [begin, end).
  template <class Each>
  void for_each_run(MaxSimQuery& query, std::size_t begin, std::size_t end, const Each& each) const;

  CodeStore codes_;
  Array<std::uint64_t> offsets_;  // size() + 1
};

}  // namespace vicinal
