#include "vicinal/index/multi_vector_scan.hpp"

#include <algorithm>
#include <cmath>
#include <mutex>
#include <vector>

#include "vicinal/encode/query_carving.hpp"
#include "vicinal/index/ranking.hpp"

namespace vicinal {
namespace {

constexpr std::size_t documents_at_once = 64;  // between two looks at the clock
constexpr std::size_t queries_at_once = 8;
constexpr std::size_t cached_bytes = std::size_t{1}
                                     << 18U;  // of codes that a second-level cache surely holds

// So many documents as a group of queries reads one query after the other.
std::size_t documents_in_cache(const TokenStore& documents) {
  const std::size_t bytes = documents.tokens() * documents.codes().bytes_per_vector();
  const std::size_t each = bytes / std::max<std::size_t>(1, documents.size()) + 1;
  return std::clamp<std::size_t>(cached_bytes / each, 1, documents_at_once);
}

// A query as it is compared: all its vectors, or fewer that stand for as much.
class ScannedQuery {
 public:
  void prepare(const TokenStore& documents, MatrixView<const float> vectors, double carve,
               MaxSimQuery& query) {
    if (carve == 0) return documents.prepare_query(vectors, query);
    const std::size_t dim = vectors.cols();
    rows_.resize(vectors.rows() * dim);
    const MatrixView<float> rows(rows_.data(), vectors.rows(), dim);
    const auto tau = static_cast<float>(carve);
    if (documents.metric() != Metric::cosine)
      return documents.prepare_query(rows.rows_from(0, carve_query(vectors, tau, rows)), query);
    units_.resize(rows_.size());
    const MatrixView<float> units(units_.data(), vectors.rows(), dim);
    for (std::size_t i = 0; i < vectors.rows(); ++i) normalise(vectors[i], units[i]);
    const std::size_t kept = keep_weighted(rows.rows_from(0, carve_query(units, tau, rows)));
    // Vectors that add up to nothing.
    if (kept == 0) return documents.prepare_query(vectors, query);
    documents.prepare_query(rows.rows_from(0, kept), query, weights_);
  }

 private:
  // The length of a sum of unit vectors is what its cosine counts. Moves rows that have one to the front.
  std::size_t keep_weighted(MatrixView<float> rows) {
    weights_.clear();
    for (std::size_t i = 0; i < rows.rows(); ++i) {
      double squares = 0;
      for (const float value : rows[i]) squares += static_cast<double>(value) * static_cast<double>(value);
      if (!(squares > 0)) continue;
      std::ranges::copy(rows[i], rows.row_data(weights_.size()));
      weights_.push_back(static_cast<float>(std::sqrt(squares)));
    }
    return weights_.size();
  }

