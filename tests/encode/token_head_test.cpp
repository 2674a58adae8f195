#include "vicinal/encode/token_head.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <limits>
#include <numeric>

#include "vicinal/core/error.hpp"
#include "vicinal/core/executor.hpp"
#include "vicinal/quant/kernels.hpp"
#include "shared_documents.hpp"
#include "token_data.hpp"
#include "token_head_oracle.hpp"
#include "token_samples.hpp"

namespace vicinal {
namespace {

using testing::HasSubstr;

std::vector<float> encode_all(const TokenHead& head, const VectorBatch& items, bool documents,
                              const BuildControl& control = {}) {
  std::vector<float> out(items.size() * head.out_dim(), 7.0F);
  const MatrixView<float> rows(out.data(), items.size(), head.out_dim());
  if (documents) {
    head.encode_documents(items, rows, control);
  } else {
    head.encode_queries(items, rows, control.executor);
  }
  return out;
}

double dot(std::span<const float> a, std::span<const float> b) {
  return std::inner_product(a.begin(), a.end(), b.begin(), 0.0, std::plus<>(),
                            [](float x, float y) { return static_cast<double>(x) * static_cast<double>(y); });
}

TokenHeadOptions options_of(std::size_t dim, std::size_t samples, double ridge = 0.01) {
  TokenHeadOptions options;
  options.dim = dim;
  options.samples = samples;
  options.ridge = ridge;
  return options;
}

std::vector<TokenHeadOptions> many_options() {
  std::vector<TokenHeadOptions> all{options_of(16, 8192), options_of(100, 300), options_of(64, 257, 0.5)};
  all[1].scale_tokens = true;
  all[2].seed = 5;
  return all;
}

// The share of the `few` best by MaxSim that the inner products of encodings put among the first `many`.
double share_found(const TokenHead& head, const VectorBatch& documents, const VectorBatch& queries,
                   std::size_t few, std::size_t many) {
  const std::vector<float> encoded = encode_all(head, documents, true);
  const std::vector<float> asked = encode_all(head, queries, false);
  const std::size_t dim = head.out_dim();
  const auto best = [](const std::vector<double>& scores, std::size_t count) {
    std::vector<std::size_t> order(scores.size());
    std::iota(order.begin(), order.end(), 0U);
    std::ranges::sort(order, [&](std::size_t a, std::size_t b) { return scores[a] > scores[b]; });
    order.resize(count);
    std::ranges::sort(order);
    return order;
  };
  std::size_t found = 0;
  for (std::size_t q = 0; q < queries.size(); ++q) {
    std::vector<double> truth;
    std::vector<double> estimate;
    for (std::size_t d = 0; d < documents.size(); ++d) {
      truth.push_back(exact_maxsim(queries.item(q), documents.item(d)));
      estimate.push_back(dot({asked.data() + q * dim, dim}, {encoded.data() + d * dim, dim}));
    }
    std::vector<std::size_t> both;
    std::ranges::set_intersection(best(truth, few), best(estimate, many), std::back_inserter(both));
    found += both.size();
  }
  return static_cast<double>(found) / static_cast<double>(few * queries.size());
}

// All that the class does, from its definition in double precision; and the samples are what they should be.
TEST(TokenHead, IsTheRegressionItSaysItIs) {
  Documents documents = make_documents(40, 20, 0, 30, 1);
  for (std::size_t i = 0; i < documents.values.size(); i += 7)
    documents.values[i] *= 1.5F;  // not of length 1
  for (const TokenHeadOptions& options : many_options()) {
    const TokenHead head = TokenHead::train(options, documents.batch());
    const HeadOracle oracle(head, options, 20);
    const std::size_t tokens = documents.offsets.back();
    const std::size_t drawn = std::min(tokens, options.samples + options.samples / 8);
    EXPECT_EQ(oracle.sample_count(), drawn - drawn / 9);
    oracle.expect_samples_of(documents.batch());
    oracle.expect_threshold();
    const std::vector<float> queries = encode_all(head, documents.batch(), false);
    const std::vector<float> encoded = encode_all(head, documents.batch(), true);
    for (std::size_t i = 0; i < documents.size(); ++i) {
      const std::vector<double> query = oracle.query(documents.batch().item(i));
      const std::vector<double> document = oracle.document(documents.batch().item(i));
      double largest = 1;
      for (const double v : document) largest = std::max(largest, std::abs(v));
      for (std::size_t f = 0; f < head.out_dim(); ++f) {
        ASSERT_NEAR(static_cast<double>(queries[i * head.out_dim() + f]), query[f], 1e-4) << i << " " << f;
        ASSERT_NEAR(static_cast<double>(encoded[i * head.out_dim() + f]), document[f], 2e-4 * largest)
            << i << " " << f;
      }
    }
  }
}

TEST(TokenHead, AloneAndInABatchAndForAnyThreads) {
  const Documents documents = make_documents(75, 20, 0, 40, 2);
  ThreadPool pool(3);
  BuildControl threads;
  threads.executor = pool;
  for (const TokenHeadOptions& options : many_options()) {
    const TokenHead head = TokenHead::train(options, documents.batch());
    const TokenHead again = TokenHead::train(options, documents.batch(), {}, threads);
    EXPECT_EQ(head.fingerprint(), again.fingerprint());
    EXPECT_EQ(head.health(), again.health());
    for (const bool document : {false, true}) {
      const std::vector<float> batch = encode_all(head, documents.batch(), document);
      EXPECT_TRUE(same_bits(batch, encode_all(again, documents.batch(), document, threads)));
      for (std::size_t i = 0; i < documents.size(); i += 9) {
        std::vector<float> one(head.out_dim());
        if (document) {
          head.encode_document(documents.batch().item(i), one);
        } else {
          head.encode_query(documents.batch().item(i), one);
        }
        EXPECT_EQ(std::memcmp(one.data(), batch.data() + i * one.size(), one.size() * sizeof(float)), 0);
      }
    }
  }
}

// Prints hashes, for the test below, which runs it in a process for each set of kernels.
TEST(TokenHeadBits, DISABLED_Print) {
  const Documents documents = make_documents(75, 24, 0, 40, 3);
  std::printf("kernels %.*s\n", static_cast<int>(kernels().name.size()), kernels().name.data());
  for (const TokenHeadOptions& options : many_options()) {
    const TokenHead head = TokenHead::train(options, documents.batch());
    std::uint64_t hash = 0;
    for (const bool document : {false, true}) {
      for (const float v : encode_all(head, documents.batch(), document))
        hash = RandomStream(hash, std::bit_cast<std::uint32_t>(v)).at(0);
    }
    std::printf("bits %llx %llx %llx\n", static_cast<unsigned long long>(head.fingerprint()),
                static_cast<unsigned long long>(std::bit_cast<std::uint64_t>(head.health())),
                static_cast<unsigned long long>(hash));
  }
}

TEST(TokenHeadBits, AreTheSameOnEverySet) {
  const auto lines_under = [](std::string_view set) {
    const std::string program = std::filesystem::read_symlink("/proc/self/exe").string();
    const std::string command =
        "VICINAL_SIMD='" + std::string(set) + "' '" + program +
        "' --gtest_also_run_disabled_tests --gtest_filter=TokenHeadBits.DISABLED_Print";
    std::FILE* const pipe = ::popen(command.c_str(), "r");
    std::array<char, 4096> line{};
    std::vector<std::string> found;
    while (pipe != nullptr && std::fgets(line.data(), line.size(), pipe) != nullptr) {
      const std::string text(line.data());
      if (text.starts_with("kernels ") || text.starts_with("bits ")) found.push_back(text);
    }
    const int status = ::pclose(pipe);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    return found;
  };
  const std::vector<std::string> plain = lines_under("scalar");
  ASSERT_EQ(plain.size(), 4U);
  EXPECT_EQ(plain[0], "kernels scalar\n");
  for (const Kernels& set : available_kernels()) {
    std::vector<std::string> other = lines_under(set.name);
    ASSERT_EQ(other.size(), 4U);
    EXPECT_EQ(other[0], "kernels " + std::string(set.name) + "\n");
    other[0] = plain[0];
    EXPECT_EQ(other, plain) << set.name;
  }
}

TEST(TokenHead, FindsWhatMaxSimFinds) {
  const Documents documents = make_documents(400, 32, 5, 40, 8);
  const Documents queries = make_documents(30, 32, 16, 16, 8, 1);
  const auto share = [&](std::size_t dim) {
    return share_found(TokenHead::train(options_of(dim, 4096), documents.batch()), documents.batch(),
                       queries.batch(), 10, 40);
  };
  const double few = share(16);
  const double many = share(512);
  EXPECT_GT(many, 0.9);
  EXPECT_GT(many, few + 0.1);
}

TEST(TokenHead, QueriesMayBeAmongTheSamples) {
  const Documents documents = make_documents(50, 16, 5, 20, 4);
  const Documents queries = make_documents(20, 16, 5, 20, 4, 1);
  const TokenHeadOptions options = options_of(64, 200);
  const TokenHead without = TokenHead::train(options, documents.batch());
  const TokenHead with = TokenHead::train(options, documents.batch(), queries.batch());
  EXPECT_NE(with.fingerprint(), without.fingerprint());
  const HeadOracle oracle(with, options, 16);
  ASSERT_EQ(oracle.sample_count(), 200U);
  std::size_t of_queries = 0;
  for (std::size_t s = 0; s < 200; ++s) of_queries += oracle.is_token_of(s, queries.batch()) ? 1 : 0;
  EXPECT_EQ(of_queries, 100U);
}

// Near 1 where documents differ in a way that features can tell, and low where g is the noise of single tokens.
TEST(TokenHead, HealthTellsStructureFromNoise) {
  const TokenHeadOptions options = options_of(256, 2048);
  Documents single;  // one token each: g is linear, and features hold x itself
  single.dim = 16;
  const Documents pool = make_documents(60, 16, 40, 40, 5);
  single.values = pool.values;
  for (std::size_t i = 1; i <= pool.offsets.back(); ++i) single.offsets.push_back(i);
  EXPECT_GT(TokenHead::train(options_of(256, 2048, 1e-4), single.batch()).health(), 0.99);
  const double structured = TokenHead::train(options, make_documents(200, 32, 10, 40, 6).batch()).health();
  const Tokens random = random_tokens(200 * 25, 128, 7);
  Documents noise{128, random.values, {}};
  for (std::size_t i = 0; i <= 200; ++i) noise.offsets.push_back(i * 25);
  const double noisy = TokenHead::train(options, noise.batch()).health();
  EXPECT_GT(structured, 0.7);
  EXPECT_LT(noisy, 0.3);
  EXPECT_LE(structured, 1);
  const Documents one = make_documents(1, 16, 40, 40, 5);
  EXPECT_EQ(TokenHead::train(options, one.batch()).health(), 0) << "one document does not vary";
}

TEST(TokenHead, FewTokensAndNone) {
  for (const std::size_t tokens : {1U, 2U, 9U}) {
    const Documents documents = make_documents(1, 16, tokens, tokens, 9);
    const TokenHead head = TokenHead::train(options_of(40, 8192), documents.batch());
    for (const float v : encode_all(head, documents.batch(), true)) EXPECT_TRUE(std::isfinite(v));
    const double estimate =
        dot(encode_all(head, documents.batch(), false), encode_all(head, documents.batch(), true));
    // Alone, a token is the sample itself; of two, both samples lie along the line from one to the other.
    if (tokens == 1) {
      EXPECT_NEAR(estimate, 1, 0.05);
    }
    EXPECT_LT(std::abs(estimate), 2 * static_cast<double>(tokens));
    std::vector<float> out(40, 7.0F);
    head.encode_document({nullptr, 0, 16}, out);
    EXPECT_THAT(out, testing::Each(0.0F));
    head.encode_query({nullptr, 0, 16}, out);
    EXPECT_THAT(out, testing::Each(0.0F));
  }
}

// g of a document is the largest product wherever the token is among many.
TEST(TokenHead, LongDocuments) {
  const Documents documents = make_documents(30, 16, 5, 20, 10);
  const TokenHead head = TokenHead::train(options_of(48, 100), documents.batch());
  const MatrixView<const float> once = documents.batch().item(3);
  std::vector<float> many;
  // Token after token, each many times, so that none is in all parts of the document.
  for (std::size_t t = 0; t < once.rows(); ++t) {
    for (std::size_t i = 0; i < 100'000 / once.rows() + 1; ++i)
      many.insert(many.end(), once[t].begin(), once[t].end());
  }
  std::vector<float> expected(48);
  std::vector<float> got(48);
  head.encode_document(once, expected);
  head.encode_document({many.data(), many.size() / 16, 16}, got);
  EXPECT_TRUE(same_bits(got, expected));
}

TEST(TokenHead, BadInputIsRefused) {
  Documents documents = make_documents(5, 20, 2, 4, 12);
  const VectorBatch batch = documents.batch();
  const auto refusal = [&](const TokenHeadOptions& options, const VectorBatch& of,
                           const VectorBatch& queries = {}) {
    try {
      TokenHead::train(options, of, queries);
    } catch (const InvalidArgument& error) {
      return std::string(error.what());
    }
    return std::string("nothing was refused");
  };
  EXPECT_EQ(refusal(options_of(15, 10), batch), "a learned head has 15 values, expected 16 to 16384");
  EXPECT_EQ(refusal(options_of(16'385, 10), batch), "a learned head has 16385 values, expected 16 to 16384");
  EXPECT_EQ(refusal(options_of(16, 0), batch), "a learned head is fitted to 0 samples, expected 1 to 65536");
  EXPECT_EQ(refusal(options_of(16, 65'537), batch),
            "a learned head is fitted to 65537 samples, expected 1 to 65536");
  EXPECT_THAT(refusal(options_of(16, 10, 0), batch), HasSubstr("ridge of 0, expected"));
  EXPECT_THAT(refusal(options_of(16, 10, std::numeric_limits<double>::quiet_NaN()), batch),
              HasSubstr("ridge of nan"));
  EXPECT_THAT(refusal(options_of(16'384, 65'536), batch), HasSubstr("expected at most 268435456"));
  EXPECT_EQ(refusal(options_of(16, 10), {MatrixView<const float>(nullptr, 0, 20)}),
            "there are no tokens that a learned head could be fitted to, expected at least 1");
  EXPECT_EQ(refusal(options_of(16, 10), batch, {MatrixView<const float>(documents.values.data(), 2, 10)}),
            "queries have dimension 10, the learned head 20");
  const std::vector<float> zeros(60);
  EXPECT_THAT(refusal(options_of(16, 10), {MatrixView<const float>(zeros.data(), 3, 20)}),
              HasSubstr("are zero"));
  const TokenHead head = TokenHead::train(options_of(16, 10), batch);
  std::vector<float> out(16, 7.0F);
  EXPECT_THROW(head.encode_query({documents.values.data(), 2, 10}, out), InvalidArgument);
  EXPECT_THROW(head.encode_document(batch.item(0), std::span(out).first(3)), InvalidArgument);
  EXPECT_THROW(head.encode_documents(batch, {out.data(), 1, 16}), InvalidArgument);
  documents.values[20 * documents.offsets[2] + 7] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(refusal(options_of(16, 10), documents.batch()), HasSubstr("documents item 2 vector 0"));
  EXPECT_THAT(refusal(options_of(16, 10), documents.batch()), HasSubstr("column 7"));
  EXPECT_THROW(head.encode_document(documents.batch().item(2), out), InvalidArgument);
  EXPECT_THROW(head.encode_query(documents.batch().item(2), out), InvalidArgument);
  EXPECT_THAT(out, testing::Each(7.0F)) << "nothing changes on failure";
  documents.values[20 * documents.offsets[2] + 7] = 1e20F;
  EXPECT_THAT(refusal(options_of(16, 10), documents.batch()), HasSubstr("up to 2^54"));
}

class TokenHeadFile : public testing::Test {
 protected:
  ~TokenHeadFile() override { std::filesystem::remove(path_); }
  void save(const TokenHead& head) const {
    ContainerWriter writer;
    head.save(writer, "head");
    writer.write(path_);
  }
  // With one section's bytes changed by `edit`.
  template <class Edit>
  void save_changed(const std::string& section, Edit edit) const {
    const Container file = Container::open(path_, OpenMode::load);
    ContainerWriter writer;
    std::vector<Array<float>> floats;
    for (const char* name : {"head/samples", "head/directions"}) {
      floats.push_back(file.array<float>(name, file.info(name).length / 4));
      if (section == name) floats.back() = changed(floats.back(), edit);
    }
    Array<double> factor = file.array<double>("head/factor", file.info("head/factor").length / 8);
    if (section == "head/factor") factor = changed(factor, edit);
    std::string options(file.metadata("head/options"));
    if (section == "head/options") {
      Array<char> bytes(options.size());
      std::ranges::copy(options, bytes.data());
      bytes = changed(bytes, edit);
      options.assign(bytes.data(), bytes.size());
    }
    writer.add_owned("head/options", options);
    writer.add("head/samples", std::as_const(floats[0]).span());
    writer.add("head/directions", std::as_const(floats[1]).span());
    writer.add("head/factor", std::as_const(factor).span());
    writer.write(path_);
  }
  TokenHead load(const TokenHeadOptions& options, std::size_t dim = 20) const {
    return TokenHead::load(Container::open(path_, OpenMode::load), "head", options, dim);
  }

 private:
  template <class T, class Edit>
  static Array<T> changed(const Array<T>& values, Edit edit) {
    Array<T> copy(values.size());
    std::copy_n(values.data(), values.size(), copy.data());
    return edit(reinterpret_cast<std::byte*>(copy.data()), copy.bytes()) ? copy
                                                                         : copy.slice(0, copy.size() - 1);
  }
  std::filesystem::path path_ = std::filesystem::temp_directory_path() / "vicinal_token_head_test.vcn";
};

TEST_F(TokenHeadFile, RoundTrip) {
  const Documents documents = make_documents(40, 20, 0, 30, 13);
  for (const TokenHeadOptions& options : many_options()) {
    const TokenHead head = TokenHead::train(options, documents.batch());
    save(head);
    const TokenHead loaded = load(options);
    EXPECT_EQ(loaded.options(), options);
    EXPECT_EQ(loaded.token_dim(), 20U);
    EXPECT_EQ(loaded.fingerprint(), head.fingerprint());
    EXPECT_EQ(loaded.health(), head.health());
    EXPECT_EQ(loaded.memory_bytes(), head.memory_bytes());
    for (const bool document : {false, true})
      EXPECT_TRUE(same_bits(encode_all(loaded, documents.batch(), document),
                            encode_all(head, documents.batch(), document)));
    TokenHeadOptions other = options;
    other.ridge *= 2;
    EXPECT_THROW(load(other), CorruptFile);
    other = options;
    other.dim += 1;
    EXPECT_THROW(load(other), CorruptFile);
    EXPECT_THROW(load(options, 21), CorruptFile);
  }
}

TEST_F(TokenHeadFile, CorruptOnesAreRefused) {
  const Documents documents = make_documents(40, 20, 0, 30, 14);
  const TokenHeadOptions options = options_of(32, 100);
  const TokenHead head = TokenHead::train(options, documents.batch());
  const auto refused = [&](const std::string& section, auto value, std::size_t place, const char* why) {
    save(head);
    save_changed(section, [&](std::byte* bytes, std::size_t) {
      std::memcpy(bytes + place * sizeof(value), &value, sizeof(value));
      return true;
    });
    try {
      load(options);
      ADD_FAILURE() << section << " was loaded, expected " << why;
    } catch (const CorruptFile& error) {
      EXPECT_THAT(error.what(), HasSubstr(why));
      EXPECT_THAT(error.what(), HasSubstr(section));
    }
  };
  const float nan = std::numeric_limits<float>::quiet_NaN();
  refused("head/samples", nan, 3, "length 1");
  refused("head/samples", 1.5F, 3, "length 1");
  refused("head/directions", nan, 3, "length 1");
  refused("head/factor", std::numeric_limits<double>::infinity(), 3, "not finite");
  refused("head/factor", 0.0, 0, "diagonal");
  refused("head/factor", -1.0, 32, "diagonal");  // of the second row
  refused("head/options", std::uint64_t{0}, 6, "0 samples");
  refused("head/options", std::uint64_t{101}, 6, "101 samples");
  refused("head/options", std::numeric_limits<double>::quiet_NaN(), 7, "health");
  refused("head/options", 1.5, 7, "health");
  refused("head/options", nan, 16, "threshold");
  refused("head/options", std::uint32_t{1}, 17, "another head");
  for (const char* section : {"head/samples", "head/directions", "head/factor", "head/options"}) {
    save(head);
    save_changed(section, [](std::byte*, std::size_t) { return false; });
    EXPECT_THROW(load(options), CorruptFile) << section << " is too short";
  }
  save(head);
  save_changed("", [](std::byte*, std::size_t) { return true; });
  EXPECT_EQ(load(options).fingerprint(), head.fingerprint());
}

TEST(TokenHead, FingerprintsDiffer) {
  const Documents documents = make_documents(40, 20, 1, 9, 15);
  const Documents others = make_documents(40, 20, 1, 9, 16);
  std::vector<std::uint64_t> prints;
  for (const TokenHeadOptions& options : many_options())
    prints.push_back(TokenHead::train(options, documents.batch()).fingerprint());
  TokenHeadOptions options = many_options().front();
  prints.push_back(TokenHead::train(options, others.batch()).fingerprint());
  options.seed = 1;
  prints.push_back(TokenHead::train(options, documents.batch()).fingerprint());
  options.seed = 0;
  options.ridge = 0.02;
  prints.push_back(TokenHead::train(options, documents.batch()).fingerprint());
  std::ranges::sort(prints);
  EXPECT_EQ(std::ranges::adjacent_find(prints), prints.end());
}

TEST(TokenHead, OfRealDocuments) {
  const auto shared = shared_documents();
  const auto queries = shared_queries();
  if (!shared || !queries) GTEST_SKIP() << "no lotte-dev-colbert: set VICINAL_SHARED";
  const VectorBatch documents(shared->tokens.view(), shared->offsets);
  TokenHeadOptions options;
  options.dim = 512;
  const TokenHead head = TokenHead::train(options, documents);
  EXPECT_GT(head.health(), 0.7);
  std::vector<std::uint64_t> own;
  const VectorBatch first = queries->batch().part(0, 10, own);  // the exact answers are what takes long
  EXPECT_GT(share_found(head, documents, first, 10, 25), 0.86);
}

}  // namespace
}  // namespace vicinal
