#include "vicinal/encode/live_token_store.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <map>
#include <set>
#include <vector>

#include "vicinal/core/error.hpp"
#include "vicinal/core/executor.hpp"
#include "token_data.hpp"
#include "token_samples.hpp"

namespace vicinal {
namespace {

using testing::HasSubstr;

constexpr std::size_t dim = 20;
constexpr std::size_t most_length = 9;

using Oracle = std::map<Id, std::vector<float>>;

// What a map of documents is as a batch, in ascending order of id.
Documents documents_of(const Oracle& oracle) {
  Documents documents;
  documents.dim = dim;
  for (const auto& [id, vectors] : oracle) {
    documents.values.insert(documents.values.end(), vectors.begin(), vectors.end());
    documents.offsets.push_back(documents.offsets.back() + vectors.size() / dim);
  }
  return documents;
}

std::vector<Id> ids_of(const Oracle& oracle) {
  std::vector<Id> ids;
  for (const auto& [id, vectors] : oracle) ids.push_back(id);
  return ids;
}

Codec codec_of(CodecKind kind, Metric metric) {
  const Documents sample = make_documents(60, dim, 4, most_length, 5, 77);
  return Codec::train({.kind = kind}, metric, sample.batch().rows);
}

std::vector<std::uint32_t> numbers(std::size_t count) {
  std::vector<std::uint32_t> all(count);
  for (std::uint32_t i = 0; i < count; ++i) all[i] = i;
  return all;
}

std::vector<float> distances(const TokenStore& store, const VectorBatch& queries, std::size_t query) {
  MaxSimQuery prepared;
  store.prepare_query(queries.item(query), prepared);
  std::vector<float> out(store.size());
  store.score(prepared, numbers(store.size()), out.data());
  return out;
}

void expect_holds(const TokenSnapshot& snapshot, const Oracle& oracle, const Codec& codec) {
  static const Documents queries = make_documents(2, dim, 3, 6, 5, 88);
  const std::vector<Id> ids = ids_of(oracle);
  ASSERT_EQ(snapshot.ids(), ids);
  ASSERT_EQ(snapshot.size(), ids.size());
  const Documents documents = documents_of(oracle);
  ASSERT_EQ(snapshot.tokens(), documents.offsets.back());
  EXPECT_LE(snapshot.stored_tokens(), 2 * snapshot.tokens());
  const TokenStore fresh = TokenStore::encode(codec, documents.batch(), numbers(documents.size()));
  // In an order that is not that of places, with ids that are not there.
  std::vector<Id> asked(ids.rbegin(), ids.rend());
  asked.push_back(1'000'000);
  asked.push_back(-1);
  for (std::size_t q = 0; q < queries.size(); ++q) {
    std::vector<float> expected = distances(fresh, queries.batch(), q);
    std::ranges::reverse(expected);
    expected.push_back(no_distance);
    expected.push_back(no_distance);
    MaxSimQuery prepared;
    snapshot.prepare_query(queries.batch().item(q), prepared);
    std::vector<float> found(asked.size());
    EXPECT_EQ(snapshot.score(prepared, asked, found.data()), snapshot.tokens());
    ASSERT_TRUE(same_bits(found, expected));
    const TokenStore frozen = snapshot.freeze();
    std::ranges::reverse(expected.begin(), expected.end() - 2);
    expected.resize(ids.size());
    ASSERT_TRUE(same_bits(distances(frozen, queries.batch(), q), expected));
  }
}

struct Changes {
  RandomStream random;
  Oracle oracle;