  std::vector<float> units_, rows_, weights_;
};

}  // namespace

void scan_parts(std::span<const ScanPart> parts, std::size_t begin, std::size_t end,
                std::span<ScanQuery> queries, std::size_t k, std::uint64_t budget,
                const SearchControl& control) {
  std::vector<TopK> nearest(queries.size());
  for (TopK& top : nearest) top.reset(k);
  std::vector<std::uint32_t> passing;
  std::vector<std::uint64_t> tokens_up_to;  // of passing documents, each with those before
  float distances[documents_at_once];
  const auto is_done = [](const ScanQuery& one) { return one.stats.stop != StopReason::complete; };
  std::size_t number = 0;  // of the first document of the part
  for (const ScanPart& part : parts) {
    const TokenStore& documents = *part.documents;
    const std::size_t last = std::min(end, number + part.count);
    const std::size_t block = queries.size() == 1 ? documents_at_once : documents_in_cache(documents);
    for (std::size_t first = std::max(begin, number); first < last; first += block) {
      if (control.must_stop()) {
        for (ScanQuery& one : queries) {
          if (!is_done(one)) one.stats.stop = control.stop_reason();
        }
      }
      if (std::ranges::all_of(queries, is_done)) break;
      const std::size_t count = std::min(block, last - first);
      passing.clear();
      tokens_up_to.clear();
      std::uint64_t tokens = 0;
      for (std::size_t d = first - number; d < first - number + count; ++d) {
        const std::uint32_t place = part.place(d);
        if (!control.filter.passes_all() && !control.filter(part.id(place))) continue;
        tokens += documents.tokens(place);
        passing.push_back(place);
        tokens_up_to.push_back(tokens);
      }
      for (std::size_t q = 0; q < queries.size(); ++q) {
        ScanQuery& one = queries[q];
        if (is_done(one)) continue;
        std::size_t scored = passing.size();
        while (scored > 0 && one.stats.distances + tokens_up_to[scored - 1] * one.query.vectors() > budget) {
          --scored;
          one.stats.stop = StopReason::budget;
        }
        if (scored == 0) continue;
        if (part.places == nullptr && scored == count) {
          documents.score_range(one.query, first - number, count, distances);
        } else {
          documents.score(one.query, std::span(passing).first(scored), distances);
        }
        for (std::size_t i = 0; i < scored; ++i) {
          if (distances[i] < no_distance && distances[i] <= nearest[q].worst())
            nearest[q].add(distances[i], part.id(passing[i]));
        }
        one.stats.distances += tokens_up_to[scored - 1] * one.query.vectors();
        one.stats.bytes += tokens_up_to[scored - 1] * documents.codes().bytes_per_vector();
      }
    }
    number += part.count;
  }
  for (std::size_t q = 0; q < queries.size(); ++q) {
    const std::span<Ranked> found = nearest[q].found();
    queries[q].found.assign(found.begin(), found.end());
  }
}

// Many queries are scanned in groups, which read every document once. Few are each scanned in slices, so that every thread has one.
void scan_all(std::span<const ScanPart> parts, PrepareQuery prepare, const VectorBatch& queries,
              NeighborsView out, const SearchControl& control) {
  std::size_t size = 0;
  for (const ScanPart& part : parts) size += part.count;
  const std::size_t asked = queries.size();
  if (asked == 0) return;
  const std::size_t threads = control.executor.concurrency();
  const std::size_t at_once = std::clamp<std::size_t>(asked / threads, 1, queries_at_once);
  const std::size_t groups = std::max<std::size_t>(1, (asked + at_once - 1) / at_once);
  const std::size_t slices = groups >= threads ? 1 : (threads + groups - 1) / groups;
  const std::size_t slice_size = (size + slices - 1) / slices;
  std::vector<std::vector<Ranked>> found(asked * slices);
  std::mutex mutex;
  SearchStats work;
  control.executor.for_each(groups * slices, [&](std::size_t task, std::size_t) {
    const std::size_t slice = task % slices;
    const std::size_t begin = std::min(size, slice * slice_size);
    const std::size_t end = std::min(size, begin + slice_size);
    const std::size_t first = task / slices * at_once;
    std::vector<ScanQuery> group(std::min(at_once, asked - first));
    for (std::size_t q = 0; q < group.size(); ++q) prepare(queries.item(first + q), group[q].query);
    // Each slice has its part of the budget.
    scan_parts(parts, begin, end, group, out.k(), control.max_distances / slices, control);
    for (std::size_t q = 0; q < group.size(); ++q)
      found[(first + q) * slices + slice] = std::move(group[q].found);
    const std::lock_guard lock(mutex);
    for (const ScanQuery& one : group) work.add_work(one.stats);
  });
  for (std::size_t q = 0; q < asked; ++q) {
    std::vector<Ranked>& all = found[q * slices];
    for (std::size_t s = 1; s < slices; ++s)
      all.insert(all.end(), found[q * slices + s].begin(), found[q * slices + s].end());
    write_ranked(all, out, q);
  }
  if (control.stats == nullptr) return;
  work.queries = asked;
  control.stats->add_work(work);
}

void scan_documents(const TokenStore& documents, double carve, const VectorBatch& queries, NeighborsView out,
                    const SearchControl& control) {
  const ScanPart all{&documents, documents.size()};
  const auto prepare = [&](MatrixView<const float> vectors, MaxSimQuery& query) {
    ScannedQuery().prepare(documents, vectors, carve, query);
  };
  scan_all({&all, 1}, prepare, queries, out, control);
}

std::size_t candidates_for(std::size_t k, double depth, std::size_t effort, std::size_t size) {
  const double wanted =
      effort != 0 ? static_cast<double>(effort) : std::ceil(depth * static_cast<double>(k) * (1 - 1e-12));
  const std::size_t candidates =
      wanted >= static_cast<double>(size) ? size : static_cast<std::size_t>(wanted);
  return std::max<std::size_t>(1, std::min(size, std::max(candidates, k)));
}

}  // namespace vicinal
