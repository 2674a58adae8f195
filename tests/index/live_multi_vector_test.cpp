// Documents of several vectors that change while they are searched.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <limits>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "vicinal/core/append_log.hpp"
#include "vicinal/core/error.hpp"
#include "vicinal/core/executor.hpp"
#include "vicinal/index/live_index.hpp"
#include "vicinal/index/multi_vector.hpp"
#include "../core/temporary_folder.hpp"
#include "token_data.hpp"

namespace vicinal {
namespace {

using testing::HasSubstr;

constexpr std::size_t dim = 16;
constexpr const char* scan_spec = "maxsim(f32)";
constexpr const char* muvera_spec =
    "muvera(reps=20, bits=3, dim=8) | i8 | hnsw(m=12, efc=80, alpha=1.2) | maxsim(f32, 10x)";

constexpr const char* head_spec = "head(dim=16, samples=256) | i8 | hnsw(m=12, efc=80) | maxsim(f32, 10x)";

using Oracle = std::map<Id, std::vector<float>>;

MatrixView<const float> vectors_of(const std::vector<float>& document) {
  return {document.data(), document.size() / dim, dim};
}

std::vector<Id> numbers(std::size_t count, Id first = 0) {
  std::vector<Id> ids(count);
  for (std::size_t i = 0; i < count; ++i) ids[i] = first + static_cast<Id>(i);
  return ids;
}

Documents queries() { return make_documents(8, dim, 4, 8, 3, 1000); }

bool same(const Neighbors& a, const Neighbors& b) {
  for (std::size_t q = 0; q < a.size(); ++q) {
    if (!std::ranges::equal(a.ids()[q], b.ids()[q]) ||
        !std::ranges::equal(a.distances()[q], b.distances()[q]))
      return false;
  }
  return a.size() == b.size();
}

template <class Error, class Run>
void expect_error(const Run& run, const std::string& words) {
  try {
    run();
    ADD_FAILURE() << "expected an error about " << words;
  } catch (const Error& error) {
    EXPECT_THAT(std::string(error.what()), HasSubstr(words));
  }
}

// A change of some documents, that an index and the oracle make.
struct Model {
  RandomStream random;
  Oracle oracle;
  Metric metric = Metric::ip;

  // Of vectors of length 1.
  [[nodiscard]] double distance(MatrixView<const float> query, const std::vector<float>& document) const {
    const double whole = metric == Metric::cosine ? static_cast<double>(query.rows()) : 0.0;
    return whole - exact_maxsim(query, vectors_of(document));
  }

  void step(LiveIndex& index, std::size_t most, std::size_t most_id, const BuildControl& control = {}) {
    const std::size_t count = random.next_below(most + 1);
    // One in ten has no vector.
    Documents documents =
        make_documents(count, dim, random.next_below(10) == 0 ? 0 : 1, 7, 3, random.next_below(1U << 30));
    std::vector<Id> ids, removed;
    std::set<Id> used;
    while (ids.size() < count) {
      const auto id = static_cast<Id>(random.next_below(most_id));
      if (used.insert(id).second) ids.push_back(id);
    }
    for (std::size_t r = random.next_below(most / 2 + 1); r > 0; --r) {
      const auto id = static_cast<Id>(random.next_below(most_id));
      if (!used.contains(id)) removed.push_back(id);
    }
    std::size_t gone = 0;
    for (const Id id : removed) gone += oracle.erase(id);
    for (std::size_t i = 0; i < count; ++i) {
      const MatrixView<const float> vectors = documents.batch().item(i);
      oracle[ids[i]].assign(vectors.data(), vectors.data() + vectors.rows() * dim);
    }
    const LiveChange change{documents.batch().rows, ids, removed, false, documents.offsets};
    ASSERT_EQ(index.apply(change, control), gone);
    ASSERT_EQ(index.size(), oracle.size());
  }

