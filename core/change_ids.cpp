#include "vicinal/core/change_ids.hpp"

#include <algorithm>
#include <string>
#include <vector>

#include "vicinal/core/error.hpp"

namespace vicinal {

void require_change_ids(std::span<const Id> added, std::span<const Id> removed) {
  const auto negative = std::ranges::find_if(added, [](Id id) { return id < 0; });
  if (negative != added.end()) {
    throw InvalidArgument("id " + std::to_string(*negative) + " of row " +
                          std::to_string(negative - added.begin()) + " is negative, expected 0 or more");
  }
  std::vector<Id> sorted(added.begin(), added.end());
  std::ranges::sort(sorted);
  if (const auto twice = std::ranges::adjacent_find(sorted); twice != sorted.end())
    throw InvalidArgument("id " + std::to_string(*twice) + " is given twice, expected unique ids");
  for (const Id id : removed) {
    if (std::ranges::binary_search(sorted, id))
      throw InvalidArgument("id " + std::to_string(id) + " is both added and removed by one change");
  }
}

}  // namespace vicinal
