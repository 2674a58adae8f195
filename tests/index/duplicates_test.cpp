// Vectors that are the same are kept once, and nothing else changes: an index with dedup answers as one without.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <numeric>
#include <set>
#include <string>
#include <vector>

#include "vicinal/core/executor.hpp"
#include "vicinal/index/deduplicated.hpp"
#include "vicinal/index/flat.hpp"
#include "vicinal/index/index.hpp"
#include "../core/temporary_folder.hpp"
#include "sample_data.hpp"

namespace vicinal {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// Rows of a few small whole numbers: many are equal, and many that are not lie equally far from a query.
Rows coarse_rows(std::size_t count, std::size_t dim, std::uint64_t values, std::uint64_t stream) {
  RandomStream random(5, stream);
  Rows rows{count, dim, std::vector<float>(count * dim)};
  for (float& v : rows.values) v = static_cast<float>(random.next_below(values)) - 1.0F;
  return rows;
}

std::vector<std::uint32_t> copy_of(std::span<const std::uint32_t> rows) { return {rows.begin(), rows.end()}; }

TEST(DuplicateClasses, NumberClassesByTheirFirstRows) {
  const std::vector<std::uint32_t> first{0, 1, 0, 3, 1, 0, 6};
  const DuplicateClasses classes(first);
  EXPECT_EQ(classes.rows(), 7U);
  EXPECT_EQ(classes.classes(), 4U);
  const std::vector<std::uint32_t> numbers{0, 1, 0, 2, 1, 0, 3};
  for (std::uint32_t row = 0; row < 7; ++row) EXPECT_EQ(classes.class_of(row), numbers[row]) << row;
  EXPECT_EQ(classes.first_row(2), 3U);
  EXPECT_EQ(classes.first_row(3), 6U);
  EXPECT_THAT(copy_of(classes.further_rows(0)), ElementsAre(2, 5));
  EXPECT_THAT(copy_of(classes.further_rows(1)), ElementsAre(4));
  EXPECT_THAT(copy_of(classes.further_rows(2)), IsEmpty());
  const std::vector<std::uint32_t> not_first{0, 0, 1};
  EXPECT_THROW(DuplicateClasses{not_first}, InvalidArgument);
  const std::vector<std::uint32_t> later{1, 1};
  EXPECT_THROW(DuplicateClasses{later}, InvalidArgument);
}

RC_GTEST_PROP(DuplicateClasses, AgreeWithTheListTheyWereMadeOf, ()) {
  const auto values = *rc::gen::container<std::vector<int>>(rc::gen::inRange(0, 12));
  std::vector<std::uint32_t> first(values.size());
  for (std::uint32_t row = 0; row < values.size(); ++row)
    first[row] = static_cast<std::uint32_t>(std::ranges::find(values, values[row]) - values.begin());
  const DuplicateClasses classes(first);
  RC_ASSERT(classes.classes() == std::set<int>(values.begin(), values.end()).size());
  std::uint32_t next = 0;
  for (std::uint32_t row = 0; row < values.size(); ++row) {
    if (first[row] == row) {
      RC_ASSERT(classes.class_of(row) == next);
      RC_ASSERT(classes.first_row(next) == row);
      std::vector<std::uint32_t> further;
      for (std::uint32_t other = row + 1; other < values.size(); ++other) {
        if (first[other] == row) further.push_back(other);
      }
      RC_ASSERT(copy_of(classes.further_rows(next)) == further);
      ++next;
    } else {
      RC_ASSERT(classes.class_of(row) == classes.class_of(first[row]));
    }
  }
}

TEST(DuplicateClasses, CostNothingWhereNothingIsEqual) {
  const Rows rows = make_rows(500, 8, 1);
  const DuplicateClasses classes = equal_rows(rows.view());
  EXPECT_EQ(classes.duplicates(), 0U);
  EXPECT_EQ(classes.memory_bytes(), 0U);
  const Index plain = Index::build(rows.view(), "i8 | flat", Metric::l2);
  const Index dedup = Index::build(rows.view(), "dedup | i8 | flat", Metric::l2);
  EXPECT_EQ(dedup.memory_bytes(), plain.memory_bytes());
  EXPECT_EQ(dedup.retriever().kind(), "flat") << "no decorator either";
  EXPECT_EQ(dedup.duplicates(), 0U);
}

TEST(EqualRows, TakeZerosOfBothSignsForEqual) {
  const Rows rows{5, 2, {0.0F, 1.0F, -0.0F, 1.0F, 0.0F, -1.0F, 1.0F, 0.0F, 1.0F, -0.0F}};
  const DuplicateClasses classes = equal_rows(rows.view());
  EXPECT_EQ(classes.classes(), 3U);
  EXPECT_EQ(classes.class_of(1), 0U);
  EXPECT_EQ(classes.class_of(4), classes.class_of(3));
}

TEST(EqualRows, DoNotDependOnThreads) {
  const Rows rows = coarse_rows(5000, 4, 4, 1);
  ThreadPool threads(3);
  BuildControl control;
  control.executor = threads;
  const DuplicateClasses one = equal_rows(rows.view());
  const DuplicateClasses several = equal_rows(rows.view(), control);
  EXPECT_LE(one.classes(), 256U);
  for (std::uint32_t row = 0; row < rows.count; ++row) ASSERT_EQ(one.class_of(row), several.class_of(row));
}

// The same rows without dedup are the model: ids, distances and counts are equal, under any filter, for any k.
class Dedup : public ::testing::TestWithParam<Metric> {
 protected:
  static constexpr std::size_t count = 300, dim = 3;
  Rows base_ = coarse_rows(count, dim, 5, 1);
  Rows queries_ = coarse_rows(30, dim, 5, 2);

