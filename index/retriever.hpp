#pragma once

#include <concepts>
#include <cstddef>
#include <string_view>

#include "vicinal/core/control.hpp"
#include "vicinal/core/metric.hpp"
#include "vicinal/core/neighbors.hpp"
#include "vicinal/core/vector_batch.hpp"

namespace vicinal {

/// What every index and every decorator is: something of a size, a dimension and a metric that answers batches of queries.
///
/// search() is const and safe to call from many threads. k is out.k(); results are as NeighborsView says. `params` are this
/// index's own search parameters, `control` is common to all. It expects what AnyRetriever::search has checked: finite
/// queries of the right dimension, k >= 1, out with one row a query.
///
/// R::Params is a plain struct with defaults, validate() (throws InvalidArgument) and from_effort(n): one portable knob, the
/// larger the slower and the better, that benchmarks and tuners sweep.
template <class R>
concept Retriever = requires(const R& retriever, const VectorBatch& queries, NeighborsView out,
                             const typename R::Params& params, const SearchControl& control,
                             std::size_t effort) {
  requires std::regular<typename R::Params>;
  { R::Params::from_effort(effort) } -> std::same_as<typename R::Params>;
  {params.validate()};
  { R::kind } -> std::convertible_to<std::string_view>;
  { retriever.size() } -> std::same_as<std::size_t>;
  { retriever.dim() } -> std::same_as<std::size_t>;
  { retriever.metric() } -> std::same_as<Metric>;
  { retriever.memory_bytes() } -> std::same_as<std::size_t>;
  { retriever.search(queries, out, params, control) } -> std::same_as<void>;
};

/// A Retriever whose content can change. Not part of AnyRetriever: "not supported" is an absent method.
template <class R>
concept MutableRetriever = Retriever<R> &&
    requires(R& retriever, const VectorBatch& items, std::span<const Id> ids) {
  retriever.add(items, ids);
  retriever.upsert(items, ids);
  { retriever.remove(ids) } -> std::same_as<std::size_t>;
};

}  // namespace vicinal
