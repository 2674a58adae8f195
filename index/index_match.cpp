#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "vicinal/core/error.hpp"
#include "vicinal/core/vector_batch.hpp"
#include "vicinal/index/index.hpp"
#include "vicinal/index/multi_vector.hpp"

namespace vicinal {

void Index::match(MatrixView<const float> query, std::span<const Id> ids, MatrixView<std::uint32_t> tokens,
                  MatrixView<float> scores) const {
  const auto require_shape = [&](const char* what, std::size_t rows, std::size_t cols) {
    if (rows == ids.size() && (rows == 0 || cols == query.rows())) return;
    throw InvalidArgument(fmt::format("the {} of {} ids and {} vectors of a query do not fit into {} x {}",
                                      what, ids.size(), query.rows(), rows, cols));
  };
  require_shape("tokens", tokens.rows(), tokens.cols());
  require_shape("scores", scores.rows(), scores.cols());
  const auto* documents = retriever_.get_if<MultiVector>();
  if (documents == nullptr) {
    throw Unsupported(
        "an index of single vectors has nothing to match: expected documents of several, as of maxsim(i8)");
  }
  const TokenStore& store = documents->documents();
  const std::vector<std::uint32_t> rows = rows_of_ids(ids);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (store.tokens(rows[i]) == 0)
      throw InvalidArgument(fmt::format("document {} has no vectors to match", ids[i]));
  }
  require_finite(query, "query");
  MaxSimQuery prepared;
  store.prepare_query(query, prepared);
  const bool cosine = metric() == Metric::cosine;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const std::span<float> row = scores[i];
    std::ranges::fill(tokens[i], 0U);  // what stays where products overflow
    store.match(prepared, rows[i], tokens[i], row);
    for (float& value : row) value = (cosine ? 1.0F : 0.0F) - value;
  }
}

}  // namespace vicinal
