#include "vicinal/index/flat.hpp"

#include <algorithm>
#include <mutex>
#include <vector>

#include "vicinal/index/flat_products.hpp"
#include "vicinal/index/ranking.hpp"

namespace vicinal {
namespace {

constexpr std::size_t queries_per_task =
    16;  // score a block of records one after the other while it is in the cache
constexpr std::size_t block_bytes = 64 * 1024;
constexpr std::size_t most_block = 512;  // its distances to a group of queries stay in the first-level cache
constexpr std::size_t products_pay_from = 12;  // queries in a batch

// One group of queries over all records that pass, block by block.
class GroupScan {
 public:
  GroupScan(const CodeStore& codes, const VectorBatch& queries, std::size_t first, std::size_t count,
            std::size_t k)
      : codes_(codes), prepared_(count), top_(count) {
    for (std::size_t q = 0; q < count; ++q) {
      codes.codec().prepare_query(queries.rows[first + q], prepared_[q]);
      codes.codec().prepare_scan(prepared_[q]);
      top_[q].reset(k);
    }
  }

  // slots == nullptr: slots first, first + 1, ...
  void score(const std::uint32_t* slots, std::size_t first, std::size_t count) {
    const std::size_t stride = (count + 15) / 16 * 16;
    if (distances_.size() < prepared_.size() * stride) distances_ = Array<float>(prepared_.size() * stride);
    if (slots == nullptr) codes_.score_range(prepared_, first, count, distances_.data(), stride);
    for (std::size_t q = 0; q < prepared_.size(); ++q) {
      float* const distances = distances_.data() + q * stride;
      if (slots != nullptr) codes_.score(prepared_[q], slots, count, distances);
      add_near(top_[q], distances, count, slots, first);
    }
  }
  [[nodiscard]] TopK& top(std::size_t q) { return top_[q]; }

 private:
  static void add_near(TopK& top, const float* distances, std::size_t count, const std::uint32_t* slots,
                       std::size_t first) {
    constexpr std::size_t at_once = 32;
    float worst = top.worst();
    for (std::size_t start = 0; start < count; start += at_once) {
      const std::size_t end = std::min(count, start + at_once);
      // Nearly all are too far: they are looked at one by one only where a comparison of all at once found something.
      if (end - start == at_once && !any_within(distances + start, worst)) continue;
      for (std::size_t i = start; i < end; ++i) {
        if (distances[i] > worst) continue;
        top.add(distances[i], static_cast<Id>(slots != nullptr ? slots[i] : first + i));
        worst = top.worst();
      }
    }
  }
  static bool any_within(const float* distances, float worst) {
    int within = 0;
    for (std::size_t i = 0; i < 32; ++i) within |= distances[i] <= worst ? 1 : 0;
    return within != 0;
  }

  const CodeStore& codes_;
  std::vector<PreparedQuery> prepared_;
  std::vector<TopK> top_;
  Array<float> distances_;  // of every query to a block of records
};

}  // namespace

Flat::Flat(const CodeStore& codes) : codes_(codes.in_blocks()) {
  if (codes_.codec().kind() == CodecKind::f32) norms_ = squared_norms(codes_);
}

void Flat::search(const VectorBatch& queries, NeighborsView out, const Params& /*params*/,
                  const SearchControl& control) const {
  const bool products = codes_.codec().kind() == CodecKind::f32 && queries.size() >= products_pay_from &&
                        control.filter.passes_all() && control.max_distances >= size();
  std::mutex stats_mutex;
  const auto add = [&](const SearchStats& work) {
    if (control.stats == nullptr) return;
    const std::lock_guard lock(stats_mutex);
    control.stats->add_work(work);
  };
  if (products) {
    search_by_products(codes_, norms_.span(), queries, out, control, add);
  } else {
    const std::size_t tasks = (queries.size() + queries_per_task - 1) / queries_per_task;
    control.executor.for_each(tasks, [&](std::size_t task, std::size_t) {
      const std::size_t first = task * queries_per_task;
      add(scan(queries, first, std::min(queries_per_task, queries.size() - first), out, control));
    });
  }
  if (control.stats != nullptr) control.stats->strategy = products ? "flat(matrix products)" : "flat(scan)";
}

SearchStats Flat::scan(const VectorBatch& queries, std::size_t first_query, std::size_t count,
                       const NeighborsView& out, const SearchControl& control) const {
  GroupScan group(codes_, queries, first_query, count, out.k());
  SearchStats work;
  work.queries = count;
  const std::size_t block =
      std::clamp<std::size_t>(block_bytes / codes_.codec().stride() / 16 * 16, 16, most_block);
  std::vector<std::uint32_t> passing;
  std::uint64_t scored = 0;
  for (std::size_t first = 0; first < size(); first += block) {
    if (control.must_stop()) {
      work.stop = control.stop_reason();
      break;
    }
    std::size_t rows = std::min(block, size() - first);
    if (scored + rows > control.max_distances) {
      work.stop = StopReason::budget;
      rows = static_cast<std::size_t>(control.max_distances - scored);
    }
    if (control.filter.passes_all()) {
      group.score(nullptr, first, rows);
    } else {
      passing.clear();
      for (std::size_t row = first; row < first + rows; ++row) {
        if (control.filter(static_cast<Id>(row))) passing.push_back(static_cast<std::uint32_t>(row));
      }
      group.score(passing.data(), first, passing.size());
      rows = passing.size();
    }
    scored += rows;
    if (work.stop != StopReason::complete) break;
  }
  for (std::size_t q = 0; q < count; ++q) write_ranked(group.top(q).found(), out, first_query + q);
  work.distances = scored * count;
  work.bytes = work.distances * codes_.bytes_per_vector();
  return work;
}

}  // namespace vicinal
