#include "vicinal/index/multi_vector.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <mutex>
#include <utility>
#include <vector>

#include "vicinal/index/ranking.hpp"

namespace vicinal {
namespace {

constexpr std::size_t documents_at_once = 64;  // of a scan, between two looks at the clock
// Encodings and candidates of queries held at one time.
constexpr std::size_t most_values = std::size_t{1} << 24;

}  // namespace

void MultiVector::Params::validate() const {
  if (depth == 0 || (depth >= 1 && std::isfinite(depth))) return;
  throw InvalidArgument(fmt::format("the depth is {}, expected 0 (as built) or at least 1", depth));
}

MultiVector::MultiVector(TokenStore documents) : documents_(std::move(documents)) {}

MultiVector::MultiVector(FdeEncoder encoder, AnyRetriever inner, TokenStore documents, double depth)
    : encoder_(std::move(encoder)),
      inner_(std::move(inner)),
      documents_(std::move(documents)),
      depth_(depth) {
  if (!inner_.has_value()) throw InvalidArgument("the retriever of encodings is empty");
  if (!(depth_ >= 1 && std::isfinite(depth_)))
    throw InvalidArgument(fmt::format("the depth is {}, expected at least 1", depth_));
  if (inner_.size() != documents_.size())
    throw InvalidArgument(
        fmt::format("{} encodings of {} documents, expected as many", inner_.size(), documents_.size()));
  if (encoder_.out_dim() != inner_.dim() || encoder_.token_dim() != documents_.dim()) {
    throw InvalidArgument(fmt::format(
        "the encoder maps dimension {} to {}, documents have {} and the retriever of encodings {}",
        encoder_.token_dim(), encoder_.out_dim(), documents_.dim(), inner_.dim()));
  }
  if (inner_.metric() != Metric::ip)
    throw InvalidArgument(
        fmt::format("the retriever of encodings has metric {}, expected ip", to_string(inner_.metric())));
}

std::size_t MultiVector::memory_bytes() const {
  return documents_.memory_bytes() + (scans() ? 0 : inner_.memory_bytes() + encoder_.memory_bytes());
}

void MultiVector::search(const VectorBatch& queries, NeighborsView out, const Params& params,
                         const SearchControl& control) const {
  require_vectors(queries, "query");
  if (scans()) {
    scan(queries, out, control);
  } else {
    search_candidates(queries, out, params, control);
  }
}

// What the threads of a search add up.
struct MultiVector::Work {
  std::mutex mutex;
  SearchStats stats;

