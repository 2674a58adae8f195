// What the explorer decides, and what it decides it by.
#include "vicinal/tools/explore/explore.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cmath>
#include <map>
#include <set>

#include "vicinal/core/error.hpp"
#include "vicinal/core/random.hpp"
#include "vicinal/index/index.hpp"
#include "vicinal/tools/explore/measurement.hpp"
#include "vicinal/tools/explore/prediction.hpp"
#include "vicinal/tools/explore/summary.hpp"
#include "vicinal/tools/explore/yardstick.hpp"

namespace {

using namespace vicinal;
using namespace vicinal::tools;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::vector<float> clustered(std::size_t rows, std::size_t dim, std::uint64_t stream) {
  RandomStream centres(7, 0), random(7, stream);
  std::vector<float> topics(20 * dim), values(rows * dim);
  for (float& value : topics) value = static_cast<float>(centres.next_unit() - 0.5);
  for (std::size_t row = 0; row < rows; ++row) {
    const std::size_t topic = random.next_below(20);
    for (std::size_t j = 0; j < dim; ++j) {
      values[row * dim + j] = topics[topic * dim + j] + 0.5F * static_cast<float>(random.next_unit() - 0.5);
    }
  }
  return values;
}

const auto never_tied = [](std::size_t, std::size_t) { return false; };

TEST(Front, KeepsWhatNothingBeatsInBoth) {
  const std::vector<Offer> offers{{0.9, 0.9, 100, 1},   {0.95, 0.95, 200, 1}, {0.8, 0.8, 150, 1},
                                  {0.95, 0.95, 300, 1}, {0.99, 0.99, 250, 1}, {0.9, 0.9, 100, 1}};
  EXPECT_THAT(front(offers), ElementsAre(0, 1, 4));
  EXPECT_THAT(front({}), IsEmpty());
}

RC_GTEST_PROP(Front, IsWhatTheDefinitionSays, ()) {
  const auto count = *rc::gen::inRange<std::size_t>(0, 30);
  std::vector<Offer> offers(count);
  for (auto& offer : offers) {
    offer.quality = *rc::gen::inRange(0, 10) / 10.0;
    offer.bytes = *rc::gen::inRange<std::uint64_t>(1, 10);
  }
  const auto ahead = front(offers);
  const std::set<std::size_t> members(ahead.begin(), ahead.end());
  for (std::size_t i = 0; i < count; ++i) {
    const bool beaten = std::any_of(offers.begin(), offers.end(), [&](const Offer& other) {
      return (other.bytes < offers[i].bytes && other.quality >= offers[i].quality) ||
             (other.bytes <= offers[i].bytes && other.quality > offers[i].quality);
    });
    const bool has_twin =
        std::any_of(offers.begin(), offers.begin() + static_cast<std::ptrdiff_t>(i), [&](const Offer& other) {
          return other.bytes == offers[i].bytes && other.quality == offers[i].quality;
        });
    RC_ASSERT(members.contains(i) == (!beaten && !has_twin));
  }
}

TEST(DistinctFront, LeavesOutWhatIsTiedWithACheaperOne) {
  const std::vector<Offer> offers{
      {0.9, 0.9, 100, 1}, {0.991, 0.991, 200, 1}, {0.992, 0.992, 300, 1}, {1, 1, 400, 1}};
  const auto near = [&](std::size_t best, std::size_t other) {
    return offers[best].quality - offers[other].quality < 0.005;
  };
  EXPECT_THAT(distinct_front(offers, near), ElementsAre(0, 1, 3));
  EXPECT_THAT(distinct_front(offers, never_tied), ElementsAre(0, 1, 2, 3));
}

TEST(Decide, TakesTheBestWithinTheBudget) {
  const std::vector<Offer> offers{{0.9, 0.9, 100, 1}, {0.95, 0.95, 200, 1}, {0.99, 0.99, 300, 1}};
  EXPECT_EQ(decide(offers, {300, {}}, never_tied).chosen, 2U);
  EXPECT_EQ(decide(offers, {299, {}}, never_tied).chosen, 1U);
  EXPECT_EQ(decide(offers, {{}, {}}, never_tied).chosen, 2U);
}

TEST(Decide, BreaksTiesByBytesThenTime) {
  const auto tied = [](std::size_t, std::size_t other) { return other != 0; };
  const std::vector<Offer> offers{
      {0.9, 0.9, 100, 1}, {0.989, 0.989, 200, 5}, {0.988, 0.988, 200, 4}, {0.99, 0.99, 300, 1}};
  const Decision decision = decide(offers, {300, {}}, tied);
  EXPECT_EQ(decision.chosen, 2U);
  EXPECT_THAT(decision.tied, ElementsAre(1, 2, 3));
}

TEST(Decide, SaysWhatIsNearestWhenTheFloorIsOutOfReach) {
  const std::vector<Offer> offers{
      {0.9, 0.9, 100, 1}, {0.95, 0.95, 200, 1}, {0.99, 0.99, 300, 1}, {1, 1, 400, 1}};
  const Decision decision = decide(offers, {250, 0.96}, never_tied);
  EXPECT_FALSE(decision.chosen);
  EXPECT_EQ(decision.nearest, 1U);
  EXPECT_EQ(decision.needed, 2U);
  const Decision nothing = decide(offers, {50, {}}, never_tied);
  EXPECT_FALSE(nothing.chosen);
  EXPECT_EQ(nothing.nearest, 0U);
  EXPECT_THAT(nothing.tied, IsEmpty());
}

TEST(Decide, HoldsTheFloorAgainstWhatIsPromised) {
  // The best is promised less at the planned size than the second.
  const std::vector<Offer> offers{{0.99, 0.90, 100, 1}, {0.98, 0.97, 200, 1}};
  EXPECT_EQ(decide(offers, {300, 0.95}, never_tied).chosen, 1U);
  const std::vector<Offer> tenths{{0.95 - 1e-12, 0.95 - 1e-12, 100, 1}};
  EXPECT_EQ(decide(tenths, {{}, 0.95}, never_tied).chosen, 0U);
}

TEST(Bootstrap, IsReproducibleAndAboutAsWideAsTheory) {
  RandomStream random(3, 0);
  std::vector<double> values(1000);
  for (double& value : values) value = random.next_unit();
  const Estimate a = Bootstrap(1000, 1).mean(values), b = Bootstrap(1000, 1).mean(values);
  EXPECT_EQ(a.low, b.low);
  EXPECT_EQ(a.high, b.high);
  EXPECT_NE(a.low, Bootstrap(1000, 2).mean(values).low);
  EXPECT_LT(a.low, a.mean);
  EXPECT_GT(a.high, a.mean);
  // Uniform: standard deviation 1 / sqrt(12), 95 % of a normal mean within 1.96 of them.
  EXPECT_NEAR(a.high - a.low, 2 * 1.96 / std::sqrt(12.0 * 1000), 0.004);
}

TEST(Bootstrap, PairsQueries) {
  std::vector<double> a(100), b(100);
  for (std::size_t i = 0; i < 100; ++i) {
    a[i] = i % 2 == 0 ? 1.0 : 0.0;
    b[i] = a[i] - 0.01;
  }
  const Bootstrap bootstrap(100, 1);
  const Estimate difference = bootstrap.difference(a, b);
  EXPECT_NEAR(difference.low, 0.01, 1e-12);
  EXPECT_NEAR(difference.high, 0.01, 1e-12);
  EXPECT_GT(bootstrap.mean(a).high - bootstrap.mean(a).low, 0.1);
  EXPECT_THROW(static_cast<void>(bootstrap.difference(a, std::vector<double>(99))), InvalidArgument);
  EXPECT_THROW(Bootstrap(0, 1), InvalidArgument);
}

TEST(LossFit, FindsItsOwnLineAndNeverPromisesMore) {
  const std::vector<double> rows{1000, 4000, 16000};
  std::vector<double> recalls;
  for (const double n : rows) recalls.push_back(1 - (0.001 + 0.004 * std::log(n)));
  const LossFit fit = fit_loss(rows, recalls);
  EXPECT_NEAR(fit.at_one, 0.001, 1e-12);
  EXPECT_NEAR(fit.slope, 0.004, 1e-12);
  EXPECT_NEAR(fit.recall(1e6), 1 - (0.001 + 0.004 * std::log(1e6)), 1e-12);
  const LossFit better = fit_loss(rows, std::vector<double>{0.9, 0.95, 0.99});
  EXPECT_EQ(better.slope, 0);
  EXPECT_NEAR(better.recall(1e9), (0.9 + 0.95 + 0.99) / 3, 1e-12);
  EXPECT_EQ(fit_loss(rows, std::vector<double>{1, 0.5, 0.1}).recall(1e12), 0);
}

TEST(Judgements, NdcgIsThatOfAHandComputedExample) {
  const Judgements judged = Judgements::parse("0 5 3\n0 6 2\n0 7 1\n1 9 1\n", "x", 3, 10);
  // Found 6, 1, 5: 2/log2(2) + 3/log2(4) = 3.5; ideal 3/log2(2) + 2/log2(3) + 1/log2(4) = 3 + 1.2618595 + 0.5.
  const std::vector<Id> found{6, 1, 5, 7};
  EXPECT_NEAR(judged.ndcg(0, found, 3), 3.5 / 4.76185950714, 1e-9);
  EXPECT_NEAR(judged.ndcg(0, found, 1), 2.0 / 3.0, 1e-12);
  EXPECT_NEAR(judged.ndcg(0, std::vector<Id>{5, 6, 7}, 10), 1.0, 1e-12);
  EXPECT_NEAR(judged.ndcg(1, std::vector<Id>{no_id, 2, 9}, 10), 1 / std::log2(4.0), 1e-12);
  EXPECT_EQ(judged.ndcg(2, found, 3), 0);
  EXPECT_EQ(judged.count(), 4U);
  EXPECT_EQ(judged.judged_queries(), 2U);
}

TEST(Judgements, TakesHeadersBlanksTabsAndTrecColumns) {
  const Judgements beir =
      Judgements::parse("query-id\tcorpus-id\tscore\r\n\r\n0\t5\t1\r\n1  6   0.5", "x", 3, 10);
  EXPECT_EQ(beir.count(), 2U);
  EXPECT_TRUE(beir.judged(1));
  const Judgements trec = Judgements::parse("0 0 5 1\n1 Q0 6 2\n", "x", 3, 10);
  EXPECT_NEAR(trec.ndcg(1, std::vector<Id>{6}, 10), 1.0, 1e-12);
}

TEST(Judgements, SayWhatIsWrongAndWhere) {
  const std::map<std::string, std::string> refusals{
      {"0 5\n", "qrels.tsv line 1: 2 columns, expected query-id doc-id relevance"},
      {"a b c\n0 5 1\n0 6 1 1\n", "qrels.tsv line 3: 4 columns, the lines above have 3"},
      {"0 5 1\na b c\n", "qrels.tsv line 2: the query-id is \"a\", expected a row number from 0 to 2"},
      {"3 5 1\n", "the query-id is \"3\", expected a row number from 0 to 2"},
      {"0 10 1\n", "the doc-id is \"10\", expected a row number from 0 to 9"},
      {"0 -1 1\n", "the doc-id is \"-1\""},
      {"0 5 x\n", "the relevance is \"x\", expected a number of at least 0"},
      {"0 5 -1\n", "the relevance is \"-1\""},
      {"0 5 nan\n", "the relevance is \"nan\""},
      {"0 5 1\n\n0 5 1\n", "qrels.tsv line 3: row 5 is judged twice for query 0"},
      {"0 5 0\n", "qrels.tsv judges nothing relevant"},
      {"", "qrels.tsv judges nothing relevant"},
  };
  for (const auto& [text, said] : refusals) {
    try {
      Judgements::parse(text, "qrels.tsv", 3, 10);
      ADD_FAILURE() << text;
    } catch (const InvalidArgument& error) {
      EXPECT_THAT(error.what(), HasSubstr(said)) << text;
    }
  }
  EXPECT_THROW(Judgements::read("/nonexistent/qrels.tsv", 3, 10), IoError);
}

TEST(Quantities, AreReadStrictly) {
  EXPECT_EQ(parse_bytes("200MiB"), 200U << 20U);
  EXPECT_EQ(parse_bytes("1.5 GiB"), 3U << 29U);
  EXPECT_EQ(parse_bytes("300MB"), 300'000'000U);
  EXPECT_EQ(parse_bytes("4096"), 4096U);
  for (const char* text : {"", "MiB", "-1MiB", "0", "nan", "1 mib", "1MiBs", "1e30"})
    EXPECT_THROW(parse_bytes(text), InvalidArgument) << text;
  EXPECT_EQ(parse_rows("50M"), 50'000'000U);
  EXPECT_EQ(parse_rows("1.5B"), 1'500'000'000U);
  for (const char* text : {"", "M", "-5", "0", "5MiB", "inf"})
    EXPECT_THROW(parse_rows(text), InvalidArgument) << text;
  const Floor floor = parse_floor("ndcg@5=.6");
  EXPECT_EQ(floor.quality, Quality::ndcg);
  EXPECT_EQ(floor.k, 5U);
  EXPECT_EQ(floor.value, 0.6);
  EXPECT_EQ(parse_floor("0.95").quality, Quality::recall);
  for (const char* text :
       {"", "recall", "recall@10", "recall@=.9", "recall@0=.9", "map=.5", "1.1", "0", "recall=nan"})
    EXPECT_THROW(parse_floor(text), InvalidArgument) << text;
}

TEST(Prediction, OrdersCodecsAndIsWhatIsMeasured) {
  constexpr std::size_t n = 2000, dim = 32, k = 10;
  const auto base = clustered(n, dim, 1), queries = clustered(100, dim, 2), others = clustered(100, dim, 3);
  const MatrixView<const float> rows(base.data(), n, dim), asked(queries.data(), 100, dim);
  for (const Metric metric : {Metric::l2, Metric::ip, Metric::cosine}) {
    const Yardstick yardstick(rows, asked, metric, k, nullptr, {});
    const Neighbors& exact = yardstick.exact().found;
    ASSERT_EQ(exact.k(), 2 * k);
    const PairSample sample{rows,
                            asked,
                            {exact.ids().data(), 100, k, exact.k()},
                            {exact.distances().data(), 100, k, exact.k()},
                            metric,
                            {others.data(), 100, dim}};
    const auto errors = predict(sample, false, {});
    std::map<std::string, std::map<std::string_view, double>> error;
    for (const auto& of_one : errors) {
      for (const auto& codec : of_one.codecs)
        error[of_one.projection.stage][codec.codec.name] = std::sqrt(codec.squared_error);
    }
    ASSERT_EQ(error.contains("qpca(16)"), metric != Metric::l2);
    auto& plain = error[""];
    EXPECT_LT(plain["f32"], 1e-5);
    EXPECT_LT(plain["f16"], plain["bf16"] / 4);
    EXPECT_LT(plain["bf16"], plain["e4m3"] / 4);
    EXPECT_LT(plain["i8"], plain["e4m3"]);
    EXPECT_LT(plain["e3m4"], plain["e4m3"]);
    EXPECT_LT(plain["e4m3"], plain["e5m2"]);
    EXPECT_LT(plain["i8"], plain["i4"] / 4);
    EXPECT_LT(plain["i4"], plain["b1"]);
    // Fewer dimensions, more error, and more of the spectrum is gone.
    EXPECT_LT(error["pca(24)"]["f32"], error["pca(16)"]["f32"]);
    EXPECT_LT(error["pca(16)"]["f32"], error["pca(8)"]["f32"]);
    for (std::size_t i = 1; i < errors.size(); ++i) {
      if (errors[i].projection.stage == "pca(8)") {
        EXPECT_GT(errors[i].projection.lost_energy, errors[i - 1].projection.lost_energy);
      }
    }
    ExploreOptions options;
    options.metric = metric;
    Measurement measurement(rows, asked, yardstick, options, {});
    for (const char* projection : {"", "pca(16)"}) {
      for (const char* codec : {"e4m3", "i4"}) {
        const double predicted = error[projection][codec];
        const auto point = measurement.scan({Candidate{projection, codec, "", 0, predicted}}).front();
        // What is found is what the errors favour, so that the two differ a little.
        EXPECT_GT(point.measured_error, predicted / 2.5) << projection << codec << to_string(metric);
        EXPECT_LT(point.measured_error, predicted * 2.5) << projection << codec << to_string(metric);
      }
    }
  }
}

TEST(Prune, DropsWhatCostsMoreAndErrsMoreByTheMargin) {
  const std::vector<Candidate> candidates{
      {"", "f32", "", 400, 0},       {"", "a", "", 100, 0.10}, {"", "b", "", 100, 0.16},
      {"", "c", "", 100, 0.14},      {"", "d", "", 90, 0.30},  {"", "e", "", 200, 0.00011},
      {"", "f", "", 200, 0.0000001}, {"", "g", "", 500, 0.05}, {"", "h", "", 100, 0.16, 0.5}};
  std::vector<std::string> kept;
  for (const auto& candidate : prune(candidates, 1.0)) kept.push_back(candidate.codec);
  // b errs more than a by more than the margin, c does not, nor does h beyond what moves all rows alike; d is smaller; e's and f's errors
  // change no answer; f32 beats g.
  EXPECT_THAT(kept, ElementsAre("f32", "a", "c", "d", "e", "f", "h"));
}

TEST(Combine, AddsRerankRowsThatHalveTheError) {
  const std::vector<CodecError> codecs{{{"f16", true, false, true}, 1e-10},
                                       {{"e4m3", true, false, true}, 1e-4},
                                       {{"i8", false, true, true}, 1e-6},
                                       {{"i4", false, true, false}, 1e-3}};
  std::vector<CodecError> projected = codecs;
  for (auto& codec : projected) codec.squared_error += 0.01;
  std::set<std::string> specs;
  for (const auto& candidate :
       combine({{{"", 64, 0}, codecs}, {{"pca(32)", 32, 0.1}, projected}}, Metric::l2))
    specs.insert(spec_of(candidate, "flat", 3));
  EXPECT_TRUE(specs.contains("i8 | flat | rerank(f16, 3x)"));
  EXPECT_FALSE(specs.contains("i8 | flat | rerank(e4m3, 3x)"));
  EXPECT_TRUE(specs.contains("i4 | flat | rerank(e4m3, 3x)"));
  EXPECT_TRUE(specs.contains("pca(32) | i8 | flat | rerank(e4m3, 3x)"));
  EXPECT_FALSE(specs.contains("f16 | flat | rerank(f16, 3x)"));
}

TEST(Yardstick, CountsRowsAtTheSameDistanceAsFound) {
  // Four copies of one vector: any two of them are the two nearest.
  const std::vector<float> base{1, 0, 1, 0, 1, 0, 1, 0, 5, 5};
  const std::vector<float> query{1, 0};
  const Yardstick yardstick({base.data(), 5, 2}, {query.data(), 1, 2}, Metric::l2, 2, nullptr, {});
  const auto recall = [&](std::vector<Id> found) {
    return yardstick.recalls({found.data(), 1, found.size()}, {})[0];
  };
  EXPECT_EQ(recall({0, 1}), 1);
  EXPECT_EQ(recall({3, 2}), 1);
  EXPECT_EQ(recall({3, 4}), 0.5);
  EXPECT_EQ(recall({3, 3}), 0.5);
  EXPECT_EQ(recall({no_id, no_id}), 0);
}

TEST(Measurement, RerankIsThatOfTheIndexItStandsFor) {
  constexpr std::size_t n = 1500, dim = 24, k = 5;
  const auto base = clustered(n, dim, 1), queries = clustered(60, dim, 2);
  const MatrixView<const float> rows(base.data(), n, dim), asked(queries.data(), 60, dim);
  const Yardstick yardstick(rows, asked, Metric::ip, k, nullptr, {});
  ExploreOptions options;
  options.metric = Metric::ip;
  options.k = k;
  Measurement measurement(rows, asked, yardstick, options, {});
  const auto point = measurement.scan({Candidate{"", "b1", "f16", 0, 0}}, 2).front();
  EXPECT_EQ(point.depth, 2);
  IndexOptions index_options;
  index_options.calibrate = false;
  const Index index = Index::build(rows, point.spec, Metric::ip, index_options);
  EXPECT_EQ(point.spec, "b1 | flat | rerank(f16, 2x)");
  EXPECT_EQ(point.bytes, index.memory_bytes());
  EXPECT_EQ(point.recalls, yardstick.recalls(index.search(asked, k).ids(), {}));
  // The shallowest that reaches a floor.
  options.floor = Floor{Quality::recall, k, 0.9};
  Measurement floored(rows, asked, yardstick, options, {});
  const double depth = floored.scan({Candidate{"", "i4", "f16", 0, 0}}).front().depth;
  EXPECT_LT(depth, deepest);
}

TEST(FirstReaching, IsTheFloorOrThePlateau) {
  const std::vector<double> reached{0.8, 0.9, 0.95, 0.9995, 1.0};
  EXPECT_EQ(first_reaching(reached, aim(reached, std::nullopt)), 3U);
  EXPECT_EQ(first_reaching(reached, aim(reached, Floor{Quality::recall, 0, 0.9})), 1U);
  const std::vector<double> poor{0.5, 0.6, 0.7};
  EXPECT_EQ(first_reaching(poor, aim(poor, Floor{Quality::recall, 0, 0.9})), 2U);
}

class Explored : public ::testing::Test {
 protected:
  static constexpr std::size_t n = 2500, dim = 32;
  Exploration run(const ExploreOptions& options, const BuildControl& control = {}) const {
    return explore({base.data(), n, dim}, {queries.data(), 120, dim}, options, control);
  }
  std::vector<float> base = clustered(n, dim, 1), queries = clustered(120, dim, 2);
};

TEST_F(Explored, KeepsToTheBudgetAndSaysSoInJson) {
  ExploreOptions options;
  options.budget = 600'000;
  const Exploration found = run(options);
  ASSERT_TRUE(found.decision.chosen);
  const ExploredPoint& chosen = found.points[*found.decision.chosen];
  EXPECT_LE(chosen.bytes, 600'000U);
  EXPECT_EQ(found.predicted, found.pruned + static_cast<std::size_t>(std::ranges::count_if(
                                                found.points, [](const auto& p) { return !p.graph; })));
  // What is recommended can be built and takes what was said.
  IndexOptions index_options;
  index_options.calibrate = false;
  const Index index =
      Index::build(MatrixView<const float>(base.data(), n, dim), chosen.spec, Metric::l2, index_options);
  EXPECT_EQ(index.memory_bytes(), chosen.bytes);
  const Json json = exploration_json(found);
  EXPECT_EQ(json["recommended"]["spec"], chosen.spec);
  EXPECT_EQ(json["recommended"]["bytes"], chosen.bytes);
  EXPECT_TRUE(json["recommended"].contains("recall") && json["recommended"].contains("rerank"));
  EXPECT_EQ(json["points"].size(), found.points.size());
  EXPECT_THAT(summary_text(found), HasSubstr("Recommended: " + chosen.spec));
  const std::string svg = exploration_svg(found, "a < b");
  EXPECT_THAT(svg, HasSubstr("a &lt; b"));
  EXPECT_THAT(svg, HasSubstr(">" + chosen.spec + "<"));
}

TEST_F(Explored, DoesNotDependOnThreads) {
  ExploreOptions options;
  options.budget = 600'000;
  ThreadPool pool(3);
  BuildControl control;
  control.executor = pool;
  const auto without_times = [](const Exploration& found) {
    Json json = exploration_json(found);
    json.erase("seconds");
    for (auto* list : {&json["points"]}) {
      for (auto& point : *list) point.erase("micros_per_query");
    }
    for (const char* name : {"recommended", "nearest", "needed"}) {
      if (json[name].is_object()) json[name].erase("micros_per_query");
    }
    return json;
  };
  EXPECT_EQ(without_times(run(options)), without_times(run(options, control)));
}

TEST_F(Explored, TakesAScanWhenNoGraphFits) {
  ExploreOptions options;
  options.budget = 100'000;  // 40 bytes a vector
  const Exploration found = run(options);
  ASSERT_TRUE(found.decision.chosen);
  EXPECT_TRUE(found.graph_does_not_fit);
  EXPECT_FALSE(found.points[*found.decision.chosen].graph);
  options.budget = 10;
  const Exploration nothing = run(options);
  EXPECT_FALSE(nothing.decision.chosen);
  EXPECT_THAT(summary_text(nothing), HasSubstr("Nothing fits 10 B."));
}

TEST_F(Explored, ScalesMemoryToThePlannedRows) {
  ExploreOptions options;
  options.graph = false;
  options.plan_for = 10 * n;
  const Exploration found = run(options);
  ASSERT_TRUE(found.decision.chosen);
  for (const auto& point : found.points) {
    if (!point.growth) continue;
    const double ratio = static_cast<double>(point.planned_bytes) / static_cast<double>(point.bytes);
    // The matrices of a projection and a codec's mean do not grow.
    EXPECT_NEAR(ratio, 10, point.candidate.projection.empty() ? 0.1 : 3) << point.spec;
    EXPECT_LE(ratio, 10) << point.spec;
    if (point.candidate.projection.starts_with("pca")) {
      EXPECT_LT(ratio, 9.9) << point.spec;
    }
    EXPECT_LE(point.planned_quality, point.recall.mean);
  }
  EXPECT_THAT(summary_text(found), HasSubstr("extrapolated"));
}

TEST_F(Explored, RefusesWhatMakesNoSense) {
  ExploreOptions options;
  options.floor = Floor{Quality::ndcg, 0, 0.5};
  EXPECT_THROW(run(options), InvalidArgument);
  options.floor = Floor{Quality::recall, 5, 0.5};
  EXPECT_THROW(run(options), InvalidArgument);
  options.floor.reset();
  options.k = n + 1;
  EXPECT_THROW(run(options), InvalidArgument);
  options.k = 10;
  std::stop_source source;
  source.request_stop();
  BuildControl control;
  control.stop = source.get_token();
  EXPECT_THROW(run(options, control), Cancelled);
}

TEST_F(Explored, TriesQueryAwareProjectionsWhenOtherQueriesAreGiven) {
  const auto others = clustered(150, dim, 3);
  ExploreOptions options;
  options.metric = Metric::ip;
  options.graph = false;
  const auto tries_qpca = [](const Exploration& found) {
    return std::ranges::any_of(found.projections, [](const auto& p) { return p.stage.starts_with("qpca"); });
  };
  EXPECT_FALSE(tries_qpca(run(options)));
  options.training_queries = {others.data(), 150, dim};
  const Exploration found = run(options);
  EXPECT_TRUE(tries_qpca(found));
  EXPECT_TRUE(std::ranges::any_of(found.points, [](const auto& p) { return p.spec.starts_with("qpca"); }));
  options.training_queries = {others.data(), 150, dim - 1};
  EXPECT_THROW(run(options), InvalidArgument);
}

TEST_F(Explored, HoldsThePaperAgainstTheBase) {
  ExploreOptions options;
  options.paper = true;
  const Exploration found = run(options);
  EXPECT_EQ(found.pruned, 0U);
  EXPECT_FALSE(found.decision.chosen);
  EXPECT_EQ(found.points.size(), 4 * static_cast<std::size_t>(std::ranges::count_if(
                                         codec_choices, [](const auto& c) { return c.in_paper; })));
  const std::string text = summary_text(found);
  EXPECT_THAT(text, HasSubstr("e4m3 loses "));
  EXPECT_THAT(text, HasSubstr("b1 loses "));
  EXPECT_THAT(text, HasSubstr("i8 loses more than e4m3 with 50 % PCA by "));
  EXPECT_THAT(text, ::testing::Not(HasSubstr("not measured")));
}

}  // namespace
