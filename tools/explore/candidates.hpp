#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "vicinal/core/metric.hpp"

namespace vicinal::tools {

/// A codec that may be recommended, by its name in spec strings.
struct CodecChoice {
  std::string_view name;
  bool rerank_rows;  ///< can be what candidates are scored again on
  bool coarse;       ///< small enough that scoring candidates again can pay
  bool in_paper;     ///< part of the grid of arXiv 2505.00105
};
inline constexpr std::array codec_choices{
    CodecChoice{"f32", false, false, true},  CodecChoice{"f16", true, false, true},
    CodecChoice{"bf16", false, false, true}, CodecChoice{"e4m3", true, false, true},
    CodecChoice{"e5m2", false, false, true}, CodecChoice{"e3m4", true, false, false},
    CodecChoice{"i8", false, true, true},    CodecChoice{"i4", false, true, false},
    CodecChoice{"b2", false, true, false},   CodecChoice{"b1", false, true, true},
};

/// A stage before the codec.
struct ProjectionChoice {
  std::string stage;    ///< as in a spec string; empty: vectors as they are
  std::size_t dim = 0;  ///< what is left
  double lost_energy =
      0;  ///< share of the spectrum that is dropped: of the base's variance for pca; 0 where there is no spectrum
};

/// Bytes of one record and its factors.
std::size_t record_bytes(std::string_view codec, Metric metric, std::size_t dim);

/// A way to store vectors, before anything is measured.
struct Candidate {
  std::string projection;
  std::string codec;
  std::string rerank;  ///< codec of the rerank rows; empty: none
  std::size_t bytes_per_row = 0;
  double error = 0;         ///< predicted: root mean square, of a distance
  double common_share = 0;  ///< of the squared error: what the rows near a query have in common
};
/// The spec string of a candidate with an index stage, e.g. "pca(192) | i8 | hnsw | rerank(f16, 3x)".
std::string spec_of(const Candidate& candidate, std::string_view index, double depth);

struct CodecError {
  CodecChoice codec;
  double squared_error = 0;  ///< of a distance
  double common_share =
      0;  ///< of that: what the rows near a query have in common, which moves all of them alike
};
struct ProjectedErrors {
  ProjectionChoice projection;
  std::vector<CodecError> codecs;
};
/// Every projection with every codec, the coarse ones also with each kind of rerank rows (of all dimensions) that at least halves
/// their error. The first of `errors` has no projection.
std::vector<Candidate> combine(const std::vector<ProjectedErrors>& errors, Metric metric);

/// How much smaller an error has to be for the other candidate to be given up unmeasured.
inline constexpr double prune_margin = 1.5;
/// Errors below this share of the gap between near neighbours change no answer and count as equal.
inline constexpr double negligible_share = 0.002;
/// Drops the candidates that another beats in bytes (or equals) and, by the margin, in error. Of a candidate's error only what differs
/// between the rows near a query counts against it: the rest, which dropped dimensions cause, may change no answer. The first, the
/// reference, stays.
std::vector<Candidate> prune(const std::vector<Candidate>& candidates, double gap);

}  // namespace vicinal::tools
