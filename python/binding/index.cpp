#include "index.hpp"

#include <fmt/format.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/unique_ptr.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "vicinal/index/index.hpp"
#include "vicinal/index/multi_vector.hpp"
#include "vicinal/tools/formatting.hpp"
#include "arguments.hpp"
#include "arrays.hpp"
#include "filter.hpp"
#include "hits.hpp"
#include "interruptible.hpp"
#include "pages.hpp"
#include "rows.hpp"
#include "search.hpp"
#include "threads.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace vicinal::python {
namespace {

using PopularityArray = nb::ndarray<const float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using IdArray = nb::ndarray<const Id, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

Index build(nb::handle base, const std::string& spec, const std::string& metric, std::optional<IdArray> ids,
            std::uint64_t seed, nb::handle threads, bool calibrate, nb::handle calibration_queries,
            std::optional<PopularityArray> popularity, nb::handle progress) {
  const BorrowedItems items(base, "base", false);
  std::optional<BorrowedItems> queries;
  IndexOptions options;
  options.seed = seed;
  options.calibrate = calibrate;
  if (!calibration_queries.is_none()) {
    queries.emplace(calibration_queries, "calibration queries", false);
    if (queries->batch().size() == 0)
      throw InvalidArgument("calibration queries have no rows, expected at least 1");
    options.calibration_queries = queries->batch().rows;
    options.calibration_offsets = queries->batch().offsets;
  }
  if (ids) options.ids = {ids->data(), ids->size()};
  if (popularity) options.popularity = {popularity->data(), popularity->size()};
  const Metric parsed = parse_metric(metric);
  const std::size_t pool = optional_number(threads, "threads", most_threads);
  const ExecutorRef pool_executor = executor(pool);
  Index index;
  run_interruptibly(
      [&](const Job& job) {
        BuildControl control;
        control.executor = pool_executor;
        control.stop = job.stop;
        control.progress = job.report;
        index = Index::build(items.batch(), spec, parsed, options, control);
      },
      progress);
  return index;
}

nb::object ids(nb::handle self) {
  require_content(self);
  const auto& index = nb::cast<const Index&>(self);
  if (index.ids().empty()) return nb::none();
  const std::size_t shape[] = {index.ids().size()};
  return nb::cast(nb::ndarray<nb::numpy, const Id>(index.ids().data(), 1, shape, self),
                  nb::rv_policy::reference);
}

nb::object reconstruct(nb::handle self, std::optional<IdArray> wanted) {
  require_content(self);
  const auto& index = nb::cast<const Index&>(self);
  std::vector<Id> all;
  std::span<const Id> ids;
  if (wanted) {
    ids = {wanted->data(), wanted->size()};
  } else if (!index.ids().empty()) {
    ids = index.ids();
  } else {
    all.resize(index.size());
    std::iota(all.begin(), all.end(), Id{0});
    ids = all;
  }
  Array<float> rows(checked_product(ids.size(), index.dim(), "vectors"));
  {
    const nb::gil_scoped_release released;
    index.reconstruct(ids, {rows.data(), ids.size(), index.dim()});
  }
  return owning_array<float>(std::move(rows), {ids.size(), index.dim()});
}

nb::object match(nb::handle self, nb::handle query, nb::handle wanted) {
  require_content(self);
  const auto& index = nb::cast<const Index&>(self);
  const BorrowedRows rows(query, "query", false);
  const auto given =
      nb::cast<IdArray>(nb::module_::import_("vicinal._arrays").attr("id_array")(wanted, "ids"));
  const std::span<const Id> ids(given.data(), given.size());
  const std::size_t count = ids.size(), vectors = rows.view().rows();
  const std::size_t values = checked_product(count, vectors, "matches");
  Array<std::uint32_t> tokens(values);
  Array<float> scores(values);
  const auto match_part = [&](std::size_t first, std::size_t part) {
    index.match(rows.view(), ids.subspan(first, part), {tokens.data() + first * vectors, part, vectors},
                {scores.data() + first * vectors, part, vectors});
  };
  if (static_cast<double>(values) * static_cast<double>(index.dim()) * vectors_of_a_document <= short_work) {
    const nb::gil_scoped_release released;
    match_part(0, count);
  } else {
    constexpr std::size_t documents_at_once = 256;  // between looks whether to stop
    run_interruptibly([&](const Job& job) {
      for (std::size_t first = 0; first < count && !job.stop.stop_requested(); first += documents_at_once)
        match_part(first, std::min(documents_at_once, count - first));
    });
  }
  return nb::make_tuple(owning_array<std::uint32_t>(std::move(tokens), {count, vectors}),
                        owning_array<float>(std::move(scores), {count, vectors}));
}

// Seconds that the same searches take called from C++, for the benchmark of the binding: all rows as one batch, or one by one.
double time_searches(const Index& index, nb::handle queries, std::size_t k, std::size_t effort,
                     bool one_by_one) {
  const BorrowedRows rows(queries, "queries", false);
  const std::size_t count = rows.view().rows();
  const std::size_t batch = one_by_one ? 1 : count;
  const IndexSearchOptions options{effort, {}};
  const nb::gil_scoped_release released;
  const auto start = SearchControl::Clock::now();
  for (std::size_t first = 0; first < count; first += batch) {
    SearchStats stats;
    SearchControl control;
    control.stats = &stats;
    const Neighbors found = index.search(rows.view().rows_from(first, batch), k, options, control);
  }
  return std::chrono::duration<double>(SearchControl::Clock::now() - start).count();
}

Index with_ids(const Index& index, std::optional<IdArray> ids) {
  return ids ? index.with_ids({ids->data(), ids->size()}) : index.with_ids({});
}

nb::object calibration(const Index& index) {
  if (!index.calibration()) return nb::none();
  const Calibration& measured = *index.calibration();
  nb::list efforts;
  nb::list recalls;
  for (const Calibration::Point& point : measured.points) {
    efforts.append(point.effort);
    recalls.append(point.recall);
  }
  return nb::module_::import_("vicinal._calibration")
      .attr("Calibration")(measured.k, measured.queries, measured.given_queries, nb::tuple(efforts),
                           nb::tuple(recalls));
}

constexpr const char* match_documentation =
    R"(Which vector of a document is nearest to each of a query's: what MaxSim adds up.

Parameters
----------
query : (n, dim) float32
    The vectors of one query.
ids : (m,) integers
    Documents, as of a search's hits.

Returns
-------
tokens : (m, n) uint32
    The place of the nearest vector within its document, the first of equals.
scores : (m, n) float32
    Their inner products, or cosines. A row's sum is the negated distance that a search reports; for cosine n less that distance.)";

nb::object search_encoded(const Index& index, nb::handle queries, nb::handle k, std::optional<double> recall,
                          nb::handle effort, nb::handle filter, nb::handle threads,
                          std::optional<double> timeout, nb::handle max_distances, nb::handle encodings,
                          nb::handle fingerprint) {
  if (encodings.is_none() != fingerprint.is_none()) {
    throw InvalidArgument(encodings.is_none()
                              ? "a fingerprint is given without encodings, expected both or neither"
                              : "encodings are given without the fingerprint of their encoder, expected both "
                                "or neither");
  }
  std::optional<BorrowedRows> rows;
  std::optional<MadeElsewhere> made;
  if (!encodings.is_none()) {
    rows.emplace(encodings, "encodings", false);
    made = MadeElsewhere{
        rows->view(), whole_number(fingerprint, "fingerprint", 0, std::numeric_limits<std::uint64_t>::max())};
  }
  return search_with(index, queries, k, recall, effort, filter, threads, timeout, max_distances, made);
}

// What makes one vector of many, if the index has such.
nb::object encoder_of(const Index& index) {
  const auto* documents = index.retriever().get_if<MultiVector>();
  if (documents == nullptr || !documents->inner().has_value()) return nb::none();
  if (const auto* fde = documents->encoder().get_if<FdeEncoder>()) return nb::cast(*fde);
  return nb::cast(*documents->encoder().get_if<TokenHead>());
}

std::string represent(const Index& index) {
  return fmt::format("<vicinal.Index {} x {}, {}, {}, {}>", tools::thousands(index.size()), index.dim(),
                     to_string(index.metric()), to_string(index.spec()),
                     tools::bytes_text(index.memory_bytes()));
}

}  // namespace

