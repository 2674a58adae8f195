#pragma once

#include <cstdint>
#include <span>

#include "vicinal/index/reranked.hpp"
#include "vicinal/index/spec.hpp"

/// Reranking a flat index or a graph on its own codes plus a second level. Not installed.
namespace vicinal {

/// The inverse of a permutation.
Array<std::uint32_t> slots_of_rows(std::span<const std::uint32_t> row_of_slot);

/// `inner` (Flat or Hnsw over `base`, built as `spec` says) with a second level of spec.rerank. Throws InvalidArgument, Cancelled.
AnyRetriever build_two_level(AnyRetriever inner, const Spec& spec, MatrixView<const float> base,
                             const BuildControl& control);
/// The same of a second level that was stored, in the order of the inner one's codes. Throws InvalidArgument when it does not fit.
AnyRetriever restore_two_level(AnyRetriever inner, CodeStore second, double depth);

}  // namespace vicinal
