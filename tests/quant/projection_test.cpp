#include "vicinal/quant/projection.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <string>

#include "vicinal/core/error.hpp"
#include "vicinal/core/executor.hpp"
#include "eigen_oracle.hpp"

namespace vicinal {
namespace {

constexpr Metric metrics[] = {Metric::l2, Metric::ip, Metric::cosine};
constexpr ProjectionKind kinds[] = {ProjectionKind::truncate, ProjectionKind::pca, ProjectionKind::query_pca};

double distance_of(std::span<const float> q, std::span<const float> x, Metric metric) {
  if (metric == Metric::l2) return l2_of(q, x);
  if (metric == Metric::ip) return -dot_of(q, x);
  return 1 - dot_of(q, x) / (norm_of(q) * norm_of(x));
}

std::vector<float> mapped(const Projection& projection, std::span<const float> vector) {
  std::vector<float> out(projection.out_dim());
  projection.project_document(vector, out);
  return out;
}

// What an index reports: the inner distance and the query's constant.
double estimate(const Projection& projection, std::span<const float> q, std::span<const float> x) {
  std::vector<float> query(projection.out_dim());
  const float constant = projection.project_query(q, query);
  return distance_of(query, mapped(projection, x), projection.inner_metric()) + static_cast<double>(constant);
}

template <class Call>
std::string message_of(Call call) {
  try {
    call();
  } catch (const InvalidArgument& error) {
    return error.what();
  }
  return "no error";
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST(Projection, FindsTheLeadingEigenvectors) {
  const SampleVectors rows = clustered_vectors(900, 24, 3);
  const ExactEigen expected = jacobi(exact_moments(rows, true));
  const Projection pca = Projection::train({ProjectionKind::pca, 6}, Metric::l2, rows.view());
  ASSERT_EQ(pca.spectrum().size(), 24U);
  const auto largest = static_cast<double>(expected.values[0]);
  for (std::size_t i = 0; i < 24; ++i)
    EXPECT_NEAR(pca.spectrum()[i], static_cast<double>(expected.values[i]), 2e-5 * largest);
  // A document moved from the mean along an eigenvector lands on one axis.
  for (std::size_t i = 0; i < 6; ++i) {
    std::vector<float> vector(24);
    for (std::size_t j = 0; j < 24; ++j)
      vector[j] = pca.mean()[j] + static_cast<float>(expected.vectors[i][j]);
    const std::vector<float> out = mapped(pca, vector);
    for (std::size_t k = 0; k < 6; ++k) EXPECT_NEAR(std::abs(out[k]), i == k ? 1 : 0, 3e-3) << i << k;
  }
}

// With all dimensions nothing is lost, whatever the projection.
TEST(Projection, OfAllDimensionsKeepsDistances) {
  const SampleVectors rows = clustered_vectors(300, 20, 3);
  for (const ProjectionKind kind : kinds) {
    for (const Metric metric : metrics) {
      const Projection projection = Projection::train({kind, 20}, metric, rows.view(), rows.view());
      for (std::size_t i = 0; i < 20; ++i) {
        const double exact = distance_of(rows[i], rows[i + 1], metric);
        EXPECT_NEAR(estimate(projection, rows[i], rows[i + 1]), exact, 1e-5 * (1 + std::abs(exact)));
      }
    }
  }
}

// Over all documents the estimates of a query's distances are right on average, and their error is what the spectrum tells.
TEST(Projection, EstimatesWithoutBias) {
  const SampleVectors rows = clustered_vectors(2000, 30, 4);
  const SampleVectors queries = clustered_vectors(300, 30, 5);
  for (const Metric metric : metrics) {
    for (const ProjectionKind kind : {ProjectionKind::pca, ProjectionKind::query_pca}) {
      const Projection projection = Projection::train({kind, 7}, metric, rows.view(), queries.view());
      for (std::size_t q = 0; q < 20; ++q) {
        double bias = 0;
        double error = 0;
        double whole = 0;
        for (std::size_t i = 0; i < rows.size(); ++i) {
          const double exact = distance_of(queries[q], rows[i], metric);
          const double difference = estimate(projection, queries[q], rows[i]) - exact;
          bias += difference;
          error += std::abs(difference);
          whole += std::abs(exact);
        }
        EXPECT_LT(std::abs(bias), 1e-4 * whole) << to_string(metric) << " " << to_string(kind);
        EXPECT_GT(error, 1e-3 * whole) << "there is an error to be biased";
      }
    }
  }
}

TEST(Projection, ThePcaSpectrumTellsWhatIsLost) {
  const SampleVectors rows = clustered_vectors(1500, 30, 6);
  const Projection pca = Projection::train({ProjectionKind::pca, 30}, Metric::l2, rows.view());
  for (const std::size_t dim : {1UL, 5UL, 12UL, 29UL}) {
    const Projection cut = pca.truncated_to(dim);
    double lost = 0;
    std::vector<float> back(30);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      cut.reconstruct(mapped(cut, rows[i]), back);
      lost += l2_of(back, rows[i]) / static_cast<double>(rows.size());
    }
    EXPECT_NEAR(cut.lost_energy(), lost, 1e-3 * lost) << dim;
  }
  EXPECT_EQ(pca.lost_energy(), 0);
}

// Of estimated inner products, over all pairs.
double mean_squared_error(const Projection& projection, const SampleVectors& rows,
                          const SampleVectors& queries) {
  std::vector<std::vector<float>> documents;
  for (std::size_t i = 0; i < rows.size(); ++i) documents.push_back(mapped(projection, rows[i]));
  double error = 0;
  std::vector<float> query(projection.out_dim());
  for (std::size_t q = 0; q < queries.size(); ++q) {
    const auto constant = static_cast<double>(projection.project_query(queries[q], query));
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const double difference = constant - dot_of(query, documents[i]) + dot_of(queries[q], rows[i]);
      error += difference * difference;
    }
  }
  return error / static_cast<double>(rows.size() * queries.size());
}

TEST(Projection, TheQuerySpectrumTellsTheErrorOfInnerProducts) {
  const SampleVectors rows = clustered_vectors(600, 16, 6);
  SampleVectors queries = clustered_vectors(2000, 16, 7);
  for (std::size_t q = 0; q < queries.size(); ++q) {
    for (std::size_t j = 0; j < 16; ++j) queries[q][j] *= j % 3 == 0 ? 2.0F : 0.3F;
  }
  for (const std::size_t dim : {3UL, 8UL}) {
    const Projection aware =
        Projection::train({ProjectionKind::query_pca, dim}, Metric::ip, rows.view(), queries.view());
    const Projection plain = Projection::train({ProjectionKind::pca, dim}, Metric::ip, rows.view());
    const double error = mean_squared_error(aware, rows, queries);
    // What keeps the moments definite counts as error in directions that queries hardly have.
    EXPECT_GT(aware.lost_energy(), 0.99 * error) << dim;
    EXPECT_LT(aware.lost_energy(), 1.1 * error) << dim;
    EXPECT_LT(error, 0.8 * mean_squared_error(plain, rows, queries)) << "the queries were worth knowing";
  }
}

TEST(Projection, OfFewQueriesIsNearlyPca) {
  const SampleVectors rows = clustered_vectors(500, 20, 6);
  const Projection plain = Projection::train({ProjectionKind::pca, 4}, Metric::ip, rows.view());
  const Projection aware =
      Projection::train({ProjectionKind::query_pca, 4}, Metric::ip, rows.view(), rows.view().rows_from(0, 2));
  for (std::size_t i = 0; i < 10; ++i)
    EXPECT_NEAR(estimate(plain, rows[i], rows[99]), estimate(aware, rows[i], rows[99]), 1e-3);
  const Projection l2 = Projection::train({ProjectionKind::query_pca, 4}, Metric::l2, rows.view());
  const Projection plain_l2 = Projection::train({ProjectionKind::pca, 4}, Metric::l2, rows.view());
  EXPECT_EQ(mapped(l2, rows[3]), mapped(plain_l2, rows[3]));
}

TEST(Projection, TruncatedToIsTrainingWithFewer) {
  const SampleVectors rows = clustered_vectors(200, 33, 8);
  for (const ProjectionKind kind : kinds) {
    for (const bool whiten : {false, true}) {
      if (whiten && kind != ProjectionKind::pca) continue;
      const Projection whole = Projection::train({kind, 20, whiten}, Metric::ip, rows.view(), rows.view());
      const Projection cut = whole.truncated_to(5);
      const Projection trained = Projection::train({kind, 5, whiten}, Metric::ip, rows.view(), rows.view());
      EXPECT_EQ(cut.options(), trained.options());
      EXPECT_EQ(mapped(cut, rows[1]), mapped(trained, rows[1]));
      EXPECT_EQ(estimate(cut, rows[2], rows[1]), estimate(trained, rows[2], rows[1]));
      EXPECT_TRUE(contains(message_of([&] { (void)whole.truncated_to(21); }), "cannot be cut to 21"));
      EXPECT_TRUE(contains(message_of([&] { (void)whole.truncated_to(0); }), "cannot be cut to 0"));
    }
  }
}

TEST(Projection, WhitenedDirectionsHaveVarianceOne) {
  const SampleVectors rows = clustered_vectors(1200, 12, 9);
  const Projection white = Projection::train({ProjectionKind::pca, 12, true}, Metric::l2, rows.view());
  SampleVectors out(rows.size(), 12);
  white.project_documents(rows.view(), {out.values.data(), out.size(), 12});
  const ExactMatrix moments = exact_moments(out, true);
  for (std::size_t i = 0; i < 12; ++i) {
    for (std::size_t j = 0; j < 12; ++j)
      EXPECT_NEAR(static_cast<double>(moments[i][j]), i == j ? 1 : 0, 2e-3);
  }
  std::vector<float> back(12);
  white.reconstruct(out[5], back);
  EXPECT_LT(l2_of(back, rows[5]), 1e-6);
}

TEST(Projection, TruncationIsThePrefix) {
  const std::vector<float> vector{3, 4, 12, 1};
  const SampleVectors none(0, 4);
  const Projection ip = Projection::train({ProjectionKind::truncate, 2}, Metric::ip, none.view());
  EXPECT_EQ(mapped(ip, vector), (std::vector<float>{3, 4}));
  const Projection cosine = Projection::train({ProjectionKind::truncate, 2}, Metric::cosine, none.view());
  EXPECT_FLOAT_EQ(mapped(cosine, vector)[0], 0.6F);
  EXPECT_NEAR(estimate(cosine, std::vector<float>{6, 8, -50, 3}, vector), 0, 1e-6);
  std::vector<float> back(4, 7.0F);
  ip.reconstruct(std::vector<float>{3, 4}, back);
  EXPECT_EQ(back, (std::vector<float>{3, 4, 0, 0}));
  EXPECT_TRUE(ip.spectrum().empty());
}

TEST(Projection, MapsManyAsOneByOne) {
  const SampleVectors rows = clustered_vectors(600, 45, 2);
  ThreadPool pool(3);
  BuildControl control;
  control.executor = pool;
  for (const ProjectionKind kind : kinds) {
    const Projection one = Projection::train({kind, 11}, Metric::cosine, rows.view(), rows.view());
    const Projection many = Projection::train({kind, 11}, Metric::cosine, rows.view(), rows.view(), control);
    SampleVectors out(rows.size(), 11);
    many.project_documents(rows.view(), {out.values.data(), out.size(), 11}, control);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const std::vector<float> single = mapped(one, rows[i]);
      EXPECT_EQ(std::memcmp(single.data(), out[i].data(), 11 * sizeof(float)), 0);
    }
  }
}

