#include "encoders.hpp"

#include <fmt/format.h>
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include <array>
#include <cstdint>
#include <limits>
#include <new>
#include <string>
#include <utility>

#include "vicinal/encode/google_fde.hpp"
#include "vicinal/tools/formatting.hpp"
#include "arguments.hpp"
#include "documents.hpp"
#include "encoding.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace vicinal::python {
namespace {

constexpr std::uint64_t most = std::numeric_limits<std::uint64_t>::max();
constexpr std::array google_projections{std::pair("DEFAULT_IDENTITY", GoogleFdeProjection::identity),
                                        std::pair("AMS_SKETCH", GoogleFdeProjection::ams_sketch)};

// Theirs is a signed number of 32 bits.
std::uint32_t google_seed(nb::handle seed) {
  if (PyLong_Check(seed.ptr()) != 0) {
    int overflow = 0;
    const long long value = PyLong_AsLongLongAndOverflow(seed.ptr(), &overflow);
    if (overflow == 0 && value < 0 && value >= std::numeric_limits<std::int32_t>::min())
      return static_cast<std::uint32_t>(value);
  }
  return static_cast<std::uint32_t>(whole_number(seed, "seed", 0, std::numeric_limits<std::uint32_t>::max()));
}

void construct_google(GoogleFde* self, nb::handle dimension, nb::handle num_repetitions,
                      nb::handle num_simhash_projections, nb::handle seed, const std::string& projection_type,
                      nb::handle projection_dimension, bool fill_empty_partitions,
                      nb::handle final_projection_dimension) {
  GoogleFdeOptions options;
  options.dim = whole_number(dimension, "dimension", 0, most);
  options.repetitions = whole_number(num_repetitions, "num_repetitions", 0, most);
  options.simhash_bits = whole_number(num_simhash_projections, "num_simhash_projections", 0, most);
  options.seed = google_seed(seed);
  options.projection = named(google_projections, projection_type, "projection_type");
  options.projection_dim = whole_number(projection_dimension, "projection_dimension", 0, most);
  options.fill_empty = fill_empty_partitions;
  options.final_dim = whole_number(final_projection_dimension, "final_projection_dimension", 0, most);
  const nb::gil_scoped_release released;
  new (self) GoogleFde(options);
}

nb::dict options_of(const GoogleFde& encoder) {
  const GoogleFdeOptions& options = encoder.options();
  nb::dict result;
  result["dimension"] = options.dim;
  result["num_repetitions"] = options.repetitions;
  result["num_simhash_projections"] = options.simhash_bits;
  result["seed"] = options.seed;
  result["projection_type"] = name_of(google_projections, options.projection);
  result["projection_dimension"] = options.projection_dim;
  result["fill_empty_partitions"] = options.fill_empty;
  result["final_projection_dimension"] = options.final_dim;
  return result;
}

constexpr const char* google_documentation =
    R"(Fixed-dimensional encodings as MUVERA's authors released them (google/graph-mining), for vectors that were made there. The same bits, where that is
compiled for x86-64 without further instruction sets against libstdc++. Keywords are the fields of FixedDimensionalEncodingConfig, with its defaults.

Parameters
----------
dimension : int
    Values of a vector.
num_repetitions : int
num_simhash_projections : int
    Planes a repetition: so many bits name a bucket.
seed : int
    Of 32 bits, signed or not.
projection_type : "DEFAULT_IDENTITY" or "AMS_SKETCH"
projection_dimension : int
    Values a bucket, for AMS_SKETCH.
fill_empty_partitions : bool
    A document's empty bucket gets the vector next to it.
final_projection_dimension : int
    Above 0: the whole is sketched down to so many values.)";

}  // namespace

void bind_google_fde(nb::module_& module) {
  nb::class_<GoogleFde> google(module, "GoogleFde", nb::is_final(), google_documentation);
  google
      .def("__init__", &construct_google, "dimension"_a, nb::kw_only(), "num_repetitions"_a = 1,
           "num_simhash_projections"_a = 0, "seed"_a = 1, "projection_type"_a = "DEFAULT_IDENTITY",
           "projection_dimension"_a = 0, "fill_empty_partitions"_a = false,
           "final_projection_dimension"_a = 0,
           nb::sig("def __init__(self, dimension: int, *, num_repetitions: int = 1, "
                   "num_simhash_projections: int = 0, seed: int = 1, "
                   "projection_type: str = 'DEFAULT_IDENTITY', projection_dimension: int = 0, "
                   "fill_empty_partitions: bool = False, final_projection_dimension: int = 0) -> None"))
      .def("__reduce__", [](const GoogleFde& encoder) { return reduce<GoogleFde>(options_of(encoder)); })
      .def("__repr__", [](const GoogleFde& encoder) {
        const GoogleFdeOptions& options = encoder.options();
        return fmt::format(
            "<vicinal.multivector.GoogleFde {} to {}, {} repetitions of 2^{} buckets, seed={}>",
            encoder.dim(), tools::thousands(encoder.output_dim()), options.repetitions, options.simhash_bits,
            options.seed);
      });
  bind_encoding<GoogleFde>(google, &options_of);
}

}  // namespace vicinal::python
