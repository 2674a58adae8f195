// Searches of documents that change.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <mutex>
#include <vector>

#include "vicinal/core/array.hpp"
#include "vicinal/index/live_documents.hpp"
#include "vicinal/index/ranking.hpp"

namespace vicinal {
namespace {

constexpr std::size_t documents_at_once = 64;  // of a scan, between two looks at the clock
// Encodings and candidates of queries held at one time.
constexpr std::size_t most_values = std::size_t{1} << 24;

// What the threads of a search add up.
struct Work {
  std::mutex mutex;
  SearchStats stats;

  void add(const SearchStats& other) {
    const std::lock_guard lock(mutex);
    stats.add_work(other);
  }
};

// Of documents begin, ..., end - 1 in the order of `parts` the k nearest that pass, in no order. No more than `budget` pairs of vectors.
std::vector<Ranked> scan_parts(std::span<const TokenSnapshot::Part> parts, std::size_t begin, std::size_t end,
                               MaxSimQuery& query, std::size_t k, std::uint64_t budget,
                               const SearchControl& control, SearchStats& stats) {
  TopK top;
  top.reset(k);
  std::vector<std::uint32_t> passing;
  float distances[documents_at_once];
  std::size_t number = 0;  // of the first document of the part
  for (const TokenSnapshot::Part& part : parts) {
    const TokenStore& documents = *part.documents;
    const std::size_t last = std::min(end, number + part.places.size());
    for (std::size_t first = std::max(begin, number); first < last; first += documents_at_once) {
      if (control.must_stop()) stats.stop = control.stop_reason();
      if (stats.stop != StopReason::complete) break;
      passing.clear();
      std::uint64_t tokens = 0;
      for (std::size_t d = first; d < std::min(last, first + documents_at_once); ++d) {
        const std::uint32_t place = part.places[d - number];
        if (!control.filter.passes_all() && !control.filter(part.ids[place])) continue;
        if (stats.distances + (tokens + documents.tokens(place)) * query.vectors() > budget) {
          stats.stop = StopReason::budget;
          break;
        }
        tokens += documents.tokens(place);
        passing.push_back(place);
      }
      documents.score(query, passing, distances);
      for (std::size_t i = 0; i < passing.size(); ++i) {
        if (distances[i] < no_distance && distances[i] <= top.worst())
          top.add(distances[i], part.ids[passing[i]]);
      }
      stats.distances += tokens * query.vectors();
      stats.bytes += tokens * documents.codes().bytes_per_vector();
    }
    number += part.places.size();
  }
  const std::span<Ranked> nearest = top.found();
  return {nearest.begin(), nearest.end()};
}

void write_nothing(NeighborsView out) {
  for (std::size_t q = 0; q < out.size(); ++q) write_ranked({}, out, q);
}

}  // namespace

void LiveDocuments::search(const VectorBatch& queries, NeighborsView out, std::size_t effort,
                           const SearchControl& control) const {
  require_vectors(queries, "query");
  if (ready() && scans()) return scan(queries, out, control);
  if (ready()) return search_candidates(queries, out, effort, control);
  write_nothing(out);
  if (control.stats == nullptr) return;
  control.stats->queries += queries.size();
  control.stats->strategy = "live(empty)";
}

// Few queries are each scanned in slices, so that every thread has one.
void LiveDocuments::scan(const VectorBatch& queries, NeighborsView out, const SearchControl& control) const {
  const TokenSnapshot documents = tokens_->snapshot();
  const std::vector<TokenSnapshot::Part> parts = documents.parts();
  const std::size_t threads = control.executor.concurrency();
  const std::size_t slices =
      queries.size() == 0 || queries.size() >= threads ? 1 : (threads + queries.size() - 1) / queries.size();
  std::vector<std::vector<Ranked>> found(queries.size() * slices);
  Work work;
  control.executor.for_each(queries.size() * slices, [&](std::size_t task, std::size_t) {
    const std::size_t slice = task % slices;
    MaxSimQuery query;
    documents.prepare_query(queries.item(task / slices), query);
    SearchStats own;
    // Each slice has its part of the budget.
    found[task] =
        scan_parts(parts, documents.size() * slice / slices, documents.size() * (slice + 1) / slices, query,
                   out.k(), control.max_distances / slices, control, own);
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
  control.stats->strategy = fmt::format("live(maxsim({}, scan))", to_string(spec_.maxsim->rows));
}

// As of a MultiVector: max(k, depth x k), or what the effort says, at most all.
std::size_t LiveDocuments::candidates_for(std::size_t k, std::size_t effort, std::size_t size) const {
  const double wanted = effort != 0 ? static_cast<double>(effort)
                                    : std::ceil(spec_.maxsim->depth * static_cast<double>(k) * (1 - 1e-12));
  const std::size_t candidates =
      wanted >= static_cast<double>(size) ? size : static_cast<std::size_t>(wanted);
  return std::max<std::size_t>(1, std::min(size, std::max(candidates, k)));
}

void LiveDocuments::search_candidates(const VectorBatch& queries, NeighborsView out, std::size_t effort,
                                      const SearchControl& control) const {
  SearchStats stats;
  Work work;
  SearchControl of_graph = control;
  of_graph.stats = &stats;
  const LiveHnsw::Params params = effort == 0 ? LiveHnsw::Params{} : LiveHnsw::Params::from_effort(effort);
  std::vector<std::uint64_t> offsets;
  std::size_t wanted = candidates_for(out.k(), effort, size());
  const std::size_t block = std::max<std::size_t>(1, most_values / (encoder_.out_dim() + 2 * wanted));
  for (std::size_t begin = 0; begin < queries.size(); begin += block) {
    const std::size_t count = std::min(block, queries.size() - begin);
    const VectorBatch part = queries.part(begin, count, offsets);
    // Before the candidates: what was removed by now is in neither, and what is added from now on is not returned.
    const TokenSnapshot documents = tokens_->snapshot();
    wanted = candidates_for(out.k(), effort, documents.size());
    Array<float> values(checked_product(count, encoder_.out_dim(), "encodings"));
    const MatrixView<float> encoded(values.data(), count, encoder_.out_dim());
    encoder_.encode_queries(part, encoded, control.executor);
    Neighbors candidates(count, wanted);
    graph_.search(encoded, candidates.view(), params, of_graph);
    const std::size_t sure = std::min(out.k(), documents.size());
    control.executor.for_each(count, [&](std::size_t i, std::size_t) {
      std::vector<Id> ids;
      for (const Id id : candidates.ids()[i].first(candidates.counts()[i])) {
        // The promise that a filter never leaks is kept here once more.
        if (control.filter.passes_all() || control.filter(id)) ids.push_back(id);
      }
      MaxSimQuery query;
      documents.prepare_query(part.item(i), query);
      std::vector<float> distances(ids.size());
      SearchStats own;
      own.bytes = documents.score(query, ids, distances.data()) * documents.bytes_per_vector();
      own.reranked = ids.size();
      std::vector<Ranked> ranked;
      for (std::size_t d = 0; d < ids.size(); ++d) {
        if (distances[d] < no_distance) ranked.push_back({distances[d], ids[d]});
      }
      // Candidates that are newer than the documents, or have no vectors, took the places of others.
      if (ranked.size() < sure && ranked.size() < ids.size() && stats.stop == StopReason::complete) {
        ranked = scan_parts(documents.parts(), 0, documents.size(), query, out.k(), control.max_distances,
                            control, own);
      }
      write_ranked(ranked, out, begin + i);
      work.add(own);
    });
  }
  if (control.stats == nullptr) return;
  stats.add_work(work.stats);
  control.stats->add_work(stats);
  control.stats->strategy = fmt::format("maxsim({}, {}) > muvera({}) > {}", to_string(spec_.maxsim->rows),
                                        wanted, encoder_.out_dim(), stats.strategy);
}

}  // namespace vicinal