TEST(Projection, OfDegenerateDataIsDefined) {
  const auto expect_finite = [](const SampleVectors& rows, std::size_t dim) {
    for (const Metric metric : metrics) {
      for (const ProjectionKind kind : kinds) {
        for (const bool whiten : {false, true}) {
          if (whiten && kind != ProjectionKind::pca) continue;
          const Projection projection =
              Projection::train({kind, dim, whiten}, metric, rows.view(), rows.view());
          std::vector<float> back(rows.dim);
          const std::vector<float> out = mapped(projection, rows[0]);
          projection.reconstruct(out, back);
          for (const float v : back) EXPECT_TRUE(std::isfinite(v));
          for (const float v : out) EXPECT_TRUE(std::isfinite(v));
          if (metric != Metric::cosine) {
            EXPECT_TRUE(std::isfinite(estimate(projection, rows[0], rows[rows.size() - 1])));
          }
          for (const double v : projection.spectrum()) EXPECT_GE(v, 0);
        }
      }
    }
  };
  expect_finite(clustered_vectors(1, 9, 1), 4);    // one vector
  expect_finite(clustered_vectors(50, 1, 1), 1);   // one dimension
  expect_finite(clustered_vectors(6, 40, 1), 30);  // fewer vectors than dimensions
  expect_finite(SampleVectors(20, 7), 3);          // all zero
  SampleVectors constant = clustered_vectors(100, 8, 2);
  for (std::size_t r = 0; r < 100; ++r) constant[r][3] = 0.1F;
  expect_finite(constant, 8);
  SampleVectors copies(70, 5);
  for (std::size_t r = 0; r < 70; ++r) {
    for (std::size_t j = 0; j < 5; ++j) copies[r][j] = 0.3F * static_cast<float>(j) - 0.7F;
  }
  expect_finite(copies, 5);
  SampleVectors outlier = clustered_vectors(100, 8, 3);
  outlier[50][2] = 1e16F;
  expect_finite(outlier, 3);
  SampleVectors tiny = clustered_vectors(40, 6, 3);
  for (float& v : tiny.values) v *= 1e-38F;
  expect_finite(tiny, 3);
}

