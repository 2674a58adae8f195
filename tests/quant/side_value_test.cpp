// Side values: what a codec does with the last value of a vector, and what projections put there.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "vicinal/core/error.hpp"
#include "vicinal/quant/code_store.hpp"
#include "vicinal/quant/projection.hpp"
#include "../core/temporary_folder.hpp"
#include "codec_cases.hpp"
#include "sample_vectors.hpp"

namespace vicinal {
namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;

constexpr CodecKind kinds[] = {CodecKind::i8, CodecKind::i4, CodecKind::b2, CodecKind::b1};

CodecOptions with_side_value(CodecKind kind) { return {kind, true, true, 5, true}; }

// A row and one value more.
std::vector<float> extended(std::span<const float> row, float value) {
  std::vector<float> result(row.begin(), row.end());
  result.push_back(value);
  return result;
}

TEST(SideValue, IsAddedToDistancesWithItsWeight) {
  constexpr std::size_t dim = 45;
  const SampleVectors base = clustered_vectors(30, dim, 1);
  for (const CodecKind kind : kinds) {
    for (const Metric metric : {Metric::l2, Metric::ip}) {
      const Codec codec = Codec::restore(with_side_value(kind), metric, dim, {});
      const Codec plain = Codec::restore({kind, true, false, 5}, metric, dim, {});
      EXPECT_EQ(codec.input_dim(), dim + 1);
      EXPECT_EQ(codec.dim(), dim);
      EXPECT_NE(codec.fingerprint(), plain.fingerprint());
      for (const float weight : {0.0F, 1.0F, -2.5F}) {
        PreparedQuery query;
        PreparedQuery plain_query;
        codec.prepare_query(extended(base[0], weight), query);
        plain.prepare_query(base[0], plain_query);
        for (std::size_t d = 1; d < base.size(); ++d) {
          const float side = 0.25F * static_cast<float>(d) - (metric == Metric::ip ? 3.0F : 0.0F);
          const EncodedVector encoded(codec, extended(base[d], side));
          const EncodedVector without(plain, base[d]);
          ASSERT_EQ(encoded.record, without.record);
          const float expected =
              score_one(plain, plain_query, without) + (metric == Metric::l2 ? 1.0F : weight) * side;
          ASSERT_NEAR(score_one(codec, query, encoded), expected, 1e-4F * (1 + std::abs(expected)))
              << to_string(kind) << " " << to_string(metric) << " " << d;
          EXPECT_EQ(encoded.decoded(codec).size(), dim);
        }
      }
    }
  }
}

TEST(SideValue, IsOfIntegersAndOfL2AndIp) {
  for (const CodecKind kind : {CodecKind::f32, CodecKind::f16, CodecKind::e4m3}) {
    EXPECT_THAT(
        [&] {
          (void)Codec::restore({kind, true, true, 0, true}, Metric::l2, 4, {});
        },
        ThrowsMessage<InvalidArgument>(HasSubstr("side value")));
  }
  EXPECT_THAT([&] { (void)Codec::restore(with_side_value(CodecKind::i8), Metric::cosine, 4, {}); },
              ThrowsMessage<InvalidArgument>(HasSubstr("cosine")));
  const std::vector<float> narrow{1, 2};
  EXPECT_THROW((void)Codec::train(with_side_value(CodecKind::i8), Metric::l2, {narrow.data(), 2, 1}),
               InvalidArgument);
}

TEST(SideValue, IsSavedWithTheCodec) {
  const TemporaryFolder folder;
  SampleVectors base = clustered_vectors(25, 33, 3);
  for (const Metric metric : {Metric::l2, Metric::ip}) {
    for (std::size_t row = 0; row < base.size(); ++row)
      base[row][32] = (metric == Metric::ip && row % 2 == 1 ? -1.0F : 1.0F) * static_cast<float>(row);
    for (const CodecKind kind : kinds) {
      const Codec codec = Codec::train(with_side_value(kind), metric, base.view());
      EXPECT_TRUE(codec.mean().empty());
      const CodeStore store = CodeStore::build(codec, base.view(), {});
      ContainerWriter writer;
      store.save(writer, "p");
      writer.write(folder / "codes.vcn");
      const CodeStore read = CodeStore::load(Container::open(folder / "codes.vcn", OpenMode::load), "p");
      EXPECT_EQ(read.codec().fingerprint(), codec.fingerprint());
      EXPECT_TRUE(read.codec().options().side_value);
      PreparedQuery query;
      read.codec().prepare_query(base[4], query);
      std::vector<float> found(base.size());
      std::vector<float> expected(base.size());
      read.score(query, nullptr, base.size(), found.data());
      codec.prepare_query(base[4], query);
      store.score(query, nullptr, base.size(), expected.data());
      EXPECT_EQ(found, expected);
    }
  }
}

double exact_distance(Metric metric, std::span<const float> query, std::span<const float> row) {
  std::vector<float> q(query.begin(), query.end());
  std::vector<float> x(row.begin(), row.end());
  if (metric == Metric::cosine) {
    normalise(query, q);
    normalise(row, x);
  }
  return metric == Metric::l2 ? l2_of(q, x) : (metric == Metric::cosine ? 1.0 : 0.0) - dot_of(q, x);
}

// Distances by hand between mapped vectors, side values counted.
double mapped_distance(const Projection& projection, std::span<const float> query, std::span<const float> row,
                       bool side) {
  const std::size_t out = projection.out_dim();
  std::vector<float> q(out + (side ? 1 : 0));
  std::vector<float> x(q.size());
  const double constant = static_cast<double>(projection.project_query(query, q));
  projection.project_document(row, x);
  const std::span<const float> coded_q = std::span<const float>(q).first(out);
  const std::span<const float> coded_x = std::span<const float>(x).first(out);
  const bool l2 = projection.inner_metric() == Metric::l2;
  double distance = constant + (l2 ? l2_of(coded_q, coded_x) : -dot_of(coded_q, coded_x));
  if (side) distance += (l2 ? 1.0 : static_cast<double>(q[out])) * static_cast<double>(x[out]);
  return distance;
}

// With all dimensions kept nothing is lost; with few, side values take what they can from the error.
TEST(SideValue, OfAProjectionMakesItsDistancesMoreExact) {
  constexpr std::size_t dim = 40;
  constexpr std::size_t count = 300;
  SampleVectors vectors = clustered_vectors(count + 20, dim, 7);
  for (std::size_t row = 0; row < vectors.size(); ++row) {
    for (float& value : vectors[row]) value = value * (1.0F + 0.01F * static_cast<float>(row % 50)) + 1.5F;
  }
  const MatrixView<const float> base = vectors.view().rows_from(0, count);
  for (const Metric metric : {Metric::l2, Metric::ip, Metric::cosine}) {
    const Projection whole = Projection::train({ProjectionKind::pca, dim}, metric, base);
    const Projection few = whole.truncated_to(10);
    ASSERT_TRUE(few.has_side_value());
    double plain_error = 0;
    double side_error = 0;
    for (std::size_t q = count; q < count + 20; ++q) {
      for (std::size_t d = 0; d < count; d += 7) {
        const double exact = exact_distance(metric, vectors[q], vectors[d]);
        ASSERT_NEAR(mapped_distance(whole, vectors[q], vectors[d], true), exact, 2e-4 * (1 + std::abs(exact)))
            << to_string(metric);
        plain_error += std::pow(mapped_distance(few, vectors[q], vectors[d], false) - exact, 2);
        side_error += std::pow(mapped_distance(few, vectors[q], vectors[d], true) - exact, 2);
      }
    }
    EXPECT_LT(side_error, plain_error) << to_string(metric);
  }
}

// One by one or many, with and without the side value the kept dimensions of documents are the same.
TEST(SideValue, LeavesDocumentsOtherwiseAsTheyWere) {
  const SampleVectors base = clustered_vectors(60, 24, 2);
  const Projection projection = Projection::train({ProjectionKind::pca, 6}, Metric::ip, base.view());
  std::vector<float> with(base.size() * 7);
  std::vector<float> without(base.size() * 6);
  projection.project_documents(base.view(), {with.data(), base.size(), 7});
  projection.project_documents(base.view(), {without.data(), base.size(), 6});
  std::vector<float> one(7);
  for (std::size_t row = 0; row < base.size(); ++row) {
    projection.project_document(base[row], one);
    for (std::size_t j = 0; j < 7; ++j) {
      ASSERT_EQ(with[row * 7 + j], one[j]);
      if (j < 6) {
        ASSERT_EQ(one[j], without[row * 6 + j]);
      }
    }
  }
}

TEST(SideValue, IsHadOfPcaWithoutWhiteningAlone) {
  const SampleVectors base = clustered_vectors(60, 24, 2);
  for (const ProjectionOptions& options :
       {ProjectionOptions{ProjectionKind::truncate, 6}, ProjectionOptions{ProjectionKind::pca, 6, true},
        ProjectionOptions{ProjectionKind::query_pca, 6}}) {
    const Projection projection = Projection::train(options, Metric::ip, base.view(), base.view());
    EXPECT_FALSE(projection.has_side_value());
    std::vector<float> out(7);
    EXPECT_THROW(projection.project_document(base[0], out), InvalidArgument);
    EXPECT_THROW((void)projection.project_query(base[0], out), InvalidArgument);
  }
}

}  // namespace
}  // namespace vicinal
