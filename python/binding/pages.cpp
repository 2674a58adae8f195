#include "pages.hpp"

#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/unique_ptr.h>

#include <algorithm>
#include <string>

#include "arguments.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace vicinal::python {
namespace {

template <class T>
nb::object view_of(nb::handle self, const std::vector<T>& values, std::size_t begin, std::size_t end) {
  const std::size_t shape[] = {end - begin};
  return nb::cast(nb::ndarray<nb::numpy, const T>(values.data() + begin, 1, shape, self),
                  nb::rv_policy::reference);
}

const RangeNeighbors& found(nb::handle self) { return nb::cast<const RangeHits&>(self).neighbors; }

nb::object one_of(nb::handle self, std::ptrdiff_t index) {
  const RangeNeighbors& all = found(self);
  const auto size = static_cast<std::ptrdiff_t>(all.size());
  const std::ptrdiff_t query = index < 0 ? index + size : index;
  if (query < 0 || query >= size) throw nb::index_error(fmt::format("query {} of {}", index, size).c_str());
  const std::size_t begin = all.offsets[static_cast<std::size_t>(query)];
  const std::size_t end = all.offsets[static_cast<std::size_t>(query) + 1];
  return nb::make_tuple(view_of(self, all.ids, begin, end), view_of(self, all.distances, begin, end));
}

}  // namespace

nb::object PageIterator::next() {
  if (busy_.test_and_set())
    throw InvalidArgument("a page is being taken already, by another thread or a filter");
  struct Free {
    std::atomic_flag& flag;
    ~Free() { flag.clear(); }
  } const free{busy_};
  Hits hits;
  hits.one_dimensional = true;
  SearchControl control;
  control.stats = &hits.stats;
  Page page;
  const double work = dim_work_ + 1e3 * static_cast<double>(given_ + k_);
  run_search(rule_, work, control, [&] { pages_->next(k_, page, control); });
  if (page.size() == 0) throw nb::stop_iteration();
  given_ += page.size();
  hits.neighbors = Neighbors(1, page.size());
  const NeighborsView out = hits.neighbors.view();
  std::ranges::copy(page.ids, out.ids[0].begin());
  std::ranges::copy(page.distances, out.distances[0].begin());
  out.counts[0] = static_cast<std::uint32_t>(page.size());
  return nb::cast(std::move(hits));
}

void bind_pages(nb::module_& module) {
  nb::class_<PageIterator>(module, "_PageIterator", nb::is_final(), "What search_iter() gives.")
      .def("__iter__", [](nb::handle self) { return nb::borrow(self); })
      .def("__next__", &PageIterator::next);
  nb::class_<RangeHits>(
      module, "RangeHits", nb::is_final(),
      "What a range search found. ``ids, distances = hits[i]`` are those of query i, ascending by (distance, "
      "id); of all\n"
      "queries together ``ids`` and ``distances`` are, where query i has ``offsets[i]`` to ``offsets[i + "
      "1]``. "
      "The arrays are views.")
      .def_prop_ro(
          "offsets",
          [](nb::handle self) { return view_of(self, found(self).offsets, 0, found(self).offsets.size()); },
          nb::sig("def offsets(self) -> numpy.typing.NDArray[numpy.uint64]"), "(queries + 1,) uint64")
      .def_prop_ro(
          "ids", [](nb::handle self) { return view_of(self, found(self).ids, 0, found(self).ids.size()); },
          nb::sig("def ids(self) -> numpy.typing.NDArray[numpy.int64]"), "(results,) int64")
      .def_prop_ro(
          "distances",
          [](nb::handle self) {
            return view_of(self, found(self).distances, 0, found(self).distances.size());
          },
          nb::sig("def distances(self) -> numpy.typing.NDArray[numpy.float32]"), "(results,) float32")
      .def_prop_ro(
          "stats", [](const RangeHits& hits) { return stats_dict(hits.stats); },
          nb::sig("def stats(self) -> dict[str, int | str]"), "As those of Hits.")
      .def("__len__", [](const RangeHits& hits) { return hits.neighbors.size(); })
      .def("__getitem__", &one_of, "query"_a,
           nb::sig("def __getitem__(self, query: int, /) -> tuple[numpy.typing.NDArray[numpy.int64], "
                   "numpy.typing.NDArray[numpy.float32]]"))
      .def("__repr__", [](const RangeHits& hits) {
        return fmt::format("<vicinal.RangeHits {} {}, {} results, {}>", hits.neighbors.size(),
                           hits.neighbors.size() == 1 ? "query" : "queries", hits.neighbors.ids.size(),
                           hits.stats.strategy);
      });
}

}  // namespace vicinal::python
