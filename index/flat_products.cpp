#include "vicinal/index/flat_products.hpp"

#include <algorithm>
#include <limits>
#include <memory>
#include <vector>

#include "vicinal/index/flat_block_scorer.hpp"
#include "vicinal/index/ranking.hpp"

namespace vicinal {
namespace {

// Large blocks of queries, because what is done to a block of rows is done again for each.
constexpr std::size_t most_queries_per_block = 1024;
constexpr std::size_t bytes_pay_from = 64;  // queries that share the rounding of the rows

struct Approximate {
  float distance;
  std::uint32_t row;
};

// The rows that may be among the k nearest, given distances that are off by at most `error`.
class Shortlist {
 public:
  explicit Shortlist(std::size_t k) : k_(k), most_(std::max<std::size_t>(4 * k, 512)) {}

  // More rows than this would cost more to score than exact products of all.
  void limit(std::size_t rows) { limit_ = std::max(rows, 8 * k_); }
  [[nodiscard]] bool overflowed() const { return overflowed_; }

  // Rows seen so far were off by no more than the error given before, so what was dropped stays dropped.
  void raise_error(float error) {
    if (error <= error_) return;
    bound_ += 2 * (error - error_);
    error_ = error;
  }
  void add(const float* distances, std::size_t first_row, std::size_t count) {
    if (overflowed_) return;
    // Nearly all are too far: a group is looked at one by one only where a comparison of all at once found something.
    constexpr std::size_t group = 32;
    for (std::size_t start = 0; start < count; start += group) {
      const std::size_t end = std::min(count, start + group);
      if (end - start == group && !any_within(distances + start)) continue;
      for (std::size_t i = start; i < end; ++i) {
        if (distances[i] <= bound_)
          rows_.push_back({distances[i], static_cast<std::uint32_t>(first_row + i)});
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
    most_ = std::max(most_, 2 * rows_.size());  // many distances that cannot be told apart
    if (rows_.size() > limit_) {
      overflowed_ = true;
      rows_.clear();
    }
  }

  std::size_t k_;
  float error_ = 0;
  std::size_t most_;
  std::size_t limit_ = std::numeric_limits<std::size_t>::max();
  bool overflowed_ = false;
  float bound_ = no_distance;
  std::vector<Approximate> rows_;
};

// Answers some of a batch's queries: picks candidates by one scorer, then scores those exactly.
class Group {
 public:
  Group(const CodeStore& codes, std::span<const float> norms, const VectorBatch& queries,
        const NeighborsView& out, const SearchControl& control)
      : codes_(codes), norms_(norms), queries_(queries), out_(out), control_(control) {}

  void answer(const std::vector<std::size_t>& members, bool by_bytes, SearchStats& work) {
    const std::unique_ptr<BlockScorer> scorer = by_bytes ? byte_scorer(codes_, norms_, queries_, members)
                                                         : product_scorer(codes_, norms_, queries_, members);
    std::vector<Shortlist> shortlists(members.size(), Shortlist(out_.k()));
    if (by_bytes) {
      for (Shortlist& shortlist : shortlists) shortlist.limit(codes_.size() / 16);
    }
    for (std::size_t row = 0; row < codes_.size(); row += scorer->rows_per_block()) {
      if (control_.must_stop()) {
        work.stop = control_.stop_reason();
        break;
      }
      const std::size_t height = std::min(scorer->rows_per_block(), codes_.size() - row);
      scorer->take_rows(row, height);
      for (std::size_t m = 0; m < members.size(); ++m) {
        shortlists[m].raise_error(scorer->error(m));
        shortlists[m].add(scorer->distances(m), row, height);
      }
      work.distances += members.size() * height;
    }
    std::vector<std::size_t> again;
    for (std::size_t m = 0; m < members.size(); ++m) {
      // Past a deadline the answers so far are finished; who cancels does not want them, and with a large k they take long.
      if (control_.stop.stop_requested()) {
        work.stop = StopReason::cancelled;
        return;
      }
      const std::vector<Approximate>& shortlist = shortlists[m].finish();
      if (shortlists[m].overflowed()) {
        again.push_back(members[m]);
      } else {
        score_exactly(shortlist, members[m], work);
      }
    }
    if (!again.empty() && work.stop == StopReason::complete) answer(again, false, work);
  }

 private:
  void score_exactly(const std::vector<Approximate>& shortlist, std::size_t query, SearchStats& work) {
    slots_.clear();
    for (const Approximate& candidate : shortlist) slots_.push_back(candidate.row);
    distances_.resize(slots_.size());
    codes_.codec().prepare_query(queries_.rows[query], prepared_);
    codes_.score(prepared_, slots_.data(), slots_.size(), distances_.data());
    found_.clear();
    for (std::size_t i = 0; i < slots_.size(); ++i)
      found_.push_back({distances_[i], static_cast<Id>(slots_[i])});
    write_ranked(found_, out_, query);
    work.reranked += slots_.size();
  }

  const CodeStore& codes_;
  std::span<const float> norms_;
  const VectorBatch& queries_;
  const NeighborsView& out_;
  const SearchControl& control_;
  PreparedQuery prepared_;
  std::vector<std::uint32_t> slots_;
  std::vector<float> distances_;
  std::vector<Ranked> found_;
};

}  // namespace

Array<float> squared_norms(const CodeStore& codes) {
  Array<float> norms(codes.size());
  for (std::size_t row = 0; row < codes.size(); ++row) {
    double sum = 0;
    const auto* values = reinterpret_cast<const float*>(codes.record(row));
    for (std::size_t j = 0; j < codes.dim(); ++j)
      sum += static_cast<double>(values[j]) * static_cast<double>(values[j]);
    norms[row] = static_cast<float>(sum);
  }
  return norms;
}

void search_by_products(const CodeStore& codes, std::span<const float> norms, const VectorBatch& queries,
                        const NeighborsView& out, const SearchControl& control,
                        FunctionRef<void(const SearchStats&)> add_work) {
  const std::size_t share =
      (queries.size() + control.executor.concurrency() - 1) / control.executor.concurrency();
  const std::size_t queries_per_block = std::min(share, most_queries_per_block);
  const std::size_t tasks = (queries.size() + queries_per_block - 1) / queries_per_block;
  control.executor.for_each(tasks, [&](std::size_t task, std::size_t) {
    std::vector<std::size_t> members(std::min(queries_per_block, queries.size() - task * queries_per_block));
    for (std::size_t m = 0; m < members.size(); ++m) members[m] = task * queries_per_block + m;
    SearchStats work;
    work.queries = members.size();
    Group group(codes, norms, queries, out, control);
    group.answer(members,
                 kernels().fast_bytes && members.size() >= bytes_pay_from && codes.dim() <= max_byte_dim,
                 work);
    work.bytes = (work.distances + work.reranked) * codes.bytes_per_vector();
    add_work(work);
  });
}

}  // namespace vicinal
