#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <span>
#include <vector>

#include "vicinal/core/control.hpp"

namespace vicinal {

/// A filter in terms of a graph's slots, for the queries of one search call: how many pass, who they are, whether one does. What it works out is
/// shared by all queries of the call. Safe to use from many threads once prepared. Not installed.
class PassingSlots {
 public:
  enum class Kind : std::uint8_t { all, bitmap, id_set, predicate };

  /// Where row r lies; asked for once, and only if needed.
  using SlotOfRow = std::function<std::span<const std::uint32_t>()>;

  /// `filter` is by row number, and `row_of_slot` a permutation. Counts what passes; of a predicate, a sample. All must outlive this.
  PassingSlots(const Filter& filter, std::span<const std::uint32_t> row_of_slot, SlotOfRow slot_of_row);
  PassingSlots(const PassingSlots&) = delete;
  PassingSlots& operator=(const PassingSlots&) = delete;

  [[nodiscard]] Kind kind() const { return kind_; }
  [[nodiscard]] std::size_t size() const { return row_of_slot_.size(); }  ///< slots, whether they pass or not
  [[nodiscard]] double count() const { return count_; }  ///< that pass; of a predicate, an estimate
  [[nodiscard]] double share() const { return count_ / static_cast<double>(row_of_slot_.size()); }
  /// Whether count() is exact.
  [[nodiscard]] bool is_counted() const { return kind_ != Kind::predicate || has_bits(); }
  [[nodiscard]] bool has_bits() const { return !bits_.empty(); }

  /// Works out a bit a slot, which makes a test as cheap as can be. Before the queries are divided among threads. A predicate is asked about all
  /// rows, by the threads of `control`; when control says stop, that ends, and what was not asked about fails.
  void make_bits(const SearchControl& control);
  /// The slots that pass, ascending, worked out when first asked for. When control says stop meanwhile, some may be missing.
  [[nodiscard]] std::span<const std::uint32_t> list(const SearchControl& control) const;
  /// A few that pass, spread over all that do: where a walk among them may begin.
  [[nodiscard]] std::span<const std::uint32_t> seeds();

  /// Calls body(test), where test(slot) says whether a slot passes: once a walk, so that the loop inside knows the kind.
  template <class Body>
  void with_test(const Body& body) const {
    if (kind_ == Kind::all) {
      body([](std::uint32_t) { return true; });
    } else if (!bits_.empty()) {
      body([words = bits_.data()](std::uint32_t slot) { return (words[slot / 64] >> slot % 64 & 1) != 0; });
    } else if (kind_ == Kind::bitmap) {
      body([words = filter_->as_bitmap()->words, rows = row_of_slot_.data()](std::uint32_t slot) {
        const std::uint32_t row = rows[slot];
        return row / 64 < words.size() && (words[row / 64] >> row % 64 & 1) != 0;
      });
    } else {
      body([this](std::uint32_t slot) { return (*filter_)(row_of_slot_[slot]); });
    }
  }
  [[nodiscard]] bool test(std::uint32_t slot) const {
    if (kind_ == Kind::all) return true;
    if (!bits_.empty()) return (bits_[slot / 64] >> slot % 64 & 1) != 0;
    return (*filter_)(row_of_slot_[slot]);
  }

 private:
  [[nodiscard]] std::vector<std::uint32_t> sample() const;
  // The rows that pass, ascending, of a bitmap or an id set.
  template <class Body>
  void for_each_row(const Body& body) const;

  const Filter* filter_;
  std::span<const std::uint32_t> row_of_slot_;
  SlotOfRow slot_of_row_;
  Kind kind_ = Kind::all;
  double count_ = 0;
  std::vector<std::uint64_t> bits_;
  std::vector<std::uint32_t> seeds_;
  mutable std::once_flag listed_;
  mutable std::vector<std::uint32_t> list_;
};

}  // namespace vicinal
