#pragma once

#include <optional>

#include "vicinal/index/spec.hpp"
#include "vicinal/quant/code_store.hpp"

/// What the stages of a spec before the index make of rows. Not installed.
namespace vicinal {

/// Rows order[0], order[1], ... side by side.
Array<float> copy_rows(MatrixView<const float> base, std::span<const std::uint32_t> order,
                       const BuildControl& control);

/// The codec's options and the rows that it codes, projected when the spec says so.
struct CodedRows {
  CodecOptions codec;
  Metric metric;
  MatrixView<const float> rows;
  Array<float> projected = {};
  std::optional<Projection> projection = {};

  [[nodiscard]] CodeStore encode(const BuildControl& control) const;  ///< in the order of the rows
};
/// `queries` are those that qpca learns from. Throws InvalidArgument, Cancelled.
CodedRows coded_rows(const Spec& spec, Metric metric, MatrixView<const float> base,
                     MatrixView<const float> queries, const BuildControl& control);

}  // namespace vicinal
