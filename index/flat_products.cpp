#include "vicinal/index/flat_products.hpp"

#include <cblas.h>
#include <omp.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "vicinal/index/ranking.hpp"

namespace vicinal {
namespace {

// Large blocks of queries, because BLAS repacks the rows for each; the products of a block of rows stay in the second-level cache.
constexpr std::size_t most_queries_per_block = 1024;
constexpr std::size_t rows_per_block = 1024;

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

struct Approximate {
  float distance;
  std::uint32_t row;
};

// The rows that may be among the k nearest, given distances that are off by at most `error`.
class Shortlist {
 public:
  Shortlist(std::size_t k, float error) : k_(k), error_(error), most_(std::max<std::size_t>(4 * k, 512)) { rows_.reserve(most_ + rows_per_block); }

  void add(const float* distances, std::size_t first_row, std::size_t count) {
    // Nearly all are too far: a group is looked at one by one only where a comparison of all at once found something.
    constexpr std::size_t group = 32;
    for (std::size_t start = 0; start < count; start += group) {
      const std::size_t end = std::min(count, start + group);
      if (end - start == group && !any_within(distances + start)) continue;
      for (std::size_t i = start; i < end; ++i) {
        if (distances[i] <= bound_) rows_.push_back({distances[i], static_cast<std::uint32_t>(first_row + i)});
      }
    }
    if (rows_.size() >= most_) shrink();
  }
  [[nodiscard]] const std::vector<Approximate>& finish() {
    shrink();
    return rows_;
  }

 private:
  [[nodiscard]] bool any_within(const float* distances) const {
    int within = 0;
    for (std::size_t i = 0; i < 32; ++i) within |= distances[i] <= bound_ ? 1 : 0;
    return within != 0;
  }

  void shrink() {
    if (rows_.size() <= k_) return;
    std::nth_element(rows_.begin(), rows_.begin() + static_cast<std::ptrdiff_t>(k_ - 1), rows_.end(),
                     [](const Approximate& a, const Approximate& b) { return a.distance < b.distance; });
    bound_ = rows_[k_ - 1].distance + 2 * error_;
    std::erase_if(rows_, [&](const Approximate& row) { return row.distance > bound_; });
    most_ = std::max(most_, 2 * rows_.size());  // many equal distances
  }

  std::size_t k_;
  float error_;
  std::size_t most_;
  float bound_ = no_distance;
  std::vector<Approximate> rows_;
};

float squared_norm(std::span<const float> vector) {
  double sum = 0;
  for (const float v : vector) sum += static_cast<double>(v) * static_cast<double>(v);
  return static_cast<float>(sum);
}

}  // namespace

Array<float> squared_norms(const CodeStore& codes) {
  Array<float> norms(codes.size());
  for (std::size_t row = 0; row < codes.size(); ++row) {
    norms[row] = squared_norm({reinterpret_cast<const float*>(codes.record(row)), codes.dim()});
  }
  return norms;
}

void search_by_products(const CodeStore& codes, std::span<const float> norms, const VectorBatch& queries, const NeighborsView& out,
                        const SearchControl& control, FunctionRef<void(const SearchStats&)> add_work) {
  const std::size_t dim = codes.dim();
  const Codec& codec = codes.codec();
  const auto* rows = reinterpret_cast<const float*>(codes.records());
  const float largest = norms.empty() ? 0.0F : *std::max_element(norms.begin(), norms.end());
  const std::size_t share = (queries.size() + control.executor.concurrency() - 1) / control.executor.concurrency();
  const std::size_t queries_per_block = std::min(share, most_queries_per_block);
  const std::size_t tasks = (queries.size() + queries_per_block - 1) / queries_per_block;
  control.executor.for_each(tasks, [&](std::size_t task, std::size_t) {
    const OneBlasThread one_thread;
    const std::size_t first = task * queries_per_block;
    const std::size_t count = std::min(queries_per_block, queries.size() - first);
    SearchStats work;
    work.queries = count;
    std::vector<float> block(count * dim);
    std::vector<Shortlist> shortlists;
    for (std::size_t q = 0; q < count; ++q) {
      const std::span<float> query(block.data() + q * dim, dim);
      const std::span<const float> given = queries.rows[first + q];
      if (codec.metric() == Metric::cosine) {
        normalise(given, query);
      } else {
        std::copy(given.begin(), given.end(), query.begin());
      }
      // Higham 2002: a sum of d products is off by at most d u / (1 - d u) times the product of the norms, in any order. Both the
      // product and the kernel may be; for l2 the norms and their sum round too.
      const float norm = squared_norm(query);
      const float unit = static_cast<float>(dim + 8) * 0x1.0p-24F;
      shortlists.emplace_back(out.k(), 4 * unit * (std::sqrt(norm) * std::sqrt(largest) + norm + largest));
    }
    std::vector<float> products(count * rows_per_block);
    for (std::size_t row = 0; row < codes.size(); row += rows_per_block) {
      if (control.must_stop()) {
        work.stop = control.stop_reason();
        break;
      }
      const std::size_t height = std::min(rows_per_block, codes.size() - row);
      cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, static_cast<int>(count), static_cast<int>(height), static_cast<int>(dim),
                  codec.metric() == Metric::l2 ? -2.0F : -1.0F, block.data(), static_cast<int>(dim), rows + row * dim,
                  static_cast<int>(dim), 0.0F, products.data(), static_cast<int>(height));
      for (std::size_t q = 0; q < count; ++q) {
        float* const distances = products.data() + q * height;
        if (codec.metric() == Metric::l2) {
          for (std::size_t i = 0; i < height; ++i) distances[i] += norms[row + i];
        }
        shortlists[q].add(distances, row, height);
      }
      work.distances += count * height;
    }
    PreparedQuery prepared;
    std::vector<std::uint32_t> slots;
    std::vector<float> distances;
    std::vector<Ranked> found;
    for (std::size_t q = 0; q < count; ++q) {
      const std::vector<Approximate>& shortlist = shortlists[q].finish();
      slots.clear();
      for (const Approximate& candidate : shortlist) slots.push_back(candidate.row);
      distances.resize(slots.size());
      codec.prepare_query(queries.rows[first + q], prepared);
      codes.score(prepared, slots.data(), slots.size(), distances.data());
      found.clear();
      for (std::size_t i = 0; i < slots.size(); ++i) found.push_back({distances[i], static_cast<Id>(slots[i])});
      write_ranked(found, out, first + q);
      work.reranked += slots.size();
    }
    work.bytes = (work.distances + work.reranked) * codes.bytes_per_vector();
    add_work(work);
  });
}

}  // namespace vicinal
