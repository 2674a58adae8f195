#include "vicinal/core/neighbors.hpp"

#include <algorithm>
#include <string>

#include "vicinal/core/error.hpp"

namespace vicinal {
namespace {

// The real ids among the first k of a row, ascending and without repeats, into `ids` (which keeps its memory).
void distinct_ids(std::span<const Id> row, std::size_t k, std::vector<Id>& ids) {
  ids.clear();
  for (const Id id : row.first(k)) {
    if (id != no_id) ids.push_back(id);
  }
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
}

std::size_t common_ids(const std::vector<Id>& a, const std::vector<Id>& b) {
  std::size_t common = 0;
  for (std::size_t i = 0, j = 0; i < a.size() && j < b.size();) {
    common += static_cast<std::size_t>(a[i] == b[j]);
    const bool advance_a = a[i] <= b[j];
    const bool advance_b = b[j] <= a[i];
    i += static_cast<std::size_t>(advance_a);
    j += static_cast<std::size_t>(advance_b);
  }
  return common;
}

void require_columns(MatrixView<const Id> matrix, std::size_t k, const char* what) {
  if (matrix.cols() < k) {
    throw InvalidArgument("recall@" + std::to_string(k) + " needs " + std::to_string(k) + " columns, " +
                          what + " have " + std::to_string(matrix.cols()));
  }
}

}  // namespace

double recall(MatrixView<const Id> found, MatrixView<const Id> truth, std::size_t k) {
  if (k == 0) throw InvalidArgument("recall@0 is not defined; k must be at least 1");
  if (found.rows() != truth.rows()) {
    throw InvalidArgument("results have " + std::to_string(found.rows()) + " rows, true neighbors have " +
                          std::to_string(truth.rows()));
  }
  require_columns(found, k, "results");
  require_columns(truth, k, "true neighbors");

  std::vector<Id> found_ids;
  std::vector<Id> true_ids;
  double sum = 0;
  std::size_t queries = 0;
  for (std::size_t q = 0; q < truth.rows(); ++q) {
    distinct_ids(truth[q], k, true_ids);
    if (true_ids.empty()) continue;
    distinct_ids(found[q], k, found_ids);
    sum += static_cast<double>(common_ids(found_ids, true_ids)) / static_cast<double>(true_ids.size());
    ++queries;
  }
  return queries == 0 ? 1.0 : sum / static_cast<double>(queries);
}

}  // namespace vicinal
