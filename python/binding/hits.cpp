#include "hits.hpp"

#include <fmt/format.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>

#include <algorithm>
#include <string>

#include "arguments.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace vicinal::python {
namespace {

template <class T>
using Matrix = nb::ndarray<nb::numpy, T, nb::c_contig>;

// A view of `values`, which live in the object `self`.
template <class T>
nb::object view_of(nb::handle self, const T* values, const Hits& hits, bool per_query) {
  const std::size_t shape[] = {hits.neighbors.size(), hits.neighbors.k()};
  const std::size_t* const first = hits.one_dimensional ? shape + 1 : shape;
  std::size_t dimensions = hits.one_dimensional ? 1 : 2;
  if (per_query) --dimensions;
  return nb::cast(Matrix<T>(const_cast<T*>(values), dimensions, first, self), nb::rv_policy::reference);
}

nb::object ids(nb::handle self) {
  require_content(self);
  const auto& hits = nb::cast<const Hits&>(self);
  return view_of(self, hits.neighbors.ids().data(), hits, false);
}

nb::object distances(nb::handle self) {
  require_content(self);
  const auto& hits = nb::cast<const Hits&>(self);
  return view_of(self, hits.neighbors.distances().data(), hits, false);
}

nb::object counts(nb::handle self) {
  require_content(self);
  const auto& hits = nb::cast<const Hits&>(self);
  if (hits.one_dimensional) return nb::int_(hits.neighbors.counts()[0]);
  return view_of(self, hits.neighbors.counts().data(), hits, true);
}

std::string explain(const Hits& hits) {
  const SearchStats& stats = hits.stats;
  const double queries = static_cast<double>(std::max<std::uint64_t>(1, hits.neighbors.size()));
  const auto each = [&](std::uint64_t total) { return static_cast<double>(total) / queries; };
  std::string text = fmt::format("{} {}, k = {}: {}\n", hits.neighbors.size(),
                                 hits.neighbors.size() == 1 ? "query" : "queries", hits.neighbors.k(),
                                 stats.strategy.empty() ? "nothing to search" : stats.strategy);
  text += fmt::format(
      "a query: {:.1f} distances on codes, {:.1f} on rerank rows, {:.1f} nodes expanded, {:.1f} KiB read\n",
      each(stats.distances), each(stats.reranked), each(stats.hops), each(stats.bytes) / 1024);
  for (const StageTime& stage : stats.stages) {
    text += fmt::format("{}{} {:.0f} µs", &stage == stats.stages.data() ? "time of a query: " : ", ",
                        stage.name, 1e6 * stage.seconds / queries);
  }
  if (!stats.stages.empty()) text += "\n";
  std::size_t short_rows = 0;
  for (const std::uint32_t count : hits.neighbors.counts()) short_rows += count < hits.neighbors.k() ? 1 : 0;
  text += fmt::format("ended: {}", to_string(stats.stop));
  if (short_rows != 0) text += fmt::format("; {} with fewer than k results", short_rows);
  if (!stats.advice.empty()) text += "\n" + stats.advice;
  return text;
}

std::string represent(const Hits& hits) {
  return fmt::format("<vicinal.Hits {} {} x {}, {}>", hits.neighbors.size(),
                     hits.neighbors.size() == 1 ? "query" : "queries", hits.neighbors.k(),
                     hits.stats.strategy);
}

}  // namespace

nb::dict stats_dict(const SearchStats& stats) {
  nb::dict result;
  result["queries"] = stats.queries;
  result["distances"] = stats.distances;
  result["reranked"] = stats.reranked;
  result["hops"] = stats.hops;
  result["bytes"] = stats.bytes;
  result["strategy"] = stats.strategy;
  result["stop"] = std::string(to_string(stats.stop));
  return result;
}

void bind_hits(nb::module_& module) {
  nb::class_<Hits>(module, "Hits", nb::is_final(),
                   "What a search found. Unpacks as ``ids, distances = hits``; a query of one dimension has "
                   "results of one\n"
                   "dimension. Rows ascend by (distance, id); where fewer than k were found they end in id "
                   "-1 at distance inf.\n"
                   "The arrays are views: no copy is made, and they keep the result alive.")
      .def_prop_ro("ids", &ids, nb::sig("def ids(self) -> numpy.typing.NDArray[numpy.int64]"),
                   "(queries, k) int64")
      .def_prop_ro("distances", &distances,
                   nb::sig("def distances(self) -> numpy.typing.NDArray[numpy.float32]"),
                   "(queries, k) float32; smaller is closer for every metric, so an inner product is negated")
      .def_prop_ro("counts", &counts, nb::sig("def counts(self) -> int | numpy.typing.NDArray[numpy.uint32]"),
                   "(queries,) how many of the k are real; an int for a query of one dimension")
      .def_prop_ro(
          "stats", [](const Hits& hits) { return stats_dict(hits.stats); },
          nb::sig("def stats(self) -> dict[str, int | str]"),
          "Work summed over the queries: distances, reranked, hops, bytes read, the strategy and "
          "why it ended.")
      .def_prop_ro(
          "stage_seconds",
          [](const Hits& hits) {
            nb::dict result;
            for (const StageTime& stage : hits.stats.stages)
              result[nb::str(stage.name.data(), stage.name.size())] = stage.seconds;
            return result;
          },
          nb::sig("def stage_seconds(self) -> dict[str, float]"),
          "How long each stage took for all queries, by the clock; empty for an index that works in one.")
      .def("explain", &explain, "How the search was answered and what it cost a query, in words.")
      .def(
          "__iter__", [](nb::handle self) { return nb::iter(nb::make_tuple(ids(self), distances(self))); },
          nb::sig("def __iter__(self) -> collections.abc.Iterator[numpy.typing.NDArray[typing.Any]]"))
      .def("__repr__", &represent);
}

}  // namespace vicinal::python
