#include "vicinal/index/index.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <limits>
#include <numeric>

#include "vicinal/core/executor.hpp"
#include "vicinal/index/reranked.hpp"
#include "sample_data.hpp"

namespace vicinal {
namespace {

using ::testing::HasSubstr;

template <class Call>
std::string message_of(Call call) {
  try {
    call();
  } catch (const InvalidArgument& error) {
    return error.what();
  }
  return "no error";
}

IndexOptions uncalibrated() {
  IndexOptions options;
  options.calibrate = false;
  return options;
}

class IndexTest : public ::testing::Test {
 protected:
  Rows base_ = make_rows(400, 12, 31);
  Rows queries_ = make_rows(20, 12, 31, 1);
};

TEST_F(IndexTest, BuildsWhatTheSpecSays) {
  const Index index = Index::build(base_.view(), "i8|hnsw(m=8,efc=60)|rerank(f32,2x)", Metric::ip);
  EXPECT_EQ(to_string(index.spec()), "i8 | hnsw(m=8, efc=60) | rerank(f32, 2x)");
  EXPECT_EQ(index.size(), 400U);
  EXPECT_EQ(index.dim(), 12U);
  EXPECT_EQ(index.metric(), Metric::ip);
  EXPECT_EQ(index.seed(), 1U);
  EXPECT_TRUE(index.ids().empty());
  const auto* reranked = index.retriever().get_if<Reranked>();
  ASSERT_NE(reranked, nullptr);
  EXPECT_EQ(reranked->depth(), 2);
  const auto* hnsw = reranked->inner().get_if<Hnsw>();
  ASSERT_NE(hnsw, nullptr);
  EXPECT_EQ(hnsw->options().m, 8U);
  EXPECT_EQ(hnsw->codes().codec().kind(), CodecKind::i8);
  EXPECT_NE(Index::build(base_.view(), "flat", Metric::l2).retriever().get_if<Flat>(), nullptr);
}

TEST_F(IndexTest, TheSeedReachesTheGraphAndTheRotation) {
  IndexOptions options = uncalibrated();
  options.seed = 77;
  const Index index = Index::build(base_.view(), "i8 | hnsw", Metric::l2, options);
  const auto* hnsw = index.retriever().get_if<Hnsw>();
  ASSERT_NE(hnsw, nullptr);
  EXPECT_EQ(hnsw->options().seed, 77U);
  EXPECT_EQ(hnsw->codes().codec().options().seed, 77U);
}

TEST_F(IndexTest, EveryCombinationFindsTheNearest) {
  for (const char* spec :
       {"flat", "f16 | flat", "bf16 | hnsw | rerank(f32, 4x)", "i8 | flat | rerank(f16, 3x)", "hnsw",
        "hnsw | rerank(f32, 2x)", "i8(rotate=off, centre=off) | hnsw | rerank(bf16, 4x)", "e3m4 | hnsw",
        "i4 | hnsw | rerank(f16, 4x)", "e4m3 | hnsw | rerank(f16, 3x)", "e5m2 | flat | rerank(e3m4, 4x)",
        "pq(d/2) | hnsw | rerank(f16, 4x)", "opq(d/3) | flat | rerank(f16, 4x)",
        "pca(12) | opq(6, bits=4) | hnsw | rerank(f16, 9x)"}) {
    for (const Metric metric : {Metric::l2, Metric::ip, Metric::cosine}) {
      const Index index = Index::build(base_.view(), spec, metric, uncalibrated());
      EXPECT_GE(recall_of(index.search(queries_.view(), 10), base_, queries_, metric), 0.93)
          << spec << " " << to_string(metric);
    }
  }
}

TEST_F(IndexTest, NamesWhatIsWrongWithTheBase) {
  const auto build = [](MatrixView<const float> base) { (void)Index::build(base, "flat", Metric::l2); };
  EXPECT_EQ(message_of([&] { build({nullptr, 0, 12}); }), "base has no rows, expected at least 1");
  EXPECT_THAT(message_of([&] { build({base_.values.data(), 1, 0}); }), HasSubstr("dimension 0"));
  base_.values[5 * 12 + 3] = std::numeric_limits<float>::infinity();
  EXPECT_THAT(message_of([&] { build(base_.view()); }), HasSubstr("base row 5 column 3 is inf"));
  EXPECT_THROW((void)Index::build(base_.view(), "hnws", Metric::l2), SpecError)
      << "the spec is looked at first";
}

TEST_F(IndexTest, NamesWhatIsWrongWithTheIds) {
  const auto build = [&](std::vector<Id> ids) {
    IndexOptions options = uncalibrated();
    options.ids = ids;
    (void)Index::build(base_.view().rows_from(0, 4), "flat", Metric::l2, options);
  };
  EXPECT_EQ(message_of([&] { build({1, 2, 3}); }), "3 ids for 4 rows, expected one a row");
  EXPECT_EQ(message_of([&] { build({1, 2, -3, 4}); }), "id -3 of row 2 is negative");
  EXPECT_EQ(message_of([&] { build({9, 5, 7, 5}); }), "id 5 is given to rows 1 and 3, expected unique ids");
  EXPECT_EQ(message_of([&] { build({1, 2, 2, 3}); }), "id 2 is given to rows 1 and 2, expected unique ids");
}

TEST_F(IndexTest, AnswersInTheCallersIds) {
  std::vector<Id> ids(400);
  for (std::size_t i = 0; i < 400; ++i)
    ids[i] = static_cast<Id>(1'000'000'000'000 - 17 * static_cast<Id>(i * 7 % 400));
  IndexOptions options = uncalibrated();
  options.ids = ids;
  const Index index = Index::build(base_.view(), "flat", Metric::l2, options);
  EXPECT_TRUE(std::ranges::is_sorted(index.ids()));
  const auto id_of = [&](std::size_t row) { return ids[row]; };
  EXPECT_EQ(recall_of(index.search(queries_.view(), 10), base_, queries_, Metric::l2, id_of), 1.0);
}

// Of equal distances the smaller id comes first, and is the one that is kept, whatever the order of the rows.
TEST_F(IndexTest, GivesItsVectorsBack) {
  IndexOptions options = uncalibrated();
  std::vector<Id> given(400);
  for (std::size_t i = 0; i < 400; ++i) given[i] = static_cast<Id>(5 * (i * 7 % 400));
  options.ids = given;
  struct Case {
    const char* spec;
    float tolerance;
  };
  for (const auto& [spec, tolerance] : {Case{"flat", 0}, Case{"hnsw", 0}, Case{"f16 | hnsw", 0.004F},
                                        Case{"i8 | hnsw", 0.1F}, Case{"i8 | hnsw | rerank(f32, 2x)", 0}}) {
    const Index index = Index::build(base_.view(), spec, Metric::l2, options);
    std::vector<float> out(2 * 12);
    const Id wanted[] = {given[399], given[20]};
    index.reconstruct(wanted, {out.data(), 2, 12});
    for (std::size_t d = 0; d < 12; ++d) {
      EXPECT_NEAR(out[d], base_[399][d], tolerance) << spec;
      EXPECT_NEAR(out[12 + d], base_[20][d], tolerance) << spec;
    }
    const Id unknown[] = {5, 3};
    EXPECT_EQ(message_of([&] {
                index.reconstruct(unknown, {out.data(), 2, 12});
              }),
              "id 3 is not in the index");
    EXPECT_THROW(index.reconstruct(wanted, {out.data(), 1, 12}), InvalidArgument);
  }
}

TEST_F(IndexTest, TakesOtherIds) {
  const Index plain = Index::build(base_.view(), "hnsw", Metric::l2, uncalibrated());
  std::vector<Id> names(400);
  for (std::size_t i = 0; i < 400; ++i) names[i] = static_cast<Id>(1000 + 3 * i);
  const Index named = plain.with_ids(names);
  const Neighbors before = plain.search(queries_.view(), 5);
  const Neighbors after = named.search(queries_.view(), 5);
  for (std::size_t q = 0; q < before.size(); ++q) {
    for (std::size_t i = 0; i < 5; ++i) EXPECT_EQ(after.ids()[q][i], 1000 + 3 * before.ids()[q][i]);
  }
  EXPECT_TRUE(named.with_ids({}).ids().empty());
  EXPECT_THROW((void)plain.with_ids(std::span(names).first(10)), InvalidArgument);
  std::swap(names[0], names[1]);
  EXPECT_THROW((void)plain.with_ids(names), InvalidArgument);
}

TEST_F(IndexTest, BreaksTiesByTheCallersIds) {
  Rows same = make_rows(1, 4, 1);
  for (int i = 0; i < 3; ++i)
    same.values.insert(same.values.end(), same.values.begin(), same.values.begin() + 4);
  for (int i = 0; i < 4; ++i)
    same.values.insert(same.values.end(), same.values.begin(), same.values.begin() + 4);
  same.count = 8;
  const std::vector<Id> ids{50, 40, 70, 10, 80, 20, 60, 30};
  IndexOptions options;
  options.ids = ids;
  for (const char* spec : {"flat", "hnsw(m=4, efc=20)", "i8 | hnsw | rerank(f16)"}) {
    const Index index = Index::build(same.view(), spec, Metric::l2, options);
    const Neighbors found = index.search(same.view().rows_from(0, 1), 3);
    EXPECT_THAT(std::vector<Id>(found.ids()[0].begin(), found.ids()[0].end()),
                ::testing::ElementsAre(10, 20, 30))
        << spec;
  }
}

TEST_F(IndexTest, TheOrderOfRowsWithIdsDoesNotMatter) {
  std::vector<std::size_t> order(400);
  std::iota(order.begin(), order.end(), std::size_t{0});
  RandomStream random(3, 9);
  for (std::size_t i = 399; i > 0; --i) std::swap(order[i], order[random.next_below(i + 1)]);
  std::vector<Id> ids(400);
  std::vector<Id> shuffled_ids(400);
  Rows shuffled = base_;
  for (std::size_t i = 0; i < 400; ++i) {
    ids[i] = static_cast<Id>(3 * i);
    shuffled_ids[i] = static_cast<Id>(3 * order[i]);
    std::ranges::copy(base_[order[i]], shuffled.values.begin() + static_cast<std::ptrdiff_t>(12 * i));
  }
  IndexOptions options;
  options.ids = ids;
  IndexOptions shuffled_options;
  shuffled_options.ids = shuffled_ids;
  const Index one = Index::build(base_.view(), "i8 | hnsw | rerank", Metric::cosine, options);
  const Index other = Index::build(shuffled.view(), "i8 | hnsw | rerank", Metric::cosine, shuffled_options);
  EXPECT_TRUE(same_results(one.search(queries_.view(), 10), other.search(queries_.view(), 10)));
  EXPECT_EQ(one.calibration(), other.calibration());
}

TEST_F(IndexTest, CalibratesAgainstWhatItThenDelivers) {
  const Rows base = make_rows(3000, 24, 41);
  const Rows queries = make_rows(300, 24, 41, 1);
  for (const Metric metric : {Metric::l2, Metric::ip, Metric::cosine}) {
    const Index index = Index::build(base.view(), "i8 | hnsw(m=8, efc=60) | rerank(f16, 3x)", metric);
    ASSERT_TRUE(index.calibration().has_value());
    const Calibration& calibration = *index.calibration();
    EXPECT_EQ(calibration.k, 10U);
    EXPECT_EQ(calibration.queries, 500U);
    EXPECT_FALSE(calibration.given_queries);
    for (std::size_t i = 1; i < calibration.points.size(); ++i) {
      EXPECT_LT(calibration.points[i - 1].effort, calibration.points[i].effort);
      EXPECT_LE(calibration.points[i - 1].recall, calibration.points[i].recall);
    }
    // Queries from the distribution of the base, none of them in it: the promise is kept up to the noise of the two samples.
    for (const double target : {0.8, 0.9, 0.95, 0.98}) {
      const double reached = recall_of(index.search(queries.view(), 10, {0, target}), base, queries, metric);
      EXPECT_GE(reached, target - 0.025) << to_string(metric) << " " << target;
    }
    // A point tells about what a search at its effort gives; rather less, since the links through the absent row are missing.
    const Calibration::Point& point = calibration.points[1];
    const double reached =
        recall_of(index.search(queries.view(), 10, {point.effort, {}}), base, queries, metric);
    EXPECT_GE(reached, point.recall - 0.02) << to_string(metric);
    EXPECT_LE(reached, point.recall + 0.06) << to_string(metric);
  }
}

TEST_F(IndexTest, CalibratesOnGivenQueries) {
  IndexOptions options;
  options.calibration_queries = queries_.view();
  const Index index = Index::build(base_.view(), "hnsw(m=4, efc=10)", Metric::l2, options);
  ASSERT_TRUE(index.calibration().has_value());
  EXPECT_TRUE(index.calibration()->given_queries);
  EXPECT_EQ(index.calibration()->queries, 20U);
  const Calibration::Point& first = index.calibration()->points.front();
  EXPECT_NEAR(recall_of(index.search(queries_.view(), 10, {first.effort, {}}), base_, queries_, Metric::l2),
              first.recall, 1e-9);

  const Rows wrong = make_rows(3, 11, 1);
  options.calibration_queries = wrong.view();
  EXPECT_THAT(message_of([&] { (void)Index::build(base_.view(), "hnsw", Metric::l2, options); }),
              HasSubstr("calibration queries have 11 columns, the index has dimension 12"));
}

TEST_F(IndexTest, ATargetNeedsACalibration) {
  const Index index = Index::build(base_.view(), "hnsw", Metric::l2, uncalibrated());
  EXPECT_FALSE(index.calibration().has_value());
  EXPECT_THAT(message_of([&] {
                (void)index.search(queries_.view(), 10, {0, 0.9});
              }),
              HasSubstr("the index is not calibrated"));
  const Index flat = Index::build(base_.view(), "flat", Metric::l2);
  EXPECT_FALSE(flat.calibration().has_value());
  EXPECT_EQ(recall_of(flat.search(queries_.view(), 10, {0, 0.5}), base_, queries_, Metric::l2), 1.0);
}

TEST_F(IndexTest, RefusesATargetThatMakesNoSense) {
  const Index index = Index::build(base_.view(), "hnsw", Metric::l2);
  for (const double target : {0.0, -1.0, 1.01, std::numeric_limits<double>::quiet_NaN()}) {
    EXPECT_THAT(message_of([&] {
                  (void)index.search(queries_.view(), 10, {0, target});
                }),
                HasSubstr("the target recall is"));
  }
  EXPECT_THAT(message_of([&] {
                (void)index.search(queries_.view(), 10, {20, 0.9});
              }),
              HasSubstr("expected one of them"));
  EXPECT_NO_THROW((void)index.search(queries_.view(), 10, {0, 1.0}));
}

TEST(Calibration, FindsTheEffortForATarget) {
  const Calibration calibration{10, 100, false, {{10, 0.5}, {20, 0.7}, {40, 0.9}, {80, 0.9}, {160, 0.95}}};
  EXPECT_EQ(calibration.effort_for(0.1), 10U);
  EXPECT_EQ(calibration.effort_for(0.5), 10U);
  EXPECT_EQ(calibration.effort_for(0.6), 15U);
  EXPECT_EQ(calibration.effort_for(0.7), 20U);
  EXPECT_EQ(calibration.effort_for(0.705), 21U);
  EXPECT_EQ(calibration.effort_for(0.9), 40U);
  EXPECT_EQ(calibration.effort_for(0.95), 160U);
  EXPECT_EQ(calibration.effort_for(0.96), 160U) << "none reaches it";
  EXPECT_EQ(calibration.effort_for(0.9, 5), 40U);
  EXPECT_EQ(calibration.effort_for(0.9, 25), 100U);
  EXPECT_THROW((void)calibration.effort_for(0), InvalidArgument);
  EXPECT_THROW((void)calibration.effort_for(1.5), InvalidArgument);
  EXPECT_THROW((void)Calibration{}.effort_for(0.5), InvalidArgument);
}

TEST_F(IndexTest, SmallBasesWork) {
  for (const std::size_t size : {1U, 2U, 3U, 10U, 11U, 12U}) {
    for (const char* spec : {"flat", "i8 | hnsw", "i8 | hnsw | rerank(f16)"}) {
      const Index index = Index::build(base_.view().rows_from(0, size), spec, Metric::cosine);
      const bool measurable = size > 1 && std::string(spec) != "flat";
      EXPECT_EQ(index.calibration().has_value(), measurable) << spec << " " << size;
      if (measurable) {
        EXPECT_EQ(index.calibration()->k, std::min<std::size_t>(10, size - 1));
        EXPECT_EQ(index.calibration()->queries, size);
      }
      const Neighbors found = index.search(queries_.view(), 10, {0, 0.9});
      EXPECT_THAT(found.counts(),
                  ::testing::Each(static_cast<std::uint32_t>(std::min<std::size_t>(10, size))))
          << spec << " " << size;
    }
  }
}

TEST_F(IndexTest, IsTheSameForAnyNumberOfThreads) {
  std::optional<Index> first;
  for (const std::size_t threads : {1U, 2U, 4U}) {
    ThreadPool pool(threads);
    BuildControl control;
    control.executor = pool;
    const Index index = Index::build(base_.view(), "i8 | hnsw | rerank", Metric::cosine, {}, control);
    if (!first) first = index;
    EXPECT_EQ(index.calibration(), first->calibration());
    EXPECT_TRUE(same_results(index.search(queries_.view(), 10), first->search(queries_.view(), 10)));
  }
}

TEST_F(IndexTest, TellsItsProgressAndStops) {
  std::vector<std::string> phases;
  BuildControl control;
  control.progress = [&](std::string_view phase, std::uint64_t done, std::uint64_t total) {
    EXPECT_LE(done, total);
    if (phases.empty() || phases.back() != phase) phases.emplace_back(phase);
  };
  (void)Index::build(base_.view(), "i8 | hnsw | rerank", Metric::l2, {}, control);
  EXPECT_THAT(phases, ::testing::Contains("calibrate"));

  std::stop_source source;
  BuildControl stopped;
  stopped.stop = source.get_token();
  stopped.progress = [&](std::string_view phase, std::uint64_t, std::uint64_t) {
    if (phase == "calibrate") source.request_stop();
  };
  EXPECT_THROW((void)Index::build(base_.view(), "hnsw", Metric::l2, {}, stopped), Cancelled);
}

TEST(Index, AnEmptyOneSaysSo) {
  const Index empty;
  EXPECT_EQ(empty.size(), 0U);
  const std::array<float, 2> query{};
  EXPECT_THAT(message_of([&] { (void)empty.search(MatrixView<const float>(query.data(), 1, 2), 1); }),
              HasSubstr("the retriever is empty"));
  EXPECT_THAT(message_of([&] { empty.save("x.vcn"); }), HasSubstr("the index is empty"));
}

}  // namespace
}  // namespace vicinal
