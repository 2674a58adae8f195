// Reranking on the codes of the index and what they lack, through the whole of an index.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "vicinal/core/executor.hpp"
#include "vicinal/index/hnsw.hpp"
#include "vicinal/index/index.hpp"
#include "vicinal/index/reranked.hpp"
#include "../core/temporary_folder.hpp"
#include "sample_data.hpp"

namespace vicinal {
namespace {

class TwoLevelIndex : public ::testing::TestWithParam<Metric> {
 protected:
  [[nodiscard]] Index build(const std::string& spec, const IndexOptions& options = {},
                            const BuildControl& control = {}) const {
    return Index::build(base_.view(), spec, GetParam(), options, control);
  }
  [[nodiscard]] double recall(const Index& index) const {
    return recall_of(index.search(queries_.view(), 10, {.effort = 400}), base_, queries_, GetParam());
  }

  Rows base_ = make_rows(1500, 48, 11);
  Rows queries_ = make_rows(40, 48, 11, 1);
};

TEST_P(TwoLevelIndex, FindsMoreThanTheFirstLevel) {
  EXPECT_LT(recall(build("i4 | flat")), 0.97);
  EXPECT_GT(recall(build("i4+i8 | flat")), 0.99);
  EXPECT_GT(recall(build("i4+i8 | hnsw(m=12, efc=80)")), 0.99);
  EXPECT_GT(recall(build("b1 | hnsw(m=12, efc=80) | rerank(+i8, 40x)")), 0.97);
  EXPECT_GT(recall(build("i4 | flat | rerank(i8, 4x)")), 0.97) << "rows of integers of their own";
}

TEST_P(TwoLevelIndex, GivesBackTheSumOfTheLevels) {
  std::vector<Id> ids(base_.count);
  for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<Id>((i * 7) % 1500) + 10;
  IndexOptions options;
  options.ids = ids;
  const auto error = [&](const std::string& spec) {
    const Index index = build(spec, options);
    std::vector<float> values(base_.values.size());
    index.reconstruct(ids, MatrixView<float>(values.data(), base_.count, base_.dim));
    double sum = 0;
    for (std::size_t row = 0; row < base_.count; ++row) {
      std::vector<float> expected(base_[row].begin(), base_[row].end());
      if (GetParam() == Metric::cosine) normalise(base_[row], expected);
      for (std::size_t j = 0; j < base_.dim; ++j) {
        const auto off = static_cast<double>(values[row * base_.dim + j] - expected[j]);
        sum += off * off;
      }
    }
    return sum;
  };
  for (const std::string index : {"flat", "hnsw(m=8, efc=40)"}) {
    EXPECT_LT(1000 * error("i4+i8 | " + index), error("i4 | " + index)) << index;
    EXPECT_LT(1000 * error("b1+i8 | " + index), error("b1 | " + index)) << index;
  }
}

TEST_P(TwoLevelIndex, SavesAndOpens) {
  const TemporaryFolder folder;
  for (const std::string spec :
       {"b1+i8 | hnsw(m=8, efc=40)", "i4+i4 | flat", "i8+i4 | flat",
        "i8(rotate=off, centre=off) | flat | rerank(+i8)", "i4 | hnsw(m=8) | rerank(i8)"}) {
    const Index index = build(spec);
    index.save(folder / "index.vcn");
    for (const OpenMode mode : {OpenMode::load, OpenMode::map}) {
      const Index opened = Index::open(folder / "index.vcn", mode);
      EXPECT_EQ(to_string(opened.spec()), to_string(index.spec()));
      EXPECT_EQ(opened.memory_bytes(), index.memory_bytes());
      EXPECT_TRUE(same_results(opened.search(queries_.view(), 7), index.search(queries_.view(), 7))) << spec;
    }
  }
}

TEST_P(TwoLevelIndex, DoesNotDependOnThreads) {
  const TemporaryFolder folder;
  ThreadPool threads(3);
  BuildControl control;
  control.executor = threads;
  build("b1+i4 | hnsw(m=8, efc=40)").save(folder / "one.vcn");
  build("b1+i4 | hnsw(m=8, efc=40)", {}, control).save(folder / "several.vcn");
  EXPECT_EQ(read_bytes(folder / "one.vcn"), read_bytes(folder / "several.vcn"));
}

INSTANTIATE_TEST_SUITE_P(Metrics, TwoLevelIndex, ::testing::Values(Metric::l2, Metric::ip, Metric::cosine));

TEST(TwoLevel, CountsBothLevels) {
  const Rows base = make_rows(300, 64, 2);
  const Rows query = make_rows(1, 64, 2, 1);
  IndexOptions options;
  options.calibrate = false;
  const Index flat = Index::build(base.view(), "i4+i8 | flat", Metric::ip, options);
  // Codes of 32 and 64 bytes with two factors each, and the mean of the first.
  EXPECT_EQ(flat.memory_bytes(), 300U * (40 + 72) + 4 * 64);
  SearchStats stats;
  SearchControl control;
  control.stats = &stats;
  (void)flat.search(query.view(), 5, {}, control);
  EXPECT_EQ(stats.strategy, "rerank(+i8, 15) > flat(scan)");
  EXPECT_EQ(stats.reranked, 15U);
  EXPECT_EQ(stats.bytes, 300U * 40 + 15 * (40 + 72));
  // And where a row's codes are in the graph.
  const Index graph = Index::build(base.view(), "i4+i8 | hnsw", Metric::ip, options);
  const Index codes = Index::build(base.view(), "i4 | hnsw", Metric::ip, options);
  EXPECT_EQ(graph.memory_bytes(), codes.memory_bytes() + 300U * (72 + 4));
}

TEST(TwoLevel, RefusesLevelsThatAreNotOfTheIndex) {
  const Rows base = make_rows(20, 8, 2);
  const auto store = [&](Metric metric) {
    return CodeStore::build(Codec::train({CodecKind::i4}, metric, base.view()), base.view(), {});
  };
  const Flat flat(store(Metric::ip));
  const auto levels = [&](Metric metric) {
    return TwoLevelStore::build(store(metric), CodecKind::i8, base.view(), {});
  };
  const auto slots = [](std::size_t count, std::uint32_t last) {
    Array<std::uint32_t> array(count);
    for (std::uint32_t i = 0; i < count; ++i) array[i] = i + 1 == count ? last : i;
    return array;
  };
  EXPECT_NO_THROW(Reranked(flat, levels(Metric::ip), slots(20, 19), 3));
  EXPECT_THROW(Reranked(flat, levels(Metric::cosine), {}, 3), InvalidArgument);
  EXPECT_THROW(Reranked(flat, levels(Metric::ip), slots(19, 18), 3), InvalidArgument);
  EXPECT_THROW(Reranked(flat, levels(Metric::ip), slots(20, 20), 3), InvalidArgument);
  EXPECT_THROW(Reranked(flat, levels(Metric::ip), {}, 0.5), InvalidArgument);
}

}  // namespace
}  // namespace vicinal
