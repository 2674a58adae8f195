#include "vicinal/index/passing_slots.hpp"

#include <algorithm>
#include <bit>
#include <utility>

namespace vicinal {
namespace {

constexpr std::size_t probes = 512;     // of a predicate, to guess the share that passes
constexpr std::size_t most_seeds = 32;  // to begin a walk at
constexpr std::size_t slots_a_task = 4096;
// Where less than this share passes, sorting a list is cheaper than a bit a slot.
constexpr std::size_t sparse = 512;

PassingSlots::Kind kind_of(const Filter& filter) {
  if (filter.passes_all()) return PassingSlots::Kind::all;
  if (filter.as_bitmap() != nullptr) return PassingSlots::Kind::bitmap;
  return filter.as_id_set() != nullptr ? PassingSlots::Kind::id_set : PassingSlots::Kind::predicate;
}

// The words of a bitmap that are about rows below `size`, and the last of them without what is beyond.
template <class Body>
void for_each_word(const Filter::Bitmap& bitmap, std::size_t size, const Body& body) {
  const std::size_t words = std::min(bitmap.words.size(), (size + 63) / 64);
  for (std::size_t w = 0; w < words; ++w) {
    std::uint64_t word = bitmap.words[w];
    if (w == size / 64) word &= (std::uint64_t{1} << size % 64) - 1;
    body(w, word);
  }
}

std::span<const Id> ids_below(const Filter::IdSet& set, std::size_t size) {
  const auto first = std::lower_bound(set.ids.begin(), set.ids.end(), Id{0});
  const auto last = std::lower_bound(first, set.ids.end(), static_cast<Id>(size));
  return {first, last};
}

// Calls body(i) for every bit that is set.
template <class Body>
void for_each_bit(std::size_t word_number, std::uint64_t word, const Body& body) {
  for (; word != 0; word &= word - 1)
    body(static_cast<std::uint32_t>(word_number * 64 + static_cast<std::size_t>(std::countr_zero(word))));
}

}  // namespace

PassingSlots::PassingSlots(const Filter& filter, std::span<const std::uint32_t> row_of_slot,
                           SlotOfRow slot_of_row)
    : filter_(&filter),
      row_of_slot_(row_of_slot),
      slot_of_row_(std::move(slot_of_row)),
      kind_(kind_of(filter)) {
  switch (kind_) {
    case Kind::all: count_ = static_cast<double>(size()); return;
    case Kind::bitmap: {
      std::size_t count = 0;
      for_each_word(*filter.as_bitmap(), size(), [&](std::size_t, std::uint64_t word) {
        count += static_cast<std::size_t>(std::popcount(word));
      });
      count_ = static_cast<double>(count);
      return;
    }
    case Kind::id_set: count_ = static_cast<double>(ids_below(*filter.as_id_set(), size()).size()); return;
    case Kind::predicate:
      seeds_ = sample();
      count_ = static_cast<double>(size()) * static_cast<double>(seeds_.size()) /
               static_cast<double>(std::min(size(), probes));
  }
}

// Of slots at equal steps, those that pass: the order of slots is a hash's.
std::vector<std::uint32_t> PassingSlots::sample() const {
  std::vector<std::uint32_t> passing;
  const std::size_t tries = std::min(size(), probes);
  for (std::size_t i = 0; i < tries; ++i) {
    const auto slot = static_cast<std::uint32_t>(i * size() / tries);
    if (test(slot)) passing.push_back(slot);
  }
  return passing;
}

template <class Body>
void PassingSlots::for_each_row(const Body& body) const {
  if (kind_ == Kind::bitmap) {
    for_each_word(*filter_->as_bitmap(), size(),
                  [&](std::size_t w, std::uint64_t word) { for_each_bit(w, word, body); });
  } else {
    for (const Id id : ids_below(*filter_->as_id_set(), size())) body(static_cast<std::uint32_t>(id));
  }
}

void PassingSlots::make_bits(const SearchControl& control) {
  if (kind_ == Kind::all || !bits_.empty()) return;
  std::vector<std::uint64_t> bits((size() + 63) / 64, 0);
  if (kind_ != Kind::predicate) {
    const std::span<const std::uint32_t> slots = slot_of_row_();
    for_each_row([&](std::uint32_t row) { bits[slots[row] / 64] |= std::uint64_t{1} << slots[row] % 64; });
  } else {
    control.executor.for_each((size() + slots_a_task - 1) / slots_a_task, [&](std::size_t task, std::size_t) {
      if (control.must_stop()) return;
      const std::size_t end = std::min(size(), (task + 1) * slots_a_task);
      for (std::size_t slot = task * slots_a_task; slot < end; ++slot)
        bits[slot / 64] |= std::uint64_t{(*filter_)(row_of_slot_[slot])} << slot % 64;
    });
    std::size_t count = 0;
    for (const std::uint64_t word : bits) count += static_cast<std::size_t>(std::popcount(word));
    count_ = static_cast<double>(count);
  }
  bits_ = std::move(bits);
}

std::span<const std::uint32_t> PassingSlots::list(const SearchControl& control) const {
  std::call_once(listed_, [&] {
    std::vector<std::uint32_t> passing;
    const auto from_bits = [&](std::span<const std::uint64_t> bits) {
      for (std::size_t w = 0; w < bits.size(); ++w)
        for_each_bit(w, bits[w], [&](std::uint32_t slot) { passing.push_back(slot); });
    };
    passing.reserve(static_cast<std::size_t>(count_));
    if (!bits_.empty()) {
      from_bits(bits_);
    } else if (kind_ == Kind::predicate || kind_ == Kind::all) {
      for (std::uint32_t slot = 0; slot < size(); ++slot) {
        if (slot % slots_a_task == 0 && control.must_stop()) break;
        if (test(slot)) passing.push_back(slot);
      }
    } else if (const std::span<const std::uint32_t> slots = slot_of_row_();
               count_ * sparse < static_cast<double>(size())) {
      for_each_row([&](std::uint32_t row) { passing.push_back(slots[row]); });
      std::sort(passing.begin(), passing.end());
    } else {
      std::vector<std::uint64_t> bits((size() + 63) / 64, 0);
      for_each_row([&](std::uint32_t row) { bits[slots[row] / 64] |= std::uint64_t{1} << slots[row] % 64; });
      from_bits(bits);
    }
    list_ = std::move(passing);
  });
  return list_;
}

std::span<const std::uint32_t> PassingSlots::seeds() {
  if (seeds_.empty()) seeds_ = sample();
  if (seeds_.size() > most_seeds) {
    for (std::size_t i = 0; i < most_seeds; ++i) seeds_[i] = seeds_[i * seeds_.size() / most_seeds];
    seeds_.resize(most_seeds);
  }
  return seeds_;
}

}  // namespace vicinal
