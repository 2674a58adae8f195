#include "vicinal/index/calibration.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <set>

#include "vicinal/core/array.hpp"
#include "vicinal/core/error.hpp"
#include "vicinal/core/random.hpp"
#include "vicinal/index/ranking.hpp"
#include "vicinal/quant/codec.hpp"
#include "vicinal/quant/kernels.hpp"

namespace vicinal {
namespace {

constexpr std::size_t measured_k = 10;
constexpr std::size_t most_sampled_rows = 500;
constexpr std::array<std::size_t, 14> efforts{10, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024};
// At most one neighbour in two thousand missed: the efforts above would measure nothing but noise.
constexpr double as_good_as_exact = 0.9995;
constexpr std::uint64_t sample_stream = 0x63616c6962726174;  // "calibrat"
constexpr std::uint32_t no_row = 0xFFFF'FFFF;

// Different rows of [0, rows), ascending: all when there are few (Floyd's algorithm when not).
std::vector<std::uint32_t> sample_rows(std::size_t rows, std::uint64_t seed) {
  if (rows <= most_sampled_rows) {
    std::vector<std::uint32_t> all(rows);
    std::iota(all.begin(), all.end(), 0U);
    return all;
  }
  RandomStream random(seed, sample_stream);
  std::set<std::uint32_t> chosen;
  for (std::size_t last = rows - most_sampled_rows; last < rows; ++last) {
    const auto row = static_cast<std::uint32_t>(random.next_below(last + 1));
    if (!chosen.insert(row).second) chosen.insert(static_cast<std::uint32_t>(last));
  }
  return {chosen.begin(), chosen.end()};
}

// Exact neighbours by scanning the rows where they lie: the base is not copied.
class ExactSearch {
 public:
  ExactSearch(MatrixView<const float> base, Metric metric, const BuildControl& control)
      : base_(base),
        metric_(metric),
        control_(control),
        block_(std::max<std::size_t>(1, cached_floats / base.stride())) {
    if (metric == Metric::cosine) measure_lengths();
  }

  Neighbors operator()(MatrixView<const float> queries, std::span<const std::uint32_t> absent,
                       std::size_t k) const {
    Neighbors truth(queries.rows(), k);
    const NeighborsView out = truth.view();
    const std::size_t groups = (queries.rows() + group_size - 1) / group_size;
    control_.executor.for_each(groups, [&](std::size_t group, std::size_t) {
      const std::size_t first = group * group_size;
      search_group(queries, absent, first, std::min(group_size, queries.rows() - first), out);
    });
    control_.throw_if_stopped();
    return truth;
  }

 private:
  // A block of rows stays in the cache while every query of a group is compared with it.
  static constexpr std::size_t cached_floats = std::size_t{1} << 16;
  static constexpr std::size_t group_size = 16;

  void measure_lengths() {
    lengths_ = Array<float>(base_.rows());
    control_.executor.for_each((base_.rows() + block_ - 1) / block_, [&](std::size_t block, std::size_t) {
      const std::size_t end = std::min(base_.rows(), (block + 1) * block_);
      for (std::size_t row = block * block_; row < end; ++row) {
        double sum = 0;
        for (const float v : base_[row]) sum += static_cast<double>(v) * static_cast<double>(v);
        lengths_[row] = static_cast<float>(std::sqrt(sum));
      }
    });
  }

  void search_group(MatrixView<const float> queries, std::span<const std::uint32_t> absent, std::size_t first,
                    std::size_t count, NeighborsView out) const {
    const std::size_t padded = (base_.cols() + 31) / 32 * 32;
    Array<float> prepared(count * padded);
    for (std::size_t i = 0; i < count; ++i) {
      const std::span<float> copy = prepared.span().subspan(i * padded, base_.cols());
      if (metric_ == Metric::cosine) {
        normalise(queries[first + i], copy);
      } else {
        std::ranges::copy(queries[first + i], copy.begin());
      }
    }
    std::vector<TopK> nearest(count);
    for (TopK& top : nearest) top.reset(out.k());
    std::vector<float> distances(block_);
    for (std::size_t begin = 0; begin < base_.rows() && !control_.stop.stop_requested(); begin += block_) {
      const std::size_t rows = std::min(block_, base_.rows() - begin);
      for (std::size_t i = 0; i < count; ++i) {
        score(prepared.data() + i * padded, begin, rows, distances.data());
        const std::uint32_t skipped = absent.empty() ? no_row : absent[first + i];
        for (std::size_t r = 0; r < rows; ++r) {
          if (distances[r] <= nearest[i].worst() && begin + r != skipped)
            nearest[i].add(distances[r], static_cast<Id>(begin + r));
        }
      }
    }
    for (std::size_t i = 0; i < count; ++i) write_ranked(nearest[i].found(), out, first + i);
  }

