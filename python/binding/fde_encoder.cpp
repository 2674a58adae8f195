#include "encoders.hpp"

#include <fmt/format.h>
#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>

#include <array>
#include <cstdint>
#include <limits>
#include <new>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "vicinal/core/error.hpp"
#include "vicinal/encode/fde.hpp"
#include "vicinal/tools/formatting.hpp"
#include "arguments.hpp"
#include "arrays.hpp"
#include "documents.hpp"
#include "encoding.hpp"
#include "interruptible.hpp"
#include "rows.hpp"
#include "threads.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace vicinal::python {
namespace {

constexpr std::uint64_t most = std::numeric_limits<std::uint64_t>::max();
constexpr std::array projections{std::pair("sketch", FdeProjection::sketch),
                                 std::pair("dense", FdeProjection::dense),
                                 std::pair("identity", FdeProjection::identity)};
constexpr std::array buckets{std::pair("unit", FdeBucket::unit), std::pair("mean", FdeBucket::mean)};
constexpr std::array empties{std::pair("zero", FdeEmpty::zero), std::pair("nearest", FdeEmpty::nearest)};

constexpr std::array partitions{std::pair("planes", FdePartition::planes),
                                std::pair("cross", FdePartition::cross_polytope)};

nb::object mean_of(const FdeEncoder& encoder) {
  const std::span<const float> mean = encoder.mean();
  if (mean.empty()) return nb::none();
  return owning_array<float>(std::vector<float>(mean.begin(), mean.end()), {mean.size()});
}

// `mean` and `documents` are alternatives, and needed where a mean is subtracted.
FdeEncoder make_encoder(std::size_t dim, const FdeOptions& options, nb::handle documents, nb::handle mean) {
  if (!documents.is_none() && !mean.is_none())
    throw InvalidArgument("both documents and a mean are given, expected one of them");
  if (options.centre && documents.is_none() && mean.is_none())
    throw InvalidArgument(
        "the documents' mean is to be subtracted: expected documents, or a mean, or centre=False");
  if (!documents.is_none()) {
    const BorrowedItems items(documents, "documents", false);
    const VectorBatch batch = items.batch();
    if (batch.dim() != dim)
      throw InvalidArgument(fmt::format("documents have dimension {}, the encoder {}", batch.dim(), dim));
    FdeEncoder encoder;
    run_interruptibly([&](const Job& job) {
      validate_batch(batch, dim, "documents");
      BuildControl control;
      control.executor = executor(0);
      control.stop = job.stop;
      encoder = FdeEncoder::train(options, batch, control);
    });
    return encoder;
  }
  std::optional<BorrowedRows> row;
  if (!mean.is_none()) row.emplace(mean, "mean", true);
  if (row && row->view().rows() != 1)
    throw InvalidArgument(
        fmt::format("mean has {} rows, expected one of {} values", row->view().rows(), dim));
  const nb::gil_scoped_release released;
  if (!row) return FdeEncoder::restore(options, dim, {});
  require_finite(row->view(), "mean");
  return FdeEncoder::restore(options, dim, row->view()[0]);
}

void construct(FdeEncoder* self, nb::handle dim, nb::handle reps, nb::handle bits, nb::handle projection_dim,
               const std::string& projection, bool per_bucket, const std::string& bucket,
               const std::string& empty, const std::optional<std::string>& partition, bool centre,
               nb::handle final_dim, bool scale_tokens, nb::handle seed, nb::handle documents,
               nb::handle mean) {
  FdeOptions options;
  options.reps = whole_number(reps, "reps", 0, most);
  options.bits = whole_number(bits, "bits", 0, most);
  options.dim = whole_number(projection_dim, "projection_dim", 0, most);
  options.projection = named(projections, projection, "projection");
  options.per_bucket = per_bucket;
  options.bucket = named(buckets, bucket, "bucket");
  options.empty = named(empties, empty, "empty");
  if (partition) options.partition = named(partitions, *partition, "partition");
  options.centre = centre;
  options.final_dim = whole_number(final_dim, "final_dim", 0, most);
  options.scale_tokens = scale_tokens;
  options.seed = whole_number(seed, "seed", 0, most);
  new (self) FdeEncoder(make_encoder(whole_number(dim, "dim", 0, most), options, documents, mean));
}

FdeEncoder paper(nb::handle dim, nb::handle reps, nb::handle bits, nb::handle projection_dim,
                 nb::handle final_dim, bool scale_tokens, nb::handle seed) {
  FdeOptions options =
      FdeOptions::paper(whole_number(reps, "reps", 0, most), whole_number(bits, "bits", 0, most),
                        whole_number(projection_dim, "projection_dim", 0, most));
  options.final_dim = whole_number(final_dim, "final_dim", 0, most);
  options.scale_tokens = scale_tokens;
  options.seed = whole_number(seed, "seed", 0, most);
  return make_encoder(whole_number(dim, "dim", 0, most), options, nb::none(), nb::none());
}

nb::dict options_of(const FdeEncoder& encoder) {
  const FdeOptions& options = encoder.options();
  nb::dict result;
  result["dim"] = encoder.token_dim();
  result["reps"] = options.reps;
  result["bits"] = options.bits;
  result["projection_dim"] = options.dim;
  result["projection"] = name_of(projections, options.projection);
  result["per_bucket"] = options.per_bucket;
  result["bucket"] = name_of(buckets, options.bucket);
  result["empty"] = name_of(empties, options.empty);
  result["partition"] = name_of(partitions, options.partition_for(encoder.token_dim()));
  result["centre"] = options.centre;
  result["final_dim"] = options.final_dim;
  result["scale_tokens"] = options.scale_tokens;
  result["seed"] = options.seed;
  return result;
}

constexpr const char* encoder_documentation =
    R"(One vector for the many of a document or query, whose inner product estimates MaxSim: fixed-dimensional encodings, MUVERA (arXiv:2405.19504).

A spec with muvera makes and keeps such an encoder by itself; this one is for encodings that go elsewhere. They are compared by inner product, and not to
be scaled to length 1. The same bits on every machine, for any number of threads. Immutable, safe to use from many threads.

Parameters
----------
dim : int
    Values of a vector.
reps : int
    Repetitions, each with buckets of its own.
bits : int
    2^bits buckets a repetition.
projection_dim : int
    Values a bucket; not read with projection="identity".
projection : "sketch", "dense" or "identity"
    How a bucket's sum gets shorter: a balanced sketch, the paper's signed sums of all, or not at all.
per_bucket : bool
    A projection for every bucket, else one a repetition.
bucket : "unit" or "mean"
    What a document's bucket holds: the direction of the sum of its vectors, or their mean as in the paper.
empty : "zero" or "nearest"
    What a document's bucket without vectors holds: nothing, or the vector next to it as in the paper.
partition : "planes" or "cross", optional
    What buckets are: the sides of planes as in the paper, or which of some random directions a vector is nearest to, or to the opposite of which
    (a cross-polytope), which finds more with few buckets. By default that up to 4 bits, planes beyond.
centre : bool
    Subtract the mean vector from documents; needs documents or a mean.
final_dim : int
    Above 0: all buckets are added up in so many values.
scale_tokens : bool
    Scale vectors to length 1 first, for cosine.
seed : int
documents : (rows, offsets) or (n, dim) float32, optional
    Whose mean is subtracted.
mean : (dim,) float32, optional
    That mean, as another encoder's `mean` says.)";

}  // namespace

