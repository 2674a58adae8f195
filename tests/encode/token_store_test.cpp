#include "vicinal/encode/token_store.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <limits>
#include <vector>

#include "vicinal/core/error.hpp"
#include "vicinal/core/neighbors.hpp"
#include "token_data.hpp"

namespace vicinal {
namespace {

constexpr CodecKind kinds[] = {CodecKind::f32,  CodecKind::f16, CodecKind::bf16, CodecKind::i8,
                               CodecKind::i4,   CodecKind::b1,  CodecKind::b2,   CodecKind::e4m3,
                               CodecKind::e5m2, CodecKind::e3m4};

CodecOptions codec_of(CodecKind kind) {
  CodecOptions options;
  options.kind = kind;
  return options;
}

// Of the vectors as they are stored: MaxSim is exact on those.
double exact_on_codes(const TokenStore& store, MatrixView<const float> query, std::size_t document) {
  std::vector<float> rows(store.tokens(document) * store.dim());
  const MatrixView<float> decoded(rows.data(), store.tokens(document), store.dim());
  store.decode(document, decoded);
  return exact_maxsim(query, decoded);
}

class TokenStoreOf : public testing::TestWithParam<CodecKind> {};

TEST_P(TokenStoreOf, ScoresAreMaxSim) {
  const Documents documents = make_documents(60, 48, 1, 30, 1);
  const Documents queries = make_documents(5, 48, 1, 40, 1, 1);
  const TokenStore store = TokenStore::build(codec_of(GetParam()), Metric::ip, documents.batch());
  // Codes of few bits round queries, and their scales make estimates unbiased instead of decoded vectors nearest.
  const bool rough = is_rabitq(GetParam());
  MaxSimQuery prepared;
  for (std::size_t q = 0; q < queries.size(); ++q) {
    const MatrixView<const float> query = queries.batch().item(q);
    store.prepare_query(query, prepared);
    std::vector<float> all(documents.size());
    store.score_range(prepared, 0, documents.size(), all.data());
    for (std::size_t d = 0; d < documents.size(); ++d) {
      const double truth =
          rough ? exact_maxsim(query, documents.batch().item(d)) : exact_on_codes(store, query, d);
      const double tolerance = rough ? 0.25 : is_integer(GetParam()) ? 0.02 : 1e-4;
      EXPECT_NEAR(all[d], -truth, tolerance * static_cast<double>(query.rows())) << q << " " << d;
    }
  }
}

// One by one, in any order, in ranges that begin anywhere: the same bits.
TEST_P(TokenStoreOf, AnyWayOfAskingGivesTheSame) {
  Documents documents = make_documents(40, 20, 0, 25, 2);
  // One document is longer than what is scored at a time.
  const Documents longer = make_documents(1, 20, 1300, 1300, 3);
  documents.values.insert(documents.values.end(), longer.values.begin(), longer.values.end());
  documents.offsets.push_back(documents.offsets.back() + 1300);
  const TokenStore store = TokenStore::build(codec_of(GetParam()), Metric::ip, documents.batch());
  const Documents queries = make_documents(1, 20, 35, 35, 2, 1);
  MaxSimQuery prepared;
  store.prepare_query(queries.batch().rows, prepared);
  std::vector<float> all(store.size());
  store.score_range(prepared, 0, store.size(), all.data());
  for (std::uint32_t d = 0; d < store.size(); ++d) {
    float one = 0;
    store.score(prepared, {&d, 1}, &one);
    EXPECT_EQ(std::memcmp(&one, &all[d], sizeof(float)), 0) << d << ": " << one << " " << all[d];
    EXPECT_EQ(all[d] == no_distance, store.tokens(d) == 0);
  }
  std::vector<float> part(store.size());
  for (const std::size_t first : {1U, 7U, 33U}) {
    store.score_range(prepared, first, store.size() - first, part.data());
    EXPECT_EQ(std::memcmp(part.data(), all.data() + first, (store.size() - first) * sizeof(float)), 0);
  }
  const std::vector<std::uint32_t> some{40, 3, 3, 17, 0};
  store.score(prepared, some, part.data());
  for (std::size_t i = 0; i < some.size(); ++i) EXPECT_EQ(part[i], all[some[i]]);
}

TEST_P(TokenStoreOf, MatchesAreWhatADistanceConsistsOf) {
  const Documents documents = make_documents(3, 20, 600, 700, 4);
  const TokenStore store = TokenStore::build(codec_of(GetParam()), Metric::ip, documents.batch());
  const Documents queries = make_documents(1, 20, 19, 19, 4, 1);
  MaxSimQuery prepared;
  store.prepare_query(queries.batch().rows, prepared);
  for (std::uint32_t d = 0; d < store.size(); ++d) {
    std::vector<std::uint32_t> tokens(19);
    std::vector<float> distances(19);
    store.match(prepared, d, tokens, distances);
    float sum = 0;
    for (const float distance : distances) sum += distance;
    float whole = 0;
    store.score(prepared, {&d, 1}, &whole);
    EXPECT_EQ(sum, whole);
    for (std::size_t q = 0; q < 19; ++q) {
      EXPECT_LT(tokens[q], store.tokens(d));
      // A query of that vector alone, and a store of that token alone, give the same distance.
      MaxSimQuery one;
      store.prepare_query(queries.batch().rows.rows_from(q, 1), one);
      float least = 0;
      store.score(one, {&d, 1}, &least);
      EXPECT_EQ(least, distances[q]);
    }
  }
}

TEST_P(TokenStoreOf, SavedAndLoaded) {
  const Documents documents = make_documents(20, 24, 0, 9, 5);
  const TokenStore store = TokenStore::build(codec_of(GetParam()), Metric::cosine, documents.batch());
  const std::filesystem::path path = std::filesystem::temp_directory_path() /
                                     (std::string("vicinal_tokens_") + std::string(to_string(GetParam())));
  ContainerWriter writer;
  store.save(writer, "tokens");
  writer.write(path);
  const TokenStore loaded = TokenStore::load(Container::open(path, OpenMode::load), "tokens");
  std::filesystem::remove(path);
  ASSERT_EQ(loaded.size(), store.size());
  MaxSimQuery a;
  MaxSimQuery b;
  const Documents queries = make_documents(1, 24, 7, 7, 5, 1);
  store.prepare_query(queries.batch().rows, a);
  loaded.prepare_query(queries.batch().rows, b);
  std::vector<float> one(store.size());
  std::vector<float> two(store.size());
  store.score_range(a, 0, store.size(), one.data());
  loaded.score_range(b, 0, store.size(), two.data());
  EXPECT_EQ(one, two);
}

INSTANTIATE_TEST_SUITE_P(Codecs, TokenStoreOf, testing::ValuesIn(kinds),
                         [](const auto& kind) { return std::string(to_string(kind.param)); });

// A weight of 2 is the vector given twice; of inner products, one twice as long.
TEST_P(TokenStoreOf, WeightsCountDistancesSoManyTimes) {
  const Documents documents = make_documents(30, 20, 0, 12, 8);
  const Documents query = make_documents(1, 20, 5, 5, 8, 1);
  const MatrixView<const float> rows = query.batch().rows;
  for (const Metric metric : {Metric::ip, Metric::cosine}) {
    const TokenStore store = TokenStore::build(codec_of(GetParam()), metric, documents.batch());
    const std::vector<float> weights{1, 2, 0.5F, 3, 1};
    MaxSimQuery weighted;
    store.prepare_query(rows, weighted, weights);
    std::vector<float> found(store.size());
    store.score_range(weighted, 0, store.size(), found.data());
    std::vector<double> sums(store.size());
    MaxSimQuery one;
    for (std::size_t q = 0; q < 5; ++q) {
      store.prepare_query(rows.rows_from(q, 1), one);
      std::vector<float> alone(store.size());
      store.score_range(one, 0, store.size(), alone.data());
      for (std::size_t d = 0; d < store.size(); ++d)
        sums[d] += static_cast<double>(weights[q]) * static_cast<double>(alone[d]);
    }
    for (std::size_t d = 0; d < store.size(); ++d) {
      if (store.tokens(d) == 0) {
        EXPECT_EQ(found[d], no_distance);
      } else {
        EXPECT_NEAR(found[d], sums[d], 1e-4) << d;
      }
    }
    // Weights are of one query: the next has none.
    store.prepare_query(rows, weighted);
    std::vector<float> again(store.size());
    store.score_range(weighted, 0, store.size(), again.data());
    store.prepare_query(rows, one, std::vector<float>(5, 1.0F));
    store.score_range(one, 0, store.size(), found.data());
    EXPECT_EQ(std::memcmp(again.data(), found.data(), again.size() * sizeof(float)), 0);
  }
}

TEST(TokenStore, CosineIsOfDirections) {
  const Documents documents = make_documents(10, 16, 1, 8, 6);
  Documents longer = documents;
  for (std::size_t i = 0; i < longer.values.size(); ++i)
    longer.values[i] *= 1.0F + static_cast<float>(i / 16 % 5);
  const TokenStore store = TokenStore::build(codec_of(CodecKind::f32), Metric::cosine, documents.batch());
  const TokenStore scaled = TokenStore::build(codec_of(CodecKind::f32), Metric::cosine, longer.batch());
  MaxSimQuery a;
  MaxSimQuery b;
  store.prepare_query(documents.batch().item(3), a);
  scaled.prepare_query(longer.batch().item(3), b);
  std::vector<float> one(10);
  std::vector<float> two(10);
  store.score_range(a, 0, 10, one.data());
  scaled.score_range(b, 0, 10, two.data());
  for (std::size_t d = 0; d < 10; ++d) EXPECT_NEAR(one[d], two[d], 1e-4F);
  EXPECT_NEAR(one[3], 0.0F, 1e-4F) << "every vector of a document is nearest to itself";
}

TEST(TokenStore, NegativeSimilaritiesCount) {
  // The nearest may be opposite: nothing starts at 0.
  const std::vector<float> values{-1.0F, 0.0F};
  const std::vector<std::uint64_t> offsets{0, 1};
  const TokenStore store =
      TokenStore::build(codec_of(CodecKind::f32), Metric::ip, {{values.data(), 1, 2}, offsets});
  const std::vector<float> query{1.0F, 0.0F};
  MaxSimQuery prepared;
  store.prepare_query({query.data(), 1, 2}, prepared);
  float distance = 0;
  store.score_range(prepared, 0, 1, &distance);
  EXPECT_EQ(distance, 1.0F);
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

TEST(TokenStore, BadInputIsRefused) {
  const Documents documents = make_documents(4, 16, 2, 5, 7);
  const CodecOptions f32 = codec_of(CodecKind::f32);
  EXPECT_EQ(refusal([&] { TokenStore::build(f32, Metric::l2, documents.batch()); }),
            "MaxSim is a sum of inner products: the metric is l2, expected ip or cosine");
  const std::vector<std::uint64_t> none{0, 0, 0};
  EXPECT_EQ(refusal([&] {
              TokenStore::build(f32, Metric::ip, {{documents.values.data(), 0, 16}, none});
            }),
            "2 documents have no vector at all, expected at least 1");
  const TokenStore store = TokenStore::build(f32, Metric::ip, documents.batch());
  MaxSimQuery prepared;
  EXPECT_EQ(refusal([&] {
              store.prepare_query({documents.values.data(), 0, 16}, prepared);
            }),
            "a query has no vectors, expected at least 1");
  EXPECT_EQ(refusal([&] {
              store.prepare_query({documents.values.data(), 2, 8}, prepared);
            }),
            "a query has vectors of dimension 8, the documents 16");
  const MatrixView<const float> two{documents.values.data(), 2, 16};
  const std::vector<float> three{1, 1, 1};
  EXPECT_EQ(refusal([&] { store.prepare_query(two, prepared, three); }),
            "a query of 2 vectors has 3 weights");
  for (const float wrong : {0.0F, -1.0F, std::numeric_limits<float>::infinity()}) {
    const std::vector<float> weights{1, wrong};
    EXPECT_THAT(refusal([&] { store.prepare_query(two, prepared, weights); }),
                testing::HasSubstr("the weight of query vector 1 is"));
  }
}

}  // namespace
}  // namespace vicinal
