#include "live_index.hpp"

#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/unique_ptr.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "vicinal/index/live_index.hpp"
#include "arguments.hpp"
#include "arrays.hpp"
#include "interruptible.hpp"
#include "pages.hpp"
#include "rows.hpp"
#include "search.hpp"
#include "threads.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace vicinal::python {
namespace {

using IdArray = nb::ndarray<const Id, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

std::span<const Id> span_of(const IdArray& ids) { return {ids.data(), ids.size()}; }

LiveIndex create(nb::handle path, std::size_t dim, const std::string& spec, const std::string& metric,
                 std::uint64_t seed) {
  const Metric parsed = parse_metric(metric);
  if (path.is_none()) return LiveIndex::create(dim, spec, parsed, seed);
  const auto file = path_of(path);
  const nb::gil_scoped_release released;
  return LiveIndex::create(file, dim, spec, parsed, seed);
}

LiveIndex open(nb::handle path, nb::handle threads) {
  const auto file = path_of(path);
  const ExecutorRef pool = executor(optional_number(threads, "threads", most_threads));
  LiveIndex index;
  run_interruptibly([&](const Job& job) {
    BuildControl control;
    control.executor = pool;
    control.stop = job.stop;
    index = LiveIndex::open(file, control);
  });
  return index;
}

// Changes of a few items are over before anybody could want to interrupt them; more are, and then undone.
constexpr std::size_t few_items = 256;

std::size_t apply(LiveIndex& index, nb::handle vectors, const IdArray& ids, const IdArray& removed,
                  bool must_be_new, nb::handle threads) {
  const BorrowedItems items(vectors, "vectors", true);
  const VectorBatch batch = items.batch();
  const LiveChange change{batch.rows, span_of(ids), span_of(removed), must_be_new, batch.offsets};
  const std::size_t pool = optional_number(threads, "threads", most_threads);
  BuildControl control;
  if (batch.rows.rows() <= few_items) {
    const nb::gil_scoped_release released;
    return index.apply(change, control);
  }
  control.executor = executor(pool);
  std::size_t gone = 0;
  run_interruptibly([&](const Job& job) {
    control.stop = job.stop;
    gone = index.apply(change, control);
  });
  return gone;
}

nb::object ids(const LiveIndex& index) {
  std::vector<Id> all;
  {
    const nb::gil_scoped_release released;
    all = index.ids();
  }
  const std::size_t count = all.size();
  return owning_array<Id>(std::move(all), {count});
}

nb::object reconstruct(const LiveIndex& index, const IdArray& wanted) {
  Array<float> rows(checked_product(wanted.size(), index.dim(), "vectors"));
  {
    const nb::gil_scoped_release released;
    index.reconstruct(span_of(wanted), {rows.data(), wanted.size(), index.dim()});
  }
  return owning_array<float>(std::move(rows), {wanted.size(), index.dim()});
}

std::optional<GraphLayout> layout_of(const std::optional<std::string>& name) {
  if (!name) return std::nullopt;
  if (*name == "plain") return GraphLayout::plain;
  if (*name == "fused") return GraphLayout::fused;
  throw InvalidArgument(fmt::format("layout is \"{}\", expected plain or fused", *name));
}

template <class Work>
void with_threads(nb::handle threads, const Work& work) {
  const ExecutorRef pool = executor(optional_number(threads, "threads", most_threads));
  run_interruptibly([&](const Job& job) {
    BuildControl control;
    control.executor = pool;
    control.stop = job.stop;
    work(control);
  });
}

}  // namespace

void bind_live_index(nb::module_& module) {
  nb::class_<LiveIndex>(module, "_LiveIndex", nb::is_final(), "What vicinal.LiveIndex is made of.")
      .def_static("create", &create, "path"_a.none(), nb::kw_only(), "dim"_a, "spec"_a, "metric"_a, "seed"_a)
      .def_static("open", &open, "path"_a.none(), "threads"_a.none())
      .def_static(
          "from_index",
          [](const Index& index) {
            const nb::gil_scoped_release released;
            return LiveIndex::from(index);
          },
          "index"_a)
      .def("search", &search_index<LiveIndex>, "queries"_a, "k"_a, nb::kw_only(), "recall"_a,
           "effort"_a.none(), "filter"_a.none(), "threads"_a.none(), "timeout"_a, "max_distances"_a.none())
      .def("search_iter", &search_iter<LiveIndex>, "query"_a, "k"_a, nb::kw_only(), "recall"_a,
           "effort"_a.none(), "filter"_a.none())
      .def("search_range", &search_range<LiveIndex>, "queries"_a, "radius"_a, nb::kw_only(), "recall"_a,
           "effort"_a.none(), "filter"_a.none(), "threads"_a.none(), "timeout"_a, "max_distances"_a.none())
      .def("apply", &apply, "vectors"_a, "ids"_a, "removed"_a, "must_be_new"_a, "threads"_a.none())
      .def("close",
           [](LiveIndex& index) {
             const nb::gil_scoped_release released;
             index.close();
           })
      .def("ids", &ids)
      .def("reconstruct", &reconstruct, "ids"_a)
      .def("__contains__", [](const LiveIndex& index, Id id) { return index.contains(id); })
      .def("__len__", &LiveIndex::size)
      .def(
          "consolidate",
          [](LiveIndex& index, std::size_t nodes, nb::handle threads) {
            bool done = false;
            with_threads(threads,
                         [&](const BuildControl& control) { done = index.consolidate(nodes, control); });
            return done;
          },
          "nodes"_a, "threads"_a.none())
      .def(
          "freeze",
          [](const LiveIndex& index, bool calibrate, const std::optional<std::string>& layout,
             nb::handle threads) {
            Index frozen;
            const std::optional<GraphLayout> wanted = layout_of(layout);
            with_threads(threads, [&](const BuildControl& control) {
              frozen = index.freeze(calibrate, wanted, control);
            });
            return frozen;
          },
          "calibrate"_a, "layout"_a, "threads"_a.none())
      .def(
          "compact",
          [](LiveIndex& index, bool calibrate, nb::handle threads) {
            with_threads(threads, [&](const BuildControl& control) { index.compact(calibrate, control); });
          },
          "calibrate"_a, "threads"_a.none())
      .def_prop_ro("dim", &LiveIndex::dim)
      .def_prop_ro("metric", [](const LiveIndex& index) { return std::string(to_string(index.metric())); })
      .def_prop_ro("spec", [](const LiveIndex& index) { return to_string(index.spec()); })
      .def_prop_ro("seed", &LiveIndex::seed)
      .def_prop_ro("nbytes", &LiveIndex::memory_bytes)
      .def_prop_ro("retired", &LiveIndex::retired)
      .def_prop_ro("log_bytes", &LiveIndex::log_bytes);
}

}  // namespace vicinal::python
