#include "vicinal/tools/evaluation.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "vicinal/core/error.hpp"

namespace {

using namespace vicinal;
using namespace vicinal::tools;

// Three queries of dimension 1; the truth is {10 q, 10 q + 1}.
struct Fixture {
  std::vector<float> values{0, 1, 2};
  std::vector<Id> truth{0, 1, 10, 11, 20, 21};
  Workload workload{{MatrixView<const float>(values.data(), 3, 1)}, {truth.data(), 3, 2}, 2};
};

constexpr auto answer_exactly = [](const VectorBatch& queries, NeighborsView out,
                                   const SearchControl& control) {
  for (std::size_t i = 0; i < queries.size(); ++i) {
    const Id first = static_cast<Id>(queries.rows[i][0]) * 10;
    out.ids[i][0] = first;
    out.ids[i][1] = first + 1;
    out.counts[i] = 2;
  }
  if (control.stats != nullptr) {
    control.stats->distances += 5 * queries.size();
    control.stats->bytes += 40 * queries.size();
    control.stats->hops += 2 * queries.size();
    control.stats->strategy = "by heart";
  }
};

TEST(Evaluation, MedianLatencyIsThatOfTheMedianPass) {
  TimedPass fast{1e-4, {10, 20, 30, 40}}, middle{2e-4, {10, 20, 30, 140}}, slow{9e-4, {100, 200, 300, 300}};
  const Latency latency = median_latency({slow, fast, middle});
  EXPECT_DOUBLE_EQ(latency.qps, 4 / 2e-4);
  EXPECT_DOUBLE_EQ(latency.mean_us, 50);
  EXPECT_DOUBLE_EQ(latency.p50_us, 20);  // nearest rank: the second of four
  EXPECT_DOUBLE_EQ(latency.p99_us, 140);
}

TEST(Evaluation, PercentileOfAHundredIsTheNinetyNinth) {
  TimedPass pass{1, {}};
  for (int i = 100; i >= 1; --i) pass.micros.push_back(static_cast<float>(i));
  EXPECT_DOUBLE_EQ(median_latency({pass}).p99_us, 99);
  EXPECT_DOUBLE_EQ(median_latency({pass}).p50_us, 50);
}

TEST(Evaluation, EveryQueryIsAskedAloneAndInOrder) {
  Fixture fixture;
  std::vector<float> asked;
  Neighbors answers(3, 2);
  const auto answer = [&](const VectorBatch& queries, NeighborsView out, const SearchControl& control) {
    ASSERT_EQ(queries.size(), 1U);
    ASSERT_EQ(out.size(), 1U);
    asked.push_back(queries.rows[0][0]);
    answer_exactly(queries, out, control);
  };
  const TimedPass pass = time_one_by_one(answer, fixture.workload, 2, answers);
  EXPECT_EQ(asked, (std::vector<float>{0, 1, 2, 0, 1, 2}));
  EXPECT_EQ(pass.micros.size(), 6U);
  EXPECT_EQ(recall(answers.ids(), fixture.workload.truth, 2), 1);
}

TEST(Evaluation, TimesWhatTheQueriesTake) {
  Fixture fixture;
  Neighbors answers(3, 2);
  const auto answer = [&](const VectorBatch& queries, NeighborsView, const SearchControl&) {
    std::this_thread::sleep_for(std::chrono::milliseconds(queries.rows[0][0] == 1 ? 30 : 3));
  };
  const TimedPass pass = time_one_by_one(answer, fixture.workload, 1, answers);
  EXPECT_GE(pass.seconds, 0.036);
  EXPECT_GE(pass.micros[1], 30'000);
  EXPECT_GE(pass.micros[0], 3'000);
  EXPECT_LT(pass.micros[0], pass.micros[1]);
  EXPECT_NEAR(pass.seconds * 1e6, pass.micros[0] + pass.micros[1] + pass.micros[2], 1);
}

TEST(Evaluation, RecallIsOfTheAnswersAndWorkIsPerQuery) {
  Fixture fixture;
  const EvaluationPoint right = evaluate(answer_exactly, fixture.workload);
  EXPECT_EQ(right.recall, 1);
  EXPECT_EQ(right.work.distances, 5);
  EXPECT_EQ(right.work.bytes, 40);
  EXPECT_EQ(right.work.hops, 2);
  EXPECT_EQ(right.work.strategy, "by heart");
  const auto half_right = [](const VectorBatch& queries, NeighborsView out, const SearchControl& control) {
    answer_exactly(queries, out, control);
    for (std::size_t i = 0; i < out.size(); ++i) out.ids[i][1] = 999;
  };
  EXPECT_EQ(evaluate(half_right, fixture.workload).recall, 0.5);
}

TEST(Evaluation, SeveralThreadsAnswerTheBatchAtOnce) {
  Fixture fixture;
  ThreadPool pool(2);
  std::size_t batches = 0;
  const auto answer = [&](const VectorBatch& queries, NeighborsView out, const SearchControl& control) {
    if (queries.size() == 3 && control.executor.concurrency() == 2) ++batches;
    answer_exactly(queries, out, control);
  };
  EXPECT_GT(evaluate(answer, fixture.workload, pool).qps, 0);
  EXPECT_GE(batches, 4U);
}

TEST(Evaluation, AStopIsObeyed) {
  Fixture fixture;
  std::stop_source source;
  const auto answer = [&](const VectorBatch&, NeighborsView, const SearchControl&) { source.request_stop(); };
  EXPECT_THROW(evaluate(answer, fixture.workload, {}, source.get_token()), Cancelled);
}

TEST(Evaluation, AWorkloadThatDoesNotFitIsRefused) {
  Fixture fixture;
  Workload workload = fixture.workload;
  workload.k = 3;
  EXPECT_THROW(workload.validate(), InvalidArgument);
  workload.k = 0;
  EXPECT_THROW(workload.validate(), InvalidArgument);
  workload = fixture.workload;
  workload.truth = workload.truth.rows_from(0, 2);
  EXPECT_THROW(workload.validate(), InvalidArgument);
  workload = {fixture.workload.queries.rows.rows_from(0, 0), fixture.workload.truth.rows_from(0, 0), 1};
  EXPECT_THROW(workload.validate(), InvalidArgument);
}

TEST(Evaluation, ShortPassesAreRepeatedForAFifthOfASecond) {
  EXPECT_EQ(repeats_for(0.5), 1U);
  EXPECT_EQ(repeats_for(0.2), 1U);
  EXPECT_EQ(repeats_for(0.1), 2U);
  EXPECT_EQ(repeats_for(0.003), 67U);
  EXPECT_LE(repeats_for(0), 1'000'000U);
}

TEST(Evaluation, ASweepStartsAtK) {
  EXPECT_EQ(sweep_efforts(10).front(), 10U);
  EXPECT_EQ(sweep_efforts(10).size(), 14U);
  EXPECT_EQ(sweep_efforts(100).front(), 128U);
  EXPECT_EQ(sweep_efforts(5000).front(), 5000U);
}

}  // namespace
