#include "token_tools.hpp"

#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>

#include <array>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "vicinal/core/array.hpp"
#include "vicinal/encode/query_carving.hpp"
#include "vicinal/encode/token_pooling.hpp"
#include "arguments.hpp"
#include "arrays.hpp"
#include "documents.hpp"
#include "interruptible.hpp"
#include "rows.hpp"
#include "search.hpp"
#include "threads.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace vicinal::python {
namespace {

constexpr std::uint64_t most = std::numeric_limits<std::uint64_t>::max();
constexpr std::array methods{std::pair("ward", PoolingMethod::ward),
                             std::pair("kmeans", PoolingMethod::kmeans)};

PoolingOptions pooling_options(const std::string& method, double factor, nb::handle clusters,
                               bool renormalise, nb::handle protect, nb::handle seed) {
  PoolingOptions options;
  options.method = named(methods, method, "method");
  options.factor = factor;
  options.clusters = whole_number(clusters, "clusters", 0, most);
  options.renormalise = renormalise;
  options.protect = whole_number(protect, "protect", 0, most);
  options.seed = whole_number(seed, "seed", 0, most);
  return options;
}

nb::object pool_batch(nb::handle documents, const std::string& method, double factor, nb::handle clusters,
                      bool renormalise, nb::handle protect, nb::handle seed, nb::handle threads) {
  const PoolingOptions options = pooling_options(method, factor, clusters, renormalise, protect, seed);
  const BorrowedItems items(documents, "documents", false);
  require_documents(items.batch(), "pool_document");
  const ExecutorRef pool = executor(optional_number(threads, "threads", most_threads));
  PooledTokens pooled;
  run_interruptibly([&](const Job& job) {
    BuildControl control;
    control.executor = pool;
    control.stop = job.stop;
    pooled = pool_tokens(items.batch(), options, control);
  });
  const std::size_t rows = pooled.offsets.back(), offsets = pooled.offsets.size();
  // As int64, with which NumPy counts on without leaving the integers.
  return nb::make_tuple(owning_array<float>(std::move(pooled.rows), {rows, items.batch().dim()}),
                        owning_array<std::int64_t>(std::move(pooled.offsets), {offsets}));
}

nb::object pool_one(nb::handle tokens, const std::string& method, double factor, nb::handle clusters,
                    bool renormalise, nb::handle protect, nb::handle seed) {
  const PoolingOptions options = pooling_options(method, factor, clusters, renormalise, protect, seed);
  const BorrowedRows given(tokens, "tokens", false);
  const MatrixView<const float> view = given.view();
  const std::size_t count = pooled_count(view.rows(), options);
  Array<float> rows(checked_product(count, view.cols(), "pooled tokens"));
  Array<std::uint32_t> assignment(view.rows());
  run_interruptibly([&](const Job&) {
    pool_tokens(view, options, {rows.data(), count, view.cols()}, assignment.span());
  });
  return nb::make_tuple(owning_array<float>(std::move(rows), {count, view.cols()}),
                        owning_array<std::uint32_t>(std::move(assignment), {view.rows()}));
}

nb::object carve(nb::handle tokens, float tau) {
  const BorrowedRows given(tokens, "tokens", false);
  const MatrixView<const float> view = given.view();
  std::vector<float> rows(checked_product(view.rows(), view.cols(), "carved tokens"));
  std::vector<std::uint32_t> sizes(view.rows());
  std::size_t count = 0;
  {
    const nb::gil_scoped_release released;
    count = carve_query(view, tau, {rows.data(), view.rows(), view.cols()}, sizes);
  }
  rows.resize(count * view.cols());
  sizes.resize(count);
  return nb::make_tuple(owning_array<float>(std::move(rows), {count, view.cols()}),
                        owning_array<std::uint32_t>(std::move(sizes), {count}));
}

constexpr const char* pooling_documentation =
    R"(Fewer vectors for documents: clusters of similar ones become their means (Clavie, Chaffin and Adams, arXiv:2409.14683).

Parameters
----------
documents : (rows, offsets)
    Document i is rows[offsets[i] : offsets[i + 1]].
method : "ward" or "kmeans"
    Agglomeration by the least growth of squared error; or k-means on the sphere, seeded by `seed`.
factor : float
    A document's vectors become 1 / factor as many, rounded up.
clusters : int
    So many a document instead; 0: by factor.
renormalise : bool
    Means get the mean length of their members. Else they are shorter, and lose comparisons to vectors that stand alone.
protect : int
    So many first vectors of a document are kept as they are, and not counted.
threads : int, optional
    Default: every core this process may use. The result does not depend on it.

Returns
-------
rows : (m, dim) float32
    In a document, in the order of each cluster's first vector.
offsets : (documents + 1,) int64)";

constexpr const char* pool_document_documentation =
    R"(pool_tokens for one document, (n, dim), which also says what went where.

Returns
-------
rows : (m, dim) float32
assignment : (n,) uint32
    The row that each vector went into.)";

constexpr const char* carving_documentation =
    R"(Fewer vectors for a query and nearly the same MaxSim: ball carving (Dhulipala et al., MUVERA, arXiv:2405.19504).

The first vector that is in no ball yet becomes the centre of one, with all that are in none and have an inner product of at least tau with it; each
ball becomes the sum of its vectors. Those should be of length 1, so that tau is a cosine.

Returns
-------
rows : (m, dim) float32
    The largest ball first.
sizes : (m,) uint32
    How many vectors each is the sum of.)";

}  // namespace

void bind_token_tools(nb::module_& module) {
  module.def("pool_tokens", &pool_batch, "documents"_a, nb::kw_only(), "method"_a = "ward", "factor"_a = 2.0,
             "clusters"_a = 0, "renormalise"_a = true, "protect"_a = 0, "seed"_a = 0,
             "threads"_a = nb::none(),
             nb::sig("def pool_tokens(documents: Items, *, method: str = 'ward', factor: float = 2.0, "
                     "clusters: int = 0, renormalise: bool = True, protect: int = 0, seed: int = 0, "
                     "threads: int | None = None) -> "
                     "tuple[numpy.typing.NDArray[numpy.float32], numpy.typing.NDArray[numpy.int64]]"),
             pooling_documentation);
  module.def("pool_document", &pool_one, "tokens"_a, nb::kw_only(), "method"_a = "ward", "factor"_a = 2.0,
             "clusters"_a = 0, "renormalise"_a = true, "protect"_a = 0, "seed"_a = 0,
             nb::sig("def pool_document(tokens: Vectors, *, method: str = 'ward', factor: float = 2.0, "
                     "clusters: int = 0, renormalise: bool = True, protect: int = 0, seed: int = 0) -> "
                     "tuple[numpy.typing.NDArray[numpy.float32], numpy.typing.NDArray[numpy.uint32]]"),
             pool_document_documentation);
  module.def("carve_query", &carve, "tokens"_a, "tau"_a = 0.7F,
             nb::sig("def carve_query(tokens: Vectors, tau: float = 0.7) -> "
                     "tuple[numpy.typing.NDArray[numpy.float32], numpy.typing.NDArray[numpy.uint32]]"),
             carving_documentation);
}

}  // namespace vicinal::python
