#include "vicinal/tools/explore/candidates.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "vicinal/index/spec.hpp"

namespace vicinal::tools {

std::size_t record_bytes(std::string_view codec, Metric metric, std::size_t dim) {
  const std::vector<float> one(dim, 1.0F);
  const Codec trained = Codec::train(parse_spec(codec).codec, metric, {one.data(), 1, dim});
  return trained.stride() + trained.factor_count() * sizeof(float);
}

std::string spec_of(const Candidate& candidate, std::string_view index, double depth) {
  std::string text = candidate.projection.empty() ? "" : candidate.projection + " | ";
  text += fmt::format("{} | {}", candidate.codec, index);
  if (!candidate.rerank.empty()) text += fmt::format(" | rerank({}, {}x)", candidate.rerank, depth);
  return text;
}

std::vector<Candidate> combine(const std::vector<ProjectedErrors>& errors, Metric metric) {
  std::vector<Candidate> candidates;
  for (const auto& [projection, codecs] : errors) {
    for (const auto& codec : codecs) {
      const Candidate plain{projection.stage,
                            std::string(codec.codec.name),
                            "",
                            record_bytes(codec.codec.name, metric, projection.dim),
                            std::sqrt(codec.squared_error),
                            codec.common_share};
      candidates.push_back(plain);
      if (!codec.codec.coarse) continue;
      for (const auto& rows : errors.front().codecs) {
        const double error = std::sqrt(rows.squared_error);
        if (!rows.codec.rerank_rows || error > plain.error / 2) continue;
        Candidate reranked = plain;
        reranked.rerank = rows.codec.name;
        reranked.bytes_per_row += record_bytes(rows.codec.name, metric, errors.front().projection.dim);
        reranked.error = error;
        reranked.common_share = rows.common_share;
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
             error(other) * prune_margin <= error(candidates[i]) * std::sqrt(1 - candidates[i].common_share);
    };
    if (i == 0 || std::none_of(candidates.begin(), candidates.end(), beats)) kept.push_back(candidates[i]);
  }
  return kept;
}

}  // namespace vicinal::tools