void bind_fde_encoder(nb::module_& module) {
  nb::class_<FdeEncoder> fde(module, "FdeEncoder", nb::is_final(), encoder_documentation);
  fde.def("__init__", &construct, "dim"_a, nb::kw_only(), "reps"_a = 40, "bits"_a = 3, "projection_dim"_a = 8,
          "projection"_a = "sketch", "per_bucket"_a = true, "bucket"_a = "unit", "empty"_a = "zero",
          "partition"_a = nb::none(), "centre"_a = true, "final_dim"_a = 0, "scale_tokens"_a = false,
          "seed"_a = 1, "documents"_a = nb::none(), "mean"_a = nb::none(),
          nb::sig("def __init__(self, dim: int, *, reps: int = 40, bits: int = 3, projection_dim: int = 8, "
                  "projection: str = 'sketch', per_bucket: bool = True, bucket: str = 'unit', "
                  "empty: str = 'zero', partition: str | None = None, centre: bool = True, final_dim: int = "
                  "0, scale_tokens: bool = False, "
                  "seed: int = 1, documents: Items | None = None, mean: Vectors | None = None) -> None"))
      .def_static("paper", &paper, "dim"_a, nb::kw_only(), "reps"_a = 20, "bits"_a = 5,
                  "projection_dim"_a = 16, "final_dim"_a = 0, "scale_tokens"_a = false, "seed"_a = 1,
                  nb::sig("def paper(dim: int, *, reps: int = 20, bits: int = 5, projection_dim: int = 16, "
                          "final_dim: int = 0, scale_tokens: bool = False, seed: int = 1) -> FdeEncoder"),
                  "As MUVERA's authors chose: a dense projection for every repetition, means, empty buckets "
                  "filled, nothing centred.")
      .def_prop_ro("mean", &mean_of, nb::sig("def mean(self) -> numpy.typing.NDArray[numpy.float32] | None"),
                   "What is subtracted from documents' vectors; None for nothing. A copy.")
      .def("__reduce__",
           [](const FdeEncoder& encoder) {
             nb::dict keywords = options_of(encoder);
             keywords["mean"] = mean_of(encoder);
             return reduce<FdeEncoder>(keywords);
           })
      .def("__repr__", [](const FdeEncoder& encoder) {
        const FdeOptions& options = encoder.options();
        return fmt::format(
            "<vicinal.multivector.FdeEncoder {} to {}, reps={}, bits={}, projection={}, seed={}>",
            encoder.token_dim(), tools::thousands(encoder.out_dim()), options.reps, options.bits,
            name_of(projections, options.projection), options.seed);
      });
  bind_encoding<FdeEncoder>(fde, &options_of);
}

}  // namespace vicinal::python
