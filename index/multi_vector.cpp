#include "vicinal/index/multi_vector.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <mutex>
#include <utility>
#include <vector>

#include "vicinal/index/multi_vector_scan.hpp"
#include "vicinal/index/ranking.hpp"

namespace vicinal {
namespace {

// Encodings and candidates of queries held at one time.
constexpr std::size_t most_values = std::size_t{1} << 24;

void require_depth(double depth) {
  if (!(depth >= 1 && std::isfinite(depth)))
    throw InvalidArgument(fmt::format("the depth is {}, expected at least 1", depth));
}

// Adds the time from its construction on to a stage.
class Stopwatch {
 public:
  Stopwatch(SearchStats& stats, std::string_view stage) : stats_(stats), stage_(stage) {}
  Stopwatch(const Stopwatch&) = delete;
  Stopwatch& operator=(const Stopwatch&) = delete;
  ~Stopwatch() {
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - begin_;
    stats_.add_time(stage_, elapsed.count());
  }

 private:
  SearchStats& stats_;
  std::string_view stage_;
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

}  // namespace

void MultiVector::Params::validate() const {
  if (depth == 0 || (depth >= 1 && std::isfinite(depth))) return;
  throw InvalidArgument(fmt::format("the depth is {}, expected 0 (as built) or at least 1", depth));
}

MultiVector::MultiVector(TokenStore documents) : documents_(std::move(documents)) {}

MultiVector::MultiVector(DocumentEncoder encoder, AnyRetriever inner, TokenStore documents, double depth)
    : encoder_(std::move(encoder)),
      inner_(std::move(inner)),
      documents_(std::move(documents)),
      depth_(depth) {
  if (!inner_.has_value()) throw InvalidArgument("the retriever of encodings is empty");
  require_depth(depth_);
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

MultiVector::MultiVector(CoarseScan coarse, TokenStore documents, double depth)
    : coarse_(std::move(coarse)), documents_(std::move(documents)), depth_(depth) {
  require_depth(depth_);
  const TokenStore& rough = coarse_->documents;
  if (!std::ranges::equal(rough.offsets(), documents_.offsets()) || rough.dim() != documents_.dim() ||
      rough.metric() != documents_.metric()) {
    throw InvalidArgument(
        fmt::format("the scan is of {} documents of {} vectors of dimension {} ({}), expected the same as of "
                    "{} of {} of {} ({})",
                    rough.size(), rough.tokens(), rough.dim(), to_string(rough.metric()), documents_.size(),
                    documents_.tokens(), documents_.dim(), to_string(documents_.metric())));
  }
  if (!(coarse_->carve >= 0 && coarse_->carve <= 1))
    throw InvalidArgument(fmt::format("carve is {}, expected 0 to 1", coarse_->carve));
}

std::size_t MultiVector::memory_bytes() const {
  return documents_.memory_bytes() + (coarse_ ? coarse_->documents.memory_bytes() : 0) +
         (inner_.has_value() ? inner_.memory_bytes() + encoder_.memory_bytes() : 0);
}

void MultiVector::search(const VectorBatch& queries, NeighborsView out, const Params& params,
                         const SearchControl& control) const {
  require_vectors(queries, "query");
  if (!params.encodings.empty()) require_encodings(queries, params);
  if (!scans()) return search_candidates(queries, out, params, control);
  SearchStats stats;
  SearchControl own = control;
  own.stats = &stats;
  {
    const Stopwatch watch(stats, "maxsim");
    scan_documents(documents_, 0, queries, out, own);
  }
  if (control.stats == nullptr) return;
  control.stats->add_work(stats);
  control.stats->strategy = fmt::format("maxsim({}, scan)", to_string(documents_.codes().codec().kind()));
}

void MultiVector::require_encodings(const VectorBatch& queries, const Params& params) const {
  if (!inner_.has_value())
    throw InvalidArgument("encodings of the queries are given, but this index has none to compare them with");
  if (params.fingerprint != encoder_.fingerprint()) {
    throw InvalidArgument(fmt::format(
        "the queries were encoded by {:016x}, the documents by {:016x}: expected the same encoder",
        params.fingerprint, encoder_.fingerprint()));
  }
  if (params.encodings.rows() != queries.size())
    throw InvalidArgument(
        fmt::format("{} encodings of {} queries, expected as many", params.encodings.rows(), queries.size()));
  validate_batch(params.encodings, encoder_.out_dim(), "encodings");
}

// Candidates of a part of the queries, whose encodings are `params.encodings` if there are any.
Neighbors MultiVector::find(const VectorBatch& queries, std::size_t wanted, const Params& params,
                            const SearchControl& control) const {
  SearchStats& stats = *control.stats;
  if (coarse_) {
    Neighbors candidates(queries.size(), wanted);
    const Stopwatch watch(stats, "scan");
    scan_documents(coarse_->documents, coarse_->carve, queries, candidates.view(), control);
    stats.strategy = fmt::format("scan({})", to_string(coarse_->documents.codes().codec().kind()));
    return candidates;
  }
  Array<float> encodings;
  MatrixView<const float> encoded = params.encodings;
  if (encoded.empty()) {
    const Stopwatch watch(stats, "encode");
    encodings = Array<float>(queries.size() * encoder_.out_dim());
    const MatrixView<float> own(encodings.data(), queries.size(), encoder_.out_dim());
    encoder_.encode_queries(queries, own, control.executor);
    encoded = own;
  }
  const Stopwatch watch(stats, "candidates");
  Neighbors candidates = inner_.search(encoded, wanted, params.inner, control);
  stats.strategy = fmt::format("{}({}) > {}", encoder_.name(), encoder_.out_dim(), stats.strategy);
  return candidates;
}

std::uint64_t MultiVector::rescore(const VectorBatch& queries, const Neighbors& candidates, NeighborsView out,
                                   std::size_t first, const SearchControl& control) const {
  const Stopwatch watch(*control.stats, "maxsim");
  std::uint64_t pairs = 0;
  std::mutex mutex;
  control.executor.for_each(queries.size(), [&](std::size_t i, std::size_t) {
    std::vector<std::uint32_t> documents;
    for (const Id id : candidates.ids()[i].first(candidates.counts()[i])) {
      // The promise that a filter never leaks is kept here once more.
      if (control.filter.passes_all() || control.filter(id))
        documents.push_back(static_cast<std::uint32_t>(id));
    }
    std::ranges::sort(documents);
    MaxSimQuery query;
    documents_.prepare_query(queries.item(i), query);
    std::vector<float> distances(documents.size());
    documents_.score(query, documents, distances.data());
    std::vector<Ranked> ranked;
    SearchStats own;
    std::uint64_t tokens = 0;
    for (std::size_t d = 0; d < documents.size(); ++d) {
      if (distances[d] < no_distance) ranked.push_back({distances[d], static_cast<Id>(documents[d])});
      tokens += documents_.tokens(documents[d]);
    }
    own.bytes = tokens * documents_.codes().bytes_per_vector();
    own.reranked = documents.size();
    write_ranked(ranked, out, first + i);
    const std::lock_guard lock(mutex);
    control.stats->add_work(own);
    pairs += tokens * query.vectors();
  });
  return pairs;
}

void MultiVector::search_candidates(const VectorBatch& queries, NeighborsView out, const Params& params,
                                    const SearchControl& control) const {
  // An effort stands for a number of candidates where no depth is given.
  const std::size_t effort = params.depth == 0 ? params.inner.effort : 0;
  const std::size_t wanted =
      candidates_for(out.k(), params.depth == 0 ? depth_ : params.depth, effort, size());
  const std::size_t encoded = coarse_ ? 0 : encoder_.out_dim();
  const std::size_t block = std::max<std::size_t>(1, most_values / (encoded + 2 * wanted));
  SearchStats stats;
  SearchControl own = control;
  own.stats = &stats;
  std::vector<std::uint64_t> offsets;
  std::uint64_t pairs = 0;
  for (std::size_t begin = 0; begin < queries.size(); begin += block) {
    const std::size_t count = std::min(block, queries.size() - begin);
    const VectorBatch part = queries.part(begin, count, offsets);
    Params of_part = params;
    if (!params.encodings.empty()) of_part.encodings = params.encodings.rows_from(begin, count);
    const Neighbors candidates = find(part, wanted, of_part, own);
    pairs += rescore(part, candidates, out, begin, own);
  }
  if (control.stats == nullptr) return;
  if (inner_.has_value()) control.stats->advice = advice(queries, stats.distances, pairs);
  control.stats->add_work(stats);
  control.stats->strategy = fmt::format("maxsim({}, {}) > {}", to_string(documents_.codes().codec().kind()),
                                        wanted, stats.strategy);
}

// A scan of half bytes with carved queries costs about a fifth of the scan of bytes that compares all pairs, measured on ColBERT's and MiniLM's
// tokens (docs/benchmarks.md).
std::string MultiVector::advice(const VectorBatch& queries, std::uint64_t encodings,
                                std::uint64_t pairs) const {
  constexpr double carved = 0.2;
  const auto dimension = static_cast<double>(dim());
  const auto vectors = static_cast<double>(queries.rows.rows());
  const double all = carved * vectors * static_cast<double>(documents_.tokens()) * dimension;
  const double spent = static_cast<double>(pairs) * dimension +
                       static_cast<double>(encodings) * static_cast<double>(encoder_.out_dim());
  if (spent <= all) return {};
  return fmt::format("a scan would take about {:.0f} % of the work: scan(i4) | maxsim({})", 100 * all / spent,
                     to_string(documents_.codes().codec().kind()));
}

}  // namespace vicinal
