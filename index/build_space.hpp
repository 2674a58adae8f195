#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "vicinal/core/array.hpp"
#include "vicinal/core/prefetch.hpp"
#include "vicinal/quant/code_store.hpp"

namespace vicinal {

/// Squared Euclidean distances between the records of a store, whatever its metric: the space a graph is built in.
class BuildSpace {
 public:
  BuildSpace(const CodeStore& codes, std::span<const float> extra);

  [[nodiscard]] std::size_t size() const { return codes_->size(); }
  /// Asks for what a score of `slot` reads.
  void ask_for(std::uint32_t slot) const {
    prefetch(codes_->record(slot), codes_->codec().stride());
    if (factors_ != nullptr) prefetch(factors_ + std::size_t{2} * slot, 1);
  }

  /// Makes a record the query of score().
  void prepare(std::uint32_t slot, PreparedQuery& query) const {
    const float* factors = factors_ == nullptr ? nullptr : factors_ + std::size_t{2} * slot;
    codes_->codec().prepare_record(codes_->record(slot), factors, query);
  }
  /// out[i] = |record(from) - record(slots[i])|^2, where `query` was prepared from `from`.
  void score(const PreparedQuery& query, std::uint32_t from, const std::uint32_t* slots, std::size_t count,
             float* out) const noexcept {
    codes_->codec().score(query, codes_->records(), factors_, slots, count, out);
    if (extra_.empty()) return;
    for (std::size_t i = 0; i < count; ++i) {
      const float difference = extra_[from] - extra_[slots[i]];
      out[i] += difference * difference;
    }
  }

 private:
  const CodeStore* codes_;
  std::span<const float> extra_;
  Array<float> own_factors_;  // {scale, |decoded residual|^2} where the store's factors hold no norm
  const float* factors_ = nullptr;
};

}  // namespace vicinal
