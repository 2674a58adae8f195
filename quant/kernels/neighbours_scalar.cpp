// The loops of neighbours.hpp in plain C++: the definition of their results, and the fallback for any machine.
#include "vicinal/quant/kernels/dispatch.hpp"
#include "vicinal/quant/kernels/neighbours.hpp"

namespace vicinal {
namespace {

void make_tables(const std::int8_t* query, std::size_t words, std::int8_t* tables) {
  for (std::size_t half = 0; half < 8 * words; ++half) {
    const std::int8_t* const values = query + 4 * half;
    std::int8_t* const entries =
        tables + half / 8 * neighbour_table_bytes + half % 2 * 64 + half % 8 / 2 * 16;
    entries[0] = 0;
    for (std::size_t bit = 0; bit < 4; ++bit) {
      const std::size_t known = std::size_t{1} << bit;
      for (std::size_t e = 0; e < known; ++e)
        entries[known + e] = static_cast<std::int8_t>(entries[e] + values[bit]);
    }
  }
}

void score(const NeighbourQuery& query, const std::byte* codes, std::size_t words, const float* factors,
           float base, std::size_t count, float* out) {
  for (std::size_t i = 0; i < count; ++i) {
    const std::byte* const own =
        codes + i / neighbour_block * words * neighbour_word_bytes + i % neighbour_block * 4;
    std::int32_t sum = 0;
    for (std::size_t b = 0; b < 4 * words; ++b) {
      const auto code = std::to_integer<std::size_t>(own[b / 4 * neighbour_word_bytes + b % 4]);
      const std::int8_t* const table = query.tables + b / 4 * neighbour_table_bytes + b % 4 * 16;
      sum += table[code & 15] + table[64 + (code >> 4)];
    }
    const float product = query.step * static_cast<float>(2 * sum - query.total);
    out[i] = base + (factors[i] + factors[count + i] * product);
  }
}

const std::vector<NeighbourKernels>& all_neighbour_kernels() {
  static const std::vector<NeighbourKernels> all = [] {
    std::vector<NeighbourKernels> found{scalar_neighbour_kernels()};
    for (const NeighbourKernels& portable : portable_neighbour_kernels()) found.push_back(portable);
    match_sets(found);
    if (found.back().name == "avx3_vnni") use_neighbours_vbmi(found.back());
    return found;
  }();
  return all;
}

}  // namespace

NeighbourKernels scalar_neighbour_kernels() { return {"scalar", &make_tables, &score}; }

const NeighbourKernels& neighbour_kernels() {
  static const NeighbourKernels& chosen = chosen_set(all_neighbour_kernels());
  return chosen;
}

std::span<const NeighbourKernels> available_neighbour_kernels() { return all_neighbour_kernels(); }

}  // namespace vicinal
