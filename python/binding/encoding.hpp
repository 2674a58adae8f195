#pragma once

#include <fmt/format.h>
#include <nanobind/nanobind.h>

#include <cstddef>
#include <utility>

#include "vicinal/core/array.hpp"
#include "vicinal/core/error.hpp"
#include "vicinal/encode/fde.hpp"
#include "vicinal/encode/google_fde.hpp"
#include "vicinal/encode/token_head.hpp"
#include "vicinal/tools/formatting.hpp"
#include "arrays.hpp"
#include "documents.hpp"
#include "interruptible.hpp"
#include "rows.hpp"
#include "search.hpp"
#include "threads.hpp"

/// What FdeEncoder, GoogleFde and TokenHead have in common.
namespace vicinal::python {

inline std::size_t dim_of(const FdeEncoder& encoder) { return encoder.token_dim(); }
inline std::size_t dim_of(const GoogleFde& encoder) { return encoder.dim(); }
inline std::size_t dim_of(const TokenHead& encoder) { return encoder.token_dim(); }
inline std::size_t out_dim_of(const FdeEncoder& encoder) { return encoder.out_dim(); }
inline std::size_t out_dim_of(const GoogleFde& encoder) { return encoder.output_dim(); }
inline std::size_t out_dim_of(const TokenHead& encoder) { return encoder.out_dim(); }

inline void encode_items(const FdeEncoder& encoder, const VectorBatch& items, MatrixView<float> out,
                         bool document, const BuildControl& control) {
  if (document) return encoder.encode_documents(items, out, control);
  encoder.encode_queries(items, out, control.executor, control.stop);
}

inline void encode_items(const GoogleFde& encoder, const VectorBatch& items, MatrixView<float> out,
                         bool document, const BuildControl& control) {
  control.executor.for_each(items.size(), [&](std::size_t i, std::size_t) {
    if (control.stop.stop_requested()) return;
    if (document) return encoder.encode_document(items.item(i), out[i]);
    encoder.encode_query(items.item(i), out[i]);
  });
  control.throw_if_stopped();
}

inline void encode_items(const TokenHead& encoder, const VectorBatch& items, MatrixView<float> out,
                         bool document, const BuildControl& control) {
  if (document) return encoder.encode_documents(items, out, control);
  encoder.encode_queries(items, out, control.executor);
  control.throw_if_stopped();
}

template <class Encoder>
void require_dim(const Encoder& encoder, std::size_t dim, const char* what) {
  if (dim != dim_of(encoder))
    throw InvalidArgument(fmt::format("{} have dimension {}, the encoder {}", what, dim, dim_of(encoder)));
}

template <class Encoder, bool document>
nanobind::object encode_batch(const Encoder& encoder, nanobind::handle given, nanobind::handle threads) {
  constexpr const char* what = document ? "documents" : "queries";
  const BorrowedItems items(given, what, false);
  const VectorBatch batch = items.batch();
  if (document) require_documents(batch, "encode_document");
  require_dim(encoder, batch.dim(), what);
  const std::size_t count = batch.size(), out_dim = out_dim_of(encoder);
  const std::size_t values = checked_product(count, out_dim, "encodings");
  if (exceeds_memory(static_cast<double>(values) * sizeof(float))) {
    throw InvalidArgument(fmt::format(
        "encodings of {} {} need {}, more than half of this machine's memory: encode them in parts", count,
        what, tools::bytes_text(values * sizeof(float))));
  }
  const ExecutorRef pool = executor(optional_number(threads, "threads", most_threads));
  Array<float> out(values);
  run_interruptibly([&](const Job& job) {
    validate_batch(batch, batch.dim(), what);
    BuildControl control;
    control.executor = pool;
    control.stop = job.stop;
    encode_items(encoder, batch, {out.data(), count, out_dim}, document, control);
  });
  return owning_array<float>(std::move(out), {count, out_dim});
}

template <class Encoder, bool document>
nanobind::object encode_one(const Encoder& encoder, nanobind::handle given) {
  const BorrowedRows rows(given, "tokens", false);
  require_dim(encoder, rows.view().cols(), "tokens");
  Array<float> out(out_dim_of(encoder));
  {
    const nanobind::gil_scoped_release released;
    require_finite(rows.view(), "tokens");
    if (document) {
      encoder.encode_document(rows.view(), out.span());
    } else {
      encoder.encode_query(rows.view(), out.span());
    }
  }
  return owning_array<float>(std::move(out), {out_dim_of(encoder)});
}

// An encoder is its options, as keywords of its constructor.
template <class Encoder>
nanobind::object reduce(nanobind::dict keywords) {
  const nanobind::object make =
      nanobind::module_::import_("functools").attr("partial")(nanobind::type<Encoder>(), **keywords);
  return nanobind::make_tuple(make, nanobind::tuple());
}

template <class Encoder, class Class>
void bind_encoding(Class& bound, nanobind::dict (*options)(const Encoder&)) {
  bound
      .def("encode_queries", &encode_batch<Encoder, false>, nanobind::arg("queries"),
           nanobind::arg("threads") = nanobind::none(),
           nanobind::sig("def encode_queries(self, queries: Items, threads: int | None = None) -> "
                         "numpy.typing.NDArray[numpy.float32]"),
           "(n, out_dim) of n queries (rows, offsets), or of one vector each (n, dim).")
      .def("encode_documents", &encode_batch<Encoder, true>, nanobind::arg("documents"),
           nanobind::arg("threads") = nanobind::none(),
           nanobind::sig("def encode_documents(self, documents: Items, threads: int | None = None) -> "
                         "numpy.typing.NDArray[numpy.float32]"),
           "(n, out_dim) of n documents (rows, offsets).")
      .def("encode_query", &encode_one<Encoder, false>, nanobind::arg("tokens"),
           nanobind::sig("def encode_query(self, tokens: Vectors) -> numpy.typing.NDArray[numpy.float32]"),
           "(out_dim,) of one query's vectors (n, dim).")
      .def("encode_document", &encode_one<Encoder, true>, nanobind::arg("tokens"),
           nanobind::sig("def encode_document(self, tokens: Vectors) -> numpy.typing.NDArray[numpy.float32]"),
           "(out_dim,) of one document's vectors (n, dim).")
      .def_prop_ro(
          "dim", [](const Encoder& encoder) { return dim_of(encoder); },
          "Values of a vector that is encoded.")
      .def_prop_ro(
          "out_dim", [](const Encoder& encoder) { return out_dim_of(encoder); }, "Values of an encoding.")
      .def_prop_ro(
          "fingerprint", [](const Encoder& encoder) { return encoder.fingerprint(); },
          "64 bits; encodings of encoders with another one cannot be compared.")
      .def_prop_ro("options", options, nanobind::sig("def options(self) -> dict[str, typing.Any]"),
                   "The keywords of the constructor.")
      .def("__copy__", [](nanobind::handle self) { return nanobind::borrow(self); })
      .def("__deepcopy__", [](nanobind::handle self, nanobind::handle) { return nanobind::borrow(self); });
}

}  // namespace vicinal::python
