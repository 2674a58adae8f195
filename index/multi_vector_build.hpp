#pragma once

#include <optional>

#include "vicinal/core/function_ref.hpp"
#include "vicinal/index/calibration.hpp"
#include "vicinal/index/multi_vector.hpp"
#include "vicinal/index/spec.hpp"

/// Not installed.
namespace vicinal {

/// What the stages of a spec between muvera and maxsim say, over encodings, compared by inner product.
using BuildEncodings = FunctionRef<AnyRetriever(MatrixView<const float> encodings)>;

/// The options of a spec's muvera stage, where there is one, for documents that are compared so.
FdeOptions encoder_options(const Spec& spec, Metric metric);
/// What the spec's muvera or head stage learns from documents, which are pooled already.
DocumentEncoder train_encoder(const Spec& spec, Metric metric, const VectorBatch& documents,
                              const BuildControl& control);

/// Throws InvalidArgument as TokenStore::build() and FdeEncoder::train() do, Cancelled.
MultiVector build_multi_vector(const Spec& spec, Metric metric, const VectorBatch& given,
                               BuildEncodings build_encodings, const BuildControl& control);

/// Measures the share of the exact ten nearest, on the stored vectors, that rising numbers of candidates give. On `queries`; when there are
/// none, on the first vectors of documents that `seed` chooses, each without itself; without documents, as the retriever has them stored. Nothing for a scan, which is exact.
std::optional<Calibration> calibrate_multi_vector(const MultiVector& retriever, const VectorBatch& documents,
                                                  const VectorBatch& queries, std::uint64_t seed,
                                                  const BuildControl& control);

}  // namespace vicinal
