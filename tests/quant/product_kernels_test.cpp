// The loops of product quantisation: the plain ones against their definition, every other set against those, bit by bit, with all
// arguments at the very end of readable memory.
#include "vicinal/quant/kernels/product.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "vicinal/core/array.hpp"
#include "guarded_memory.hpp"
#include "sample_vectors.hpp"

namespace vicinal {
namespace {

class ProductKernelSet : public testing::TestWithParam<ProductKernels> {
 protected:
  const ProductKernels scalar_ = scalar_product_kernels();
};

std::vector<float> normal_values(std::size_t count, std::uint64_t seed) {
  RandomStream random(seed, 7);
  std::vector<float> values(count);
  for (float& v : values) v = draw_normal(random);
  return values;
}

TEST(ProductKernels, AreThoseOfEverySet) {
  ASSERT_EQ(available_product_kernels().size(), available_kernels().size());
  for (std::size_t i = 0; i < available_kernels().size(); ++i)
    EXPECT_EQ(available_product_kernels()[i].name, available_kernels()[i].name);
  EXPECT_EQ(product_kernels().name, kernels().name);
}

// Small whole numbers, where nothing is rounded: the nearest is the nearest, and of equally near ones the first.
TEST_P(ProductKernelSet, FindTheNearestCentroid) {
  RandomStream random(1, 1);
  const auto draw = [&] { return static_cast<float>(random.next_below(9)) - 4.0F; };
  for (const std::size_t centroids : {16UL, 32UL, 96UL, 256UL}) {
    for (const std::size_t dims : {1UL, 2UL, 3UL, 8UL}) {
      std::vector<float> columns(dims * centroids);
      std::ranges::generate(columns, draw);
      std::vector<float> start(centroids, 0.0F);
      for (std::size_t c = 0; c < centroids; ++c) {
        for (std::size_t j = 0; j < dims; ++j) {
          const float x = columns[j * centroids + c];
          start[c] += x * x / 2;
        }
      }
      for (std::size_t count = 0; count < 11; ++count) {
        const std::size_t stride = dims + count % 3;
        std::vector<float> points(count * stride);
        std::ranges::generate(points, draw);
        std::vector<std::uint32_t> by_product(count + 1, 99);
        std::vector<std::uint32_t> by_square(count + 1, 99);
        GetParam().nearest_by_product(points.data(), stride, count, columns.data(), dims, centroids,
                                      start.data(), by_product.data());
        GetParam().nearest_by_square(points.data(), stride, count, columns.data(), dims, centroids, nullptr,
                                     by_square.data());
        for (std::size_t i = 0; i < count; ++i) {
          std::vector<float> distances(centroids, 0.0F);
          for (std::size_t c = 0; c < centroids; ++c) {
            for (std::size_t j = 0; j < dims; ++j) {
              const float difference = points[i * stride + j] - columns[j * centroids + c];
              distances[c] += difference * difference;
            }
          }
          const auto nearest = std::ranges::min_element(distances) - distances.begin();
          ASSERT_EQ(by_product[i], nearest)
              << centroids << " x " << dims << ", point " << i << " of " << count;
          ASSERT_EQ(by_square[i], nearest)
              << centroids << " x " << dims << ", point " << i << " of " << count;
        }
        EXPECT_EQ(by_product[count], 99U);
        EXPECT_EQ(by_square[count], 99U);
      }
    }
  }
}

TEST_P(ProductKernelSet, HaveTheBitsOfThePlainLoops) {
  const GuardedMemory guarded_points(20 * 40 * sizeof(float));
  const GuardedMemory guarded_columns(40 * 256 * sizeof(float));
  for (const std::size_t centroids : {16UL, 256UL}) {
    for (const std::size_t dims : {1UL, 2UL, 5UL, 8UL, 17UL, 33UL}) {
      constexpr std::size_t count = 9;
      const std::vector<float> points = normal_values(count * dims, dims);
      const std::vector<float> columns = normal_values(dims * centroids, dims + 1000);
      const std::vector<float> start = normal_values(centroids, dims + 2000);
      const float* const at = guarded_points.place(std::span(points));
      const float* const of = guarded_columns.place(std::span(columns));
      std::vector<std::uint32_t> ids(count);
      std::vector<std::uint32_t> expected_ids(count);
      for (const auto kernel : {&ProductKernels::nearest_by_product, &ProductKernels::nearest_by_square}) {
        (GetParam().*kernel)(at, dims, count, of, dims, centroids, start.data(), ids.data());
        (scalar_.*kernel)(at, dims, count, of, dims, centroids, start.data(), expected_ids.data());
        ASSERT_EQ(ids, expected_ids);
      }
      std::vector<float> table(centroids);
      std::vector<float> expected(centroids);
      for (const auto kernel : {&ProductKernels::products, &ProductKernels::squares}) {
        const TableRange range = (GetParam().*kernel)(at, of, dims, centroids, table.data());
        const TableRange wanted = (scalar_.*kernel)(at, of, dims, centroids, expected.data());
        ASSERT_EQ(table, expected);
        ASSERT_EQ(range.least, wanted.least);
        ASSERT_EQ(range.most, wanted.most);
        ASSERT_EQ(range.least, *std::ranges::min_element(table));
        ASSERT_EQ(range.most, *std::ranges::max_element(table));

        const float width = range.most - range.least;
        std::vector<std::uint16_t> words(centroids);
        std::vector<std::uint16_t> expected_words(centroids);
        GetParam().round16(table.data(), centroids, range.least, 65535 / width, words.data());
        scalar_.round16(table.data(), centroids, range.least, 65535 / width, expected_words.data());
        ASSERT_EQ(words, expected_words);
        EXPECT_EQ(*std::ranges::min_element(words), 0);
        EXPECT_EQ(*std::ranges::max_element(words), 65535);
      }
    }
  }
}

// Sums against their definition, over records of every length, in order and by number, at the guard.
TEST_P(ProductKernelSet, AddTheEntriesOfCodes) {
  constexpr std::size_t most_bytes = 300;
  constexpr std::size_t most_records = 37;
  const GuardedMemory records(most_records * most_bytes);
  const GuardedMemory guarded_ids(most_records * sizeof(std::uint32_t));
  const GuardedMemory results(most_records * sizeof(float));
  for (const bool halves : {false, true}) {
    for (std::size_t bytes = 1; bytes <= most_bytes; bytes += bytes < 26 ? 1 : 37) {
      RandomStream random(bytes, halves ? 1 : 2);
      Array<std::byte> tables(halves ? product4_bytes(bytes) : bytes * 512);
      const std::size_t size = halves ? 16 : 256;
      std::vector<std::uint16_t> entries((halves ? 2 : 1) * bytes * size);
      // The largest often, so that a sum that is too narrow shows.
      for (std::uint16_t& entry : entries)
        entry = static_cast<std::uint16_t>(random.next_below(2) == 0 ? 65535 : random.next_below(65536));
      for (std::size_t s = 0; s < entries.size() / size; ++s) {
        if (halves) {
          set_product4_table(tables.data(), s, entries.data() + s * size);
        } else {
          std::memcpy(tables.data() + 2 * s * size, entries.data() + s * size, 2 * size);
        }
      }
      for (const std::size_t count : {0UL, 1UL, 2UL, 7UL, 8UL, 9UL, 16UL, 17UL, 33UL, most_records}) {
        std::byte* const base = records.last(count * bytes);
        std::generate(base, base + count * bytes,
                      [&] { return static_cast<std::byte>(random.next_below(256)); });
        std::vector<std::uint32_t> ids(count);
        for (std::size_t i = 0; i < count; ++i) ids[i] = static_cast<std::uint32_t>(random.next_below(count));
        const std::uint32_t* const placed = guarded_ids.place(std::span<const std::uint32_t>(ids));
        float* const out = reinterpret_cast<float*>(results.last(count * sizeof(float)));
        for (const std::uint32_t* use : {placed, static_cast<const std::uint32_t*>(nullptr)}) {
          const auto kernel = halves ? GetParam().product4 : GetParam().product8;
          kernel(tables.data(), bytes, {base, bytes, use}, 0.75F, -3.5F, count, out);
          for (std::size_t i = 0; i < count; ++i) {
            const std::byte* const record = base + (use == nullptr ? i : ids[i]) * bytes;
            std::uint32_t sum = 0;
            for (std::size_t b = 0; b < bytes; ++b) {
              const auto code = std::to_integer<std::size_t>(record[b]);
              sum += halves ? std::uint32_t{entries[2 * b * 16 + code % 16]} +
                                  entries[(2 * b + 1) * 16 + code / 16]
                            : entries[b * 256 + code];
            }
            ASSERT_EQ(out[i], -3.5F + 0.75F * static_cast<float>(sum))
                << (halves ? "halves, " : "bytes, ") << bytes << " bytes, result " << i << " of " << count;
          }
        }
      }
    }
  }
}

TEST_P(ProductKernelSet, AddAsManyEntriesAsThereMayBe) {
  constexpr std::size_t bytes = most_product_bytes;
  Array<std::byte> tables(bytes * 512);
  std::memset(tables.data(), 0xFF, tables.size());
  const std::vector<std::byte> record(bytes, std::byte{200});
  float out = 0;
  GetParam().product8(tables.data(), bytes, {record.data(), bytes, nullptr}, 1.0F, 0.0F, 1, &out);
  EXPECT_EQ(out, 65535.0F * static_cast<float>(bytes));
  GetParam().product4(tables.data(), bytes / 2, {record.data(), bytes, nullptr}, 1.0F, 0.0F, 1, &out);
  EXPECT_EQ(out, 65535.0F * static_cast<float>(bytes));
}

INSTANTIATE_TEST_SUITE_P(Sets, ProductKernelSet,
                         testing::ValuesIn(available_product_kernels().begin(),
                                           available_product_kernels().end()),
                         [](const auto& tested) { return std::string(tested.param.name); });

}  // namespace
}  // namespace vicinal
