#include "vicinal/index/faiss_adapter.hpp"

#include <faiss/IndexFlat.h>
#include <faiss/IndexHNSW.h>
#include <faiss/IndexIVF.h>
#include <faiss/IndexIVFFlat.h>
#include <faiss/index_factory.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <omp.h>

#include <thread>

#include "vicinal/core/executor.hpp"
#include "vicinal/index/any_retriever.hpp"
#include "sample_data.hpp"

namespace vicinal {
namespace {

using ::testing::HasSubstr;

std::shared_ptr<faiss::Index> filled(const Rows& base, const char* description,
                                     faiss::MetricType type = faiss::METRIC_L2) {
  std::shared_ptr<faiss::Index> index(faiss::index_factory(static_cast<int>(base.dim), description, type));
  index->train(static_cast<faiss::Index::idx_t>(base.count), base.values.data());
  index->add(static_cast<faiss::Index::idx_t>(base.count), base.values.data());
  return index;
}

std::string strategy_of(const AnyRetriever& retriever, const Rows& queries, std::size_t effort) {
  SearchStats stats;
  SearchControl control;
  control.stats = &stats;
  (void)retriever.search(queries.view(), 3, {effort, {}}, control);
  return stats.strategy;
}

class FaissAdapter : public ::testing::Test {
 protected:
  Rows base_ = make_rows(1500, 16, 61);
  Rows queries_ = make_rows(40, 16, 61, 1);
};

TEST_F(FaissAdapter, RefusesAnIndexThatDoesNotFit) {
  const auto message = [](std::shared_ptr<faiss::Index> index, Metric metric) {
    try {
      FaissRetriever retriever(std::move(index), metric);
    } catch (const InvalidArgument& error) {
      return std::string(error.what());
    }
    return std::string("no error");
  };
  EXPECT_THAT(message(nullptr, Metric::l2), HasSubstr("null"));
  EXPECT_THAT(message(filled(base_, "Flat"), Metric::ip),
              HasSubstr("has metric type 1, ip needs 0 (METRIC_INNER_PRODUCT)"));
  EXPECT_THAT(message(filled(base_, "Flat", faiss::METRIC_INNER_PRODUCT), Metric::l2),
              HasSubstr("has metric type 0, l2 needs 1 (METRIC_L2)"));
  EXPECT_THAT(message(std::shared_ptr<faiss::Index>(faiss::index_factory(16, "IVF16,Flat")), Metric::l2),
              HasSubstr("not trained"));
  EXPECT_EQ(message(filled(base_, "Flat", faiss::METRIC_INNER_PRODUCT), Metric::cosine), "no error");
}

TEST_F(FaissAdapter, EffortIsTheWidthOfAGraphSearch) {
  const std::shared_ptr<faiss::Index> index = filled(base_, "HNSW4");
  auto& hnsw = dynamic_cast<faiss::IndexHNSW&>(*index).hnsw;
  hnsw.efSearch = 11;
  const AnyRetriever retriever(FaissRetriever(index, Metric::l2));
  const double narrow =
      recall_of(retriever.search(queries_.view(), 10, {10, {}}), base_, queries_, Metric::l2);
  const double wide =
      recall_of(retriever.search(queries_.view(), 10, {300, {}}), base_, queries_, Metric::l2);
  EXPECT_GT(wide, narrow + 0.05);
  EXPECT_EQ(hnsw.efSearch, 11) << "the index is left as it was";
  // FAISS itself with that width finds the same.
  hnsw.efSearch = 300;
  std::vector<faiss::Index::idx_t> labels(400);
  std::vector<float> distances(400);
  index->search(40, queries_.values.data(), 10, distances.data(), labels.data());
  std::size_t same = 0;
  const Neighbors found = retriever.search(queries_.view(), 10, {300, {}});
  for (std::size_t q = 0; q < 40; ++q) {
    for (std::size_t i = 0; i < 10; ++i) same += found.ids()[q][i] == labels[q * 10 + i] ? 1 : 0;
  }
  EXPECT_EQ(same, 400U);
  EXPECT_EQ(strategy_of(retriever, queries_, 33), "faiss(hnsw, ef=33)");
  EXPECT_EQ(strategy_of(retriever, queries_, 0), "faiss(hnsw, ef=300)");
}

TEST_F(FaissAdapter, EffortIsTheNumberOfListsProbed) {
  const std::shared_ptr<faiss::Index> index = filled(base_, "IVF32,Flat");
  const AnyRetriever retriever(FaissRetriever(index, Metric::l2));
  const double one = recall_of(retriever.search(queries_.view(), 10, {1, {}}), base_, queries_, Metric::l2);
  const double all = recall_of(retriever.search(queries_.view(), 10, {32, {}}), base_, queries_, Metric::l2);
  EXPECT_LT(one, 0.95);
  EXPECT_EQ(all, 1.0);
  EXPECT_EQ(dynamic_cast<faiss::IndexIVF&>(*index).nprobe, 1U);
  EXPECT_EQ(strategy_of(retriever, queries_, 1000), "faiss(ivf, nprobe=1000)");
}

TEST_F(FaissAdapter, ProbesOnWhenTheListsHoldTooFew) {
  const AnyRetriever retriever(FaissRetriever(filled(base_, "IVF32,Flat"), Metric::l2));
  const Neighbors found = retriever.search(queries_.view(), 200, {1, {}});
  EXPECT_THAT(found.counts(), ::testing::Each(200U));
}

TEST_F(FaissAdapter, RestoresTheOpenMPLimitOfTheCallersThread) {
  const AnyRetriever retriever(FaissRetriever(filled(base_, "Flat"), Metric::l2));
  const int before = omp_get_max_threads();
  omp_set_num_threads(3);
  (void)retriever.search(queries_.view(), 5);
  EXPECT_EQ(omp_get_max_threads(), 3);
  omp_set_num_threads(before);
}

// The distances of a large batch come from a matrix product in FAISS, which rounds otherwise.
TEST_F(FaissAdapter, ADistanceDoesNotDependOnTheSizeOfTheBatch) {
  const Rows many = make_rows(200, 16, 61, 2);
  const AnyRetriever retriever(FaissRetriever(filled(base_, "Flat"), Metric::l2));
  const Neighbors together = retriever.search(many.view(), 10);
  for (const std::size_t q : {0U, 57U, 199U}) {
    const Neighbors alone = retriever.search(many.view().rows_from(q, 1), 10);
    EXPECT_TRUE(std::ranges::equal(alone.distances()[0], together.distances()[q]));
  }
}

TEST_F(FaissAdapter, ManyMaySearchAtOnce) {
  const AnyRetriever retriever(FaissRetriever(filled(base_, "HNSW8"), Metric::l2));
  const Neighbors expected = retriever.search(queries_.view(), 10, {50, {}});
  std::vector<std::jthread> threads;
  std::atomic<int> different{0};
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 20; ++i)
        different += same_results(retriever.search(queries_.view(), 10, {50, {}}), expected) ? 0 : 1;
    });
  }
  threads.clear();
  EXPECT_EQ(different, 0);
}

TEST_F(FaissAdapter, AnEmptyIndexFindsNothing) {
  const auto index = std::make_shared<faiss::IndexFlatL2>(16);
  const AnyRetriever retriever(FaissRetriever(index, Metric::l2));
  EXPECT_EQ(retriever.size(), 0U);
  EXPECT_THAT(retriever.search(queries_.view(), 3).counts(), ::testing::Each(0U));
}

TEST_F(FaissAdapter, EstimatesItsMemory) {
  EXPECT_EQ(FaissRetriever(filled(base_, "Flat"), Metric::l2).memory_bytes(), 1500U * 16 * 4);
  EXPECT_EQ(FaissRetriever(filled(base_, "SQ8"), Metric::l2).memory_bytes(), 1500U * 16);
  EXPECT_GE(FaissRetriever(filled(base_, "HNSW8"), Metric::l2).memory_bytes(), 1500U * (16 * 4 + 16 * 4));
  EXPECT_GE(FaissRetriever(filled(base_, "IVF16,Flat"), Metric::l2).memory_bytes(), 1500U * (16 * 4 + 8));
}

}  // namespace
}  // namespace vicinal
