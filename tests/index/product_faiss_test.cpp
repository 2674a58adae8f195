// Product quantisation against FAISS's: what ours learns loses as little, and codes stand for what FAISS's decoder says they do.
#include <faiss/IndexPQ.h>
#include <faiss/IndexPreTransform.h>
#include <faiss/VectorTransform.h>
#include <faiss/impl/ProductQuantizer.h>
#include <gtest/gtest.h>
#include <omp.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "vicinal/quant/code_store.hpp"
#include "vicinal/quant/product_quantiser.hpp"
#include "sample_data.hpp"

namespace vicinal {
namespace {

// Rows whose directions of variance differ and lie across the dimensions, in clusters.
Rows slanted_rows(std::size_t count, std::size_t dim) {
  RandomStream random(4, 4);
  const auto draw = [&] {
    double sum = -6;
    for (int i = 0; i < 12; ++i) sum += random.next_unit();
    return sum;
  };
  std::vector<double> basis(dim * dim);
  for (std::size_t i = 0; i < dim; ++i) {
    for (std::size_t j = 0; j < dim; ++j) basis[i * dim + j] = draw() / std::sqrt(static_cast<double>(i + 1));
  }
  std::vector<double> centres(20 * dim);
  for (double& v : centres) v = 2 * draw();
  Rows rows{count, dim, std::vector<float>(count * dim)};
  std::vector<double> row(dim);
  for (std::size_t r = 0; r < count; ++r) {
    const double* centre = centres.data() + random.next_below(20) * dim;
    std::copy_n(centre, dim, row.begin());
    for (std::size_t i = 0; i < dim; ++i) {
      const double along = draw();
      for (std::size_t j = 0; j < dim; ++j) row[j] += along * basis[i * dim + j];
    }
    std::transform(row.begin(), row.end(), rows.values.begin() + static_cast<std::ptrdiff_t>(r * dim),
                   [](double v) { return static_cast<float>(v); });
  }
  return rows;
}

double squared_distance(const float* a, const float* b, std::size_t dim) {
  double sum = 0;
  for (std::size_t j = 0; j < dim; ++j) {
    const double difference = static_cast<double>(a[j]) - static_cast<double>(b[j]);
    sum += difference * difference;
  }
  return sum;
}

class ProductAgainstFaiss : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { omp_set_num_threads(1); }

  static constexpr std::size_t count = 6000, dim = 32;
  const Rows base_ = slanted_rows(count, dim);

  [[nodiscard]] CodeStore store_of(CodecKind kind, std::size_t parts, bool rotated) const {
    const Codec codec = Codec::train({kind, rotated, false, 1, false, {parts, 0}}, Metric::l2, base_.view());
    return CodeStore::build(codec, base_.view(), {});
  }
  [[nodiscard]] double error_of(const CodeStore& store) const {
    double sum = 0;
    std::vector<float> decoded(dim);
    for (std::size_t row = 0; row < count; ++row) {
      store.decode(row, decoded);
      sum += squared_distance(decoded.data(), base_.values.data() + row * dim, dim);
    }
    return sum / count;
  }
  [[nodiscard]] double error_of(const faiss::Index& index) const {
    const auto n = static_cast<faiss::Index::idx_t>(count);
    std::vector<std::uint8_t> codes(count * index.sa_code_size());
    std::vector<float> decoded(count * dim);
    index.sa_encode(n, base_.values.data(), codes.data());
    index.sa_decode(n, codes.data(), decoded.data());
    double sum = 0;
    for (std::size_t row = 0; row < count; ++row)
      sum += squared_distance(decoded.data() + row * dim, base_.values.data() + row * dim, dim);
    return sum / count;
  }
  [[nodiscard]] double faiss_error(std::size_t parts, int bits, bool rotated) const {
    const auto n = static_cast<faiss::Index::idx_t>(count);
    faiss::IndexPQ pq(dim, parts, static_cast<std::size_t>(bits), faiss::METRIC_L2);
    pq.pq.cp.min_points_per_centroid = 1;  // or it warns
    if (!rotated) {
      pq.train(n, base_.values.data());
      return error_of(pq);
    }
    faiss::OPQMatrix matrix(dim, static_cast<int>(parts));
    faiss::ProductQuantizer quantiser(dim, parts, static_cast<std::size_t>(bits));
    quantiser.cp.min_points_per_centroid = 1;
    matrix.pq = &quantiser;
    matrix.niter = 20;  // of the default 50, which take long and change little
    faiss::IndexPreTransform index(&matrix, &pq);
    index.train(n, base_.values.data());
    matrix.pq = nullptr;
    return error_of(index);
  }
};

TEST_F(ProductAgainstFaiss, LosesAsLittle) {
  EXPECT_LT(error_of(store_of(CodecKind::pq8, 8, false)), 1.02 * faiss_error(8, 8, false));
  EXPECT_LT(error_of(store_of(CodecKind::pq4, 16, false)), 1.02 * faiss_error(16, 4, false));
}

TEST_F(ProductAgainstFaiss, LosesAsLittleRotated) {
  EXPECT_LT(error_of(store_of(CodecKind::pq8, 8, true)), 1.02 * faiss_error(8, 8, true));
  EXPECT_LT(error_of(store_of(CodecKind::pq4, 16, true)), 1.02 * faiss_error(16, 4, true));
}

// Given our centroids FAISS encodes and decodes as we do: the same layout of bytes, of halves of bytes and of sub-spaces.
TEST_F(ProductAgainstFaiss, UnderstandsOurCodes) {
  for (const CodecKind kind : {CodecKind::pq8, CodecKind::pq4}) {
    const std::size_t parts = kind == CodecKind::pq8 ? 8 : 16;
    const CodeStore store = store_of(kind, parts, false);
    const ProductQuantiser& ours = *store.codec().product();
    const std::size_t centroids = ours.shape().centroids();
    faiss::ProductQuantizer theirs(dim, parts, static_cast<std::size_t>(ours.shape().bits));
    ASSERT_EQ(theirs.code_size, ours.shape().stride());
    for (std::size_t part = 0; part < parts; ++part) {
      for (std::size_t c = 0; c < centroids; ++c) {
        for (std::size_t j = 0; j < theirs.dsub; ++j)
          theirs.get_centroids(part, c)[j] = ours.centroids()[(part * theirs.dsub + j) * centroids + c];
      }
    }
    std::vector<float> decoded(dim);
    std::vector<float> expected(dim);
    std::vector<std::uint8_t> code(theirs.code_size);
    std::size_t different = 0;
    for (std::size_t row = 0; row < 1000; ++row) {
      store.decode(row, decoded);
      theirs.decode(reinterpret_cast<const std::uint8_t*>(store.record(row)), expected.data());
      ASSERT_EQ(decoded, expected);
      theirs.compute_code(base_.values.data() + row * dim, code.data());
      different += std::memcmp(code.data(), store.record(row), code.size()) == 0 ? 0 : 1;
    }
    EXPECT_LT(different, 5U) << "but for centroids that are equally near to a few roundings";
  }
}

}  // namespace
}  // namespace vicinal
