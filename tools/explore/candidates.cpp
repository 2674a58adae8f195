#include "vicinal/tools/explore/candidates.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "vicinal/index/spec.hpp"

namespace vicinal::tools {
namespace {

CodecOptions options_of(std::string_view codec) { return parse_spec(codec).codec; }

// Large enough for whatever a codec keeps beside a record.
constexpr std::size_t most_factors = 16;

// The vector as the metric sees it.
void normalise_for(Metric metric, std::span<float> vector) {
  if (metric != Metric::cosine) return;
  double norm = 0;
  for (const float value : vector) norm += static_cast<double>(value) * static_cast<double>(value);
  if (norm == 0) return;
  const auto scale = static_cast<float>(1 / std::sqrt(norm));
  for (float& value : vector) value *= scale;
}

// By how much the distance of the pair changes when the row is replaced by what its code stands for. The squared length of the
// error is left out for l2: it is about the same for every row, and what all distances have in common changes no order.
double distance_error(std::span<const float> query, std::span<const float> row,
                      std::span<const float> decoded, Metric metric) {
  double sum = 0;
  for (std::size_t j = 0; j < query.size(); ++j) {
    const double error = static_cast<double>(decoded[j]) - static_cast<double>(row[j]);
    const double weight =
        static_cast<double>(query[j]) - (metric == Metric::l2 ? static_cast<double>(row[j]) : 0.0);
    sum += weight * error;
  }
  return metric == Metric::l2 ? 2 * sum : sum;
}

class PairCoder {
 public:
  PairCoder(const Codec& codec, const PairSample& sample)
      : codec_(codec),
        sample_(sample),
        record_(codec.stride()),
        query_(codec.dim()),
        row_(codec.dim()),
        decoded_(codec.dim()),
        scratch_(codec.dim()) {}

  double squared_error(std::size_t query) {
    std::ranges::copy(sample_.queries[query], query_.begin());
    normalise_for(sample_.metric, query_);
    double sum = 0;
    for (const Id id : sample_.near[query]) {
      std::ranges::copy(sample_.base[static_cast<std::size_t>(id)], row_.begin());
      codec_.encode(row_, record_.data(), factors_.data(), scratch_);
      codec_.decode(record_.data(), factors_.data(), decoded_);
      normalise_for(sample_.metric, row_);
      const double error = distance_error(query_, row_, decoded_, sample_.metric);
      sum += error * error;
    }
    return sum / static_cast<double>(sample_.near.cols());
  }

 private:
  const Codec& codec_;
  const PairSample& sample_;
  Array<std::byte> record_;
  std::array<float, most_factors> factors_{};
  std::vector<float> query_, row_, decoded_, scratch_;
};

}  // namespace

double codec_squared_error(std::string_view codec, const PairSample& sample, const BuildControl& control) {
  const Codec trained = Codec::train(options_of(codec), sample.metric, sample.base, control);
  std::vector<double> errors(sample.near.rows());
  control.executor.for_each(errors.size(), [&](std::size_t query, std::size_t) {
    errors[query] = PairCoder(trained, sample).squared_error(query);
  });
  double sum = 0;
  for (const double error : errors) sum += error;
  return errors.empty() ? 0 : sum / static_cast<double>(errors.size());
}

std::size_t record_bytes(std::string_view codec, Metric metric, std::size_t dim) {
  const std::vector<float> one(dim, 1.0F);
  const Codec trained = Codec::train(options_of(codec), metric, {one.data(), 1, dim});
  return trained.stride() + (trained.has_factors() ? 2 * sizeof(float) : 0);
}

std::vector<ProjectionChoice> projection_choices(MatrixView<const float> base, MatrixView<const float>,
                                                 Metric, bool, const BuildControl&) {
  return {{"", base.cols(), 0.0}};
}

std::string spec_of(const Candidate& candidate, std::string_view index, double depth) {
  std::string text = candidate.projection.empty() ? "" : candidate.projection + " | ";
  text += fmt::format("{} | {}", candidate.codec, index);
  if (!candidate.rerank.empty()) text += fmt::format(" | rerank({}, {}x)", candidate.rerank, depth);
  return text;
}

std::vector<Candidate> combine(const std::vector<ProjectionChoice>& projections,
                               const std::vector<CodecError>& codecs, Metric metric, std::size_t dim) {
  std::vector<Candidate> candidates;
  for (const auto& projection : projections) {
    for (const auto& codec : codecs) {
      Candidate plain{projection.stage, std::string(codec.codec.name), "",
                      record_bytes(codec.codec.name, metric, projection.dim),
                      std::sqrt(projection.squared_error + codec.squared_error)};
      candidates.push_back(plain);
      if (!codec.codec.coarse) continue;
      for (const auto& rows : codecs) {
        const double error = std::sqrt(rows.squared_error);
        if (!rows.codec.rerank_rows || error > plain.error / 2) continue;
        Candidate reranked = plain;
        reranked.rerank = rows.codec.name;
        reranked.bytes_per_row += record_bytes(rows.codec.name, metric, dim);
        reranked.error = error;
        candidates.push_back(reranked);
      }
    }
  }
  return candidates;
}

std::vector<Candidate> prune(const std::vector<Candidate>& candidates, double gap) {
  const auto error = [&](const Candidate& candidate) {
    return std::max(candidate.error, negligible_share * gap);
  };
  std::vector<Candidate> kept;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    const auto beats = [&](const Candidate& other) {
      return other.bytes_per_row <= candidates[i].bytes_per_row &&
             error(other) * prune_margin <= error(candidates[i]);
    };
    if (i == 0 || std::none_of(candidates.begin(), candidates.end(), beats)) kept.push_back(candidates[i]);
  }
  return kept;
}

}  // namespace vicinal::tools
