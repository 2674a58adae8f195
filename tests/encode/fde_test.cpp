#include "vicinal/encode/fde.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <limits>
#include <numeric>
#include <stop_token>
#include <vector>

#include "vicinal/core/error.hpp"
#include "vicinal/core/executor.hpp"
#include "token_data.hpp"

namespace vicinal {
namespace {

using testing::HasSubstr;

std::vector<float> encode_all(const FdeEncoder& encoder, const VectorBatch& items, bool documents,
                              const BuildControl& control = {}) {
  std::vector<float> out(items.size() * encoder.out_dim());
  const MatrixView<float> rows(out.data(), items.size(), encoder.out_dim());
  if (documents) {
    encoder.encode_documents(items, rows, control);
  } else {
    encoder.encode_queries(items, rows, control.executor);
  }
  return out;
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

double dot(std::span<const float> a, std::span<const float> b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return sum;
}

FdeOptions options_of(std::size_t reps, std::size_t bits, std::size_t dim) {
  FdeOptions options;
  options.reps = reps;
  options.bits = bits;
  options.dim = dim;
  return options;
}

std::vector<FdeOptions> many_options() {
  std::vector<FdeOptions> all{options_of(3, 2, 5), options_of(1, 0, 1), options_of(40, 3, 8),
                              FdeOptions::paper(5, 3, 8)};
  FdeOptions identity = options_of(6, 3, 8);
  identity.projection = FdeProjection::identity;
  all.push_back(identity);
  identity.final_dim = 100;
  all.push_back(identity);
  FdeOptions dense = options_of(4, 4, 7);
  dense.projection = FdeProjection::dense;
  dense.bucket = FdeBucket::mean;
  all.push_back(dense);
  FdeOptions cosine = options_of(4, 3, 6);
  cosine.scale_tokens = true;
  cosine.per_bucket = false;
  cosine.empty = FdeEmpty::nearest;
  all.push_back(cosine);
  FdeOptions cross = options_of(30, 5, 6);  // 16 directions, of which one rotation of 20 has one set
  cross.partition = FdePartition::cross_polytope;
  all.push_back(cross);
  FdeOptions planes = options_of(9, 2, 4);
  planes.partition = FdePartition::planes;
  all.push_back(planes);
  return all;
}

TEST(Fde, SizesOfEncodings) {
  const Documents documents = make_documents(4, 20, 1, 9, 1);
  const std::size_t expected[] = {3 * 4 * 5, 1,          40 * 8 * 8, 5 * 8 * 8,   6 * 8 * 20,
                                  100,       4 * 16 * 7, 4 * 8 * 6,  30 * 32 * 6, 9 * 4 * 4};
  const std::vector<FdeOptions> all = many_options();
  for (std::size_t i = 0; i < all.size(); ++i)
    EXPECT_EQ(FdeEncoder::train(all[i], documents.batch()).out_dim(), expected[i]) << i;
}

TEST(Fde, AloneAndInABatchAndForAnyThreads) {
  const Documents documents = make_documents(70, 20, 0, 40, 2);
  ThreadPool pool(3);
  BuildControl threads;
  threads.executor = pool;
  for (const FdeOptions& options : many_options()) {
    const FdeEncoder encoder = FdeEncoder::train(options, documents.batch());
    const FdeEncoder again = FdeEncoder::train(options, documents.batch(), threads);
    EXPECT_EQ(encoder.fingerprint(), again.fingerprint());
    for (const bool document : {false, true}) {
      const std::vector<float> batch = encode_all(encoder, documents.batch(), document);
      EXPECT_TRUE(same_bits(batch, encode_all(again, documents.batch(), document, threads)));
      for (std::size_t i = 0; i < documents.size(); i += 9) {
        std::vector<float> one(encoder.out_dim());
        if (document) {
          encoder.encode_document(documents.batch().item(i), one);
        } else {
          encoder.encode_query(documents.batch().item(i), one);
        }
        EXPECT_EQ(std::memcmp(one.data(), batch.data() + i * one.size(), one.size() * sizeof(float)), 0);
      }
    }
  }
}

// A query's encoding is a sum over its tokens.
TEST(Fde, QueriesAddUp) {
  const Documents documents = make_documents(2, 32, 12, 12, 3);
  const FdeEncoder encoder = FdeEncoder::train(options_of(10, 3, 8), documents.batch());
  std::vector<float> whole(encoder.out_dim());
  std::vector<float> first(encoder.out_dim());
  std::vector<float> second(encoder.out_dim());
  const MatrixView<const float> tokens = documents.batch().item(0);
  encoder.encode_query(tokens, whole);
  encoder.encode_query(tokens.rows_from(0, 5), first);
  encoder.encode_query(tokens.rows_from(5, 7), second);
  for (std::size_t i = 0; i < whole.size(); ++i) EXPECT_NEAR(whole[i], first[i] + second[i], 1e-5F);
}

// Without a projection, without centring and of one token each, inner products are those of the tokens in every repetition in which they share
// a bucket, and 0 in the others; a document's bucket has length 1.
TEST(Fde, OneTokenEachGivesTheirInnerProduct) {
  const Documents documents = make_documents(30, 24, 1, 1, 4);
  for (const auto& [partition, bits] :
       {std::pair(FdePartition::planes, 2U), std::pair(FdePartition::planes, 4U),
        std::pair(FdePartition::cross_polytope, 2U), std::pair(FdePartition::cross_polytope, 1U)}) {
    FdeOptions options = options_of(16, bits, 1);
    options.projection = FdeProjection::identity;
    options.partition = partition;
    options.centre = false;
    const FdeEncoder encoder = FdeEncoder::train(options, documents.batch());
    const std::vector<float> queries = encode_all(encoder, documents.batch(), false);
    const std::vector<float> encoded = encode_all(encoder, documents.batch(), true);
    const std::size_t dim = encoder.out_dim();
    for (std::size_t i = 0; i < documents.size(); ++i) {
      for (std::size_t j = 0; j < documents.size(); ++j) {
        const double product = dot(documents.batch().rows[i], documents.batch().rows[j]);
        const double estimate = dot({queries.data() + i * dim, dim}, {encoded.data() + j * dim, dim});
        const double shared = estimate / product;
        EXPECT_NEAR(estimate, std::round(shared) * product, 1e-5) << i << " " << j;
        EXPECT_GE(std::round(shared), 0);
        EXPECT_LE(std::round(shared), 16);
        if (i == j) {
          EXPECT_EQ(std::round(shared), 16);
        }
      }
    }
  }
}

// Tokens as far apart as can be share no corner of a cross-polytope, near ones most.
TEST(Fde, NearTokensShareCorners) {
  const Documents documents = make_documents(40, 32, 1, 1, 14);
  FdeOptions options = options_of(200, 4, 1);
  options.projection = FdeProjection::identity;
  options.partition = FdePartition::cross_polytope;
  options.centre = false;
  const FdeEncoder encoder = FdeEncoder::train(options, documents.batch());
  const auto shared = [&](const std::vector<float>& a, const std::vector<float>& b) {
    std::vector<float> query(encoder.out_dim());
    std::vector<float> document(encoder.out_dim());
    encoder.encode_query({a.data(), 1, 32}, query);
    encoder.encode_document({b.data(), 1, 32}, document);
    return dot(query, document) / dot(a, b);
  };
  double near = 0;
  for (std::size_t i = 0; i < documents.size(); ++i) {
    const std::span<const float> row = documents.batch().rows[i];
    const std::vector<float> token(row.begin(), row.end());
    std::vector<float> opposite = token;
    std::vector<float> moved = token;
    for (float& value : opposite) value = -value;
    for (std::size_t j = 0; j < 32; ++j)
      moved[j] += 0.02F * documents.values[(i + 1) % documents.size() * 32 + j];
    EXPECT_NEAR(shared(token, token), 200, 1e-3);
    EXPECT_NEAR(shared(token, opposite), 0, 1e-3);
    near += shared(token, moved) / 40;
  }
  EXPECT_GT(near, 180);
  EXPECT_LT(near, 200);
}

TEST(Fde, ThePartitionThatIsMeantByNone) {
  FdeOptions options;
  EXPECT_EQ(options.partition_for(128), FdePartition::cross_polytope);
  EXPECT_EQ(options.partition_for(3), FdePartition::planes) << "8 buckets are 4 directions";
  options.bits = 5;
  EXPECT_EQ(options.partition_for(128), FdePartition::planes);
  options.bits = 0;
  EXPECT_EQ(options.partition_for(128), FdePartition::planes);
  options.bits = 4;
  options.empty = FdeEmpty::nearest;
  EXPECT_EQ(options.partition_for(128), FdePartition::planes);
  EXPECT_EQ(FdeOptions::paper(20, 4, 8).partition_for(128), FdePartition::planes);
  const Documents documents = make_documents(3, 20, 2, 4, 15);
  FdeOptions said = options_of(4, 3, 4);
  const std::uint64_t unsaid = FdeEncoder::train(said, documents.batch()).fingerprint();
  said.partition = FdePartition::cross_polytope;
  EXPECT_EQ(FdeEncoder::train(said, documents.batch()).fingerprint(), unsaid);
  said.partition = FdePartition::planes;
  EXPECT_NE(FdeEncoder::train(said, documents.batch()).fingerprint(), unsaid);
}

// Sketches and dense projections estimate those inner products without bias: the mean over seeds is near.
TEST(Fde, ProjectionsAreUnbiased) {
  const Documents documents = make_documents(2, 32, 20, 20, 5);
  for (const bool dense : {false, true}) {
    FdeOptions options = options_of(1, 0, 8);  // one bucket: exactly <sum of q, direction of p>
    options.centre = false;
    FdeOptions whole = options;
    whole.projection = FdeProjection::identity;
    if (dense) options.projection = FdeProjection::dense;
    const auto estimate = [&](const FdeOptions& with) {
      const FdeEncoder encoder = FdeEncoder::train(with, documents.batch());
      std::vector<float> query(encoder.out_dim());
      std::vector<float> document(encoder.out_dim());
      encoder.encode_query(documents.batch().item(0), query);
      encoder.encode_document(documents.batch().item(1), document);
      return dot(query, document);
    };
    const double exact = estimate(whole);
    double sum = 0;
    double squares = 0;
    constexpr int seeds = 400;
    for (int seed = 0; seed < seeds; ++seed) {
      options.seed = static_cast<std::uint64_t>(seed);
      const double value = estimate(options);
      sum += value;
      squares += value * value;
    }
    const double mean = sum / seeds;
    const double deviation = std::sqrt((squares / seeds - mean * mean) / seeds);
    EXPECT_NEAR(mean, exact, 4 * deviation) << (dense ? "dense" : "sketch");
    EXPECT_GT(deviation, 0);
  }
}

TEST(Fde, RepeatedTokensDoNotChangeADirection) {
  const Documents documents = make_documents(1, 16, 6, 6, 6);
  std::vector<float> twice = documents.values;
  twice.insert(twice.end(), documents.values.begin(), documents.values.end());
  FdeOptions options = options_of(8, 3, 4);
  const FdeEncoder encoder = FdeEncoder::train(options, documents.batch());
  std::vector<float> once(encoder.out_dim());
  std::vector<float> again(encoder.out_dim());
  encoder.encode_document(documents.batch().rows, once);
  encoder.encode_document({twice.data(), 12, 16}, again);
  for (std::size_t i = 0; i < once.size(); ++i) EXPECT_NEAR(once[i], again[i], 1e-5F);
}

// Every bucket of a document with `nearest` holds something; with `zero` those without a token hold nothing.
TEST(Fde, EmptyBuckets) {
  const Documents documents = make_documents(1, 16, 3, 3, 7);
  FdeOptions options = options_of(10, 4, 16);
  options.projection = FdeProjection::identity;
  const auto empty_buckets = [&](FdeEmpty empty, bool document) {
    options.empty = empty;
    const FdeEncoder encoder = FdeEncoder::train(options, documents.batch());
    std::vector<float> out(encoder.out_dim());
    if (document) {
      encoder.encode_document(documents.batch().rows, out);
    } else {
      encoder.encode_query(documents.batch().rows, out);
    }
    std::size_t count = 0;
    for (std::size_t b = 0; b < 160; ++b)
      count +=
          std::all_of(out.begin() + static_cast<std::ptrdiff_t>(b * 16),
                      out.begin() + static_cast<std::ptrdiff_t>(b * 16 + 16), [](float v) { return v == 0; });
    return count;
  };
  EXPECT_GE(empty_buckets(FdeEmpty::zero, true), 130U);  // 3 tokens leave at least 13 of 16 empty
  EXPECT_EQ(empty_buckets(FdeEmpty::nearest, true), 0U);
  EXPECT_GE(empty_buckets(FdeEmpty::nearest, false), 130U)
      << "queries are never filled: a token would count twice";
}

// With more repetitions, encodings rank documents more as MaxSim does.
TEST(Fde, FindsWhatMaxSimFinds) {
  const Documents documents = make_documents(400, 32, 5, 40, 8);
  const Documents queries = make_documents(30, 32, 16, 16, 8, 1);
  const auto recall_of = [&](const FdeOptions& options) {
    const FdeEncoder encoder = FdeEncoder::train(options, documents.batch());
    const std::vector<float> encoded = encode_all(encoder, documents.batch(), true);
    const std::vector<float> asked = encode_all(encoder, queries.batch(), false);
    const std::size_t dim = encoder.out_dim();
    double found = 0;
    for (std::size_t q = 0; q < queries.size(); ++q) {
      std::vector<double> truth(documents.size());
      std::vector<double> estimate(documents.size());
      for (std::size_t d = 0; d < documents.size(); ++d) {
        truth[d] = exact_maxsim(queries.batch().item(q), documents.batch().item(d));
        estimate[d] = dot({asked.data() + q * dim, dim}, {encoded.data() + d * dim, dim});
      }
      const auto best = [&](const std::vector<double>& scores, std::size_t count) {
        std::vector<std::size_t> order(scores.size());
        std::iota(order.begin(), order.end(), 0U);
        std::ranges::sort(order, [&](std::size_t a, std::size_t b) { return scores[a] > scores[b]; });
        order.resize(count);
        std::ranges::sort(order);
        return order;
      };
      std::vector<std::size_t> both;
      std::ranges::set_intersection(best(truth, 10), best(estimate, 40), std::back_inserter(both));
      found += static_cast<double>(both.size()) / 10;
    }
    return found / static_cast<double>(queries.size());
  };
  const double few = recall_of(options_of(2, 3, 4));
  const double many = recall_of(options_of(60, 3, 8));
  FdeOptions planes = options_of(60, 3, 8);
  planes.partition = FdePartition::planes;
  EXPECT_GT(recall_of(planes), 0.9);
  EXPECT_GT(many, 0.9);
  EXPECT_GT(many, few + 0.1);
}

TEST(Fde, SavedAndLoaded) {
  const Documents documents = make_documents(10, 20, 1, 9, 9);
  const std::filesystem::path path = std::filesystem::temp_directory_path() / "vicinal_fde_test.vcn";
  for (const FdeOptions& options : many_options()) {
    const FdeEncoder encoder = FdeEncoder::train(options, documents.batch());
    ContainerWriter writer;
    encoder.save(writer, "muvera");
    writer.write(path);
    const FdeEncoder loaded = FdeEncoder::load(Container::open(path, OpenMode::load), "muvera", options, 20);
    FdeOptions other = options;
    other.reps += 1;
    EXPECT_THROW(FdeEncoder::load(Container::open(path, OpenMode::load), "muvera", other, 20), CorruptFile);
    FdeOptions said = options;
    said.partition = options.partition_for(20);
    EXPECT_EQ(loaded.options(), said);
    EXPECT_EQ(loaded.fingerprint(), encoder.fingerprint());
    EXPECT_TRUE(
        same_bits(encode_all(loaded, documents.batch(), true), encode_all(encoder, documents.batch(), true)));
  }
  std::filesystem::remove(path);
}

TEST(Fde, FingerprintsDiffer) {
  const Documents documents = make_documents(10, 20, 1, 9, 10);
  const Documents others = make_documents(10, 20, 1, 9, 11);
  std::vector<std::uint64_t> prints;
  for (const FdeOptions& options : many_options())
    prints.push_back(FdeEncoder::train(options, documents.batch()).fingerprint());
  FdeOptions seeded = many_options().front();
  prints.push_back(FdeEncoder::train(seeded, others.batch()).fingerprint());
  seeded.seed = 1;
  prints.push_back(FdeEncoder::train(seeded, documents.batch()).fingerprint());
  std::ranges::sort(prints);
  EXPECT_EQ(std::ranges::adjacent_find(prints), prints.end());
}

std::string refusal(const FdeOptions& options, const VectorBatch& documents) {
  try {
    FdeEncoder::train(options, documents);
  } catch (const InvalidArgument& error) {
    return error.what();
  }
  return "nothing was refused";
}

TEST(Fde, BadOptionsAreRefused) {
  const Documents documents = make_documents(3, 20, 2, 4, 12);
  const VectorBatch batch = documents.batch();
  EXPECT_EQ(refusal(options_of(0, 3, 8), batch), "an encoding has 0 repetitions, expected 1 to 65536");
  EXPECT_EQ(refusal(options_of(1, 17, 8), batch),
            "an encoding has 2^17 buckets a repetition, expected at most 2^16");
  FdeOptions cross = options_of(1, 6, 8);
  cross.partition = FdePartition::cross_polytope;
  EXPECT_EQ(refusal(cross, batch),
            "64 buckets of a cross-polytope need tokens of dimension 32, they have 20");
  cross.bits = 5;
  cross.empty = FdeEmpty::nearest;
  EXPECT_EQ(refusal(cross, batch), "a cross-polytope's empty buckets are zero, expected no other");
  EXPECT_EQ(refusal(options_of(1, 3, 0), batch),
            "a bucket of an encoding has 0 values, expected 1 to the tokens' 20");
  EXPECT_EQ(refusal(options_of(1, 3, 21), batch),
            "a bucket of an encoding has 21 values, expected 1 to the tokens' 20");
  EXPECT_THAT(refusal(options_of(65'536, 16, 8), batch), HasSubstr("expected at most 268435456"));
  EXPECT_EQ(refusal(options_of(1, 3, 8), {MatrixView<const float>(nullptr, 0, 20)}),
            "there are no tokens whose mean could be subtracted, expected at least 1");
  const FdeEncoder encoder = FdeEncoder::train(options_of(2, 2, 4), batch);
  std::vector<float> out(encoder.out_dim());
  EXPECT_THROW(encoder.encode_query({documents.values.data(), 2, 10}, out), InvalidArgument);
  EXPECT_THROW(encoder.encode_query(batch.item(0), std::span(out).first(3)), InvalidArgument);
}

TEST(Fde, NoTokensGiveZeros) {
  const Documents documents = make_documents(3, 20, 2, 4, 13);
  for (const FdeOptions& options : many_options()) {
    const FdeEncoder encoder = FdeEncoder::train(options, documents.batch());
    std::vector<float> out(encoder.out_dim(), 7.0F);
    encoder.encode_document({documents.values.data(), 0, 20}, out);
    EXPECT_THAT(out, testing::Each(0.0F));
    // A token of zeros has no direction and is on no side.
    const std::vector<float> zeros(20);
    encoder.encode_query({zeros.data(), 1, 20}, out);
    EXPECT_THAT(out, testing::Each(0.0F));
    encoder.encode_document({zeros.data(), 1, 20}, out);
    EXPECT_TRUE(std::ranges::all_of(out, [](float v) { return std::isfinite(v); }));
  }
}

TEST(Fde, AStoppedEncodingThrows) {
  const Documents documents = make_documents(40, 16, 1, 5, 3);
  FdeOptions options;
  options.reps = 2;
  const FdeEncoder encoder = FdeEncoder::train(options, documents.batch());
  std::vector<float> out(documents.size() * encoder.out_dim());
  const MatrixView<float> view(out.data(), documents.size(), encoder.out_dim());
  std::stop_source source;
  encoder.encode_queries(documents.batch(), view, {}, source.get_token());
  source.request_stop();
  BuildControl control;
  control.stop = source.get_token();
  EXPECT_THROW(encoder.encode_queries(documents.batch(), view, {}, source.get_token()), Cancelled);
  EXPECT_THROW(encoder.encode_documents(documents.batch(), view, control), Cancelled);
}

}  // namespace
}  // namespace vicinal
