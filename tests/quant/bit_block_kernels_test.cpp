// Codes in blocks: the plain loops against their definitions, every other set against that, bit by bit, with all arguments at the
// very end of readable memory.
#include "vicinal/quant/kernels/bit_blocks.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "vicinal/core/array.hpp"
#include "vicinal/core/random.hpp"
#include "vicinal/quant/float16.hpp"
#include "guarded_memory.hpp"

namespace vicinal {
namespace {

constexpr int largest = Kernels::largest_bit_value;

struct Case {
  std::size_t words, count;
  std::vector<std::int8_t> query;
  std::vector<std::byte> codes;
  std::vector<float> factors;

  Case(std::size_t words_, std::size_t count_, std::uint64_t seed)
      : words(words_),
        count(count_),
        query(32 * words),
        codes(count / block_records * words * block_word_bytes),
        factors(2 * count) {
    RandomStream random(seed, words);
    const bool extreme = seed % 3 == 0;  // the largest sums, of both signs
    const int value = seed % 2 == 0 ? largest : -largest;
    for (std::int8_t& q : query)
      q = static_cast<std::int8_t>(extreme ? value : static_cast<int>(random.next_below(63)) - largest);
    for (std::byte& code : codes)
      code = extreme ? std::byte{255} : static_cast<std::byte>(random.next_below(256));
    for (float& factor : factors) factor = static_cast<float>(random.next_unit()) - 0.5F;
  }
  [[nodiscard]] std::int32_t total() const {
    std::int32_t sum = 0;
    for (const std::int8_t q : query) sum += q;
    return sum;
  }
  // The signed sum of neighbour m, by its definition.
  [[nodiscard]] std::int32_t product(std::size_t m) const {
    std::int32_t sum = 0;
    for (std::size_t j = 0; j < query.size(); ++j) {
      const std::size_t at = (m / 16 * words + j / 32) * 64 + j % 32 / 8 * 16 + m % 16;
      sum += (std::to_integer<int>(codes[at]) >> j % 8 & 1) != 0 ? query[j] : -query[j];
    }
    return sum;
  }
};

class BitBlockKernelSet : public testing::TestWithParam<BitBlockKernels> {};

TEST(BitBlockKernelSets, AreThoseOfKernels) {
  ASSERT_EQ(available_bit_block_kernels().size(), available_kernels().size());
  for (std::size_t i = 0; i < available_kernels().size(); ++i)
    EXPECT_EQ(available_bit_block_kernels()[i].name, available_kernels()[i].name);
  EXPECT_EQ(bit_block_kernels().name, kernels().name);
}

TEST_P(BitBlockKernelSet, SumSignedValuesOfTheQuery) {
  constexpr std::size_t most_words = 70, most_count = 48;
  const GuardedMemory codes(most_count / 16 * most_words * 64);
  const GuardedMemory factors(2 * most_count * sizeof(std::uint16_t));
  const GuardedMemory tables(most_words * block_table_bytes);
  const GuardedMemory queries(most_words * 32);
  std::uint64_t seed = 0;
  for (const std::size_t words : {1UL, 2UL, 3UL, 12UL, 24UL, 31UL, 32UL, 33UL, 64UL, 65UL, most_words}) {
    for (const std::size_t count : {0UL, 16UL, 32UL, most_count}) {
      const Case which(words, count, ++seed);
      std::int8_t* const made = reinterpret_cast<std::int8_t*>(tables.last(words * block_table_bytes));
      GetParam().make_tables(queries.place(std::span(which.query)), words, made);
      std::vector<float> out(count + 4, 12345.0F);
      const BitBlockQuery query{made, which.total(), 0.375F};
      const std::byte* const own = count == 0 ? nullptr : codes.place(std::span(which.codes));
      std::vector<std::uint16_t> narrow(2 * count);
      std::ranges::transform(which.factors, narrow.begin(), f32_to_bf16);
      const auto expected = [&](std::size_t m) {
        const float product = 0.375F * static_cast<float>(which.product(m));
        return -2.5F + (bf16_to_f32(narrow[m]) + bf16_to_f32(narrow[count + m]) * product);
      };
      const float bound = count == 0 ? 0.0F : expected(count / 3);  // that of one, which is within it
      std::uint16_t near[most_count / 16 + 1];
      std::ranges::fill(near, std::uint16_t{0xABCD});
      GetParam().score(query, own, words, factors.place(std::span(std::as_const(narrow))), -2.5F, count,
                       bound, out.data(), near);
      for (std::size_t m = 0; m < count; ++m) {
        ASSERT_EQ(out[m], expected(m)) << words << " words, neighbour " << m << " of " << count;
        ASSERT_EQ(near[m / 16] >> m % 16 & 1, expected(m) <= bound ? 1 : 0) << m;
      }
      EXPECT_EQ(near[count / 16], 0xABCD);
      EXPECT_EQ(out[count], 12345.0F);
    }
  }
}

// Bit j of a plane of record m, of blocks as the header has them.
int bit_of(const std::vector<std::byte>& codes, std::size_t words, std::size_t planes, std::size_t plane,
           std::size_t m, std::size_t j) {
  const std::size_t word = (m / 16 * words + j / 32) * planes + plane;
  return std::to_integer<int>(codes[word * 64 + j % 32 / 8 * 16 + m % 16]) >> j % 8 & 1;
}

TEST_P(BitBlockKernelSet, ScanWhatKernelsOfRecordsGive) {
  constexpr std::size_t most_words = 70, most_count = 67, most_blocks = 5, most_queries = 6;
  const GuardedMemory codes(2 * most_blocks * most_words * 64);
  const GuardedMemory factors(2 * most_count * sizeof(float));
  std::uint64_t seed = 0;
  for (const std::size_t words : {1UL, 2UL, 4UL, 12UL, 24UL, 32UL, 33UL, 34UL, 66UL, most_words}) {
    for (const std::size_t planes : {1UL, 2UL}) {
      for (const std::size_t count : {0UL, 1UL, 15UL, 16UL, 17UL, 32UL, 33UL, 48UL, most_count}) {
        const std::size_t blocks = (count + 15) / 16;
        const Case drawn(words * planes, 16 * blocks, ++seed);
        const std::byte* const own = count == 0 ? nullptr : codes.place(std::span(drawn.codes));
        const float* const guarded = factors.place(std::span(drawn.factors).first(2 * count));
        const std::size_t asked = 1 + seed % most_queries;
        std::vector<Case> values;
        std::vector<Array<std::int8_t>> tables;
        std::vector<ByteQuery> queries;
        for (std::size_t q = 0; q < asked; ++q) {
          values.emplace_back(words, 16, 100 * seed + q);
          tables.emplace_back(words * block_table_bytes);
          GetParam().make_tables(values[q].query.data(), words, tables[q].data());
          queries.push_back({tables[q].data(), static_cast<std::int32_t>(77 + q),
                             -0.25F * static_cast<float>(q), 3.0F, -0.75F});
        }
        const std::size_t stride = most_count + 3;
        std::vector<float> out(most_queries * stride, 12345.0F);
        GetParam().scan(queries, words, planes, own, guarded, count, out.data(), stride);
        for (std::size_t q = 0; q < most_queries; ++q) {
          for (std::size_t m = 0; m < stride; ++m) {
            float expected = 12345.0F;
            if (q < asked && m < count) {
              std::int32_t dot = 0;
              for (std::size_t j = 0; j < 32 * words; ++j) {
                std::int32_t code = bit_of(drawn.codes, words, planes, 0, m, j);
                if (planes == 2) code = 2 * code + bit_of(drawn.codes, words, planes, 1, m, j);
                dot += code * values[q].query[j];
              }
              const ByteQuery& query = queries[q];
              expected = (query.constant + query.offset_weight * drawn.factors[2 * m + 1]) +
                         (query.weight * drawn.factors[2 * m]) * static_cast<float>(2 * dot - query.shift);
            }
            ASSERT_EQ(out[q * stride + m], expected)
                << words << " words, " << planes << " planes, query " << q << " of " << asked << ", record "
                << m << " of " << count;
          }
        }
      }
    }
  }
}

std::string name_of(const testing::TestParamInfo<BitBlockKernels>& tested) {
  return std::string(tested.param.name);
}

INSTANTIATE_TEST_SUITE_P(Sets, BitBlockKernelSet,
                         testing::ValuesIn(available_bit_block_kernels().begin(),
                                           available_bit_block_kernels().end()),
                         name_of);

}  // namespace
}  // namespace vicinal