  void add(const SearchStats& other) {
    const std::lock_guard lock(mutex);
    stats.add_work(other);
  }
};

// Few queries are each scanned in slices, so that every thread has one.
void MultiVector::scan(const VectorBatch& queries, NeighborsView out, const SearchControl& control) const {
  const std::size_t threads = control.executor.concurrency();
  const std::size_t slices =
      queries.size() == 0 || queries.size() >= threads ? 1 : (threads + queries.size() - 1) / queries.size();
  const std::size_t slice_size = (size() + slices - 1) / slices;
  std::vector<std::vector<Ranked>> found(queries.size() * slices);
  Work work;
  control.executor.for_each(queries.size() * slices, [&](std::size_t task, std::size_t) {
    const std::size_t q = task / slices;
    const std::size_t begin = std::min(size(), task % slices * slice_size);
    const std::size_t end = std::min(size(), begin + slice_size);
    MaxSimQuery query;
    documents_.prepare_query(queries.item(q), query);
    TopK top;
    top.reset(out.k());
    SearchStats own;
    std::vector<std::uint32_t> passing;
    float distances[documents_at_once];
    // Each slice has its part of the budget.
    const std::uint64_t budget = control.max_distances / slices;
    for (std::size_t first = begin; first < end; first += documents_at_once) {
      if (control.must_stop()) {
        own.stop = control.stop_reason();
        break;
      }
      const std::size_t count = std::min(documents_at_once, end - first);
      passing.clear();
      std::uint64_t tokens = 0;
      for (std::size_t d = first; d < first + count; ++d) {
        if (!control.filter.passes_all() && !control.filter(static_cast<Id>(d))) continue;
        if (own.distances + (tokens + documents_.tokens(d)) * query.vectors() > budget) {
          own.stop = StopReason::budget;
          break;
        }
        tokens += documents_.tokens(d);
        passing.push_back(static_cast<std::uint32_t>(d));
      }
      if (passing.size() == count) {
        documents_.score_range(query, first, count, distances);
      } else {
        documents_.score(query, passing, distances);
      }
      for (std::size_t i = 0; i < passing.size(); ++i) {
        if (distances[i] < no_distance && distances[i] <= top.worst())
          top.add(distances[i], static_cast<Id>(passing[i]));
      }
      own.distances += tokens * query.vectors();
      own.bytes += tokens * documents_.codes().bytes_per_vector();
      if (own.stop != StopReason::complete) break;
    }
    const std::span<Ranked> nearest = top.found();
    found[task].assign(nearest.begin(), nearest.end());
    work.add(own);
  });
  for (std::size_t q = 0; q < queries.size(); ++q) {
    std::vector<Ranked>& all = found[q * slices];
    for (std::size_t s = 1; s < slices; ++s)
      all.insert(all.end(), found[q * slices + s].begin(), found[q * slices + s].end());
    write_ranked(all, out, q);
  }
  if (control.stats == nullptr) return;
  work.stats.queries = queries.size();
  control.stats->add_work(work.stats);
  control.stats->strategy = fmt::format("maxsim({}, scan)", to_string(documents_.codes().codec().kind()));
}

// max(k, depth x k), or what the effort says, at most all.
std::size_t MultiVector::candidates_for(std::size_t k, const Params& params) const {
  if (params.inner.effort != 0 && params.depth == 0)
    return std::max<std::size_t>(1, std::min(size(), std::max(params.inner.effort, k)));
  const double depth = params.depth == 0 ? depth_ : params.depth;
  const double wanted = std::ceil(depth * static_cast<double>(k) * (1 - 1e-12));
  const std::size_t candidates =
      wanted >= static_cast<double>(size()) ? size() : static_cast<std::size_t>(wanted);
  return std::max<std::size_t>(1, std::min(size(), std::max(candidates, k)));
}

void MultiVector::search_candidates(const VectorBatch& queries, NeighborsView out, const Params& params,
                                    const SearchControl& control) const {
  const std::size_t wanted = candidates_for(out.k(), params);
  const std::size_t block = std::max<std::size_t>(1, most_values / (encoder_.out_dim() + 2 * wanted));
  SearchStats stats;
  Work work;
  SearchControl inner_control = control;
  inner_control.stats = &stats;
  std::vector<std::uint64_t> offsets;
  for (std::size_t begin = 0; begin < queries.size(); begin += block) {
    const std::size_t count = std::min(block, queries.size() - begin);
    const VectorBatch part = queries.part(begin, count, offsets);
    Array<float> encodings(count * encoder_.out_dim());
    const MatrixView<float> encoded(encodings.data(), count, encoder_.out_dim());
    encoder_.encode_queries(part, encoded, control.executor);
    Neighbors candidates = inner_.search(encoded, wanted, params.inner, inner_control);
    control.executor.for_each(count, [&](std::size_t i, std::size_t) {
      std::vector<std::uint32_t> documents;
      for (const Id id : candidates.ids()[i].first(candidates.counts()[i])) {
        // The promise that a filter never leaks is kept here once more.
        if (control.filter.passes_all() || control.filter(id))
          documents.push_back(static_cast<std::uint32_t>(id));
      }
      std::ranges::sort(documents);
      MaxSimQuery query;
      documents_.prepare_query(part.item(i), query);
      std::vector<float> distances(documents.size());
      documents_.score(query, documents, distances.data());
      std::vector<Ranked> ranked;
      SearchStats own;
      for (std::size_t d = 0; d < documents.size(); ++d) {
        if (distances[d] < no_distance) ranked.push_back({distances[d], static_cast<Id>(documents[d])});
        own.bytes += documents_.tokens(documents[d]) * documents_.codes().bytes_per_vector();
      }
      own.reranked = documents.size();
      write_ranked(ranked, out, begin + i);
      work.add(own);
    });
  }
  if (control.stats == nullptr) return;
  stats.add_work(work.stats);
  control.stats->add_work(stats);
  control.stats->strategy =
      fmt::format("maxsim({}, {}) > muvera({}) > {}", to_string(documents_.codes().codec().kind()), wanted,
                  encoder_.out_dim(), stats.strategy);
}

}  // namespace vicinal
