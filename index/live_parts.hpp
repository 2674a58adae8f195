#pragma once

#include "vicinal/core/control.hpp"
#include "vicinal/index/any_retriever.hpp"
#include "vicinal/index/document_encoder.hpp"
#include "vicinal/index/hnsw.hpp"
#include "vicinal/index/reranked.hpp"
#include "vicinal/index/spec.hpp"

/// What a LiveIndex can be made of. Not installed.
namespace vicinal {

/// Throws Unsupported for stages that an index that changes has not.
void require_live(const Spec& spec);

/// A codec learnt from what comes first. Of few rows the mean would be that of a moment: it is 0 then.
Codec first_codec(const CodecOptions& options, Metric metric, MatrixView<const float> rows,
                  const BuildControl& control);
/// The spec's encoder of documents' vectors, in the same way. A head needs as many vectors as it has values: InvalidArgument.
DocumentEncoder first_encoder(const Spec& spec, Metric metric, const VectorBatch& documents,
                              const BuildControl& control);

/// The graph of a retriever, and its precise rows or null. Throws Unsupported.
const Hnsw& graph_of(const AnyRetriever& retriever, const Reranked*& reranked);

}  // namespace vicinal