  // The distances of rows [begin, begin + rows).
  void score(const float* query, std::size_t begin, std::size_t rows, float* out) const {
    const Records records{reinterpret_cast<const std::byte*>(base_.row_data(begin)),
                          base_.stride() * sizeof(float), nullptr};
    const Kernels& kernel = kernels();
    (metric_ == Metric::l2 ? kernel.l2_f32 : kernel.dot_f32)(query, base_.cols(), records, rows, out);
    for (std::size_t r = 0; r < rows; ++r) {
      if (metric_ == Metric::ip) out[r] = -out[r];
      if (metric_ == Metric::cosine)
        out[r] = lengths_[begin + r] > 0 ? 1.0F - out[r] / lengths_[begin + r] : 1.0F;
      // Sums of huge values: not a number has no place in an order.
      if (std::isnan(out[r])) out[r] = no_distance;
    }
  }

  MatrixView<const float> base_;
  Metric metric_;
  const BuildControl& control_;
  std::size_t block_;
  Array<float> lengths_;  // cosine only
};

}  // namespace

std::size_t Calibration::effort_for(double target) const {
  if (!(target > 0 && target <= 1)) {
    throw InvalidArgument(
        fmt::format("the target recall is {}, expected a number above 0 and at most 1", target));
  }
  if (points.empty()) throw InvalidArgument("the calibration has no points");
  const auto reaching =
      std::ranges::find_if(points, [&](const Point& point) { return point.recall >= target; });
  if (reaching == points.end()) return points.back().effort;
  if (reaching == points.begin()) return points.front().effort;
  const Point& below = *std::prev(reaching);
  const double share = (target - below.recall) / (reaching->recall - below.recall);
  return below.effort +
         static_cast<std::size_t>(std::ceil(share * static_cast<double>(reaching->effort - below.effort)));
}

std::size_t Calibration::effort_for(double target, std::size_t wanted_k) const {
  const std::size_t effort = effort_for(target);
  if (wanted_k <= k) return effort;
  return static_cast<std::size_t>(
      std::ceil(static_cast<double>(effort) * static_cast<double>(wanted_k) / static_cast<double>(k)));
}

std::optional<Calibration> calibrate(MatrixView<const float> base, Metric metric,
                                     MatrixView<const float> queries, std::uint64_t seed,
                                     CalibratedSearch search, const BuildControl& control) {
  Calibration calibration;
  calibration.given_queries = !queries.empty();
  std::vector<std::uint32_t> absent;
  Array<float> copies;
  if (calibration.given_queries) {
    validate_batch(queries, base.cols(), "calibration queries");
    calibration.k = std::min(measured_k, base.rows());
  } else {
    if (base.rows() < 2) return std::nullopt;
    absent = sample_rows(base.rows(), seed);
    copies = Array<float>(checked_product(absent.size(), base.cols(), "calibration queries"));
    for (std::size_t i = 0; i < absent.size(); ++i) {
      std::ranges::copy(base[absent[i]], copies.data() + i * base.cols());
    }
    queries = {copies.data(), absent.size(), base.cols()};
    calibration.k = std::min(measured_k, base.rows() - 1);
  }
  calibration.queries = queries.rows();

  control.report("calibrate", 0, efforts.size() + 1);
  const ExactSearch exact(base, metric, control);
  const Neighbors truth = exact(queries, absent, calibration.k);

  SearchControl search_control;
  search_control.executor = control.executor;
  search_control.stop = control.stop;
  double best = 0;
  for (std::size_t i = 0; i < efforts.size(); ++i) {
    control.report("calibrate", i + 1, efforts.size() + 1);
    Neighbors found(queries.rows(), calibration.k);
    search(queries, absent, found.view(), efforts[i], search_control);
    control.throw_if_stopped();
    best = std::max(best, recall(found.ids(), truth.ids(), calibration.k));
    calibration.points.push_back({efforts[i], best});
    if (best >= as_good_as_exact || efforts[i] >= base.rows()) break;
  }
  control.report("calibrate", efforts.size() + 1, efforts.size() + 1);
  return calibration;
}

}  // namespace vicinal
