#include "vicinal/index/flat_block_scorer.hpp"

#include <cblas.h>
#include <omp.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace vicinal {
namespace {

// BLAS runs on the calling thread: the caller's executor is what spreads the work. OpenBLAS (openmp) asks OpenMP, whose setting
// belongs to the calling thread alone.
class OneBlasThread {
 public:
  OneBlasThread() : before_(omp_get_max_threads()) { omp_set_num_threads(1); }
  ~OneBlasThread() { omp_set_num_threads(before_); }
  OneBlasThread(const OneBlasThread&) = delete;
  OneBlasThread& operator=(const OneBlasThread&) = delete;

 private:
  int before_;
};

double squared_norm(std::span<const float> vector) {
  double sum = 0;
  for (const float v : vector) sum += static_cast<double>(v) * static_cast<double>(v);
  return sum;
}

void copy_query(const Codec& codec, std::span<const float> given, std::span<float> query) {
  if (codec.metric() == Metric::cosine) {
    normalise(given, query);
  } else {
    std::copy(given.begin(), given.end(), query.begin());
  }
}

// Rounding of a sum of `dim` products in single precision, in any order, and of what is added to it (Higham 2002, section 3.1),
// four times over: the exact score that follows rounds as well.
float rounding_error(std::size_t dim, double query_norm, double row_norm) {
  const double unit = static_cast<double>(dim + 8) * 0x1.0p-24;
  return static_cast<float>(4 * unit *
                            (query_norm * row_norm + query_norm * query_norm + row_norm * row_norm));
}

class ProductScorer final : public BlockScorer {
 public:
  ProductScorer(const CodeStore& codes, std::span<const float> norms, const VectorBatch& queries,
                std::span<const std::size_t> members)
      : codes_(codes),
        norms_(norms),
        count_(members.size()),
        block_(count_ * codes.dim()),
        products_(count_ * rows_per_block()) {
    const double largest =
        norms.empty() ? 0.0 : std::sqrt(static_cast<double>(*std::max_element(norms.begin(), norms.end())));
    for (std::size_t m = 0; m < count_; ++m) {
      const std::span<float> query(block_.data() + m * codes.dim(), codes.dim());
      copy_query(codes.codec(), queries.rows[members[m]], query);
      errors_.push_back(rounding_error(codes.dim(), std::sqrt(squared_norm(query)), largest));
    }
  }
  // The products of a block of rows stay in the second-level cache.
  [[nodiscard]] std::size_t rows_per_block() const override { return 256; }
  void take_rows(std::size_t first, std::size_t count) override {
    const OneBlasThread one_thread;
    const bool l2 = codes_.codec().metric() == Metric::l2;
    const auto dim = static_cast<int>(codes_.dim());
    height_ = count;
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, static_cast<int>(count_), static_cast<int>(count),
                dim, l2 ? -2.0F : -1.0F, block_.data(), dim,
                reinterpret_cast<const float*>(codes_.record(first)), dim, 0.0F, products_.data(),
                static_cast<int>(count));
    if (!l2) return;
    for (std::size_t m = 0; m < count_; ++m) {
      for (std::size_t i = 0; i < count; ++i) products_[m * count + i] += norms_[first + i];
    }
  }
  [[nodiscard]] const float* distances(std::size_t m) override { return products_.data() + m * height_; }
  [[nodiscard]] float error(std::size_t m) const override { return errors_[m]; }

 private:
  const CodeStore& codes_;
  std::span<const float> norms_;
  std::size_t count_;
  std::size_t height_ = 0;
  std::vector<float> block_;
  std::vector<float> products_;
  std::vector<float> errors_;
};

// Rounds values / scale to integers in [-127, 127], writes them plus `zero` and returns |values - scale * integers|. The scale
// is chosen so that the largest value is 127.
template <class Byte>
double to_bytes(std::span<const float> values, std::int32_t zero, Byte* bytes, float& scale) {
  float largest = 0;
  for (const float v : values) largest = std::max(largest, std::abs(v));
  scale = largest / 127.0F;
  const float inverse = scale > std::numeric_limits<float>::min() ? 1.0F / scale : 0.0F;
  constexpr float magic = 0x1.8p23F;  // adding it rounds to an integer
  constexpr std::size_t lanes = 16;
  float squares[lanes] = {};
  const auto one = [&](std::size_t j, float& sum) {
    const float rounded = std::clamp((values[j] * inverse + magic) - magic, -127.0F, 127.0F);
    bytes[j] = static_cast<Byte>(static_cast<std::int32_t>(rounded) + zero);
    const float difference = values[j] - rounded * scale;
    sum += difference * difference;
  };
  const std::size_t whole = values.size() / lanes * lanes;
  for (std::size_t start = 0; start < whole; start += lanes) {
    for (std::size_t l = 0; l < lanes; ++l) one(start + l, squares[l]);
  }
  for (std::size_t j = whole; j < values.size(); ++j) one(j, squares[0]);
  double sum = 0;
  for (const float s : squares) sum += static_cast<double>(s);
  return std::sqrt(sum) * 1.001;  // the sum's own rounding
}

