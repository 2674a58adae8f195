#include "vicinal/index/flat.hpp"

#include <gtest/gtest.h>

#include "sample_data.hpp"

namespace {

using namespace vicinal;

Flat flat_of(const Rows& rows, CodecKind kind, Metric metric) {
  return Flat(CodeStore::build(Codec::train({.kind = kind}, metric, rows.view()), rows.view(), {}));
}

Neighbors search(const Flat& flat, MatrixView<const float> queries, std::size_t k,
                 const SearchControl& control = {}) {
  Neighbors found(queries.rows(), k);
  flat.search({queries}, found.view(), {}, control);
  return found;
}

TEST(Flat, IsExact) {
  const Rows base = make_rows(3000, 33, 2);
  const Rows queries = make_rows(40, 33, 2, 3);
  for (const Metric metric : {Metric::l2, Metric::ip, Metric::cosine}) {
    EXPECT_EQ(
        recall_of(search(flat_of(base, CodecKind::f32, metric), queries.view(), 10), base, queries, metric),
        1.0);
  }
}

// A batch goes through matrix products, one query through the kernels: not a bit may differ.
TEST(Flat, ABatchIsBitForBitItsQueriesOneByOne) {
  const Rows base = make_rows(2100, 50, 4);
  const Rows queries = make_rows(300, 50, 4, 7);
  for (const Metric metric : {Metric::l2, Metric::ip, Metric::cosine}) {
    const Flat flat = flat_of(base, CodecKind::f32, metric);
    const Neighbors batch = search(flat, queries.view(), 17);
    SearchStats stats;
    SearchControl control;
    control.stats = &stats;
    EXPECT_TRUE(same_results(batch, search(flat, queries.view(), 17, control)));
    EXPECT_EQ(stats.strategy, "flat(matrix products)");
    Neighbors single(queries.count, 17);
    for (std::size_t q = 0; q < queries.count; ++q) {
      flat.search({queries.view().rows_from(q, 1)}, single.view().rows_from(q, 1), {}, {});
    }
    EXPECT_TRUE(same_results(batch, single)) << to_string(metric);
  }
}

// Distances that rounding cannot tell apart, to bytes or in the products: thousands of rows within it.
TEST(Flat, NearlyEqualDistancesAreOrderedExactly) {
  Rows base = make_rows(4000, 16, 9);
  for (std::size_t i = 0; i < base.count; ++i) {
    for (std::size_t j = 0; j < base.dim; ++j)
      base.values[i * base.dim + j] =
          1000.0F + static_cast<float>(i % 13) * 1e-4F * static_cast<float>(j % 2);
  }
  Rows queries = make_rows(80, 16, 9, 2);
  for (float& v : queries.values) v += 1000.0F;
  const Flat flat = flat_of(base, CodecKind::f32, Metric::l2);
  const Neighbors batch = search(flat, queries.view(), 25);
  for (std::size_t q = 0; q < queries.count; ++q) {
    EXPECT_TRUE(same_results(search(flat, queries.view().rows_from(q, 1), 25), [&] {
      Neighbors row(1, 25);
      std::ranges::copy(batch.ids()[q], row.view().ids[0].begin());
      std::ranges::copy(batch.distances()[q], row.view().distances[0].begin());
      row.view().counts[0] = batch.counts()[q];
      return row;
    }()));
  }
}

TEST(Flat, AsksForMoreThanThereIs) {
  const Rows base = make_rows(7, 5, 1);
  const Rows queries = make_rows(30, 5, 1, 2);
  const Neighbors found = search(flat_of(base, CodecKind::f32, Metric::l2), queries.view(), 12);
  for (std::size_t q = 0; q < queries.count; ++q) {
    EXPECT_EQ(found.counts()[q], 7U);
    EXPECT_EQ(found.ids()[q][7], no_id);
    EXPECT_EQ(found.distances()[q][7], no_distance);
  }
}

}  // namespace