  void expect_the_same(const Index& dedup, const Index& plain, const SearchControl& control) const {
    for (const std::size_t k : {1UL, 2UL, 5UL, 17UL, 100UL, count, count + 5}) {
      const Neighbors a = dedup.search(queries_.view(), k, {}, control);
      const Neighbors b = plain.search(queries_.view(), k, {}, control);
      ASSERT_TRUE(same_results(a, b)) << "k = " << k;
    }
  }
};

TEST_P(Dedup, AnswersAsWithoutIt) {
  std::vector<Id> ids(count);
  for (std::size_t i = 0; i < count; ++i) ids[i] = static_cast<Id>((i * 7) % count) * 3;
  for (const bool own_ids : {false, true}) {
    IndexOptions options;
    if (own_ids) options.ids = ids;
    for (const std::string spec : {"f32 | flat", "i8(centre=off) | flat | rerank(f32, 1000x)"}) {
      const Index plain = Index::build(base_.view(), spec, GetParam(), options);
      const Index dedup = Index::build(base_.view(), "dedup | " + spec, GetParam(), options);
      EXPECT_GT(dedup.duplicates(), 100U);
      EXPECT_EQ(dedup.size(), count);
      SearchControl control;
      expect_the_same(dedup, plain, control);
      for (const Id modulus : {2, 7, 50, 299, 1000}) {
        control.filter = Filter::predicate([modulus](Id id) { return id % modulus == 1 % modulus; });
        expect_the_same(dedup, plain, control);
      }
      std::vector<Id> some;
      for (Id id = 0; id < 1000; id += id % 5 + 1) some.push_back(id);
      control.filter = Filter::id_set(some);
      expect_the_same(dedup, plain, control);
      control.filter = Filter::id_set({});
      expect_the_same(dedup, plain, control);
      const std::vector<std::uint64_t> words{0x0123'4567'89AB'CDEF, 0, ~std::uint64_t{0}};
      control.filter = Filter::bitmap(words);
      expect_the_same(dedup, plain, control);
    }
  }
}

TEST_P(Dedup, SavesAndOpens) {
  const TemporaryFolder folder;
  for (const std::string spec :
       {"dedup | f16 | flat", "dedup | i8 | hnsw(m=4, efc=20) | rerank(f16)", "dedup(codes) | b1 | flat",
        "dedup | i4+i8 | flat", "dedup | pca(2) | f32 | flat"}) {
    const Index index = Index::build(base_.view(), spec, GetParam());
    index.save(folder / "index.vcn");
    for (const OpenMode mode : {OpenMode::load, OpenMode::map}) {
      const Index opened = Index::open(folder / "index.vcn", mode);
      EXPECT_EQ(to_string(opened.spec()), to_string(index.spec()));
      EXPECT_EQ(opened.size(), count);
      EXPECT_EQ(opened.duplicates(), index.duplicates());
      EXPECT_EQ(opened.memory_bytes(), index.memory_bytes());
      EXPECT_TRUE(same_results(opened.search(queries_.view(), 40), index.search(queries_.view(), 40)))
          << spec;
    }
  }
}

TEST_P(Dedup, GivesEveryRowBack) {
  const Index index = Index::build(base_.view(), "dedup | f32 | hnsw(m=4, efc=20)", GetParam());
  std::vector<Id> ids(count);
  std::iota(ids.begin(), ids.end(), Id{0});
  std::vector<float> values(count * dim);
  index.reconstruct(ids, MatrixView<float>(values.data(), count, dim));
  std::vector<float> expected = base_.values;
  if (GetParam() == Metric::cosine) {
    for (std::size_t row = 0; row < count; ++row)
      normalise(base_[row], std::span(expected).subspan(row * dim, dim));
  }
  for (std::size_t i = 0; i < values.size(); ++i) EXPECT_EQ(values[i], expected[i]) << i;
}

TEST_P(Dedup, TellsHowManyItFound) {
  const Index index = Index::build(base_.view(), "dedup | f32 | flat", GetParam());
  SearchStats stats;
  SearchControl control;
  control.stats = &stats;
  (void)index.search(queries_.view().rows_from(0, 1), 5, {}, control);
  EXPECT_EQ(stats.strategy, "dedup(" + std::to_string(count - index.duplicates()) + " of 300) > flat(scan)");
  EXPECT_EQ(stats.queries, 1U);
  EXPECT_EQ(stats.distances, count - index.duplicates());
}

INSTANTIATE_TEST_SUITE_P(Metrics, Dedup, ::testing::Values(Metric::l2, Metric::ip, Metric::cosine));

TEST(DedupIndex, TakesAllRowsEqual) {
  const Rows base{2000, 4, std::vector<float>(8000, 0.5F)};
  for (const std::string spec : {"dedup | i8 | hnsw", "dedup | flat", "dedup(codes) | i4+i8 | flat"}) {
    const Index index = Index::build(base.view(), spec, Metric::l2);
    EXPECT_EQ(index.duplicates(), 1999U);
    SearchControl control;
    const Neighbors found = index.search(base.view().rows_from(0, 1), 2005, {.target_recall = 0.9}, control);
    EXPECT_EQ(found.counts()[0], 2000U);
    for (Id id = 0; id < 2000; ++id) EXPECT_EQ(found.ids()[0][static_cast<std::size_t>(id)], id);
    control.filter = Filter::predicate([](Id id) { return id == 1234; });
    const Neighbors one = index.search(base.view().rows_from(0, 1), 3, {}, control);
    EXPECT_EQ(one.counts()[0], 1U);
    EXPECT_EQ(one.ids()[0][0], 1234);
  }
}

TEST(DedupIndex, KeepsNothingMoreThanClassesAndLists) {
  const Rows some = make_rows(100, 64, 3);
  Rows base{400, 64, {}};
  for (int copy = 0; copy < 4; ++copy)
    base.values.insert(base.values.end(), some.values.begin(), some.values.end());
  const Index distinct = Index::build(some.view(), "i8 | flat", Metric::ip);
  const Index dedup = Index::build(base.view(), "dedup | i8 | flat", Metric::ip);
  EXPECT_EQ(dedup.memory_bytes(), distinct.memory_bytes() + 300 * 12 + 100 * 4 + 101 * 8);
}

TEST(DedupIndex, MergesEqualCodesOnRequest) {
  // Pairs that are off by less than codes show, and one of another length.
  const Rows some = make_rows(200, 32, 4);
  Rows base{401, 32, some.values};
  for (const float v : some.values) base.values.push_back(v * (1 + 1e-7F));
  for (const float v : some[0]) base.values.push_back(2 * v);
  EXPECT_LT(Index::build(base.view(), "dedup | b1 | flat", Metric::ip).duplicates(), 100U);
  for (const std::string spec :
       {"dedup(codes) | b1(centre=off) | flat", "dedup(codes) | b1(centre=off) | hnsw",
        "dedup(codes) | pca(16) | b1 | flat"}) {
    const Index index = Index::build(base.view(), spec, Metric::ip);
    EXPECT_GE(index.duplicates(), 180U) << spec;
    EXPECT_LE(index.duplicates(), 200U) << spec << ": a vector twice as long is another one";
    const Neighbors found = index.search(some.view().rows_from(7, 1), 401, {.effort = 500});
    EXPECT_EQ(found.counts()[0], 401U);
  }
}

TEST(DedupIndex, MeasuresRecallOnDistinctVectors) {
  const Rows some = make_rows(600, 16, 5);
  Rows base{1200, 16, some.values};
  base.values.insert(base.values.end(), some.values.begin(), some.values.end());
  const Index once = Index::build(some.view(), "i8 | hnsw(m=8, efc=40)", Metric::l2);
  const Index twice = Index::build(base.view(), "dedup | i8 | hnsw(m=8, efc=40)", Metric::l2);
  ASSERT_TRUE(twice.calibration().has_value());
  EXPECT_EQ(twice.calibration(), once.calibration());
}

TEST(DedupIndex, RefusesClassesThatAreNotOfTheIndex) {
  const Rows base = make_rows(5, 4, 1);
  const Flat flat(CodeStore::build(Codec::train({}, Metric::l2, base.view()), base.view(), {}));
  const std::vector<std::uint32_t> first{0, 1, 1, 3, 4};
  EXPECT_THROW(Deduplicated(flat, DuplicateClasses(first)), InvalidArgument);
}

}  // namespace
}  // namespace vicinal
