// Documents of several vectors, from a spec string to a file and back.
#include "vicinal/index/multi_vector.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <functional>
#include <limits>
#include <tuple>
#include <vector>

#include "vicinal/core/error.hpp"
#include "vicinal/core/executor.hpp"
#include "vicinal/index/index.hpp"
#include "token_data.hpp"

namespace vicinal {
namespace {

using testing::HasSubstr;

constexpr const char* scan_spec = "scan(i4, carve=0.7) | maxsim(f32, 3x)";
constexpr const char* head_spec = "head(dim=128, samples=2000) | i8 | hnsw(m=12, efc=80) | maxsim(f32, 5x)";
constexpr const char* muvera_spec =
    "muvera(reps=20, bits=3, dim=8) | i8 | hnsw(m=12, efc=80) | maxsim(f32, 10x)";

struct Sample {
  Documents documents = make_documents(500, 32, 1, 20, 21);
  Documents queries = make_documents(25, 32, 8, 20, 21, 1);
  // Documents by descending MaxSim.
  [[nodiscard]] std::vector<Id> ranked(std::size_t query) const {
    std::vector<std::pair<double, Id>> scores;
    for (std::size_t d = 0; d < documents.size(); ++d)
      scores.emplace_back(-exact_maxsim(queries.batch().item(query), documents.batch().item(d)),
                          static_cast<Id>(d));
    std::ranges::sort(scores);
    std::vector<Id> ids;
    for (const auto& [score, id] : scores) ids.push_back(id);
    return ids;
  }
};

const Sample& sample() {
  static const Sample made;
  return made;
}

Index build(const char* spec, const IndexOptions& options = {}, Metric metric = Metric::ip) {
  return Index::build(sample().documents.batch(), spec, metric, options);
}

IndexOptions uncalibrated() {
  IndexOptions options;
  options.calibrate = false;
  return options;
}

template <class Call>
std::string refusal(const Call& call) {
  try {
    call();
  } catch (const InvalidArgument& error) {
    return error.what();
  }
  return "nothing was refused";
}

bool same(const Neighbors& a, const Neighbors& b) {
  const auto equal = [](const auto& x, const auto& y) {
    return x.rows() == y.rows() &&
           std::memcmp(x.data(), y.data(), x.rows() * x.cols() * sizeof(*x.data())) == 0;
  };
  return equal(a.ids(), b.ids()) && equal(a.distances(), b.distances()) &&
         std::ranges::equal(a.counts(), b.counts());
}

TEST(MultiVector, AScanIsExact) {
  const Index index = build("maxsim(f32)");
  EXPECT_EQ(index.size(), 500U);
  EXPECT_EQ(index.dim(), 32U);
  SearchStats stats;
  SearchControl control;
  control.stats = &stats;
  const Neighbors found = index.search(sample().queries.batch(), 10, {}, control);
  std::uint64_t pairs = 0;
  for (std::size_t q = 0; q < found.size(); ++q) {
    const std::vector<Id> truth = sample().ranked(q);
    for (std::size_t i = 0; i < 10; ++i) {
      EXPECT_EQ(found.ids()[q][i], truth[i]);
      EXPECT_NEAR(found.distances()[q][i],
                  -exact_maxsim(sample().queries.batch().item(q),
                                sample().documents.batch().item(static_cast<std::size_t>(truth[i]))),
                  1e-3);
    }
    pairs += sample().queries.batch().item(q).rows() * sample().documents.offsets.back();
  }
  EXPECT_EQ(stats.distances, pairs);
  EXPECT_EQ(stats.strategy, "maxsim(f32, scan)");
}

TEST(MultiVector, MuveraFindsNearlyAllAndScoresExactly) {
  const Index index = build(muvera_spec);
  SearchStats stats;
  SearchControl control;
  control.stats = &stats;
  const Neighbors found = index.search(sample().queries.batch(), 10, {}, control);
  const Neighbors truth = build("maxsim(f32)").search(sample().queries.batch(), 10);
  EXPECT_GT(recall(found.ids(), truth.ids(), 10), 0.85);
  EXPECT_EQ(stats.reranked, 25U * 100);
  EXPECT_THAT(stats.strategy, HasSubstr("maxsim(f32, 100) > muvera(1280) > hnsw"));
  // With all documents as candidates nothing is lost, and distances are the scan's to the bit.
  IndexSearchOptions all;
  all.effort = 500;
  EXPECT_TRUE(same(index.search(sample().queries.batch(), 10, all), truth));
}

TEST(MultiVector, AHeadFindsNearlyAllAndScoresExactly) {
  for (const Metric metric : {Metric::ip, Metric::cosine}) {
    const Index index = build(head_spec, uncalibrated(), metric);
    SearchStats stats;
    SearchControl control;
    control.stats = &stats;
    const Neighbors found = index.search(sample().queries.batch(), 10, {}, control);
    const Neighbors truth = build("maxsim(f32)", {}, metric).search(sample().queries.batch(), 10);
    EXPECT_GT(recall(found.ids(), truth.ids(), 10), 0.9);
    EXPECT_EQ(stats.reranked, 25U * 50);
    EXPECT_THAT(stats.strategy, HasSubstr("maxsim(f32, 50) > head(128) > hnsw"));
    IndexSearchOptions all;
    all.effort = 500;
    EXPECT_TRUE(same(index.search(sample().queries.batch(), 10, all), truth));
  }
}

TEST(MultiVector, ACoarseScanFindsNearlyAllAndScoresExactly) {
  for (const Metric metric : {Metric::ip, Metric::cosine}) {
    const Neighbors truth = build("maxsim(f32)", {}, metric).search(sample().queries.batch(), 10);
    std::uint64_t pairs[2] = {};
    for (const bool carved : {false, true}) {
      const Index index =
          build(carved ? scan_spec : "scan(i4, carve=off) | maxsim(f32, 3x)", uncalibrated(), metric);
      SearchStats stats;
      SearchControl control;
      control.stats = &stats;
      const Neighbors found = index.search(sample().queries.batch(), 10, {}, control);
      EXPECT_GT(recall(found.ids(), truth.ids(), 10), carved ? 0.9 : 0.98);
      EXPECT_EQ(stats.reranked, 25U * 30);
      EXPECT_EQ(stats.queries, 25U);
      EXPECT_EQ(stats.strategy, "maxsim(f32, 30) > scan(i4)");
      pairs[carved ? 1 : 0] = stats.distances;
      IndexSearchOptions all;
      all.effort = 500;
      EXPECT_TRUE(same(index.search(sample().queries.batch(), 10, all), truth));
      // Candidates as many as results are the coarse scan's own order, of which the first are scored again.
      all.effort = 10;
      EXPECT_GT(recall(index.search(sample().queries.batch(), 10, all).ids(), truth.ids(), 10), 0.6);
    }
    EXPECT_EQ(pairs[0], sample().queries.offsets.back() * sample().documents.offsets.back());
    EXPECT_LT(pairs[1], pairs[0] * 3 / 4) << "vectors of these queries are near to each other";
  }
}

// What is not of length 1 is carved by directions where only those count.
TEST(MultiVector, LengthsDoNotMatterToACoarseScanByCosine) {
  Documents longer = sample().queries;
  for (std::size_t row = 0; row < longer.offsets.back(); ++row) {
    for (std::size_t j = 0; j < longer.dim; ++j)
      longer.values[row * longer.dim + j] *= static_cast<float>(1U << row % 5);
  }
  const Index index = build("scan(f32) | maxsim(f32, 1x)", uncalibrated(), Metric::cosine);
  const Neighbors found = index.search(longer.batch(), 10);
  const Neighbors truth = index.search(sample().queries.batch(), 10);
  EXPECT_GT(recall(found.ids(), truth.ids(), 10), 0.999);
  // Opposite vectors add up to nothing.
  Documents opposite = sample().queries;
  std::transform(opposite.values.begin(), opposite.values.begin() + 32, opposite.values.begin() + 32,
                 std::negate<>());
  const std::vector<std::uint64_t> two{0, 2};
  EXPECT_EQ(index.search({opposite.batch().rows.rows_from(0, 2), two}, 10).counts()[0], 10U);
}

TEST(MultiVector, PoolingIsDoneAtTheBuild) {
  PoolingOptions half;
  half.factor = 2;
  const PooledTokens pooled = pool_tokens(sample().documents.batch(), half);
  const VectorBatch by_hand({pooled.rows.data(), pooled.offsets.back(), 32}, pooled.offsets);
  for (const char* spec : {"maxsim(f32)", scan_spec, muvera_spec}) {
    const Index index = build(("pool(2x) | " + std::string(spec)).c_str(), uncalibrated());
    const Index expected = Index::build(by_hand, spec, Metric::ip, uncalibrated());
    EXPECT_TRUE(
        same(index.search(sample().queries.batch(), 10), expected.search(sample().queries.batch(), 10)));
  }
  const Index whole = build("maxsim(i8)");
  const Index pool = build("pool(2x) | maxsim(i8)");
  EXPECT_LT(pool.memory_bytes(), whole.memory_bytes() * 6 / 10);
}

// Queries of a batch go through the documents together: each finds what it finds alone, with a filter and a budget too.
TEST(MultiVector, AScanOfManyQueriesIsThatOfEach) {
  const VectorBatch asked = sample().queries.batch();
  for (const char* spec : {"maxsim(f32)", "maxsim(b1)", scan_spec}) {
    const Index index = build(spec, uncalibrated());
    for (const std::uint64_t budget : {std::numeric_limits<std::uint64_t>::max(), std::uint64_t{5000}}) {
      for (const bool filtered : {false, true}) {
        SCOPED_TRACE(testing::Message() << spec << ", budget " << budget << ", filtered " << filtered);
        SearchControl control;
        control.max_distances = budget;
        if (filtered) control.filter = Filter::predicate([](Id id) { return id % 3 == 0; });
        SearchStats together, each;
        control.stats = &together;
        const Neighbors found = index.search(asked, 10, {}, control);
        control.stats = &each;
        std::vector<std::uint64_t> own;
        for (std::size_t q = 0; q < asked.size(); ++q) {
          const Neighbors alone = index.search(asked.part(q, 1, own), 10, {}, control);
          ASSERT_EQ(alone.counts()[0], found.counts()[q]);
          ASSERT_TRUE(std::ranges::equal(alone.ids()[0], found.ids()[q])) << q;
          ASSERT_TRUE(std::ranges::equal(alone.distances()[0], found.distances()[q])) << q;
        }
        EXPECT_EQ(together.distances, each.distances);
        EXPECT_EQ(together.bytes, each.bytes);
        EXPECT_EQ(together.stop, each.stop);
        EXPECT_EQ(together.stop == StopReason::budget, budget == 5000);
      }
    }
  }
}

TEST(MultiVector, StagesAreTimed) {
  const auto stages = [](const char* spec) {
    SearchStats stats;
    SearchControl control;
    control.stats = &stats;
    std::ignore = build(spec, uncalibrated()).search(sample().queries.batch(), 10, {}, control);
    std::vector<std::string> names;
    for (const StageTime& stage : stats.stages) {
      names.emplace_back(stage.name);
      EXPECT_GT(stage.seconds, 0);
    }
    return names;
  };
  EXPECT_THAT(stages("maxsim(i8)"), testing::ElementsAre("maxsim"));
  EXPECT_THAT(stages(scan_spec), testing::ElementsAre("scan", "maxsim"));
  EXPECT_THAT(stages(muvera_spec), testing::ElementsAre("encode", "candidates", "maxsim"));
}

TEST(MultiVector, AScanIsAdvisedWhereItTakesLessWork) {
  const auto advice = [&](const char* spec, std::size_t candidates) {
    const Index index = build(spec, uncalibrated());
    SearchStats stats;
    SearchControl control;
    control.stats = &stats;
    IndexSearchOptions options;
    options.effort = candidates;
    std::ignore = index.search(sample().queries.batch(), 10, options, control);
    return stats.advice;
  };
  EXPECT_THAT(advice(muvera_spec, 400), HasSubstr("of the work: scan(i4) | maxsim(f32)"));
  EXPECT_EQ(advice(muvera_spec, 10), "");
  // Encodings that the retriever of encodings scores again are no documents.
  EXPECT_EQ(advice("muvera | i8 | flat | rerank(f16, 3x) | maxsim(f32)", 400),
            advice("muvera | i8 | flat | maxsim(f32)", 400));
  EXPECT_EQ(build(scan_spec, uncalibrated()).search(sample().queries.batch(), 10).size(), 25U);
}

TEST(MultiVector, EncodingsMadeElsewhere) {
  const Index index = build(muvera_spec, uncalibrated());
  FdeOptions options;
  options.reps = 20;
  options.seed = IndexOptions().seed;
  const FdeEncoder same_encoder = FdeEncoder::train(options, sample().documents.batch());
  Array<float> values(sample().queries.size() * same_encoder.out_dim());
  const MatrixView<float> encodings(values.data(), sample().queries.size(), same_encoder.out_dim());
  same_encoder.encode_queries(sample().queries.batch(), encodings);
  IndexSearchOptions search;
  search.encodings = encodings;
  search.fingerprint = same_encoder.fingerprint();
  const VectorBatch queries = sample().queries.batch();
  EXPECT_TRUE(same(index.search(queries, 10, search), index.search(queries, 10)));
  // They are what candidates come from: none but zeros finds others.
  std::fill_n(values.data(), values.size(), 0.0F);
  EXPECT_FALSE(same(index.search(queries, 10, search), index.search(queries, 10)));
  values[3] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(refusal([&] { std::ignore = index.search(queries, 10, search); }),
              HasSubstr("encodings row 0 column 3 is nan"));
  values[3] = 0;
  options.seed += 1;
  search.fingerprint = FdeEncoder::train(options, sample().documents.batch()).fingerprint();
  EXPECT_THAT(refusal([&] { std::ignore = index.search(queries, 10, search); }),
              HasSubstr("expected the same encoder"));
  search.fingerprint = same_encoder.fingerprint();
  search.encodings = MatrixView<const float>(encodings).rows_from(0, 24);
  EXPECT_EQ(refusal([&] { std::ignore = index.search(queries, 10, search); }),
            "24 encodings of 25 queries, expected as many");
  search.encodings = encodings;
  EXPECT_THAT(refusal([&] { std::ignore = build("maxsim(i8)").search(queries, 10, search); }),
              HasSubstr("this index has none to compare them with"));
  const Index vectors = Index::build(sample().documents.batch().rows, "f32 | flat", Metric::ip);
  EXPECT_THAT(refusal([&] { std::ignore = vectors.search(queries.rows, 10, search); }),
              HasSubstr("the index is of single vectors"));
}

TEST(MultiVector, EveryThreadCountGivesTheSame) {
  ThreadPool pool(3);
  BuildControl threads;
  threads.executor = pool;
  SearchControl search;
  search.executor = pool;
  for (const char* spec : {muvera_spec, head_spec, scan_spec, "pool(kmeans, 2x) | maxsim(i4)"}) {
    const Index one = build(spec);
    const Index three = Index::build(sample().documents.batch(), spec, Metric::ip, {}, threads);
    EXPECT_TRUE(
        same(one.search(sample().queries.batch(), 7), three.search(sample().queries.batch(), 7, {}, search)));
    const VectorBatch single(sample().queries.batch().item(3));
    const std::vector<std::uint64_t> offsets{0, single.rows.rows()};
    EXPECT_TRUE(
        same(one.search({single.rows, offsets}, 7), three.search({single.rows, offsets}, 7, {}, search)));
    EXPECT_EQ(one.calibration(), three.calibration());
  }
}

TEST(MultiVector, SavedAndOpened) {
  const std::filesystem::path path = std::filesystem::temp_directory_path() / "vicinal_multi_vector_test.vcn";
  std::vector<Id> ids;
  for (std::size_t i = 0; i < 500; ++i) ids.push_back(static_cast<Id>(i * 7 % 500 + 1000));
  for (const char* spec : {muvera_spec, "maxsim(b1)", "scan(i4) | maxsim(i8)", head_spec,
                           "pool(3x) | scan(b2, carve=off) | maxsim(bf16)",
                           "muvera(reps=10, bits=2, projection=identity, final=300) | pca(64) | i4 | "
                           "flat | rerank(f16, 2x) | maxsim(i8, 5x)",
                           "muvera(paper) | f16 | hnsw(m=8, efc=40) | maxsim(e4m3)"}) {
    for (const Metric metric : {Metric::ip, Metric::cosine}) {
      IndexOptions options;
      options.ids = ids;
      options.calibrate = spec == muvera_spec && metric == Metric::ip;
      const Index index = build(spec, options, metric);
      index.save(path);
      for (const OpenMode mode : {OpenMode::load, OpenMode::map}) {
        const Index opened = Index::open(path, mode);
        EXPECT_EQ(to_string(opened.spec()), to_string(index.spec()));
        EXPECT_EQ(opened.calibration(), index.calibration());
        EXPECT_TRUE(
            same(opened.search(sample().queries.batch(), 9), index.search(sample().queries.batch(), 9)));
      }
    }
  }
  std::filesystem::remove(path);
}

TEST(MultiVector, OwnIdsInAnyOrder) {
  std::vector<Id> ids;
  for (std::size_t i = 0; i < 500; ++i) ids.push_back(static_cast<Id>(i * 7 % 500 + 1000));
  IndexOptions options = uncalibrated();
  options.ids = ids;
  const Index index = build("maxsim(f32)", options);
  const Neighbors found = index.search(sample().queries.batch(), 5);
  for (std::size_t q = 0; q < found.size(); ++q) {
    const std::vector<Id> truth = sample().ranked(q);
    for (std::size_t i = 0; i < 5; ++i) EXPECT_EQ(found.ids()[q][i], ids[static_cast<std::size_t>(truth[i])]);
  }
}

TEST(MultiVector, FiltersActOnDocuments) {
  for (const char* spec : {muvera_spec, head_spec, scan_spec, "maxsim(i8)"}) {
    const Index index = build(spec, uncalibrated());
    for (const std::size_t every : {2U, 50U, 400U}) {
      SearchControl control;
      control.filter =
          Filter::predicate([every](Id id) { return static_cast<std::size_t>(id) % every == 1; });
      const Neighbors found = index.search(sample().queries.batch(), 10, {}, control);
      for (std::size_t q = 0; q < found.size(); ++q) {
        EXPECT_EQ(found.counts()[q], std::min<std::size_t>(10, (500 - 2) / every + 1));
        for (const Id id : found.ids()[q].first(found.counts()[q]))
          EXPECT_EQ(static_cast<std::size_t>(id) % every, 1U);
      }
    }
  }
}

TEST(MultiVector, DocumentsWithoutVectorsAreNeverFound) {
  Documents documents = make_documents(30, 16, 0, 2, 22);
  std::size_t without = 0;
  for (std::size_t d = 0; d < 30; ++d) without += documents.offsets[d] == documents.offsets[d + 1] ? 1 : 0;
  ASSERT_GT(without, 3U);
  for (const char* spec :
       {"maxsim(f32)", "head(dim=16) | f32 | flat | maxsim(f32)", "pool(2x) | scan | maxsim(f32)",
        "muvera(reps=4, bits=1, dim=4) | f32 | flat | maxsim(f32)"}) {
    const Index index = Index::build(documents.batch(), spec, Metric::ip, uncalibrated());
    EXPECT_EQ(index.size(), 30U);
    const Documents query = make_documents(1, 16, 3, 3, 22, 1);
    const Neighbors found = index.search(query.batch(), 30);
    EXPECT_EQ(found.counts()[0], 30 - without);
    for (const Id id : found.ids()[0].first(found.counts()[0]))
      EXPECT_GT(documents.offsets[static_cast<std::size_t>(id) + 1],
                documents.offsets[static_cast<std::size_t>(id)]);
  }
}

TEST(MultiVector, TargetRecallIsReached) {
  const Documents training = make_documents(60, 32, 8, 20, 21, 2);
  IndexOptions options;
  options.calibration_queries = training.batch().rows;
  options.calibration_offsets = training.batch().offsets;
  const Index index = build(muvera_spec, options);
  ASSERT_TRUE(index.calibration().has_value());
  EXPECT_TRUE(index.calibration()->given_queries);
  EXPECT_EQ(index.calibration()->queries, 60U);
  const Neighbors truth = build("maxsim(f32)").search(sample().queries.batch(), 10);
  IndexSearchOptions target;
  std::size_t before = 0;
  for (const double wanted : {0.7, 0.9, 0.99}) {
    target.target_recall = wanted;
    SearchStats stats;
    SearchControl control;
    control.stats = &stats;
    const Neighbors found = index.search(sample().queries.batch(), 10, target, control);
    EXPECT_GT(recall(found.ids(), truth.ids(), 10), wanted - 0.05);
    EXPECT_GT(stats.reranked, before);
    before = stats.reranked;
  }
  EXPECT_LT(before, 25U * 500);
  // On documents, when there are no queries.
  const Index alone = build(muvera_spec);
  ASSERT_TRUE(alone.calibration().has_value());
  EXPECT_FALSE(alone.calibration()->given_queries);
  // A scan reaches any.
  EXPECT_TRUE(same(build("maxsim(f32)").search(sample().queries.batch(), 10, target), truth));
  EXPECT_THAT(refusal([&] {
                std::ignore = build(muvera_spec, uncalibrated()).search(sample().queries.batch(), 10, target);
              }),
              HasSubstr("not calibrated"));
}

TEST(MultiVector, ABudgetAndAStopEndAScan) {
  const Index index = build("maxsim(f32)");
  SearchStats stats;
  SearchControl control;
  control.stats = &stats;
  control.max_distances = 5000;
  const Neighbors found = index.search(sample().queries.batch(), 10, {}, control);
  EXPECT_EQ(stats.stop, StopReason::budget);
  EXPECT_LE(stats.distances, 25U * 5000);
  EXPECT_GT(stats.distances, 25U * 4000);
  std::stop_source stop;
  stop.request_stop();
  SearchControl stopped;
  SearchStats none;
  stopped.stats = &none;
  stopped.stop = stop.get_token();
  EXPECT_EQ(index.search(sample().queries.batch(), 10, {}, stopped).counts()[0], 0U);
  EXPECT_EQ(none.stop, StopReason::cancelled);
}

TEST(MultiVector, AQueryOfOneVector) {
  const Index index = build("maxsim(f32)");
  const MatrixView<const float> rows = sample().queries.batch().rows.rows_from(0, 3);
  const std::vector<std::uint64_t> offsets{0, 1, 2, 3};
  EXPECT_TRUE(same(index.search(VectorBatch(rows), 5), index.search({rows, offsets}, 5)));
}

TEST(MultiVector, BadInputIsNamed) {
  const Sample& s = sample();
  const VectorBatch good = s.documents.batch();
  EXPECT_THAT(refusal([&] { Index::build(good.rows, "maxsim(i8)", Metric::ip); }),
              HasSubstr("base has no offsets, expected some"));
  EXPECT_THAT(refusal([&] { Index::build(good, "i8 | hnsw", Metric::ip); }),
              HasSubstr("base has offsets, so its items are of several vectors, for which i8 | hnsw(m=32"));
  EXPECT_THAT(refusal([&] { Index::build(good, "maxsim(i8)", Metric::l2); }), HasSubstr("the metric is l2"));
  std::vector<std::uint64_t> falling = s.documents.offsets;
  std::swap(falling[4], falling[5]);
  EXPECT_THAT(refusal([&] {
                Index::build({good.rows, falling}, "maxsim(i8)", Metric::ip);
              }),
              HasSubstr("base offsets must ascend: offset 5 is"));
  std::vector<std::uint64_t> beyond = s.documents.offsets;
  beyond.back() += 1;
  EXPECT_THAT(refusal([&] {
                Index::build({good.rows, beyond}, "maxsim(i8)", Metric::ip);
              }),
              HasSubstr("base offsets end at row"));
  Documents broken = s.documents;
  std::size_t document = 17;
  while (broken.offsets[document + 1] - broken.offsets[document] < 4) ++document;
  broken.values[(broken.offsets[document] + 3) * 32 + 5] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(refusal([&] { Index::build(broken.batch(), "maxsim(i8)", Metric::ip); }),
            "base item " + std::to_string(document) + " vector 3 (row " +
                std::to_string(broken.offsets[document] + 3) + ") column 5 is nan, expected a finite number");
  const Index index = build("maxsim(i8)");
  const std::vector<std::uint64_t> none{0, 2, 2, 3};
  EXPECT_EQ(refusal([&] {
              std::ignore = index.search({s.queries.batch().rows.rows_from(0, 3), none}, 5);
            }),
            "query 1 has no vectors, expected at least 1");
  EXPECT_THAT(refusal([&] {
                std::ignore = index.search({{s.queries.values.data(), 4, 16}, none}, 5);
              }),
              HasSubstr("queries have 16 columns, the index has dimension 32"));
  const Index vectors = Index::build(good.rows.rows_from(0, 50), "f32 | flat", Metric::ip);
  EXPECT_THAT(refusal([&] {
                std::ignore = vectors.search({s.queries.batch().rows.rows_from(0, 3), none}, 5);
              }),
              HasSubstr("takes one vector a query"));
}

TEST(MultiVector, OneTokenAndVeryManyTokens) {
  Documents documents = make_documents(3, 8, 1, 1, 23);
  const Documents longer = make_documents(1, 8, 100'000, 100'000, 24);
  documents.values.insert(documents.values.end(), longer.values.begin(), longer.values.end());
  documents.offsets.push_back(documents.offsets.back() + 100'000);
  const Documents query = make_documents(1, 8, 4, 4, 23, 1);
  for (const char* spec :
       {"maxsim(f32)", "scan | maxsim(f32)", "muvera(reps=4, bits=2, dim=4) | f32 | flat | maxsim(f32)"}) {
    const Index index = Index::build(documents.batch(), spec, Metric::ip, uncalibrated());
    const Neighbors found = index.search(query.batch(), 4);
    EXPECT_EQ(found.counts()[0], 4U);
    EXPECT_EQ(found.ids()[0][0], 3) << "so many vectors have near ones for every query";
  }
}

}  // namespace
}  // namespace vicinal
