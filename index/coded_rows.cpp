#include "vicinal/index/coded_rows.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "vicinal/core/error.hpp"

namespace vicinal {

Array<float> copy_rows(MatrixView<const float> base, std::span<const std::uint32_t> order,
                       const BuildControl& control) {
  constexpr std::size_t rows_per_task = 4096;
  Array<float> copy(checked_product(order.size(), base.cols(), "base"));
  control.executor.for_each((order.size() + rows_per_task - 1) / rows_per_task,
                            [&](std::size_t task, std::size_t) {
                              const std::size_t end = std::min(order.size(), (task + 1) * rows_per_task);
                              for (std::size_t row = task * rows_per_task; row < end; ++row) {
                                std::ranges::copy(base[order[row]], copy.data() + row * base.cols());
                              }
                            });
  return copy;
}

CodeStore CodedRows::encode(const BuildControl& control) const {
  return CodeStore::build(Codec::train(codec, metric, rows, control), rows, {}, control);
}

CodedRows coded_rows(const Spec& spec, Metric metric, MatrixView<const float> base,
                     MatrixView<const float> queries, const BuildControl& control) {
  if (spec.projection.kind == ProjectionKind::none) return {spec.codec, metric, base};
  if (spec.projection.kind == ProjectionKind::query_pca && metric != Metric::l2 && queries.empty()) {
    throw InvalidArgument(
        fmt::format("qpca learns from sample queries, got none: give some as calibration queries (vicinal "
                    "build --queries), {} or "
                    "more, or take pca({})",
                    5 * base.cols(), spec.projection.dim));
  }
  CodedRows coded{spec.codec, metric, {}};
  coded.projection = Projection::train(spec.projection, metric, base, queries, control);
  const Projection& projection = *coded.projection;
  coded.metric = projection.inner_metric();
  coded.codec.side_value = is_integer(coded.codec.kind) && projection.has_side_value();
  const std::size_t columns = projection.out_dim() + (coded.codec.side_value ? 1 : 0);
  coded.projected = Array<float>(checked_product(base.rows(), columns, "projected base"));
  coded.rows = {coded.projected.data(), base.rows(), columns};
  projection.project_documents(base, {coded.projected.data(), base.rows(), columns}, control);
  return coded;
}

}  // namespace vicinal
