#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "vicinal/core/array.hpp"
#include "vicinal/core/prefetch.hpp"
#include "vicinal/quant/code_store.hpp"

namespace vicinal {

/// Squared Euclidean distances between the records of a store, whatever its metric: the space a graph is built in.
class BuildSpace {
 public:
  BuildSpace(const CodeStore& codes, std::span<const float> extra);
  /// Of records that somebody else keeps, with the factors that Codec::prepare_record() wants (null where the codec has none); `extra` is one
  /// value a record, or null.
  BuildSpace(const Codec& codec, const std::byte* records, const float* factors, const float* extra)
      : codec_(&codec), records_(records), extra_(extra), factors_(factors) {}

  /// Asks for what a score of `slot` reads.
  void ask_for(std::uint32_t slot) const {
    prefetch(record(slot), codec_->stride());
    if (factors_ != nullptr) prefetch(factors_ + std::size_t{2} * slot, 1);
  }

  /// Makes a record the query of score().
  void prepare(std::uint32_t slot, PreparedQuery& query) const {
    const float* factors = factors_ == nullptr ? nullptr : factors_ + std::size_t{2} * slot;
    codec_->prepare_record(record(slot), factors, query);
  }
  /// out[i] = |record(from) - record(slots[i])|^2, where `query` was prepared from `from`.
  void score(const PreparedQuery& query, std::uint32_t from, const std::uint32_t* slots, std::size_t count,
             float* out) const noexcept {
    codec_->score(query, records_, factors_, slots, count, out);
    if (extra_ == nullptr) return;
    for (std::size_t i = 0; i < count; ++i) {
      const float difference = extra_[from] - extra_[slots[i]];
      out[i] += difference * difference;
    }
  }

 private:
  [[nodiscard]] const std::byte* record(std::size_t slot) const { return records_ + slot * codec_->stride(); }

  const Codec* codec_;
  const std::byte* records_;
  const float* extra_;
  Array<float> own_factors_;  // {scale, |decoded residual|^2} where the store's factors hold no norm
  const float* factors_ = nullptr;
};

}  // namespace vicinal