  // A change of a few documents, which the oracle makes too; returns how many it takes away.
  struct Made {
    Documents documents;
    std::vector<Id> ids, removed;
    std::size_t gone = 0;
  };
  Made next(std::size_t most_documents, std::size_t most_id) {
    Made made;
    const std::size_t count = random.next_below(most_documents + 1);
    made.documents = make_documents(count, dim, 0, most_length, 5, random.next_below(1U << 30));
    std::set<Id> used;
    while (made.ids.size() < count) {
      const auto id = static_cast<Id>(random.next_below(most_id));
      if (used.insert(id).second) made.ids.push_back(id);
    }
    for (std::size_t r = random.next_below(most_documents + 1); r > 0; --r) {
      const auto id = static_cast<Id>(random.next_below(most_id));
      if (!used.contains(id)) made.removed.push_back(id);
    }
    for (std::size_t i = 0; i < count; ++i) {
      const MatrixView<const float> vectors = made.documents.batch().item(i);
      oracle[made.ids[i]].assign(vectors.data(), vectors.data() + vectors.rows() * dim);
    }
    for (const Id id : made.removed) made.gone += oracle.erase(id);
    return made;
  }
};

void run_model(CodecKind kind, Metric metric, std::size_t operations, std::size_t most_documents) {
  const Codec codec = codec_of(kind, metric);
  LiveTokenStore store(codec);
  Changes changes{RandomStream(9, static_cast<std::uint64_t>(kind)), {}};
  for (std::size_t step = 0; step < operations; ++step) {
    if (changes.random.next_below(200) == 0) {
      store.compact();
      const TokenSnapshot now = store.snapshot();
      ASSERT_LE(now.segments(), 1U);
      ASSERT_EQ(now.stored_tokens(), now.tokens());
    }
    const Changes::Made made = changes.next(most_documents, 150);
    ASSERT_EQ(store.apply({made.documents.batch(), made.ids, made.removed}), made.gone) << step;
    // Each is more than twice as heavy as the next.
    const TokenSnapshot now = store.snapshot();
    ASSERT_LE(now.segments(), std::bit_width(now.stored_tokens() + 3 * 150)) << step;
    if (step % 37 == 0 || step + 1 == operations) {
      SCOPED_TRACE(step);
      ASSERT_NO_FATAL_FAILURE(expect_holds(now, changes.oracle, codec));
    }
  }
}

TEST(LiveTokenStore, IsWhatAMapOfDocumentsIsWhateverIsChanged) {
  run_model(CodecKind::i8, Metric::ip, 4000, 3);
  for (const CodecKind kind : {CodecKind::f32, CodecKind::f16, CodecKind::bf16, CodecKind::i4, CodecKind::b2,
                               CodecKind::b1, CodecKind::e4m3}) {
    SCOPED_TRACE(to_string(kind));
    run_model(kind, Metric::cosine, 400, 5);
  }
}

TEST(LiveTokenStore, CopiesEachVectorAFewTimesOnly) {
  LiveTokenStore store(codec_of(CodecKind::i8, Metric::ip));
  constexpr std::size_t count = 4000;
  const Documents all = make_documents(count, dim, 1, 3, 5);
  std::vector<std::uint64_t> own;
  std::size_t most = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const std::vector<Id> id{static_cast<Id>(i * 7919 % count)};
    store.apply({all.batch().part(i, 1, own), id});
    most = std::max(most, store.snapshot().segments());
  }
  EXPECT_EQ(store.size(), count);
  EXPECT_LE(most, 14U);
  const double times = static_cast<double>(store.copied()) / static_cast<double>(store.snapshot().tokens());
  EXPECT_LE(times, 12.0);  // log2 of 8,000 is 13
  EXPECT_GE(times, 2.0);
  // What is removed is let go of by and by.
  for (std::size_t i = 0; i < count; ++i) {
    const std::vector<Id> id{static_cast<Id>(i)};
    EXPECT_EQ(store.apply({{}, {}, id}), 1U);
    ASSERT_LE(store.snapshot().stored_tokens(), 2 * store.snapshot().tokens());
  }
  EXPECT_EQ(store.snapshot().segments(), 0U);
}

TEST(LiveTokenStore, GoesOnFromAStoreWithoutCodingAnew) {
  const Documents documents = make_documents(80, dim, 0, most_length, 6);
  for (const CodecKind kind : {CodecKind::i8, CodecKind::i4, CodecKind::f16, CodecKind::e5m2}) {
    const TokenStore built = TokenStore::build({.kind = kind}, Metric::cosine, documents.batch());
    std::vector<Id> ids;
    for (std::size_t i = 0; i < documents.size(); ++i) ids.push_back(static_cast<Id>(10 + 3 * i));
    LiveTokenStore store(built, ids);
    // An even document goes, so that all others change places.
    std::vector<Id> removed;
    for (std::size_t i = 0; i < ids.size(); i += 2) removed.push_back(ids[i]);
    EXPECT_EQ(store.apply({{}, {}, removed}), 40U);
    store.compact();
    const TokenStore frozen = store.snapshot().freeze();
    ASSERT_EQ(frozen.size(), 40U);
    std::vector<float> a(dim), b(dim);
    for (std::size_t i = 0; i < frozen.size(); ++i) {
      ASSERT_EQ(frozen.tokens(i), built.tokens(2 * i + 1));
      for (std::size_t t = 0; t < frozen.tokens(i); ++t) {
        frozen.codes().decode(frozen.offsets()[i] + t, a);
        built.codes().decode(built.offsets()[2 * i + 1] + t, b);
        ASSERT_TRUE(same_bits(a, b)) << to_string(kind) << " " << i << " " << t;
      }
    }
  }
  EXPECT_EQ(LiveTokenStore(TokenStore::build({}, Metric::ip, documents.batch())).snapshot().ids().back(), 79);
}

TEST(LiveTokenStore, IsTheSameForAnyNumberOfThreads) {
  const Codec codec = codec_of(CodecKind::i4, Metric::ip);
  LiveTokenStore one(codec), many(codec);
  ThreadPool pool(4);
  BuildControl control;
  control.executor = pool;
  Changes changes{RandomStream(3, 3), {}};
  for (std::size_t step = 0; step < 50; ++step) {
    const Changes::Made made = changes.next(20, 300);
    one.apply({made.documents.batch(), made.ids, made.removed});
    many.apply({made.documents.batch(), made.ids, made.removed}, control);
  }
  const TokenStore a = one.snapshot().freeze(), b = many.snapshot().freeze(control);
  ASSERT_EQ(a.tokens(), b.tokens());
  const std::size_t bytes = (a.tokens() + 15) / 16 * codec.lane_group_bytes();
  EXPECT_EQ(std::memcmp(a.codes().records(), b.codes().records(), bytes), 0);
  EXPECT_EQ(std::memcmp(a.codes().factors(), b.codes().factors(), a.tokens() * 2 * sizeof(float)), 0);
}

TEST(LiveTokenStore, ASnapshotStaysAsItIs) {
  const Codec codec = codec_of(CodecKind::i8, Metric::ip);
  LiveTokenStore store(codec);
  Changes changes{RandomStream(4, 4), {}};
  const Changes::Made made = changes.next(60, 300);
  store.apply({made.documents.batch(), made.ids, {}});
  const TokenSnapshot before = store.snapshot();
  const Oracle then = changes.oracle;
  for (int i = 0; i < 40; ++i) {
    const Changes::Made more = changes.next(10, 300);
    store.apply({more.documents.batch(), more.ids, more.removed});
  }
  store.compact();
  expect_holds(before, then, codec);
  expect_holds(store.snapshot(), changes.oracle, codec);
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

TEST(LiveTokenStore, RefusesAndIsAsItWas) {
  const Codec codec = codec_of(CodecKind::f16, Metric::ip);
  LiveTokenStore store(codec);
  Documents documents = make_documents(20, dim, 4, 4, 5);
  std::vector<Id> ids;
  for (Id id = 0; id < 20; ++id) ids.push_back(id);
  store.apply({documents.batch(), ids});
  const auto refused = [&](const VectorBatch& batch, std::vector<Id> added, std::vector<Id> removed,
                           bool must_be_new = false) {
    const std::string what = refusal([&] { store.apply({batch, added, removed, must_be_new}); });
    EXPECT_EQ(store.size(), 20U);
    EXPECT_EQ(store.snapshot().segments(), 1U);
    return what;
  };
  EXPECT_THAT(refused(documents.batch(), {1, 2}, {}), HasSubstr("2 ids for 20 documents"));
  std::vector<Id> twice = ids;
  twice[3] = 7;
  EXPECT_THAT(refused(documents.batch(), twice, {}), HasSubstr("id 7 is given twice"));
  twice[3] = -3;
  EXPECT_THAT(refused(documents.batch(), twice, {}), HasSubstr("id -3 of row 3 is negative"));
  EXPECT_THAT(refused(documents.batch(), ids, {5}), HasSubstr("id 5 is both added and removed"));
  EXPECT_THAT(refused(documents.batch(), ids, {}, true), HasSubstr("id 0 is in the index already"));
  EXPECT_THAT(refused(make_documents(20, dim + 1, 1, 1, 5).batch(), ids, {}), HasSubstr("21 columns"));
  documents.values[(17 * 4 + 3) * dim + 2] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(refused(documents.batch(), ids, {}),
              HasSubstr("documents item 17 vector 3 (row 71) column 2 is nan"));
  documents.values[(17 * 4 + 3) * dim + 2] = 1e9F;  // beyond f16
  EXPECT_THAT(refused(documents.batch(), ids, {}), testing::Not(HasSubstr("nothing was refused")));
  EXPECT_THAT(refusal([] {
                LiveTokenStore(Codec::train({}, Metric::l2, make_documents(1, dim, 1, 1, 1).batch().rows));
              }),
              HasSubstr("l2"));
  EXPECT_THAT(refusal([] { LiveTokenStore().apply({}); }), HasSubstr("no codec"));
  MaxSimQuery query;
  EXPECT_THAT(
      refusal([&] { store.snapshot().prepare_query(MatrixView<const float>(nullptr, 0, dim), query); }),
      HasSubstr("no vectors"));
}

}  // namespace
}  // namespace vicinal
