// What a user of the installed library writes first. Shared by the three consumers.
#include <cstddef>
#include <cstdio>
#include <vector>

#include "vicinal/core/version.hpp"
#include "vicinal/index/index.hpp"

int main() {
  constexpr std::size_t rows = 500, dim = 24;
  std::vector<float> data(rows * dim);
  std::uint32_t state = 1;
  for (float& value : data) {
    state = state * 1664525U + 1013904223U;
    value = static_cast<float>(state >> 8) / 16777216.0F;
  }
  const vicinal::MatrixView<const float> base(data.data(), rows, dim);
  const auto index = vicinal::Index::build(base, "i8 | hnsw", vicinal::Metric::l2);
  const vicinal::Neighbors found = index.search(base, 3);

  std::size_t itself = 0;
  for (std::size_t row = 0; row < rows; ++row) {
    itself += found.ids()[row][0] == static_cast<vicinal::Id>(row) ? 1 : 0;
  }
  std::printf("vicinal %.*s: %zu of %zu rows are their own nearest neighbour\n",
              static_cast<int>(vicinal::version.size()), vicinal::version.data(), itself, rows);
  return itself >= rows * 99 / 100 ? 0 : 1;
}