class ByteScorer final : public BlockScorer {
 public:
  ByteScorer(const CodeStore& codes, std::span<const float> norms, const VectorBatch& queries,
             std::span<const std::size_t> members)
      : codes_(codes),
        norms_(norms),
        stride_((codes.dim() + 63) / 64 * 64),
        queries_(members.size()),
        query_bytes_(members.size() * stride_),
        row_bytes_(rows_per_block() * stride_),
        factors_(2 * rows_per_block()) {
    std::vector<float> query(codes.dim());
    largest_norm_ =
        norms.empty() ? 0.0
                      : std::sqrt(static_cast<double>(*std::max_element(norms.begin(), norms.end()))) * 1.001;
    for (std::size_t m = 0; m < members.size(); ++m) {
      copy_query(codes.codec(), queries.rows[members[m]], query);
      Query& q = queries_[m];
      auto* bytes = query_bytes_.data() + m * stride_;
      q.error = to_bytes<std::int8_t>(query, 0, bytes, q.scale);
      for (std::size_t j = 0; j < codes.dim(); ++j) q.shift += 128 * std::int32_t{bytes[j]};
      q.norm = std::sqrt(squared_norm(query));
    }
  }
  // Rounded rows stay in the second-level cache while every query passes over them.
  [[nodiscard]] std::size_t rows_per_block() const override { return 256; }
  void take_rows(std::size_t first, std::size_t count) override {
    height_ = count;
    const bool l2 = codes_.codec().metric() == Metric::l2;
    for (std::size_t i = 0; i < count; ++i) {
      const std::span<const float> row(reinterpret_cast<const float*>(codes_.record(first + i)),
                                       codes_.dim());
      auto* bytes = row_bytes_.data() + i * stride_;
      row_error_ = std::max(row_error_, to_bytes<std::uint8_t>(row, 128, bytes, factors_[2 * i]));
      factors_[2 * i + 1] = l2 ? norms_[first + i] : 0.0F;
    }
  }
  [[nodiscard]] const float* distances(std::size_t m) override {
    const Query& q = queries_[m];
    const float weight = codes_.codec().metric() == Metric::l2 ? -2.0F * q.scale : -q.scale;
    kernels().bytes(query_bytes_.data() + m * stride_, codes_.dim(),
                    {reinterpret_cast<const std::byte*>(row_bytes_.data()), stride_, nullptr},
                    factors_.data(), q.shift, weight, 0.0F, 1.0F, height_, distances_);
    return distances_;
  }
  // <q, x> - <q', x'> = <q', x - x'> + <q - q', x> for the rounded q', x'.
  [[nodiscard]] float error(std::size_t m) const override {
    const Query& q = queries_[m];
    const double product = (q.norm + q.error) * row_error_ + q.error * largest_norm_;
    const double twice = codes_.codec().metric() == Metric::l2 ? 2.0 : 1.0;
    return static_cast<float>(twice * product) + rounding_error(codes_.dim(), q.norm, largest_norm_);
  }

 private:
  struct Query {
    float scale = 0;
    double error = 0;
    double norm = 0;
    std::int32_t shift = 0;
  };
  const CodeStore& codes_;
  std::span<const float> norms_;
  std::size_t stride_;
  std::size_t height_ = 0;
  double row_error_ = 0;
  double largest_norm_ = 0;
  std::vector<Query> queries_;
  Array<std::int8_t> query_bytes_;
  Array<std::uint8_t> row_bytes_;
  std::vector<float> factors_;
  float distances_[256] = {};
};

}  // namespace

std::unique_ptr<BlockScorer> product_scorer(const CodeStore& codes, std::span<const float> norms,
                                            const VectorBatch& queries,
                                            std::span<const std::size_t> members) {
  return std::make_unique<ProductScorer>(codes, norms, queries, members);
}

std::unique_ptr<BlockScorer> byte_scorer(const CodeStore& codes, std::span<const float> norms,
                                         const VectorBatch& queries, std::span<const std::size_t> members) {
  return std::make_unique<ByteScorer>(codes, norms, queries, members);
}

}  // namespace vicinal
