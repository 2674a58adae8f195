#include "vicinal/index/live_index.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "vicinal/core/error.hpp"
#include "vicinal/index/live_index_state.hpp"
#include "vicinal/index/live_parts.hpp"
#include "vicinal/index/reranked.hpp"

namespace vicinal {
namespace {

// A change of documents always has offsets in the log.
constexpr std::uint64_t no_documents[] = {0};

}  // namespace

void LiveIndex::State::begin(const CreateRecord& record) {
  spec = with_seed(parse_spec(record.spec), record.seed);
  require_live(spec);
  if (const auto* options = std::get_if<HnswOptions>(&spec.index)) options->validate();
  seed = record.seed;
  metric = record.metric;
  dim = record.dim;
  if (spec.maxsim) documents = std::make_unique<LiveDocuments>(spec, metric, dim);
}

void LiveIndex::State::take(const Index& index) {
  require_live(index.spec());
  spec = index.spec();
  seed = index.seed();
  metric = index.metric();
  dim = index.dim();
  calibration = index.calibration();
  if (spec.maxsim) {
    documents = std::make_unique<LiveDocuments>(index);
    return;
  }
  const Reranked* reranked = nullptr;
  const Hnsw& hnsw = graph_of(index.retriever(), reranked);
  set_graph(LiveHnsw(hnsw, index.ids(), reranked == nullptr ? nullptr : &reranked->rows(),
                     reranked == nullptr ? 0 : reranked->depth()));
}

void LiveIndex::State::make_graph(MatrixView<const float> rows, const BuildControl& control) {
  std::optional<LiveRerank> rerank;
  if (spec.rerank)
    rerank = LiveRerank{first_codec(rerank_codec(spec), metric, rows, control), spec.rerank->depth};
  HnswOptions options = std::get<HnswOptions>(spec.index);
  options.layout = GraphLayout::plain;
  set_graph(LiveHnsw(first_codec(spec.codec, metric, rows, control), options, std::move(rerank)));
}

std::size_t LiveIndex::State::change(const LiveChange& change, const BuildControl& control, bool logged) {
  if (documents == nullptr && !change.offsets.empty()) {
    throw InvalidArgument(
        fmt::format("items have offsets, so they are of several vectors, for which {} has no maxsim stage: "
                    "expected one, as in maxsim(i8)",
                    to_string(spec)));
  }
  if (documents == nullptr && !ready()) {
    if (change.rows.rows() == 0 && change.ids.empty()) return 0;
    validate_batch(change.rows, dim, "rows");
    if (change.rows.rows() == 0)
      throw InvalidArgument(fmt::format("{} ids for 0 rows, expected one a row", change.ids.size()));
    make_graph(change.rows, control);
  }
  bool is_logged = false;
  const auto write_log = [&] {
    if (!logged || !log.is_open()) return;
    LiveChange whole = change;
    if (documents != nullptr && change.offsets.empty()) whole.offsets = no_documents;
    log.append(RecordParts(whole, dim).parts());
    is_logged = true;
  };
  try {
    if (documents != nullptr) return documents->apply(change, control, write_log);
    return graph.apply(change, control, write_log);
  } catch (...) {
    broken = broken || is_logged;
    throw;
  }
}

LiveIndex LiveIndex::create(std::size_t dim, std::string_view spec, Metric metric, std::uint64_t seed) {
  if (dim == 0) throw InvalidArgument("the dimension is 0, expected at least 1");
  LiveIndex index;
  index.state_ = std::make_shared<State>();
  index.state_->begin({dim, seed, metric, std::string(spec)});
  return index;
}

LiveIndex LiveIndex::from(const Index& index) {
  LiveIndex live;
  live.state_ = std::make_shared<State>();
  live.state_->take(index);
  return live;
}

std::size_t LiveIndex::size() const {
  if (state_ == nullptr) return 0;
  if (state_->documents != nullptr) return state_->documents->size();
  return state_->ready() ? state_->graph.size() : 0;
}
std::size_t LiveIndex::dim() const { return state_ == nullptr ? 0 : state_->dim; }
Metric LiveIndex::metric() const { return state_ == nullptr ? Metric::l2 : state_->metric; }
std::size_t LiveIndex::memory_bytes() const {
  if (state_ == nullptr) return 0;
  if (state_->documents != nullptr) return state_->documents->memory_bytes();
  return state_->ready() ? state_->graph.memory_bytes() : 0;
}
const Spec& LiveIndex::spec() const { return state_->spec; }
std::uint64_t LiveIndex::seed() const { return state_->seed; }
bool LiveIndex::contains(Id id) const {
  if (state_->documents != nullptr) return state_->documents->contains(id);
  return state_->ready() && state_->graph.contains(id);
}
std::vector<Id> LiveIndex::ids() const {
  if (state_->documents != nullptr) return state_->documents->ids();
  return state_->ready() ? state_->graph.ids() : std::vector<Id>();
}
std::size_t LiveIndex::retired() const {
  if (state_->documents != nullptr) return state_->documents->retired();
  return state_->ready() ? state_->graph.retired() : 0;
}
std::optional<Calibration> LiveIndex::calibration() const {
  const std::lock_guard lock(state_->calibration_mutex);
  return state_->calibration;
}
std::uint64_t LiveIndex::log_bytes() const {
  const std::lock_guard lock(state_->changing);
  return state_->log.is_open() ? state_->log.bytes() : 0;
}

void LiveIndex::reconstruct(std::span<const Id> ids, MatrixView<float> out) const {
  if (state_->documents != nullptr)
    throw Unsupported(
        "documents of several vectors are given back one by one: freeze(), then "
        "MultiVector::documents().decode()");
  if (!state_->ready() && !ids.empty())
    throw InvalidArgument(fmt::format("id {} is not in the index", ids.front()));
  if (state_->ready()) state_->graph.reconstruct(ids, out);
}

Neighbors LiveIndex::search(const VectorBatch& queries, std::size_t k, const IndexSearchOptions& options,
                            const SearchControl& control) const {
  if (k == 0) throw InvalidArgument("k is 0, expected at least 1");
  Neighbors out(queries.size(), k);
  search(queries, out.view(), Params{options}, control);
  return out;
}

std::unique_ptr<Pages> LiveIndex::pages(std::span<const float> query, std::size_t page,
                                        const IndexSearchOptions& options, const Filter& filter) const {
  if (state_ == nullptr) throw InvalidArgument("the index is empty: nothing was created or opened");
  validate_batch(MatrixView<const float>(query.data(), 1, query.size()), dim(), "query");
  if (page == 0) throw InvalidArgument("the page is 0, expected at least 1");
  const IndexSearchOptions fixed{effort_for(options, page), {}};
  return search_repeatedly(*this, query, fixed, filter);
}

RangeNeighbors LiveIndex::search_range(MatrixView<const float> queries, float radius,
                                       const IndexSearchOptions& options,
                                       const SearchControl& control) const {
  if (state_ == nullptr) throw InvalidArgument("the index is empty: nothing was created or opened");
  validate_batch(queries, dim(), "queries");
  return search_range_of(*this, queries, radius, options, control);
}

// 0 for the default.
std::size_t LiveIndex::effort_for(const IndexSearchOptions& options, std::size_t k) const {
  Params{options}.validate();
  if (!options.target_recall) return options.effort;
  // A scan is exact and meets every target.
  if (state_->documents != nullptr && state_->documents->scans()) return 0;
  const std::optional<Calibration> measured = calibration();
  if (!measured) {
    throw InvalidArgument(
        "the index is not calibrated, so it cannot aim at a target recall: compact it, or give an effort");
  }
  return measured->effort_for(*options.target_recall, k);
}

void LiveIndex::search(const VectorBatch& queries, NeighborsView out, const Params& params,
                       const SearchControl& control) const {
  if (state_ == nullptr) throw InvalidArgument("the index is empty: nothing was created or opened");
  const std::size_t effort = effort_for(params.search, out.k());
  validate_batch(queries, dim(), "queries");
  if (state_->documents != nullptr) return state_->documents->search(queries, out, effort, control);
  if (queries.multi_vector())
    throw InvalidArgument("queries of several vectors for an index of single vectors");
  LiveHnsw::Params search{};
  if (effort != 0) search.ef = effort;
  search.validate();
  if (state_->ready()) {
    state_->graph.search(queries, out, search, control);
    return;
  }
  for (std::size_t q = 0; q < out.size(); ++q) {
    std::ranges::fill(out.ids[q], no_id);
    std::ranges::fill(out.distances[q], no_distance);
    out.counts[q] = 0;
  }
  if (control.stats != nullptr) {
    control.stats->queries += queries.size();
    control.stats->strategy = "live(empty)";
  }
}

std::size_t LiveIndex::apply(const LiveChange& change, const BuildControl& control) {
  const std::lock_guard lock(state_->changing);
  state_->require_writable();
  return state_->change(change, control, true);
}

bool LiveIndex::consolidate(std::size_t nodes, const BuildControl& control) {
  if (state_->documents != nullptr) return state_->documents->consolidate(nodes, control);
  return !state_->ready() || state_->graph.consolidate(nodes, control);
}

Index LiveIndex::State::freeze(bool calibrate, std::optional<GraphLayout> wanted,
                               const BuildControl& control) const {
  Spec of_layout = spec;
  auto* const graph_options = std::get_if<HnswOptions>(&of_layout.index);
  if (graph_options == nullptr && wanted)
    throw InvalidArgument(fmt::format("a layout is given, {} has no graph", to_string(spec)));
  if (graph_options != nullptr && wanted) graph_options->layout = *wanted;
  const GraphLayout layout = graph_options == nullptr ? GraphLayout::plain : graph_options->layout;
  if (documents != nullptr) {
    LiveDocuments::Frozen frozen = documents->freeze(layout, control);
    return Index::of_parts(of_layout, seed, std::move(frozen.retriever), frozen.ids, calibrate, control);
  }
  if (!ready() || graph.size() == 0)
    throw InvalidArgument("the index is empty, an immutable one needs at least one vector");
  LiveHnsw::Frozen frozen = graph.freeze(layout, control);
  AnyRetriever retriever = std::move(frozen.graph);
  if (spec.rerank)
    retriever = Reranked(std::move(retriever), std::move(frozen.rerank_rows), spec.rerank->depth);
  return Index::of_parts(of_layout, seed, std::move(retriever), frozen.ids, calibrate, control);
}

Index LiveIndex::freeze(bool calibrate, std::optional<GraphLayout> layout,
                        const BuildControl& control) const {
  return state_->freeze(calibrate, layout, control);
}

}  // namespace vicinal
