#include "vicinal/tools/explore/prediction.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <optional>

#include "vicinal/index/spec.hpp"
#include "vicinal/quant/projection.hpp"

namespace vicinal::tools {
namespace {

// The sample as a codec gets it. Every query has a row for each of its pairs.
struct MappedSample {
  Metric metric = Metric::l2;
  std::size_t dim = 0;
  Array<float> rows;
  Array<float> queries;
  std::vector<float> constants;  // of the queries, added to distances
};

MappedSample map_sample(const PairSample& sample, const Projection* projection, bool side_value) {
  const std::size_t queries = sample.near.rows(), pairs = sample.near.cols();
  MappedSample mapped{
      projection == nullptr ? sample.metric : projection->inner_metric(),
      projection == nullptr ? sample.base.cols() : projection->out_dim() + (side_value ? 1 : 0),
      {},
      {},
      std::vector<float>(queries)};
  const std::size_t dim = mapped.dim;
  mapped.rows = Array<float>(checked_product(queries * pairs, dim, "sample"));
  mapped.queries = Array<float>(checked_product(queries, dim, "sample"));
  for (std::size_t i = 0; i < queries; ++i) {
    const std::span<float> query(mapped.queries.data() + i * dim, dim);
    if (projection == nullptr) {
      std::ranges::copy(sample.queries[i], query.begin());
    } else {
      mapped.constants[i] = projection->project_query(sample.queries[i], query);
    }
    for (std::size_t j = 0; j < pairs; ++j) {
      const auto row = sample.base[static_cast<std::size_t>(sample.near[i][j])];
      const std::span<float> out(mapped.rows.data() + (i * pairs + j) * dim, dim);
      if (projection == nullptr) {
        std::ranges::copy(row, out.begin());
      } else {
        projection->project_document(row, out);
      }
    }
  }
  return mapped;
}

CodecError error_of(const CodecChoice& choice, const MappedSample& mapped, bool side_value,
                    const PairSample& sample, const BuildControl& control) {
  const std::size_t queries = sample.near.rows(), pairs = sample.near.cols(), dim = mapped.dim;
  const MatrixView<const float> rows(mapped.rows.data(), queries * pairs, dim);
  CodecOptions options = parse_spec(choice.name).codec;
  options.side_value = side_value;
  const Codec codec = Codec::train(options, mapped.metric, rows, control);
  const CodeStore codes = CodeStore::build(codec, rows, {}, control);
  std::vector<double> squares(queries), common(queries);
  control.executor.for_each(queries, [&](std::size_t i, std::size_t) {
    PreparedQuery query;
    codec.prepare_query({mapped.queries.data() + i * dim, dim}, query);
    std::vector<std::uint32_t> slots(pairs);
    std::iota(slots.begin(), slots.end(), static_cast<std::uint32_t>(i * pairs));
    std::vector<float> distances(pairs);
    codes.score(query, slots.data(), pairs, distances.data());
    double sum = 0;
    for (std::size_t j = 0; j < pairs; ++j) {
      const double error = static_cast<double>(distances[j]) + static_cast<double>(mapped.constants[i]) -
                           static_cast<double>(sample.distances[i][j]);
      sum += error;
      squares[i] += error * error;
    }
    common[i] = sum * sum / static_cast<double>(pairs);
  });
  const double total = std::accumulate(squares.begin(), squares.end(), 0.0);
  const double shared = std::accumulate(common.begin(), common.end(), 0.0);
  return {choice, total / static_cast<double>(queries * pairs),
          total > 0 ? std::min(1.0, shared / total) : 0};
}

double lost_share(const Projection& projection) {
  const auto spectrum = projection.spectrum();
  const double total = std::accumulate(spectrum.begin(), spectrum.end(), 0.0);
  return total > 0 ? projection.lost_energy() / total : 0;
}

// 3/4, 1/2 and 1/4 of the dimensions, as far as they differ and are less than all.
std::vector<std::size_t> kept_dims(std::size_t dim) {
  std::vector<std::size_t> kept;
  for (const std::size_t quarters : {3U, 2U, 1U}) {
    const std::size_t left = dim * quarters / 4;
    if (left > 0 && left < dim && (kept.empty() || left < kept.back())) kept.push_back(left);
  }
  return kept;
}

// A kind is trained once, for the most dimensions; the others are its beginning.
std::vector<Projection> projections(const PairSample& sample, bool paper, const BuildControl& control) {
  const std::size_t dim = sample.base.cols();
  const auto kept = kept_dims(dim);
  std::vector<ProjectionKind> kinds{ProjectionKind::pca};
  if (!paper) kinds.push_back(ProjectionKind::truncate);
  if (!paper && sample.metric != Metric::l2 && !sample.training_queries.empty())
    kinds.push_back(ProjectionKind::query_pca);
  std::vector<Projection> found;
  for (const ProjectionKind kind : kinds) {
    if (kept.empty() || (kind != ProjectionKind::truncate && dim > Projection::most_trained_dim)) continue;
    const Projection widest =
        Projection::train({kind, kept.front()}, sample.metric, sample.base, sample.training_queries, control);
    for (const std::size_t left : kept) found.push_back(widest.truncated_to(left));
  }
  return found;
}

}  // namespace

std::vector<ProjectedErrors> predict(const PairSample& sample, bool paper, const BuildControl& control) {
  const BuildControl quiet{control.executor, control.stop, {}};
  control.report("predict", 0, 1);
  const auto trained = projections(sample, paper, quiet);
  std::vector<ProjectedErrors> errors;
  for (std::size_t i = 0; i <= trained.size(); ++i) {
    control.report("predict", i, trained.size() + 1);
    control.throw_if_stopped();
    const Projection* projection = i == 0 ? nullptr : &trained[i - 1];
    ProjectedErrors of_one{{"", sample.base.cols(), 0}, {}};
    if (projection != nullptr) {
      of_one.projection = {fmt::format("{}({})", to_string(projection->kind()), projection->out_dim()),
                           projection->out_dim(), lost_share(*projection)};
    }
    const bool has_side_value = projection != nullptr && projection->has_side_value();
    const MappedSample plain = map_sample(sample, projection, false);
    const MappedSample with_side_value =
        has_side_value ? map_sample(sample, projection, true) : MappedSample{};
    for (const auto& codec : codec_choices) {
      if (paper && !codec.in_paper) continue;
      const bool side_value = has_side_value && is_integer(parse_spec(codec.name).codec.kind);
      of_one.codecs.push_back(
          error_of(codec, side_value ? with_side_value : plain, side_value, sample, quiet));
    }
    errors.push_back(std::move(of_one));
  }
  return errors;
}

}  // namespace vicinal::tools
