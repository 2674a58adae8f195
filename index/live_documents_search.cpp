// Searches of documents that change.
#include <fmt/format.h>

#include <algorithm>
#include <mutex>
#include <utility>
#include <vector>

#include "vicinal/core/array.hpp"
#include "vicinal/index/live_documents.hpp"
#include "vicinal/index/multi_vector_scan.hpp"

namespace vicinal {
namespace {

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

// They last as long as what they are made from.
std::vector<ScanPart> scanned(std::span<const TokenSnapshot::Part> parts) {
  std::vector<ScanPart> result;
  for (const TokenSnapshot::Part& part : parts)
    result.push_back({part.documents, part.places.size(), part.places.data(), part.ids.data()});
  return result;
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

void LiveDocuments::scan(const VectorBatch& queries, NeighborsView out, const SearchControl& control) const {
  const TokenSnapshot documents = tokens_->snapshot();
  const std::vector<TokenSnapshot::Part> parts = documents.parts();
  const auto prepare = [&](MatrixView<const float> vectors, MaxSimQuery& query) {
    documents.prepare_query(vectors, query);
  };
  scan_all(scanned(parts), prepare, queries, out, control);
  if (control.stats != nullptr)
    control.stats->strategy = fmt::format("live(maxsim({}, scan))", to_string(spec_.maxsim->rows));
}

void LiveDocuments::search_candidates(const VectorBatch& queries, NeighborsView out, std::size_t effort,
                                      const SearchControl& control) const {
  SearchStats stats;
  Work work;
  SearchControl of_graph = control;
  of_graph.stats = &stats;
  const LiveHnsw::Params params = effort == 0 ? LiveHnsw::Params{} : LiveHnsw::Params::from_effort(effort);
  std::vector<std::uint64_t> offsets;
  std::size_t wanted = candidates_for(out.k(), spec_.maxsim->depth, effort, size());
  const std::size_t block = std::max<std::size_t>(1, most_values / (encoder_.out_dim() + 2 * wanted));
  for (std::size_t begin = 0; begin < queries.size(); begin += block) {
    const std::size_t count = std::min(block, queries.size() - begin);
    const VectorBatch part = queries.part(begin, count, offsets);
    // Before the candidates: what was removed by now is in neither, and what is added from now on is not returned.
    const TokenSnapshot documents = tokens_->snapshot();
    wanted = candidates_for(out.k(), spec_.maxsim->depth, effort, documents.size());
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
        const std::vector<TokenSnapshot::Part> parts = documents.parts();
        ScanQuery whole{std::move(query), {}, own};
        scan_parts(scanned(parts), 0, documents.size(), {&whole, 1}, out.k(), control.max_distances, control);
        ranked = std::move(whole.found);
        own = whole.stats;
      }
      write_ranked(ranked, out, begin + i);
      work.add(own);
    });
  }
  if (control.stats == nullptr) return;
  stats.add_work(work.stats);
  control.stats->add_work(stats);
  control.stats->strategy = fmt::format("maxsim({}, {}) > {}({}) > {}", to_string(spec_.maxsim->rows), wanted,
                                        encoder_.name(), encoder_.out_dim(), stats.strategy);
}

}  // namespace vicinal
