#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "vicinal/quant/code_store.hpp"
#include "vicinal/tools/explore/explore.hpp"
#include "vicinal/tools/explore/yardstick.hpp"

namespace vicinal::tools {

/// The deepest rerank that is measured, as a multiple of k.
inline constexpr double deepest = 32;
/// A search is as good as it gets when it is this near to the deepest or widest one.
inline constexpr double plateau = 0.001;

/// Measures candidates on one base. Keeps the rerank rows, which several candidates share. Borrows base, queries and yardstick.
class Measurement {
 public:
  Measurement(MatrixView<const float> base, MatrixView<const float> queries, const Yardstick& yardstick,
              const ExploreOptions& options, BuildControl control);

  /// Scans: the candidates of one projection and codec, which share one search. A fixed depth (not 0) is kept, else the smallest that
  /// reaches the floor or the plateau is found.
  std::vector<ExploredPoint> scan(const std::vector<Candidate>& group, double fixed_depth = 0);
  /// The same with a graph, at the smallest effort on the plateau.
  ExploredPoint graph(const ExploredPoint& scanned);

 private:
  const CodeStore& rerank_rows(const std::string& codec);
  Neighbors reranked(const CodeStore& rows, const Neighbors& candidates, double depth) const;
  void choose_depth(ExploredPoint& point, const Neighbors& candidates, double fixed_depth);
  void judge(ExploredPoint& point, const Neighbors& found) const;
  [[nodiscard]] double quality(const ExploredPoint& point) const;
  [[nodiscard]] BuildControl quiet() const;

  MatrixView<const float> base_;
  MatrixView<const float> queries_;
  const Yardstick& yardstick_;
  ExploreOptions options_;
  BuildControl control_;
  std::map<std::string, CodeStore> rows_;
};

/// Position of the first value that is at least `target`, or the last when none is.
std::size_t first_reaching(const std::vector<double>& values, double target);
/// What to aim at: the floor when the last value reaches it, else the last value less the plateau's width.
double aim(const std::vector<double>& values, const std::optional<Floor>& floor);

}  // namespace vicinal::tools
