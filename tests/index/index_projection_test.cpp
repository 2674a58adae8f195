// Indexes whose vectors lose dimensions before they are encoded.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "vicinal/core/executor.hpp"
#include "vicinal/index/index.hpp"
#include "vicinal/index/query_mapped.hpp"
#include "vicinal/index/reranked.hpp"
#include "../core/temporary_folder.hpp"
#include "sample_data.hpp"

namespace vicinal {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr Metric metrics[] = {Metric::l2, Metric::ip, Metric::cosine};

template <class Call>
std::string message_of(Call call) {
  try {
    call();
  } catch (const InvalidArgument& error) {
    return error.what();
  }
  return "no error";
}

class IndexProjection : public ::testing::Test {
 protected:
  static constexpr std::size_t dim = 14;
  [[nodiscard]] IndexOptions options(bool calibrate = false) const {
    IndexOptions result;
    result.calibrate = calibrate;
    result.calibration_queries = samples_.view();
    return result;
  }
  [[nodiscard]] Index build(const std::string& spec, Metric metric) const {
    return Index::build(base_.view(), spec, metric, options());
  }

  Rows base_ = make_rows(500, dim, 41);
  Rows queries_ = make_rows(25, dim, 41, 1);
  Rows samples_ = make_rows(120, dim, 41, 2);
};

// Flat on f32 is brute force in the space of the projection, here done in double from the projected rows.
TEST_F(IndexProjection, FlatIsBruteForceOnProjectedVectors) {
  for (const Metric metric : metrics) {
    for (const ProjectionKind kind :
         {ProjectionKind::truncate, ProjectionKind::pca, ProjectionKind::query_pca}) {
      const std::string spec = std::string(to_string(kind)) + "(5) | f32 | flat";
      const Neighbors found = build(spec, metric).search(queries_.view(), 6);
      const Projection projection = Projection::train({kind, 5}, metric, base_.view(), samples_.view());
      Rows projected{base_.count, 5, std::vector<float>(base_.count * 5)};
      projection.project_documents(base_.view(), {projected.values.data(), base_.count, 5});
      std::vector<float> query(5);
      for (std::size_t q = 0; q < queries_.count; ++q) {
        const double constant = static_cast<double>(projection.project_query(queries_[q], query));
        const auto expected = exact_neighbors(projected, query, projection.inner_metric(), 6);
        for (std::size_t i = 0; i < 6; ++i) {
          EXPECT_EQ(found.ids()[q][i], expected[i].second) << spec;
          EXPECT_NEAR(found.distances()[q][i], expected[i].first + constant, 2e-4) << spec;
        }
      }
    }
  }
}

TEST_F(IndexProjection, ReranksOnWholeVectors) {
  for (const Metric metric : metrics) {
    for (const char* spec :
         {"pca(4) | f32 | flat | rerank(f32, 100x)", "qpca(4) | i8 | flat | rerank(f32, 100x)",
          "truncate(4) | f16 | hnsw | rerank(f32, 100x)"}) {
      const Index index = build(spec, metric);
      EXPECT_EQ(index.dim(), dim);
      EXPECT_EQ(index.metric(), metric);
      const Neighbors found = index.search(queries_.view(), 5, {.effort = 500});
      EXPECT_EQ(recall_of(found, base_, queries_, metric), 1.0) << spec;
      for (std::size_t q = 0; q < queries_.count; ++q) {
        const double exact =
            exact_distance(queries_[q], base_[static_cast<std::size_t>(found.ids()[q][0])], metric);
        EXPECT_NEAR(found.distances()[q][0], exact, 1e-4 * (1 + std::abs(exact)));
      }
    }
  }
}

// Fewer dimensions lose something, or the tests above would show nothing.
TEST_F(IndexProjection, LosesRecallWithoutRerank) {
  const Neighbors found = build("pca(4) | f32 | flat", Metric::l2).search(queries_.view(), 5);
  const double recall = recall_of(found, base_, queries_, Metric::l2);
  EXPECT_LT(recall, 0.9);
  EXPECT_GT(recall, 0.2);
}

TEST_F(IndexProjection, IsMadeOfTheStagesOfTheSpec) {
  const Index index = build("pca(4)|i8|hnsw|rerank(f16)", Metric::cosine);
  const auto* reranked = index.retriever().get_if<Reranked>();
  ASSERT_NE(reranked, nullptr);
  EXPECT_EQ(reranked->rows().dim(), dim);
  EXPECT_EQ(reranked->rows().codec().metric(), Metric::cosine);
  const auto* mapped = reranked->inner().get_if<QueryMapped>();
  ASSERT_NE(mapped, nullptr);
  EXPECT_EQ(mapped->inner().dim(), 4U + 1) << "the side value";
  EXPECT_EQ(mapped->inner().metric(), Metric::ip);
  EXPECT_EQ(mapped->memory_bytes(), mapped->inner().memory_bytes() + mapped->projection().memory_bytes());
  EXPECT_GE(mapped->projection().memory_bytes(), 4 * dim * sizeof(float));
}

TEST_F(IndexProjection, ObeysFiltersAndTellsItsStatistics) {
  const Index index = build("pca(6) | i8 | hnsw | rerank(f16)", Metric::ip);
  SearchStats stats;
  SearchControl control;
  control.filter = Filter::predicate([](Id id) { return id % 3 == 0; });
  control.stats = &stats;
  const Neighbors found = index.search(queries_.view(), 7, {}, control);
  for (std::size_t q = 0; q < queries_.count; ++q) {
    EXPECT_EQ(found.counts()[q], 7U);
    for (const Id id : found.ids()[q]) EXPECT_EQ(id % 3, 0);
  }
  EXPECT_THAT(stats.strategy, StartsWith("rerank(f16, 21) > pca(6) > hnsw"));
  EXPECT_EQ(stats.queries, queries_.count);
  EXPECT_GT(stats.distances, 0U);
}

TEST_F(IndexProjection, StopsAtTheDeadline) {
  const Index index = build("pca(6) | f32 | flat", Metric::ip);
  SearchStats stats;
  SearchControl control;
  control.deadline = SearchControl::Clock::now() - std::chrono::seconds(1);
  control.stats = &stats;
  const Neighbors found = index.search(queries_.view(), 7, {}, control);
  EXPECT_EQ(found.counts()[0], 0U);
  EXPECT_EQ(found.ids()[0][0], no_id);
  EXPECT_EQ(stats.stop, StopReason::deadline);
}

TEST_F(IndexProjection, IsCalibratedWithAndWithoutQueries) {
  for (const char* spec : {"pca(6) | i8 | hnsw | rerank(f16)", "pca(12) | f32 | hnsw"}) {
    const Index own = Index::build(base_.view(), spec, Metric::l2);
    ASSERT_TRUE(own.calibration());
    EXPECT_FALSE(own.calibration()->given_queries);
    EXPECT_GT(own.calibration()->points.back().recall, 0.8) << spec;
    const Index given = Index::build(base_.view(), spec, Metric::l2, options(true));
    ASSERT_TRUE(given.calibration());
    EXPECT_TRUE(given.calibration()->given_queries);
    const Neighbors found = given.search(queries_.view(), 10, {.target_recall = 0.8});
    EXPECT_GT(recall_of(found, base_, queries_, Metric::l2), 0.7);
  }
}

TEST_F(IndexProjection, SavesAndOpens) {
  const TemporaryFolder folder;
  for (const Metric metric : metrics) {
    for (const char* spec : {"pca(5) | i8 | hnsw | rerank(f16)", "qpca(5) | f32 | flat",
                             "truncate(3) | i4 | flat", "pca(3, whiten=on) | f16 | flat"}) {
      const Index built = build(spec, metric);
      built.save(folder / "index.vcn");
      for (const OpenMode mode : {OpenMode::load, OpenMode::map}) {
        const Index opened = Index::open(folder / "index.vcn", mode);
        EXPECT_EQ(opened.spec(), built.spec());
        EXPECT_EQ(opened.memory_bytes(), built.memory_bytes());
        EXPECT_TRUE(same_results(opened.search(queries_.view(), 9), built.search(queries_.view(), 9)));
        opened.save(folder / "again.vcn");
        EXPECT_EQ(read_bytes(folder / "again.vcn"), read_bytes(folder / "index.vcn")) << spec;
      }
    }
  }
}

TEST_F(IndexProjection, DoesNotDependOnTheThreads) {
  const TemporaryFolder folder;
  ThreadPool pool(3);
  BuildControl control;
  control.executor = pool;
  build("qpca(5) | i8 | hnsw", Metric::ip).save(folder / "one.vcn");
  Index::build(base_.view(), "qpca(5) | i8 | hnsw", Metric::ip, options(), control)
      .save(folder / "three.vcn");
  EXPECT_EQ(read_bytes(folder / "one.vcn"), read_bytes(folder / "three.vcn"));
}

TEST_F(IndexProjection, GivesVectorsBackAsWellAsItCan) {
  const std::vector<Id> ids{7, 0, 499};
  std::vector<float> out(ids.size() * dim);
  const MatrixView<float> view(out.data(), ids.size(), dim);
  const auto error = [&](const std::string& spec) {
    build(spec, Metric::ip).reconstruct(ids, view);
    double sum = 0;
    for (std::size_t i = 0; i < ids.size(); ++i)
      sum += exact_distance(view[i], base_[static_cast<std::size_t>(ids[i])], Metric::l2);
    return sum;
  };
  EXPECT_LT(error("pca(14) | f32 | flat"), 1e-8);
  EXPECT_LT(error("qpca(14) | f32 | hnsw"), 1e-6);
  EXPECT_LT(error("pca(14, whiten=on) | f32 | flat"), 1e-7);
  const double some = error("pca(10) | f32 | hnsw");
  EXPECT_GT(some, 1e-3);
  EXPECT_LT(some, 0.5 * error("pca(3) | f32 | hnsw"));
  EXPECT_LT(error("pca(2) | f32 | hnsw | rerank(f32)"), 1e-12);
}

TEST_F(IndexProjection, SaysWhatIsWrong) {
  EXPECT_THAT(message_of([&] { (void)build("pca(15) | flat", Metric::l2); }),
              HasSubstr("pca keeps 15 dimensions, the vectors have 14"));
  IndexOptions none;
  none.calibrate = false;
  const auto without = [&](Metric metric) {
    return message_of([&] { (void)Index::build(base_.view(), "qpca(5) | flat", metric, none); });
  };
  EXPECT_THAT(without(Metric::ip), HasSubstr("qpca learns from sample queries, got none"));
  EXPECT_THAT(without(Metric::ip), HasSubstr("calibration queries"));
  EXPECT_THAT(without(Metric::cosine), HasSubstr("qpca learns from sample queries, got none"));
  EXPECT_EQ(without(Metric::l2), "no error");
  std::vector<float> huge(2 * dim, 1.0F);
  huge[dim] = huge[dim + 1] = std::numeric_limits<float>::max();
  const Index index = build("pca(5) | flat", Metric::l2);
  EXPECT_THAT(message_of([&] { (void)index.search(MatrixView<const float>(huge.data(), 2, dim), 3); }),
              HasSubstr("queries row 1: the query holds values that are too large"));
}

// A large constant makes equal what was not: ties go by id all the same.
TEST(QueryMapped, BreaksTheTiesThatItMakes) {
  Rows base{200, 2, std::vector<float>(400)};
  for (std::size_t i = 0; i < base.count; ++i) {
    base.values[2 * i] = 100.0F + static_cast<float>(i * 37 % 50) * 0x1.0p-17F;
    base.values[2 * i + 1] = static_cast<float>(i % 7);
  }
  IndexOptions options;
  options.calibrate = false;
  const Index index = Index::build(base.view(), "pca(2) | f32 | flat", Metric::ip, options);
  const std::vector<float> query{1e6F, 1.0F};
  const Neighbors found = index.search(MatrixView<const float>(query.data(), 1, 2), 200);
  std::size_t ties = 0;
  for (std::size_t i = 1; i < 200; ++i) {
    ASSERT_LE(found.distances()[0][i - 1], found.distances()[0][i]);
    if (found.distances()[0][i - 1] != found.distances()[0][i]) continue;
    ++ties;
    EXPECT_LT(found.ids()[0][i - 1], found.ids()[0][i]);
  }
  EXPECT_GT(ties, 30U);
}

TEST(QueryMapped, RefusesARetrieverOfAnotherSpace) {
  const Rows base = make_rows(30, 8, 1);
  const Projection pca = Projection::train({ProjectionKind::pca, 4}, Metric::cosine, base.view());
  const Flat flat(CodeStore::build(Codec::train({}, Metric::cosine, base.view()), base.view(), {}));
  EXPECT_THAT(message_of([&] { (void)QueryMapped(flat, pca); }),
              HasSubstr("has dimension 8 and metric cosine, the projection gives 4 and ip"));
}

}  // namespace
}  // namespace vicinal