void bind_index(nb::module_& module) {
  nb::class_<Index>(
      module, "Index", nb::is_final(),
      "What vicinal.build() and vicinal.open() give: immutable, safe to search from many threads at once.")
      .def("search", &search_encoded, "queries"_a, "k"_a = 10, nb::kw_only(), "recall"_a = nb::none(),
           "effort"_a = nb::none(), "filter"_a = nb::none(), "threads"_a = nb::none(),
           "timeout"_a = nb::none(), "max_distances"_a = nb::none(), "encodings"_a = nb::none(),
           "fingerprint"_a = nb::none(),
           nb::sig("def search(self, queries: Vectors, k: int = 10, *, recall: float | None = None, "
                   "effort: int | None = None, filter: Filter | None = None, threads: int | None = None, "
                   "timeout: float | None = None, max_distances: int | None = None, "
                   "encodings: Vectors | None = None, fingerprint: int | None = None) -> Hits"),
           search_documentation)
      .def_prop_ro("encoder", &encoder_of, nb::sig("def encoder(self) -> FdeEncoder | TokenHead | None"),
                   "What makes one vector of the many of a document or query; None where there is none.")
      .def("search_iter", &search_iter<Index>, "query"_a, "k"_a = 10, nb::kw_only(), "recall"_a = nb::none(),
           "effort"_a = nb::none(), "filter"_a = nb::none(),
           nb::sig(
               "def search_iter(self, query: Vectors, k: int = 10, *, recall: float | None = None, "
               "effort: int | None = None, filter: Filter | None = None) -> collections.abc.Iterator[Hits]"),
           search_iter_documentation)
      .def("search_range", &search_range<Index>, "queries"_a, "radius"_a, nb::kw_only(),
           "recall"_a = nb::none(), "effort"_a = nb::none(), "filter"_a = nb::none(),
           "threads"_a = nb::none(), "timeout"_a = nb::none(), "max_distances"_a = nb::none(),
           nb::sig("def search_range(self, queries: Vectors, radius: float, *, recall: float | None = None, "
                   "effort: int | None = None, filter: Filter | None = None, threads: int | None = None, "
                   "timeout: float | None = None, max_distances: int | None = None) -> RangeHits"),
           search_range_documentation)
      .def(
          "save",
          [](const Index& index, nb::handle path) {
            const auto file = path_of(path);
            run_interruptibly([&](const Job&) { index.save(file); });
          },
          "path"_a, nb::sig("def save(self, path: str | os.PathLike[str]) -> None"),
          "Writes a .vcn file: whole or not at all.")
      .def("match", &match, "query"_a, "ids"_a,
           nb::sig("def match(self, query: Vectors, ids: numpy.typing.ArrayLike) -> "
                   "tuple[numpy.typing.NDArray[numpy.uint32], numpy.typing.NDArray[numpy.float32]]"),
           match_documentation)
      .def("_reconstruct", &reconstruct, "ids"_a = nb::none(),
           nb::sig("def _reconstruct(self, ids: object = None) -> object"))
      .def("_time_searches", &time_searches, "queries"_a, "k"_a, "effort"_a, "one_by_one"_a,
           nb::sig(
               "def _time_searches(self, queries: object, k: int, effort: int, one_by_one: bool) -> float"))
      .def("_with_ids", &with_ids, "ids"_a = nb::none(),
           nb::sig("def _with_ids(self, ids: object = None) -> Index"))
      .def("__reduce__",
           [](nb::handle self) { return nb::module_::import_("vicinal._pickle").attr("reduce")(self); })
      .def("__copy__", [](nb::handle self) { return nb::borrow(self); })
      .def("__deepcopy__", [](nb::handle self, nb::handle) { return nb::borrow(self); })
      .def("__len__", &Index::size)
      .def_prop_ro("dim", &Index::dim, "Values a vector.")
      .def_prop_ro(
          "metric", [](const Index& index) { return std::string(to_string(index.metric())); },
          "l2, ip or cosine")
      .def_prop_ro(
          "spec", [](const Index& index) { return to_string(index.spec()); },
          "The spec string, in its canonical form.")
      .def_prop_ro("seed", &Index::seed)
      .def_prop_ro("nbytes", &Index::memory_bytes, "Bytes of memory the index takes.")
      .def_prop_ro("duplicates", &Index::duplicates,
                   "Items that a spec with dedup keeps no vector of, since another has the same.")
      .def_prop_ro("ids", &ids, nb::sig("def ids(self) -> numpy.typing.NDArray[numpy.int64] | None"),
                   "The ids, ascending; None when they are row numbers.")
      .def_prop_ro("calibration", &calibration, nb::sig("def calibration(self) -> Calibration | None"),
                   "Recall by effort, as measured after the build.")
      .def("__repr__", &represent);

  module.def("build", &build, "base"_a, "spec"_a, nb::kw_only(), "metric"_a, "ids"_a = nb::none(), "seed"_a,
             "threads"_a = nb::none(), "calibrate"_a, "calibration_queries"_a = nb::none(),
             "popularity"_a = nb::none(), "progress"_a = nb::none(),
             nb::sig("def build(base: Vectors, spec: str, *, metric: str, ids: "
                     "numpy.typing.NDArray[numpy.int64] | None = None, "
                     "seed: int, threads: int | None = None, calibrate: bool, calibration_queries: Vectors | "
                     "None = None, popularity: numpy.typing.NDArray[numpy.float32] | None = None, "
                     "progress: collections.abc.Callable[[str, int, int], object] | None = None) -> Index"));
  module.def(
      "open",
      [](nb::handle path, bool mmap) {
        const auto file = path_of(path);
        Index index;
        run_interruptibly(
            [&](const Job&) { index = Index::open(file, mmap ? OpenMode::map : OpenMode::load); });
        return index;
      },
      "path"_a, nb::kw_only(), "mmap"_a,
      nb::sig("def open(path: str | os.PathLike[str], *, mmap: bool) -> Index"));
}

}  // namespace vicinal::python
