// Which of a document's vectors is nearest to each of a query's, by id.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "vicinal/core/error.hpp"
#include "vicinal/core/neighbors.hpp"
#include "vicinal/index/index.hpp"
#include "vicinal/index/multi_vector.hpp"
#include "token_data.hpp"

namespace vicinal {
namespace {

using testing::HasSubstr;

constexpr std::size_t dim = 32;
constexpr const char* specs[] = {
    "maxsim(f32)", "maxsim(f16)",
    "maxsim(i8)",  "maxsim(i4)",
    "maxsim(b1)",  "muvera(reps=10, bits=2, dim=8) | i8 | hnsw(m=12, efc=80) | maxsim(i8, 10x)",
};

struct Sample {
  Documents documents = make_documents(120, dim, 1, 20, 31);
  Documents queries = make_documents(6, dim, 8, 20, 31, 1);
  std::vector<Id> ids;
  Sample() {  // not in order, so that rows differ from places
    for (std::size_t i = 0; i < documents.size(); ++i) ids.push_back(static_cast<Id>(1000 - 7 * i));
  }
};

const Sample& sample() {
  static const Sample made;
  return made;
}

Index build(const char* spec, Metric metric) {
  IndexOptions options;
  options.calibrate = false;
  options.ids = sample().ids;
  return Index::build(sample().documents.batch(), spec, metric, options);
}

struct Matches {
  std::vector<std::uint32_t> tokens;
  std::vector<float> scores;
  std::size_t rows, cols;
  Matches(std::size_t r, std::size_t c) : tokens(r * c, 77), scores(r * c, 77.0F), rows(r), cols(c) {}
  MatrixView<std::uint32_t> token_view() { return {tokens.data(), rows, cols}; }
  MatrixView<float> score_view() { return {scores.data(), rows, cols}; }
  [[nodiscard]] bool untouched() const {
    return std::ranges::all_of(tokens, [](auto t) { return t == 77; }) &&
           std::ranges::all_of(scores, [](auto s) { return s == 77.0F; });
  }
};

template <class Error = InvalidArgument, class Call>
std::string refusal(const Call& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing was refused";
}

double product(std::span<const float> a, std::span<const float> b) {
  double sum = 0;
  for (std::size_t j = 0; j < a.size(); ++j) sum += static_cast<double>(a[j]) * static_cast<double>(b[j]);
  return sum;
}

TEST(IndexMatch, SumsAreWhatASearchReports) {
  for (const Metric metric : {Metric::ip, Metric::cosine}) {
    for (const char* spec : specs) {
      const Index index = build(spec, metric);
      const Neighbors found = index.search(sample().queries.batch(), 10);
      for (std::size_t q = 0; q < sample().queries.size(); ++q) {
        const MatrixView<const float> query = sample().queries.batch().item(q);
        Matches matches(10, query.rows());
        index.match(query, found.ids()[q], matches.token_view(), matches.score_view());
        for (std::size_t i = 0; i < 10; ++i) {
          double sum = 0;
          for (const float score : matches.score_view()[i]) sum += static_cast<double>(score);
          const double distance = static_cast<double>(found.distances()[q][i]);
          const double similarity =
              metric == Metric::cosine ? static_cast<double>(query.rows()) - distance : -distance;
          EXPECT_NEAR(sum, similarity, 1e-4) << spec << " " << to_string(metric);
        }
      }
    }
  }
}

TEST(IndexMatch, TokensAreTheNearestOfTheDocument) {
  const Index index = build("maxsim(f32)", Metric::ip);
  const MatrixView<const float> query = sample().queries.batch().item(2);
  Matches matches(sample().ids.size(), query.rows());
  index.match(query, sample().ids, matches.token_view(), matches.score_view());
  for (std::size_t d = 0; d < sample().ids.size(); ++d) {
    const MatrixView<const float> document = sample().documents.batch().item(d);
    for (std::size_t q = 0; q < query.rows(); ++q) {
      double best = -1e300;
      for (std::size_t t = 0; t < document.rows(); ++t) best = std::max(best, product(query[q], document[t]));
      const std::uint32_t token = matches.token_view()[d][q];
      ASSERT_LT(token, document.rows());
      EXPECT_NEAR(product(query[q], document[token]), best, 1e-6);
      EXPECT_NEAR(static_cast<double>(matches.score_view()[d][q]), best, 1e-5);
    }
  }
}

TEST(IndexMatch, CosineDoesNotDependOnLengths) {
  const Index index = build("maxsim(f32)", Metric::cosine);
  const MatrixView<const float> query = sample().queries.batch().item(0);
  std::vector<float> longer(query.data(), query.data() + query.rows() * dim);
  for (float& value : longer) value *= 4;
  const std::vector<Id> ids{1000, 993, 1000};
  Matches one(3, query.rows()), other(3, query.rows());
  index.match(query, ids, one.token_view(), one.score_view());
  index.match({longer.data(), query.rows(), dim}, ids, other.token_view(), other.score_view());
  EXPECT_EQ(one.tokens, other.tokens);
  EXPECT_EQ(one.scores, other.scores);
  EXPECT_TRUE(std::ranges::equal(one.score_view()[0], one.score_view()[2]));  // ids may repeat
  for (const float score : one.scores) EXPECT_LE(score, 1.0001F);
}

TEST(IndexMatch, TheFirstOfEqualsAndPlacesWithinTheDocument) {
  const float rows[] = {1, 0, 0, 1, 0, 1, 1, 0, -1, 0};
  const std::uint64_t offsets[] = {0, 1, 4, 4, 5};
  IndexOptions options;
  options.calibrate = false;
  const Index index = Index::build({{rows, 5, 2}, offsets}, "maxsim(f32)", Metric::ip, options);
  const float query[] = {0, 2, 3, 0};
  Matches matches(3, 2);
  const Id ids[] = {3, 1, 0};
  index.match({query, 2, 2}, ids, matches.token_view(), matches.score_view());
  EXPECT_THAT(matches.tokens, testing::ElementsAre(0, 0, 0, 2, 0, 0));
  EXPECT_THAT(matches.scores, testing::ElementsAre(0, -3, 2, 3, 0, 3));

  Matches none(1, 2);
  const Id empty[] = {2};
  EXPECT_EQ(refusal([&] {
              index.match({query, 2, 2}, empty, none.token_view(), none.score_view());
            }),
            "document 2 has no vectors to match");
  EXPECT_TRUE(none.untouched());
}

TEST(IndexMatch, NoIdsIsNothing) {
  const Index index = build("maxsim(i8)", Metric::ip);
  Matches matches(0, 0);
  index.match(sample().queries.batch().item(0), {}, matches.token_view(), matches.score_view());
}

TEST(IndexMatch, BadInputIsNamedAndNothingIsWritten) {
  const Index index = build("maxsim(i8)", Metric::ip);
  const MatrixView<const float> query = sample().queries.batch().item(0).rows_from(0, 3);
  const std::vector<Id> ids{1000, 993};
  Matches matches(2, 3), narrow(2, 2), low(1, 3);
  const auto words = [&](MatrixView<const float> given, std::span<const Id> wanted) {
    return refusal([&] { index.match(given, wanted, matches.token_view(), matches.score_view()); });
  };
  EXPECT_EQ(words(query, std::vector<Id>{1000, 999}), "id 999 is not in the index");
  EXPECT_EQ(words(query.rows_from(0, 3), std::vector<Id>{1000}),
            "the tokens of 1 ids and 3 vectors of a query do not fit into 2 x 3");
  EXPECT_EQ(refusal([&] { index.match(query, ids, matches.token_view(), narrow.score_view()); }),
            "the scores of 2 ids and 3 vectors of a query do not fit into 2 x 2");
  EXPECT_EQ(refusal([&] { index.match(query, ids, low.token_view(), matches.score_view()); }),
            "the tokens of 2 ids and 3 vectors of a query do not fit into 1 x 3");
  EXPECT_EQ(words({query.data(), 3, 16, dim}, ids), "a query has vectors of dimension 16, the documents 32");
  std::vector<float> bad(query.data(), query.data() + 3 * dim);
  bad[dim + 5] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(words({bad.data(), 3, dim}, ids), "query row 1 column 5 is nan, expected a finite number");
  Matches nothing(2, 0);
  EXPECT_EQ(refusal([&] {
              index.match({query.data(), 0, dim}, ids, nothing.token_view(), nothing.score_view());
            }),
            "a query has no vectors, expected at least 1");
  EXPECT_TRUE(matches.untouched() && narrow.untouched() && low.untouched());
}

TEST(IndexMatch, AnIndexOfSingleVectorsHasNone) {
  IndexOptions options;
  options.calibrate = false;
  const Index index = Index::build(sample().documents.batch().rows, "i8 | flat", Metric::ip, options);
  Matches matches(1, 1);
  const Id ids[] = {0};
  const auto match = [&](const Index& asked) {
    return refusal<Unsupported>([&] {
      asked.match(sample().documents.batch().rows.rows_from(0, 1), ids, matches.token_view(),
                  matches.score_view());
    });
  };
  EXPECT_THAT(match(index), HasSubstr("an index of single vectors has nothing to match"));
  EXPECT_THAT(match(Index()), HasSubstr("nothing to match"));
  EXPECT_TRUE(matches.untouched());
}

}  // namespace
}  // namespace vicinal
