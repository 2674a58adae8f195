// What "Optimization of embeddings storage for RAG systems using quantization and dimensionality reduction techniques" (Huerga-Perez
// et al., arXiv 2505.00105) claims, held against one base. Its int8 is another than ours: codes by per-dimension ranges of foreign data.
#include <fmt/format.h>

#include <algorithm>

#include "vicinal/tools/explore/summary.hpp"

namespace vicinal::tools {
namespace {

const ExploredPoint* find(const Exploration& found, std::string_view codec, double kept_share) {
  for (const auto& point : found.points) {
    const auto kept = static_cast<double>(found.dim) * kept_share;
    const bool projected = point.candidate.projection == fmt::format("pca({:.0f})", kept);
    if (point.candidate.codec == codec && (kept_share == 1 ? point.candidate.projection.empty() : projected))
      return &point;
  }
  return nullptr;
}

// What is lost against f32, in per cent of it.
double loss(const Exploration& found, const ExploredPoint& point) {
  const double whole = found.quality_of(*find(found, "f32", 1));
  return 100 * (whole - found.quality_of(point)) / whole;
}

struct Named {
  std::string_view codec;
  double kept = 1;
};

std::string name_of(const Named& named) {
  return named.kept == 1 ? std::string(named.codec)
                         : fmt::format("{} with {:.0f} % PCA", named.codec, 100 * named.kept);
}

// "claim: what was measured -> verdict"; a claim about two points holds when the first loses less.
std::string single(const Exploration& found, std::string_view claim, const Named& named, double most_loss,
                   bool at_most) {
  const auto* point = find(found, named.codec, named.kept);
  if (point == nullptr)
    return fmt::format("  {}\n    not measured: this version has no {}\n", claim, name_of(named));
  const double lost = loss(found, *point);
  const bool holds = at_most ? lost <= most_loss : lost >= most_loss;
  return fmt::format("  {}\n    {} loses {:.2f} % here: {}\n", claim, name_of(named), lost,
                     holds ? "holds" : "does not hold");
}

std::string pair(const Exploration& found, std::string_view claim, const Named& better, const Named& worse) {
  const auto* first = find(found, better.codec, better.kept);
  const auto* second = find(found, worse.codec, worse.kept);
  if (first == nullptr || second == nullptr)
    return fmt::format("  {}\n    not measured: this version has no {}\n", claim,
                       name_of(first == nullptr ? better : worse));
  const double a = loss(found, *first), b = loss(found, *second);
  return fmt::format("  {}\n    {} loses {:.2f} %, {} {:.2f} % here: {}\n", claim, name_of(better), a,
                     name_of(worse), b, a <= b ? "holds" : "does not hold");
}

}  // namespace

std::string paper_text(const Exploration& found) {
  std::string text = fmt::format(
      "Claims of arXiv 2505.00105, held against {} (int8 is this library's, per vector and rotated, "
      "not the paper's):\n",
      quality_name(found.judged_queries > 0 ? Quality::ndcg : Quality::recall, found.options.k));
  text += single(found, "f16 is \"barely any hit\" at half the size", {"f16"}, 0.1, true);
  text += single(found, "bf16 is \"barely any hit\" at half the size", {"bf16"}, 0.1, true);
  text += single(found, "float8 loses less than 0.3 % at a quarter of the size", {"e4m3"}, 0.3, true);
  text += pair(found, "e4m3 is better than e5m2", {"e4m3"}, {"e5m2"});
  text += pair(found, "float8 is better than int8 at the same size", {"e4m3"}, {"i8"});
  text += pair(found, "half of the PCA with float8 (an eighth) loses less than int8 (a quarter)",
               {"e4m3", 0.5}, {"i8"});
  text += single(found, "binary is a \"big hit\"", {"b1"}, 5, false);
  return text;
}

}  // namespace vicinal::tools
