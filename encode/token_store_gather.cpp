// A TokenStore of documents that come one by one, or from other stores.
#include <fmt/format.h>

#include <limits>
#include <vector>

#include "vicinal/core/error.hpp"
#include "vicinal/encode/token_store.hpp"

namespace vicinal {
namespace {

constexpr std::size_t most_tokens = std::numeric_limits<std::uint32_t>::max() - std::size_t{1};

void require_encodable(const Codec& codec, std::uint64_t tokens) {
  if (codec.metric() == Metric::l2)
    throw InvalidArgument("MaxSim is a sum of inner products: the metric is l2, expected ip or cosine");
  if (tokens > most_tokens)
    throw InvalidArgument(fmt::format("documents have {} vectors, expected at most {}", tokens, most_tokens));
}

}  // namespace

TokenStore TokenStore::encode(const Codec& codec, const VectorBatch& documents,
                              std::span<const std::uint32_t> order, const BuildControl& control) {
  require_encodable(codec, documents.rows.rows());
  TokenStore store;
  store.offsets_ = Array<std::uint64_t>(order.size() + 1);
  std::vector<std::uint32_t> rows;
  for (std::size_t i = 0; i < order.size(); ++i) {
    if (order[i] != no_document) {
      const std::size_t first = documents.multi_vector() ? documents.offsets[order[i]] : order[i];
      for (std::size_t row = first; row < first + documents.item(order[i]).rows(); ++row)
        rows.push_back(static_cast<std::uint32_t>(row));
    }
    store.offsets_[i + 1] = rows.size();
  }
  // An empty order would mean all rows.
  store.codes_ = rows.empty() ? CodeStore::of_codes(codec, {}, {})
                              : CodeStore::build(codec, documents.rows, rows, control);
  store.codes_ = store.codes_.in_lanes(control);
  return store;
}

TokenStore TokenStore::gather(const Codec& codec, std::span<const Place> documents,
                              const BuildControl& control) {
  TokenStore store;
  store.offsets_ = Array<std::uint64_t>(documents.size() + 1);
  std::vector<CodeStore::Run> runs;
  runs.reserve(documents.size());
  for (std::size_t i = 0; i < documents.size(); ++i) {
    const auto& [from, document] = documents[i];
    store.offsets_[i + 1] = store.offsets_[i];
    if (from == nullptr || from->tokens(document) == 0) continue;
    const std::size_t first = from->offsets_[document];
    const std::size_t count = from->tokens(document);
    store.offsets_[i + 1] += count;
    // Neighbours in a store that stay neighbours are one run.
    if (!runs.empty() && runs.back().store == &from->codes_ &&
        runs.back().first + runs.back().count == first && runs.back().count < 4096) {
      runs.back().count += count;
    } else {
      runs.push_back({&from->codes_, first, count});
    }
  }
  require_encodable(codec, store.offsets_[documents.size()]);
  store.codes_ = CodeStore::gather(codec, runs, control).in_lanes(control);
  return store;
}

}  // namespace vicinal
