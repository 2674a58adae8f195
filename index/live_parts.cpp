#include "vicinal/index/live_parts.hpp"

#include <fmt/format.h>

#include <variant>
#include <vector>

#include "vicinal/core/error.hpp"
#include "vicinal/index/multi_vector_build.hpp"

namespace vicinal {
namespace {

// Fewer rows are no sample to learn a mean from.
constexpr std::size_t least_sample = 256;

}  // namespace

void require_live(const Spec& spec) {
  const auto refuse = [&](const char* what) {
    throw Unsupported(fmt::format(
        "an index that changes has no {}, got \"{}\"; expected codec | hnsw | rerank, of documents "
        "pool | muvera or head | codec | hnsw | rerank | maxsim, or pool | maxsim",
        what, to_string(spec)));
  };
  if (spec.scan) refuse("coarse scan");
  if (spec.maxsim && !spec.muvera && !spec.head) return;
  if (spec.dedup != Deduplication::none) refuse("dedup");
  if (spec.projection.kind != ProjectionKind::none) refuse("projection");
  if (!spec.tiers.empty()) refuse("tiers");
  if (!std::holds_alternative<HnswOptions>(spec.index)) refuse("flat scan");
  if (spec.rerank && spec.rerank->residual) refuse("rerank on residuals");
  if (is_rabitq(spec.codec.kind) || is_product(spec.codec.kind)) refuse("graph over codes of a few bits");
}

Codec first_codec(const CodecOptions& options, Metric metric, MatrixView<const float> rows,
                  const BuildControl& control) {
  if (!is_integer(options.kind) || !options.centre || rows.rows() >= least_sample)
    return Codec::train(options, metric, rows, control);
  const std::vector<float> origin(rows.cols());
  return Codec::restore(options, metric, rows.cols(), origin);
}

DocumentEncoder first_encoder(const Spec& spec, Metric metric, const VectorBatch& documents,
                              const BuildControl& control) {
  const std::size_t vectors = documents.rows.rows();
  if (spec.head && vectors < spec.head->dim) {
    throw InvalidArgument(
        fmt::format("the first documents have {} vectors, expected at least {}: a head of so many values is "
                    "learnt from them",
                    vectors, spec.head->dim));
  }
  if (spec.head || !spec.muvera->centre || vectors >= least_sample)
    return train_encoder(spec, metric, documents, control);
  return FdeEncoder::restore(encoder_options(spec, metric), documents.dim(),
                             std::vector<float>(documents.dim()));
}

const Hnsw& graph_of(const AnyRetriever& retriever, const Reranked*& reranked) {
  reranked = retriever.get_if<Reranked>();
  const auto* graph = (reranked == nullptr ? retriever : reranked->inner()).get_if<Hnsw>();
  if (graph == nullptr) throw Unsupported("this retriever cannot change");
  return *graph;
}

}  // namespace vicinal
