#include "vicinal/index/insertion_order.hpp"

#include <algorithm>
#include <utility>

#include <xxhash.h>

#include "vicinal/core/random.hpp"

namespace vicinal {

std::vector<std::uint32_t> insertion_order(MatrixView<const float> rows, std::uint64_t seed,
                                           const BuildControl& control) {
  constexpr std::size_t rows_per_task = 4096;
  std::vector<std::pair<std::uint64_t, std::uint32_t>> keys(rows.rows());
  control.executor.for_each(
      (rows.rows() + rows_per_task - 1) / rows_per_task, [&](std::size_t task, std::size_t) {
        const std::size_t end = std::min(rows.rows(), (task + 1) * rows_per_task);
        for (std::size_t row = task * rows_per_task; row < end; ++row) {
          keys[row] = {XXH3_64bits_withSeed(rows.row_data(row), rows.cols() * sizeof(float), seed),
                       static_cast<std::uint32_t>(row)};
        }
      });
  std::sort(keys.begin(), keys.end());
  constexpr std::uint64_t equal_rows_stream = 0x6571'7561'6C;  // "equal"
  const RandomStream spread(seed, equal_rows_stream);
  bool any_equal = false;
  for (std::size_t first = 0; first < keys.size();) {
    const std::uint64_t hash = keys[first].first;
    std::size_t rank = 1;
    for (; first + rank < keys.size() && keys[first + rank].first == hash; ++rank) {
      keys[first + rank].first = spread.at(hash ^ (rank * 0x9E37'79B9'7F4A'7C15));
      any_equal = true;
    }
    first += rank;
  }
  if (any_equal) std::sort(keys.begin(), keys.end());
  std::vector<std::uint32_t> order(keys.size());
  for (std::size_t slot = 0; slot < keys.size(); ++slot) order[slot] = keys[slot].second;
  return order;
}

}  // namespace vicinal