// A constant column varies in no direction that is kept.
TEST(Projection, SpendsNothingOnAConstantColumn) {
  SampleVectors rows = clustered_vectors(300, 6, 2);
  for (std::size_t r = 0; r < rows.size(); ++r) rows[r][2] = 0.1F;
  const Projection pca = Projection::train({ProjectionKind::pca, 5}, Metric::l2, rows.view());
  EXPECT_EQ(pca.mean()[2], 0.1F);
  EXPECT_NEAR(pca.spectrum()[5], 0, 1e-12);
  EXPECT_NEAR(estimate(pca, rows[0], rows[1]), l2_of(rows[0], rows[1]), 1e-4);
}

TEST(Projection, SaysWhatIsWrong) {
  const SampleVectors rows = clustered_vectors(20, 6, 1);
  const auto train = [&](const ProjectionOptions& options, Metric metric,
                         MatrixView<const float> queries = {}) {
    return message_of([&] { (void)Projection::train(options, metric, rows.view(), queries); });
  };
  EXPECT_EQ(train({ProjectionKind::pca, 7}, Metric::l2), "pca keeps 7 dimensions, the vectors have 6");
  EXPECT_EQ(train({ProjectionKind::truncate, 0}, Metric::l2),
            "truncate keeps 0 dimensions, expected at least 1");
  EXPECT_TRUE(contains(train({ProjectionKind::none, 3}, Metric::l2), "expected truncate, pca or qpca"));
  EXPECT_TRUE(contains(train({ProjectionKind::truncate, 3, true}, Metric::l2), "only pca does"));
  EXPECT_TRUE(
      contains(train({ProjectionKind::query_pca, 3}, Metric::ip), "learns from sample queries, got none"));
  const SampleVectors wrong = clustered_vectors(20, 5, 1);
  EXPECT_EQ(train({ProjectionKind::query_pca, 3}, Metric::ip, wrong.view()),
            "queries have 5 columns, documents have 6");
  EXPECT_TRUE(
      contains(message_of([] {
                 (void)Projection::train({ProjectionKind::pca, 3}, Metric::ip, SampleVectors(0, 4).view());
               }),
               "learns from documents, got none"));
  const Projection pca = Projection::train({ProjectionKind::pca, 3}, Metric::ip, rows.view());
  std::vector<float> out(3);
  EXPECT_TRUE(contains(message_of([&] { (void)pca.project_query(wrong[0], out); }), "5 values, expected 6"));
  EXPECT_TRUE(contains(message_of([&] { pca.project_document(wrong[0], out); }), "from 6 dimensions to 3"));
  const std::vector<float> huge(6, std::numeric_limits<float>::max());
  EXPECT_TRUE(contains(message_of([&] { (void)pca.project_query(huge, out); }), "too large to be projected"));
}

