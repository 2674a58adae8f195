#pragma once

#include <vector>

#include "vicinal/core/control.hpp"
#include "vicinal/core/matrix_view.hpp"
#include "vicinal/core/metric.hpp"
#include "vicinal/core/neighbors.hpp"
#include "vicinal/tools/explore/candidates.hpp"

namespace vicinal::tools {

/// Pairs of a query and rows that are near to it, where an error of the distance changes the answer, and their exact distances.
struct PairSample {
  MatrixView<const float> base;
  MatrixView<const float> queries;
  MatrixView<const Id> near;          ///< rows of base for the first queries
  MatrixView<const float> distances;  ///< of the same shape
  Metric metric = Metric::l2;
  MatrixView<const float> training_queries;  ///< for qpca, others than `queries`; empty: no qpca
};

/// The mean squared error of the distances of the pairs for every projection and codec, by mapping and encoding the rows of the
/// sample and scoring them. Projections learn from all of the base, codecs from the sample. Dimensions kept are 3/4, 1/2 and 1/4;
/// `paper`: of pca alone, and only the codecs of the paper. Reports the phase "predict"; throws Cancelled.
std::vector<ProjectedErrors> predict(const PairSample& sample, bool paper, const BuildControl& control);

}  // namespace vicinal::tools
