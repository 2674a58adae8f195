#include "vicinal/index/live_documents.hpp"

#include <fmt/format.h>

#include <utility>
#include <variant>

#include "vicinal/core/array.hpp"
#include "vicinal/core/change_ids.hpp"
#include "vicinal/core/error.hpp"
#include "vicinal/encode/token_pooling.hpp"
#include "vicinal/index/live_parts.hpp"

namespace vicinal {

LiveDocuments::LiveDocuments(Spec spec, Metric metric, std::size_t dim)
    : spec_(std::move(spec)), metric_(metric), dim_(dim) {
  if (metric == Metric::l2)
    throw InvalidArgument("MaxSim is a sum of inner products: the metric is l2, expected ip or cosine");
}

LiveDocuments::LiveDocuments(const Index& index)
    : spec_(index.spec()), metric_(index.metric()), dim_(index.dim()) {
  const auto* documents = index.retriever().get_if<MultiVector>();
  if (documents == nullptr) throw Unsupported("this retriever cannot change");
  tokens_ = std::make_unique<LiveTokenStore>(documents->documents(), index.ids());
  if (!scans()) {
    const Reranked* reranked = nullptr;
    const Hnsw& graph = graph_of(documents->inner(), reranked);
    encoder_ = documents->encoder();
    graph_ = LiveHnsw(graph, index.ids(), reranked == nullptr ? nullptr : &reranked->rows(),
                      reranked == nullptr ? 0 : reranked->depth());
  }
  ready_.store(true, std::memory_order_release);
}

std::size_t LiveDocuments::memory_bytes() const {
  if (!ready()) return 0;
  return tokens_->snapshot().memory_bytes() + (scans() ? 0 : graph_.memory_bytes() + encoder_.memory_bytes());
}

std::vector<Id> LiveDocuments::ids() const { return ready() ? tokens_->snapshot().ids() : std::vector<Id>(); }

void LiveDocuments::learn(const VectorBatch& documents, const BuildControl& control) {
  if (documents.rows.rows() == 0) {
    throw InvalidArgument(
        fmt::format("{} documents have no vector at all, expected at least 1: what is learnt is learnt from "
                    "the first ones",
                    documents.size()));
  }
  tokens_ =
      std::make_unique<LiveTokenStore>(first_codec(maxsim_codec(spec_), metric_, documents.rows, control));
  if (scans()) return;
  encoder_ = first_encoder(spec_, metric_, documents, control);
}

std::size_t LiveDocuments::apply(const LiveChange& change, const BuildControl& control,
                                 const std::function<void()>& before) {
  VectorBatch documents(change.rows, change.offsets);
  if (change.offsets.empty() && (change.rows.rows() != 0 || !change.ids.empty())) {
    throw InvalidArgument(fmt::format(
        "documents have no offsets, expected some: {} is of documents of several vectors", to_string(spec_)));
  }
  if (change.ids.size() != documents.size())
    throw InvalidArgument(
        fmt::format("{} ids for {} documents, expected one a document", change.ids.size(), documents.size()));
  if (documents.size() != 0 || documents.rows.rows() != 0) validate_batch(documents, dim_, "documents");
  require_change_ids(change.ids, change.removed);
  // What a document is pooled to depends on it alone, so that the log, which has all its vectors, gives the same again.
  PooledTokens pooled;
  if (spec_.pool && documents.rows.rows() != 0) {
    pooled = pool_tokens(documents, *spec_.pool, control);
    documents = {{pooled.rows.data(), pooled.offsets.back(), dim_}, pooled.offsets};
  }

  const std::lock_guard lock(changing_);
  const bool first = !ready();
  if (first && change.ids.empty()) return 0;
  TokenSnapshot was;
  bool is_in_documents = false;
  std::size_t gone = 0;
  try {
    // Until it is ready nobody sees what was learnt, and the next change learns anew.
    if (first) learn(documents, control);
    LiveTokenStore::Prepared prepared =
        tokens_->prepare({documents, change.ids, change.removed, change.must_be_new}, control);
    gone = prepared.gone();
    const auto commit = [&] {
      if (before) before();
      was = tokens_->snapshot();
      tokens_->commit(std::move(prepared));
      is_in_documents = true;
    };
    if (scans()) {
      if (!change.ids.empty() || gone != 0) commit();
    } else {
      Array<float> values(checked_product(documents.size(), encoder_.out_dim(), "encodings"));
      const MatrixView<float> encodings(values.data(), documents.size(), encoder_.out_dim());
      if (documents.size() != 0) encoder_.encode_documents(documents, encodings, control);
      if (first) {
        std::optional<LiveRerank> rerank;
        if (spec_.rerank)
          rerank = LiveRerank{first_codec(rerank_codec(spec_), Metric::ip, encodings, control),
                              spec_.rerank->depth};
        HnswOptions options = std::get<HnswOptions>(spec_.index);
        options.layout = GraphLayout::plain;
        graph_ =
            LiveHnsw(first_codec(spec_.codec, Metric::ip, encodings, control), options, std::move(rerank));
      }
      graph_.apply({encodings, change.ids, change.removed, change.must_be_new}, control, commit);
    }
  } catch (...) {
    if (is_in_documents) tokens_->restore(std::move(was));
    throw;
  }
  ready_.store(true, std::memory_order_release);
  return gone;
}

bool LiveDocuments::consolidate(std::size_t nodes, const BuildControl& control) {
  return !ready() || scans() || graph_.consolidate(nodes, control);
}

void LiveDocuments::compact(const BuildControl& control) {
  const std::lock_guard lock(changing_);
  if (ready()) tokens_->compact(control);
}

LiveDocuments::Frozen LiveDocuments::freeze(GraphLayout layout, const BuildControl& control) const {
  TokenSnapshot documents;
  LiveHnsw::Frozen frozen;
  {
    const std::lock_guard lock(changing_);
    if (ready()) documents = tokens_->snapshot();
    if (documents.tokens() == 0)
      throw InvalidArgument("the index is empty, an immutable one needs at least one vector");
    if (!scans()) frozen = graph_.freeze(layout, control);
  }
  if (scans()) return {MultiVector(documents.freeze(control)), documents.ids()};
  AnyRetriever inner = std::move(frozen.graph);
  if (spec_.rerank) inner = Reranked(std::move(inner), std::move(frozen.rerank_rows), spec_.rerank->depth);
  return {MultiVector(encoder_, std::move(inner), documents.freeze(control), spec_.maxsim->depth),
          std::move(frozen.ids)};
}

}  // namespace vicinal