TEST(Projection, RestoresOnlyWhatItCouldBe) {
  const auto restore = [](const ProjectionOptions& options, std::size_t dim, auto change) {
    Projection::Parts parts{Array<float>(4), Array<float>(8), {}, Array<double>(4)};
    for (std::size_t i = 0; i < 4; ++i) parts.spectrum[i] = static_cast<double>(4 - i);
    change(parts);
    return message_of([&] { (void)Projection::restore(options, Metric::ip, dim, std::move(parts)); });
  };
  const ProjectionOptions pca{ProjectionKind::pca, 2};
  using Parts = Projection::Parts;
  EXPECT_EQ(restore(pca, 4, [](Parts&) {}), "no error");
  EXPECT_TRUE(contains(restore(pca, 5, [](Parts&) {}), "mean has 4 values, expected 5"));
  EXPECT_TRUE(contains(restore(pca, 4, [](Parts& p) { p.documents = {}; }), "0 values, expected 8"));
  EXPECT_TRUE(contains(restore(pca, 4, [](Parts& p) { p.queries = Array<float>(8); }), "expected 0"));
  EXPECT_TRUE(contains(restore(pca, 4, [](Parts& p) { p.spectrum = {}; }), "spectrum has 0 values"));
  EXPECT_TRUE(contains(restore(pca, 4, [](Parts& p) { p.mean[1] = NAN; }), "not finite"));
  EXPECT_TRUE(contains(restore(pca, 4, [](Parts& p) { p.documents[7] = INFINITY; }), "not finite"));
  EXPECT_TRUE(contains(restore(pca, 4, [](Parts& p) { p.spectrum[3] = -1; }), "spectrum is -1"));
  EXPECT_TRUE(contains(restore(pca, 4, [](Parts& p) { p.spectrum[3] = 9; }), "spectrum is 9"));
  EXPECT_TRUE(contains(restore(pca, 4, [](Parts& p) { p.spectrum[0] = NAN; }), "spectrum is"));
  EXPECT_TRUE(contains(restore({ProjectionKind::query_pca, 2}, 4, [](Parts&) {}), "queries has 0 values"));
  EXPECT_TRUE(contains(restore({ProjectionKind::truncate, 2}, 4, [](Parts&) {}), "expected 0"));
  EXPECT_TRUE(contains(restore({ProjectionKind::pca, 5}, 4, [](Parts&) {}), "keeps 5 dimensions"));
}

}  // namespace
}  // namespace vicinal
