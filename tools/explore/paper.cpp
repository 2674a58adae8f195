// What "Optimization of embeddings storage for RAG systems using quantization and dimensionality reduction techniques" (Huerga-Perez
// et al., arXiv 2505.00105) claims, held against one base. Its int8 is another than ours: codes by per-dimension ranges of foreign data.
#include <fmt/format.h>

#include <algorithm>

#include "vicinal/tools/explore/summary.hpp"

namespace vicinal::tools {
namespace {

const ExploredPoint* find(const Exploration& found, std::string_view codec, double kept_share) {
  for (const auto& point : found.points) {
    const bool projected =
        point.candidate.projection ==
        fmt::format("pca({})", static_cast<std::size_t>(static_cast<double>(found.dim) * kept_share));
    if (point.candidate.codec == codec && (kept_share == 1 ? point.candidate.projection.empty() : projected))
      return &point;
  }
  return nullptr;
}

// What the second is worse than the first, in per cent of f32, with the interval of the difference.
Estimate loss(const Exploration& found, const ExploredPoint& better, const ExploredPoint& worse) {
  const bool by_ndcg = found.quality == Quality::ndcg;
  const auto& a = by_ndcg ? better.ndcgs : better.recalls;
  const Estimate lost =
      Bootstrap(a.size(), found.options.seed).difference(a, by_ndcg ? worse.ndcgs : worse.recalls);
  const double scale = 100 / found.quality_of(*find(found, "f32", 1));
  return {scale * lost.mean, scale * lost.low, scale * lost.high};
}

struct Named {
  std::string_view codec;
  double kept = 1;
};

std::string name_of(const Named& named) {
  return named.kept == 1 ? std::string(named.codec)
                         : fmt::format("{} with {:.0f} % PCA", named.codec, 100 * named.kept);
}

std::string missing(std::string_view claim, const Named& named) {
  return fmt::format("  {}\n    not measured: this version has no {}\n", claim, name_of(named));
}

// Holds or not when the whole interval says so.
std::string verdict(const Estimate& lost, double least, double most) {
  if (lost.low >= least && lost.high <= most) return "holds";
  return lost.high < least || lost.low > most ? "does not hold" : "within the noise of the queries";
}

std::string line_of(std::string_view claim, const std::string& names, const Estimate& lost, double least,
                    double most) {
  return fmt::format("  {}\n    {} {:.2f} % here ({:.2f} to {:.2f}): {}\n", claim, names, lost.mean, lost.low,
                     lost.high, verdict(lost, least, most));
}

constexpr double unbounded = 1e9;

// A claim about what a codec loses against f32.
std::string single(const Exploration& found, std::string_view claim, const Named& named, double least,
                   double most) {
  const auto* point = find(found, named.codec, named.kept);
  if (point == nullptr) return missing(claim, named);
  return line_of(claim, name_of(named) + " loses", loss(found, *find(found, "f32", 1), *point), least, most);
}

// A claim that one loses less than another.
std::string pair(const Exploration& found, std::string_view claim, const Named& better, const Named& worse) {
  const auto* first = find(found, better.codec, better.kept);
  const auto* second = find(found, worse.codec, worse.kept);
  if (first == nullptr) return missing(claim, better);
  if (second == nullptr) return missing(claim, worse);
  return line_of(claim, fmt::format("{} loses more than {} by", name_of(worse), name_of(better)),
                 loss(found, *first, *second), 0, unbounded);
}

}  // namespace

std::string paper_text(const Exploration& found) {
  std::string text = fmt::format(
      "Claims of arXiv 2505.00105, held against {} (int8 is this library's, per vector and rotated, "
      "not the paper's):\n",
      quality_name(found.quality, found.options.k));
  text += single(found, "f16 is \"barely any hit\" at half the size", {"f16"}, -unbounded, 0.1);
  text += single(found, "bf16 is \"barely any hit\" at half the size", {"bf16"}, -unbounded, 0.1);
  text += single(found, "float8 loses less than 0.3 % at a quarter of the size", {"e4m3"}, -unbounded, 0.3);
  text += pair(found, "e4m3 is better than e5m2", {"e4m3"}, {"e5m2"});
  text += pair(found, "float8 is better than int8 at the same size", {"e4m3"}, {"i8"});
  text += pair(found, "half of the PCA with float8 (an eighth) loses less than int8 (a quarter)",
               {"e4m3", 0.5}, {"i8"});
  text += single(found, "binary is a \"big hit\"", {"b1"}, 5, unbounded);
  return text;
}

}  // namespace vicinal::tools