  // What is found is there, once, and at its distance. Returns the recall.
  double check(const Neighbors& found, const VectorBatch& asked) const {
    std::size_t hits = 0, wanted = 0;
    for (std::size_t q = 0; q < asked.size(); ++q) {
      std::vector<double> exact;
      for (const auto& [id, document] : oracle) {
        if (!document.empty()) exact.push_back(distance(asked.item(q), document));
      }
      std::ranges::sort(exact);
      const std::size_t count = std::min(found.k(), exact.size());
      EXPECT_EQ(found.counts()[q], count);
      std::set<Id> seen;
      for (std::size_t i = 0; i < found.counts()[q]; ++i) {
        const Id id = found.ids()[q][i];
        EXPECT_TRUE(seen.insert(id).second) << id;
        const auto document = oracle.find(id);
        if (document == oracle.end() || document->second.empty()) {
          ADD_FAILURE() << "document " << id << " is not there";
          continue;
        }
        const double truth = distance(asked.item(q), document->second);
        EXPECT_NEAR(static_cast<double>(found.distances()[q][i]), truth, 1e-4);
        hits += truth <= exact[count - 1] + 1e-5 ? 1 : 0;
      }
      wanted += count;
    }
    return wanted == 0 ? 1.0 : static_cast<double>(hits) / static_cast<double>(wanted);
  }
};

TEST(LiveMultiVector, AScanIsExactWhateverIsChanged) {
  const Documents asked = queries();
  for (const Metric metric : {Metric::ip, Metric::cosine}) {
    LiveIndex index = LiveIndex::create(dim, scan_spec, metric);
    Model model{RandomStream(1, 1), {}, metric};
    ThreadPool pool(3);
    SearchControl control;
    control.executor = pool;
    for (int step = 0; step < 300; ++step) {
      ASSERT_NO_FATAL_FAILURE(model.step(index, 6, 120));
      if (step % 20 != 0) continue;
      ASSERT_EQ(model.check(index.search(asked.batch(), 10), asked.batch()), 1.0);
      // More slices than queries, and more results than documents.
      const VectorBatch one = asked.batch().item(0);
      const std::vector<std::uint64_t> offsets{0, one.rows.rows()};
      ASSERT_EQ(model.check(index.search({one.rows, offsets}, 200, {}, control), {one.rows, offsets}), 1.0);
      ASSERT_TRUE(same(index.search(asked.batch(), 10), index.search(asked.batch(), 10, {}, control)));
    }
    const std::vector<Id> all = index.ids();
    EXPECT_TRUE(index.contains(all.front()));
    EXPECT_EQ(index.remove(all), all.size());
    EXPECT_EQ(index.search(asked.batch(), 4).counts()[0], 0U);
  }
}

TEST(LiveMultiVector, TheGraphFindsWhatIsThere) {
  const Documents asked = queries();
  LiveIndex index = LiveIndex::create(dim, muvera_spec, Metric::ip);
  Model model{RandomStream(2, 2), {}};
  ThreadPool pool(2);
  BuildControl control;
  control.executor = pool;
  double sum = 0;
  int checks = 0;
  for (int step = 0; step < 60; ++step) {
    ASSERT_NO_FATAL_FAILURE(model.step(index, 40, 700, control));
    if (step % 6 != 5) continue;
    sum += model.check(index.search(asked.batch(), 10), asked.batch());
    ++checks;
    EXPECT_EQ(model.check(index.search(asked.batch(), model.oracle.size()), asked.batch()), 1.0);
  }
  EXPECT_GE(sum / checks, 0.95);
  SearchStats stats;
  SearchControl search;
  search.stats = &stats;
  // What a filter passes, and nothing else, all of it.
  std::set<Id> even;
  for (const auto& [id, document] : model.oracle) {
    if (id % 2 == 0 && !document.empty()) even.insert(id);
  }
  search.filter = Filter::predicate([](Id id) { return id % 2 == 0; });
  const Neighbors found = index.search(asked.batch(), model.oracle.size(), {}, search);
  EXPECT_EQ(found.counts()[0], even.size());
  EXPECT_EQ(std::set<Id>(found.ids()[0].begin(), found.ids()[0].begin() + found.counts()[0]), even);
  EXPECT_THAT(stats.strategy, HasSubstr("muvera"));
  EXPECT_TRUE(index.consolidate());
  EXPECT_EQ(index.retired(), 0U);
}

TEST(LiveMultiVector, ReplacingChangesAnswersAndWhatIsRemovedIsNotFound) {
  for (const char* spec : {scan_spec, muvera_spec}) {
    LiveIndex index = LiveIndex::create(dim, spec, Metric::ip);
    const Documents documents = make_documents(120, dim, 2, 6, 3),
                    others = make_documents(120, dim, 2, 6, 3, 5);
    index.add(documents.batch(), numbers(120));
    std::vector<std::uint64_t> own;
    for (std::size_t i = 0; i < 120; i += 7) {
      // A query of the document's vectors finds what has them.
      const VectorBatch asked = documents.batch().part(i, 1, own);
      const auto id = static_cast<Id>(i);
      ASSERT_EQ(index.search(asked, 1).ids()[0][0], id) << spec;
      std::vector<std::uint64_t> of_other;
      const std::vector<Id> ids{id};
      index.upsert(others.batch().part(i, 1, of_other), ids);
      const Neighbors now = index.search(asked, 120);
      const std::span<const Id> all = now.ids()[0];
      const auto place = std::ranges::find(all, id) - all.begin();
      ASSERT_EQ(std::ranges::count(all, id), 1);
      EXPECT_NEAR(static_cast<double>(now.distances()[0][static_cast<std::size_t>(place)]),
                  -exact_maxsim(asked.item(0), others.batch().item(i)), 1e-4);
      EXPECT_EQ(index.remove(ids), 1U);
      EXPECT_EQ(index.remove(ids), 0U);
      const Neighbors later = index.search(asked, 120);
      EXPECT_EQ(std::ranges::count(later.ids()[0], id), 0);
      index.add(documents.batch().part(i, 1, own), ids);
      ASSERT_EQ(index.search(asked, 1).ids()[0][0], id) << spec;
    }
  }
}

TEST(LiveMultiVector, OpensAsItWasFromLogAndFile) {
  const Documents asked = queries();
  for (const char* spec :
       {scan_spec, muvera_spec, head_spec, "pool(3x) | maxsim(i8)",
        "muvera(reps=8, bits=2, dim=4) | i8 | hnsw(m=8, efc=40) | rerank(f16, 4x) | maxsim(i4, 8x)"}) {
    SCOPED_TRACE(spec);
    const TemporaryFolder folder;
    const std::filesystem::path path = folder / "m.vcn";
    Model model{RandomStream(5, 5), {}};
    Neighbors before;
    {
      LiveIndex index = LiveIndex::create(path, dim, spec, Metric::cosine, 9);
      for (int step = 0; step < 12; ++step) ASSERT_NO_FATAL_FAILURE(model.step(index, 30, 200));
      before = index.search(asked.batch(), 10);
    }
    EXPECT_EQ(folder.entries(), 1U);
    std::vector<Id> ids;
    {
      LiveIndex again = LiveIndex::open(path);
      EXPECT_EQ(again.size(), model.oracle.size());
      // Even to the links.
      EXPECT_TRUE(same(again.search(asked.batch(), 10), before));
      again.compact();
      EXPECT_LT(again.log_bytes(), 200U);
      ASSERT_NO_FATAL_FAILURE(model.step(again, 30, 200));
      ASSERT_NO_FATAL_FAILURE(model.step(again, 30, 200));
      EXPECT_EQ(again.search(asked.batch(), 10, {.target_recall = 0.9}).size(), asked.size());
      before = again.search(asked.batch(), 500);
      ids = again.ids();
    }
    EXPECT_EQ(folder.entries(), 2U);
    EXPECT_NE(Index::open(path).retriever().get_if<MultiVector>(), nullptr);
    const LiveIndex last = LiveIndex::open(path);
    EXPECT_EQ(last.ids(), ids);
    EXPECT_TRUE(same(last.search(asked.batch(), 500), before));
    const Index fixed = last.freeze();
    EXPECT_EQ(fixed.calibration().has_value(), std::string(spec).find("hnsw") != std::string::npos);
    EXPECT_TRUE(same(fixed.search(asked.batch(), 500, {.effort = 500}), before));
  }
}

TEST(LiveMultiVector, GoesOnFromAnIndexAndFreezesToItsContent) {
  const Documents documents = make_documents(300, dim, 1, 8, 3), asked = queries();
  for (const char* spec : {"maxsim(i8)", muvera_spec, head_spec}) {
    IndexOptions options;
    const std::vector<Id> ids = numbers(300, 50);
    options.ids = ids;
    const Index built = Index::build(documents.batch(), spec, Metric::ip, options);
    LiveIndex index = LiveIndex::from(built);
    EXPECT_EQ(index.ids(), ids);
    EXPECT_TRUE(same(index.search(asked.batch(), 300), built.search(asked.batch(), 300)));
    index.remove(numbers(100, 50));
    const Index frozen = index.freeze(false);
    EXPECT_EQ(frozen.size(), 200U);
    EXPECT_EQ(to_string(frozen.spec()), to_string(built.spec()));
    // As they were coded.
    const TokenStore& then = built.retriever().get_if<MultiVector>()->documents();
    const TokenStore& now = frozen.retriever().get_if<MultiVector>()->documents();
    for (std::size_t i = 0; i < 200; ++i) {
      ASSERT_EQ(now.tokens(i), then.tokens(i + 100));
      std::vector<float> a(now.tokens(i) * dim), b(a.size());
      now.decode(i, MatrixView<float>(a.data(), now.tokens(i), dim));
      then.decode(i + 100, MatrixView<float>(b.data(), now.tokens(i), dim));
      ASSERT_EQ(a, b);
    }
    EXPECT_TRUE(same(frozen.search(asked.batch(), 200), index.search(asked.batch(), 200)));
    EXPECT_EQ(built.size(), 300U);
  }
}

TEST(LiveMultiVector, PoolsWhatIsAddedAsABuildDoes) {
  const Documents asked = queries();
  Documents documents = make_documents(300, dim, 1, 7, 3);
  for (const auto& [pool, inner] : {std::pair{"pool(2x)", "maxsim(f32)"},
                                    std::pair{"pool(kmeans, 3x, protect=1, renormalise=off)", muvera_spec}}) {
    const std::string spec = std::string(pool) + " | " + inner;
    SCOPED_TRACE(spec);
    LiveIndex pooling = LiveIndex::create(dim, spec, Metric::ip),
              given = LiveIndex::create(dim, inner, Metric::ip);
    // Not all at once: a document is pooled by itself.
    std::vector<std::uint64_t> own;
    for (const auto& [first, count] : {std::pair<std::size_t, std::size_t>{0, 290}, {290, 1}, {291, 9}}) {
      const VectorBatch part = documents.batch().part(first, count, own);
      const std::vector<Id> ids = numbers(count, static_cast<Id>(first));
      pooling.add(part, ids);
      const PooledTokens pooled = pool_tokens(part, *pooling.spec().pool);
      given.add({{pooled.rows.data(), pooled.offsets.back(), dim}, pooled.offsets}, ids);
    }
    EXPECT_TRUE(same(pooling.search(asked.batch(), 20), given.search(asked.batch(), 20)));
    const Index built = Index::build(documents.batch(), spec, Metric::ip, {.calibrate = false});
    EXPECT_TRUE(same(LiveIndex::from(built).search(asked.batch(), 20), built.search(asked.batch(), 20)));
    if (std::string(inner) == "maxsim(f32)") {
      EXPECT_TRUE(same(pooling.search(asked.batch(), 20), built.search(asked.batch(), 20)));
      EXPECT_LT(pooling.memory_bytes(), 0.7 * static_cast<double>(documents.values.size() * sizeof(float)));
    }
  }
}

TEST(LiveMultiVector, AHeadLearnsFromFirstDocumentsThatAreEnough) {
  LiveIndex index = LiveIndex::create(dim, head_spec, Metric::ip);
  const Documents few = make_documents(3, dim, 5, 5, 3), documents = make_documents(200, dim, 1, 7, 3);
  expect_error<InvalidArgument>([&] { index.add(few.batch(), numbers(3)); },
                                "the first documents have 15 vectors, expected at least 16");
  EXPECT_EQ(index.size(), 0U);
  index.add(documents.batch(), numbers(200));
  index.add(few.batch(), numbers(3, 200));
  const Documents asked = queries();
  SearchStats stats;
  SearchControl control;
  control.stats = &stats;
  EXPECT_EQ(index.search(asked.batch(), 203, {}, control).counts()[0], 203U);
  EXPECT_THAT(stats.strategy, HasSubstr("head(16)"));
  // It finds what the scan does.
  const Neighbors exact =
      LiveIndex::from(Index::build(documents.batch(), "maxsim(f32)", Metric::ip)).search(asked.batch(), 10);
  LiveIndex first = LiveIndex::create(dim, head_spec, Metric::ip);
  first.add(documents.batch(), numbers(200));
  const Neighbors found = first.search(asked.batch(), 10);
  std::size_t hits = 0;
  for (std::size_t q = 0; q < asked.batch().size(); ++q) {
    for (const Id id : found.ids()[q])
      hits += static_cast<std::size_t>(std::ranges::count(exact.ids()[q], id));
  }
  EXPECT_GE(hits, 9 * asked.batch().size());
}

TEST(LiveMultiVector, RefusesAndIsAsItWas) {
  for (const char* other :
       {"muvera(reps=2) | i8 | flat | maxsim(i8)", "muvera(reps=2) | b1 | hnsw | maxsim(i8)",
        "head(dim=16) | i8 | flat | maxsim(i8)", "scan | maxsim(i8)"})
    EXPECT_THROW((void)LiveIndex::create(dim, other, Metric::ip), Unsupported) << other;
  expect_error<InvalidArgument>([] { (void)LiveIndex::create(dim, scan_spec, Metric::l2); }, "l2");
  for (const char* spec : {scan_spec, muvera_spec}) {
    LiveIndex index = LiveIndex::create(dim, spec, Metric::ip),
              fresh = LiveIndex::create(dim, spec, Metric::ip);
    Documents documents = make_documents(300, dim, 4, 4, 3);
    std::vector<Id> ids = numbers(300);
    const auto refused = [&](const VectorBatch& batch, std::span<const Id> its_ids,
                             const std::string& words) {
      const std::vector<Id> before = index.ids();
      expect_error<InvalidArgument>([&] { index.add(batch, its_ids); }, words);
      EXPECT_EQ(index.ids(), before);
    };
    // The first and a later change alike.
    for (int change = 0; change < 2; ++change) {
      refused(documents.batch().rows.rows_from(0, 300), ids, "documents have no offsets");
      refused(make_documents(300, dim + 1, 1, 1, 1).batch(), ids, "documents have 17 columns");
      refused(documents.batch(), std::span(ids).first(7), "7 ids for 300 documents");
      ids[4] = 9;
      refused(documents.batch(), ids, "id 9 is given twice");
      ids[4] = -4;
      refused(documents.batch(), ids, "id -4 of row 4 is negative");
      ids[4] = 4;
      float& value = documents.values[(17 * 4 + 3) * dim + 2];
      const float was = value;
      value = std::numeric_limits<float>::quiet_NaN();
      refused(documents.batch(), ids, "documents item 17 vector 3 (row 71) column 2 is nan");
      value = was;
      if (change == 0) {
        const std::vector<std::uint64_t> none{0, 0, 0};
        refused({MatrixView<const float>(nullptr, 0, dim), none}, std::span(ids).first(2),
                "2 documents have no vector at all");
        EXPECT_EQ(index.remove(ids), 0U);
        index.add(documents.batch(), ids);
      } else {
        refused(documents.batch(), ids, "id 0 is in the index already");
      }
    }
    fresh.add(documents.batch(), ids);
    const Documents asked = queries();
    // Nothing was learnt from what was refused.
    EXPECT_TRUE(same(index.search(asked.batch(), 300), fresh.search(asked.batch(), 300)));
    const std::vector<std::uint64_t> empty{0, 3, 3};
    expect_error<InvalidArgument>(
        [&] {
          (void)index.search({asked.batch().rows.rows_from(0, 3), empty}, 3);
        },
        "query 1 has no vectors");
    std::vector<float> row(dim);
    const std::vector<Id> one{0};
    EXPECT_THROW(index.reconstruct(one, MatrixView<float>(row.data(), 1, dim)), Unsupported);
  }
  LiveIndex single = LiveIndex::create(dim, "hnsw", Metric::ip);
  const Documents documents = make_documents(3, dim, 2, 2, 3);
  expect_error<InvalidArgument>([&] { single.add(documents.batch(), numbers(3)); }, "no maxsim stage");
  expect_error<InvalidArgument>(
      [&] { (void)LiveIndex::create(dim, scan_spec, Metric::ip).freeze(true, GraphLayout::fused); },
      "no graph");
}

TEST(LiveMultiVector, RefusesRecordsThatAreNotOfDocuments) {
  const Documents documents = make_documents(3, 2, 1, 1, 3);
  const auto opened_with = [&](const char* spec, const std::vector<std::uint64_t>& words) {
    const TemporaryFolder folder;
    {
      LiveIndex index = LiveIndex::create(folder / "r.vcn", 2, spec, Metric::ip);
      if (index.spec().maxsim) index.add(documents.batch(), numbers(3));
    }
    {
      AppendLog log = AppendLog::open(folder / "r.vcn.log", [](std::span<const std::byte>) {});
      const std::array parts{std::as_bytes(std::span(words))};
      log.append(parts);
    }
    return LiveIndex::open(folder / "r.vcn").size();
  };
  // Header: kind, dimension, documents, removed. Then offsets, ids, removed ids, and a word a vector of two values.
  EXPECT_EQ(opened_with(scan_spec, {3, 2, 2, 1, 0, 1, 3, 7, 8, 0, 0, 0, 0}), 4U);
  EXPECT_EQ(opened_with(scan_spec, {3, 2, 0, 1, 0, 2}), 2U);
  const std::vector<std::vector<std::uint64_t>> broken{
      {2, 2, 0, 1, 0},                          // of single vectors
      {3, 3, 0, 1, 0, 2},                       // of another dimension
      {3, 2, 2, 1, 0, 3, 1, 7, 8, 0, 0},        // offsets that descend
      {3, 2, 2, 1, 1, 2, 3, 7, 8, 0, 0, 0, 0},  // that do not begin at 0
      {3, 2, 2, 1, 0, 1, 3, 7, 8, 0, 0, 0},     // a vector too few
      {3, 2, 2, 1, 0, 1, 3, 7, 7, 0, 0, 0, 0},  // an id twice
      {3, 2, std::uint64_t{1} << 63, 1, 0, 2},
      {3, 2, 0, std::numeric_limits<std::uint64_t>::max(), 0, 2},
      {3, 2, 0, 0, std::uint64_t{1} << 62},
      {3, 2, 0, 0},
      {4, 2, 0, 0}};
  for (const std::vector<std::uint64_t>& words : broken)
    EXPECT_THROW((void)opened_with(scan_spec, words), CorruptFile) << testing::PrintToString(words);
  EXPECT_THROW((void)opened_with("hnsw", {3, 2, 0, 1, 0, 2}), CorruptFile);
}

// Their encodings are zeros, which are nearer to what points away from all others.
TEST(LiveMultiVector, DocumentsWithoutVectorsTakeNoPlaces) {
  LiveIndex index = LiveIndex::create(
      dim, "muvera(reps=4, bits=2, dim=4, centre=off) | f32 | hnsw(m=6, efc=30) | maxsim(f32, 1x)",
      Metric::ip);
  index.add(make_documents(50, dim, 3, 3, 3).batch(), numbers(50));
  const std::vector<std::uint64_t> none(101, 0);
  index.add({MatrixView<const float>(nullptr, 0, dim), none}, numbers(100, 50));
  EXPECT_EQ(index.size(), 150U);
  EXPECT_TRUE(index.contains(149));
  Documents asked = make_documents(20, dim, 3, 3, 3);
  for (float& value : asked.values) value = -value;
  const Neighbors found = index.search(asked.batch(), 10);
  for (std::size_t q = 0; q < found.size(); ++q) {
    ASSERT_EQ(found.counts()[q], 10U) << q;
    EXPECT_TRUE(std::ranges::all_of(found.ids()[q], [](Id id) { return id < 50; }));
  }
  EXPECT_EQ(index.freeze(false).size(), 150U);
}

TEST(LiveMultiVector, CompactLetsGoOfWhatIsGone) {
  const TemporaryFolder folder;
  LiveIndex index = LiveIndex::create(folder / "g.vcn", dim, scan_spec, Metric::ip);
  index.add(make_documents(100, dim, 5, 5, 3).batch(), numbers(100));
  const std::size_t full = index.memory_bytes();
  index.remove(numbers(40));
  EXPECT_GE(index.memory_bytes(), full);
  index.compact();
  EXPECT_LT(index.memory_bytes(), full * 7 / 10);
}

TEST(LiveMultiVector, WhatIsLearntIsLearntFromTheFirstChangeThatIsMade) {
  Documents documents = make_documents(300, dim, 4, 4, 3);
  const Documents asked = queries();
  const char* const spec = "muvera(reps=4, bits=2, dim=4) | i8 | hnsw(m=6, efc=30) | maxsim(f16, 10x)";
  LiveIndex index = LiveIndex::create(dim, spec, Metric::ip),
            fresh = LiveIndex::create(dim, spec, Metric::ip);
  documents.values[5] = 1e9F;  // beyond f16, which is seen when it is coded
  EXPECT_THROW(index.add(documents.batch(), numbers(300)), InvalidArgument);
  EXPECT_EQ(index.size(), 0U);
  EXPECT_EQ(index.search(asked.batch(), 3).counts()[0], 0U);
  documents.values[5] = 0.1F;
  index.add(documents.batch(), numbers(300));
  fresh.add(documents.batch(), numbers(300));
  EXPECT_TRUE(same(index.search(asked.batch(), 300), fresh.search(asked.batch(), 300)));
}

}  // namespace
}  // namespace vicinal
