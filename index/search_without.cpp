#include "vicinal/index/search_without.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "vicinal/index/hnsw.hpp"
#include "vicinal/index/query_mapped.hpp"
#include "vicinal/index/reranked.hpp"

namespace vicinal {
namespace {

template <class R>
typename R::Params params_of(const SearchOptions& options) {
  if (const auto* given = std::any_cast<typename R::Params>(&options.params)) return *given;
  return options.effort != 0 ? R::Params::from_effort(options.effort) : typename R::Params{};
}

}  // namespace

bool has_graph(const AnyRetriever& retriever) {
  if (const auto* reranked = retriever.get_if<Reranked>()) return has_graph(reranked->inner());
  if (const auto* mapped = retriever.get_if<QueryMapped>()) return has_graph(mapped->inner());
  return retriever.get_if<Hnsw>() != nullptr;
}

void search_without(const AnyRetriever& retriever, const VectorBatch& queries,
                    std::span<const std::uint32_t> absent, NeighborsView out, const SearchOptions& options,
                    const SearchControl& control) {
  for (std::size_t i = 0; i < out.size(); ++i) {
    std::ranges::fill(out.ids[i], no_id);
    std::ranges::fill(out.distances[i], no_distance);
  }
  std::ranges::fill(out.counts, 0U);
  if (const auto* reranked = retriever.get_if<Reranked>()) {
    reranked->search_without(queries, absent, out, params_of<Reranked>(options), control);
  } else if (const auto* mapped = retriever.get_if<QueryMapped>()) {
    mapped->search_without(queries, absent, out, params_of<QueryMapped>(options), control);
  } else if (const auto* hnsw = retriever.get_if<Hnsw>()) {
    hnsw->search_without(queries, absent, out, params_of<Hnsw>(options), control);
  } else {
    throw Unsupported(
        fmt::format("search_without needs an inner retriever of kind hnsw, got {}", retriever.kind()));
  }
}

}  // namespace vicinal
