#include "vicinal/index/any_retriever.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

namespace vicinal {
namespace {

// Notes what reaches it; answers with nothing.
struct Recorder {
  static constexpr std::string_view kind = "recorder";
  struct Params {
    std::size_t width = 7;
    static Params from_effort(std::size_t effort) { return {effort * 10}; }
    void validate() const {
      if (width > 1000) throw InvalidArgument("width is too large");
    }
    friend bool operator==(const Params&, const Params&) = default;
  };
  std::size_t* seen_width;
  Id* seen_first_id;

  [[nodiscard]] std::size_t size() const { return 3; }
  [[nodiscard]] std::size_t dim() const { return 2; }
  [[nodiscard]] Metric metric() const { return Metric::cosine; }
  [[nodiscard]] std::size_t memory_bytes() const { return 11; }
  void search(const VectorBatch&, NeighborsView out, const Params& params, const SearchControl&) const {
    *seen_width = params.width;
    *seen_first_id = out.size() == 0 ? Id{-7} : out.ids[0][0];
  }
};

// As Recorder, but its queries may be of several vectors.
struct TokenRecorder : Recorder {
  static constexpr bool takes_multi_vector = true;
};

struct OtherParams {
  std::size_t width = 0;
};

class AnyRetrieverTest : public ::testing::Test {
 protected:
  std::size_t width_ = 0;
  Id first_id_ = 0;
  AnyRetriever retriever_{Recorder{&width_, &first_id_}};
  std::vector<float> values_{1, 2, 3, 4};
  MatrixView<const float> queries_{values_.data(), 2, 2};
};

template <class Call>
std::string message_of(Call call) {
  try {
    call();
  } catch (const InvalidArgument& error) {
    return error.what();
  }
  return "no error";
}

TEST_F(AnyRetrieverTest, PassesOnWhatTheRetrieverSays) {
  EXPECT_EQ(retriever_.size(), 3U);
  EXPECT_EQ(retriever_.dim(), 2U);
  EXPECT_EQ(retriever_.metric(), Metric::cosine);
  EXPECT_EQ(retriever_.kind(), "recorder");
  EXPECT_EQ(retriever_.memory_bytes(), 11U);
  EXPECT_NE(retriever_.get_if<Recorder>(), nullptr);
  EXPECT_EQ(retriever_.get_if<TokenRecorder>(), nullptr);
}

TEST_F(AnyRetrieverTest, ChoosesTheParams) {
  (void)retriever_.search(queries_, 1);
  EXPECT_EQ(width_, 7U);
  (void)retriever_.search(queries_, 1, {5, {}});
  EXPECT_EQ(width_, 50U);
  (void)retriever_.search(queries_, 1, {0, Recorder::Params{42}});
  EXPECT_EQ(width_, 42U);
}

TEST_F(AnyRetrieverTest, RefusesParamsThatDoNotFit) {
  EXPECT_EQ(message_of([&] {
              (void)retriever_.search(queries_, 1, {0, OtherParams{}});
            }),
            "search of \"recorder\" was given the params of another retriever");
  EXPECT_EQ(message_of([&] {
              (void)retriever_.search(queries_, 1, {5, Recorder::Params{}});
            }),
            "search of \"recorder\" was given both params and effort 5, expected one of them");
  EXPECT_EQ(message_of([&] {
              (void)retriever_.search(queries_, 1, {0, Recorder::Params{2000}});
            }),
            "width is too large");
  EXPECT_EQ(width_, 0U) << "nothing was searched";
}

TEST_F(AnyRetrieverTest, ChecksTheQueries) {
  const std::vector<float> four(4);
  EXPECT_EQ(message_of([&] { (void)retriever_.search(MatrixView<const float>(four.data(), 1, 4), 1); }),
            "queries have 4 columns, the index has dimension 2");
  values_[3] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(message_of([&] { (void)retriever_.search(queries_, 1); }),
              ::testing::HasSubstr("queries row 1 column 1 is nan"));
  EXPECT_EQ(width_, 0U);
}

TEST_F(AnyRetrieverTest, RefusesSeveralVectorsAQueryUnlessTheRetrieverTakesThem) {
  const std::array<std::uint64_t, 2> offsets{0, 2};
  const VectorBatch tokens(queries_, offsets);
  EXPECT_EQ(message_of([&] { (void)retriever_.search(tokens, 1); }),
            "queries are of several vectors each, \"recorder\" takes one vector a query");
  const AnyRetriever takes(TokenRecorder{{&width_, &first_id_}});
  EXPECT_EQ(takes.search(tokens, 1).size(), 1U);
  EXPECT_EQ(width_, 7U);
}

TEST_F(AnyRetrieverTest, ChecksTheShapeOfTheResults) {
  EXPECT_EQ(message_of([&] { (void)retriever_.search(queries_, 0); }), "k is 0, expected at least 1");
  Neighbors three(3, 1);
  EXPECT_THAT(message_of([&] { retriever_.search(queries_, three.view()); }),
              ::testing::HasSubstr("expected 2: one a query"));
  Neighbors narrow(2, 1);
  Neighbors wide(2, 2);
  EXPECT_THAT(message_of([&] {
                retriever_.search(queries_, {wide.view().ids, narrow.view().distances, wide.view().counts});
              }),
              ::testing::HasSubstr("2 columns of ids and 1 of distances"));
  EXPECT_EQ(width_, 0U);
}

TEST_F(AnyRetrieverTest, ClearsTheResultsFirst) {
  Neighbors out(2, 2);
  const NeighborsView view = out.view();
  view.ids[0][0] = 99;
  view.distances[1][1] = 3;
  view.counts[1] = 2;
  retriever_.search(queries_, view);
  EXPECT_EQ(first_id_, no_id);
  EXPECT_EQ(out.distances()[1][1], no_distance);
  EXPECT_EQ(out.counts()[1], 0U);
}

TEST_F(AnyRetrieverTest, AnswersAnEmptyBatch) {
  EXPECT_EQ(retriever_.search(MatrixView<const float>(nullptr, 0, 2), 5).size(), 0U);
  EXPECT_EQ(first_id_, -7);
}

TEST_F(AnyRetrieverTest, AnEmptyOneSaysSo) {
  const AnyRetriever empty;
  EXPECT_FALSE(empty.has_value());
  EXPECT_EQ(empty.size(), 0U);
  EXPECT_EQ(empty.kind(), "");
  EXPECT_THAT(message_of([&] { (void)empty.search(queries_, 1); }),
              ::testing::HasSubstr("the retriever is empty"));
}

TEST_F(AnyRetrieverTest, CopiesShareTheModel) {
  const AnyRetriever copy = retriever_;
  EXPECT_EQ(copy.get_if<Recorder>(), retriever_.get_if<Recorder>());
}

}  // namespace
}  // namespace vicinal
