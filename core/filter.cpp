#include "vicinal/core/filter.hpp"

#include <algorithm>
#include <string>

#include "vicinal/core/error.hpp"

namespace vicinal {

Filter::Filter(const Filter& other) = default;
Filter::Filter(Filter&& other) noexcept = default;
Filter& Filter::operator=(const Filter& other) = default;
Filter& Filter::operator=(Filter&& other) noexcept = default;
Filter::~Filter() = default;

Filter Filter::id_set(std::span<const Id> ascending_ids) {
  for (std::size_t i = 1; i < ascending_ids.size(); ++i) {
    if (ascending_ids[i - 1] < ascending_ids[i]) continue;
    throw InvalidArgument("filter ids must ascend without repeats: id " + std::to_string(ascending_ids[i]) +
                          " at place " + std::to_string(i) + " follows id " +
                          std::to_string(ascending_ids[i - 1]));
  }
  if (!ascending_ids.empty() && ascending_ids.front() < 0) {
    throw InvalidArgument("filter ids must not be negative: got " + std::to_string(ascending_ids.front()));
  }
  return Filter(IdSet{ascending_ids});
}

bool Filter::operator()(Id id) const {
  struct Test {
    Id id;
    bool operator()(std::monostate) const { return true; }
    bool operator()(const Bitmap& bitmap) const {
      // A negative id becomes a number beyond the end of every bitmap.
      const auto bit = static_cast<std::uint64_t>(id);
      return bit / 64 < bitmap.words.size() && (bitmap.words[bit / 64] >> (bit % 64) & 1U) != 0;
    }
    bool operator()(const IdSet& set) const { return std::binary_search(set.ids.begin(), set.ids.end(), id); }
    bool operator()(const Predicate& predicate) const { return predicate(id); }
  };
  return std::visit(Test{id}, rule_);
}

}  // namespace vicinal
