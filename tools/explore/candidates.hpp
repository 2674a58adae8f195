#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "vicinal/core/control.hpp"
#include "vicinal/core/matrix_view.hpp"
#include "vicinal/core/metric.hpp"
#include "vicinal/core/neighbors.hpp"

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
    CodecChoice{"b1", false, true, true},
};

/// A stage before the codec, and what it alone costs.
struct ProjectionChoice {
  std::string stage;         ///< as in a spec string; empty: vectors as they are
  std::size_t dim = 0;       ///< what is left
  double squared_error = 0;  ///< expected, of a distance
};
/// None is the first. The spectrum of the base says what the others lose.
std::vector<ProjectionChoice> projection_choices(MatrixView<const float> base,
                                                 MatrixView<const float> queries, Metric metric, bool paper,
                                                 const BuildControl& control);

/// Pairs of a query and rows that are near to it: where an error of the distance changes the answer.
struct PairSample {
  MatrixView<const float> base;
  MatrixView<const float> queries;
  MatrixView<const Id> near;  ///< rows of base for the first queries
  Metric metric = Metric::l2;
};
/// Mean squared error of the distances of `sample` when its rows are encoded and decoded; the codec is trained on all of the base.
double codec_squared_error(std::string_view codec, const PairSample& sample, const BuildControl& control);
/// Bytes of one record and its factors.
std::size_t record_bytes(std::string_view codec, Metric metric, std::size_t dim);

/// A way to store vectors, before anything is measured.
struct Candidate {
  std::string projection;
  std::string codec;
  std::string rerank;  ///< codec of the rerank rows; empty: none
  std::size_t bytes_per_row = 0;
  double error = 0;  ///< predicted: root mean square, of a distance
};
/// The spec string of a candidate with an index stage, e.g. "pca(192) | i8 | hnsw | rerank(f16, 3x)".
std::string spec_of(const Candidate& candidate, std::string_view index, double depth);

struct CodecError {
  CodecChoice codec;
  double squared_error = 0;
};
/// Every projection with every codec, the coarse ones also with each kind of rerank rows that at least halves their error.
std::vector<Candidate> combine(const std::vector<ProjectionChoice>& projections,
                               const std::vector<CodecError>& codecs, Metric metric, std::size_t dim);

/// How much smaller an error has to be for the other candidate to be given up unmeasured.
inline constexpr double prune_margin = 1.5;
/// Errors below this share of the gap between near neighbours change no answer and count as equal.
inline constexpr double negligible_share = 0.002;
/// Drops the candidates that another beats in bytes (or equals) and, by the margin, in error. The first, the reference, stays.
std::vector<Candidate> prune(const std::vector<Candidate>& candidates, double gap);

}  // namespace vicinal::tools
