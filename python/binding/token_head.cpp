#include <fmt/format.h>
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include <cstdint>
#include <limits>
#include <new>
#include <optional>

#include "vicinal/encode/token_head.hpp"
#include "vicinal/tools/formatting.hpp"
#include "arguments.hpp"
#include "documents.hpp"
#include "encoders.hpp"
#include "encoding.hpp"
#include "interruptible.hpp"
#include "rows.hpp"
#include "threads.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace vicinal::python {
namespace {

constexpr std::uint64_t most = std::numeric_limits<std::uint64_t>::max();

void construct(TokenHead* self, nb::handle documents, nb::handle out_dim, nb::handle samples, double ridge,
               bool scale_tokens, nb::handle seed, nb::handle queries, nb::handle threads) {
  TokenHeadOptions options;
  options.dim = whole_number(out_dim, "out_dim", 0, most);
  options.samples = whole_number(samples, "samples", 0, most);
  options.ridge = ridge;
  options.scale_tokens = scale_tokens;
  options.seed = whole_number(seed, "seed", 0, most);
  const BorrowedItems items(documents, "documents", false);
  require_documents(items.batch(), "TokenHead");
  std::optional<BorrowedItems> asked;
  if (!queries.is_none()) asked.emplace(queries, "queries", false);
  const ExecutorRef pool = executor(optional_number(threads, "threads", most_threads));
  TokenHead head;
  run_interruptibly([&](const Job& job) {
    BuildControl control;
    control.executor = pool;
    control.stop = job.stop;
    head = TokenHead::train(options, items.batch(), asked ? asked->batch() : VectorBatch(), control);
  });
  new (self) TokenHead(std::move(head));
}

nb::dict options_of(const TokenHead& head) {
  const TokenHeadOptions& options = head.options();
  nb::dict result;
  result["out_dim"] = options.dim;
  result["samples"] = options.samples;
  result["ridge"] = options.ridge;
  result["scale_tokens"] = options.scale_tokens;
  result["seed"] = options.seed;
  return result;
}

constexpr const char* documentation =
    R"(One vector for the many of a document or query, whose inner product estimates MaxSim, learnt from documents: features of single vectors at random
and, for every document, their weights by least squares (the form of LEMUR). With a tenth of the values it finds more than fixed-dimensional encodings do
on texts of everyday kind.

A spec with head makes and keeps such an encoder by itself; this one is for encodings that go elsewhere. They are compared by inner product, and not to
be scaled to length 1. The same bits on every machine, for any number of threads. Immutable, safe to use from many threads; not pickled.

Parameters
----------
documents : (rows, offsets)
    What is learnt from.
out_dim : int
    Values of an encoding.
samples : int
    Vectors that the fit looks at.
ridge : float
    What is added to the diagonal, as a share of its mean.
scale_tokens : bool
    Scale vectors to length 1 first, for cosine.
seed : int
queries : (rows, offsets), optional
    Whose vectors are up to half of the samples.
threads : int, optional)";

}  // namespace

void bind_token_head(nb::module_& module) {
  nb::class_<TokenHead> head(module, "TokenHead", nb::is_final(), documentation);
  head.def("__init__", &construct, "documents"_a, nb::kw_only(), "out_dim"_a = 1024, "samples"_a = 8192,
           "ridge"_a = 0.01, "scale_tokens"_a = false, "seed"_a = 1, "queries"_a = nb::none(),
           "threads"_a = nb::none(),
           nb::sig("def __init__(self, documents: Items, *, out_dim: int = 1024, samples: int = 8192, "
                   "ridge: float = 0.01, scale_tokens: bool = False, seed: int = 1, "
                   "queries: Items | None = None, threads: int | None = None) -> None"))
      .def_prop_ro("health", &TokenHead::health,
                   "How well it fits what it was trained on: 1 is perfect, 0 or less worthless.")
      .def("__repr__", [](const TokenHead& one) {
        return fmt::format("<vicinal.multivector.TokenHead {} to {}, health {:.2f}>", one.token_dim(),
                           tools::thousands(one.out_dim()), one.health());
      });
  bind_encoding<TokenHead>(head, &options_of);
}

}  // namespace vicinal::python
