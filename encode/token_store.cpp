#include "vicinal/encode/token_store.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "vicinal/core/error.hpp"
#include "vicinal/core/neighbors.hpp"
#include "vicinal/core/prefetch.hpp"
#include "vicinal/encode/maxsim_kernels.hpp"

namespace vicinal {
namespace {

constexpr std::size_t vectors_at_once = 16;  // of a query: as many as the codecs' kernels score together
constexpr std::size_t tokens_at_once = 512;  // their distances to so many stay in the first-level cache
constexpr std::size_t most_tokens = std::numeric_limits<std::uint32_t>::max() - std::size_t{1};

void require_weights(std::span<const float> weights, std::size_t vectors) {
  if (weights.size() != vectors)
    throw InvalidArgument(fmt::format("a query of {} vectors has {} weights", vectors, weights.size()));
  for (std::size_t q = 0; q < vectors; ++q) {
    if (!(weights[q] > 0 && std::isfinite(weights[q])))
      throw InvalidArgument(
          fmt::format("the weight of query vector {} is {}, expected a finite one above 0", q, weights[q]));
  }
}

}  // namespace

TokenStore TokenStore::build(const CodecOptions& options, Metric metric, const VectorBatch& documents,
                             const BuildControl& control) {
  if (metric == Metric::l2)
    throw InvalidArgument("MaxSim is a sum of inner products: the metric is l2, expected ip or cosine");
  if (documents.size() == 0) throw InvalidArgument("there are no documents, expected at least 1");
  const std::size_t tokens = documents.rows.rows();
  if (tokens == 0)
    throw InvalidArgument(
        fmt::format("{} documents have no vector at all, expected at least 1", documents.size()));
  if (tokens > most_tokens)
    throw InvalidArgument(fmt::format("documents have {} vectors, expected at most {}", tokens, most_tokens));
  TokenStore store;
  const Codec codec = Codec::train(options, metric, documents.rows, control);
  store.codes_ = CodeStore::build(codec, documents.rows, {}, control).in_lanes(control);
  store.offsets_ = Array<std::uint64_t>(documents.size() + 1);
  for (std::size_t i = 0; i <= documents.size(); ++i)
    store.offsets_[i] = documents.multi_vector() ? documents.offsets[i] : i;
  return store;
}

void TokenStore::prepare_query(MatrixView<const float> query, MaxSimQuery& prepared,
                               std::span<const float> weights) const {
  if (query.rows() == 0) throw InvalidArgument("a query has no vectors, expected at least 1");
  if (query.cols() != dim())
    throw InvalidArgument(
        fmt::format("a query has vectors of dimension {}, the documents {}", query.cols(), dim()));
  if (!weights.empty()) require_weights(weights, query.rows());
  prepared.count_ = query.rows();
  prepared.weights_.assign(query.rows(), 1.0F);
  std::ranges::copy(weights, prepared.weights_.begin());
  if (codes_.has_lanes()) return prepare_lanes(query, prepared);
  if (prepared.prepared_.size() < query.rows()) prepared.prepared_.resize(query.rows());
  prepared.nearest_.resize(query.rows());
  if (prepared.distances_.empty()) prepared.distances_ = Array<float>(vectors_at_once * tokens_at_once);
  for (std::size_t q = 0; q < query.rows(); ++q)
    codes_.codec().prepare_query(query[q], prepared.prepared_[q]);
}

template <class Each>
void TokenStore::for_each_run(MaxSimQuery& query, std::size_t begin, std::size_t end,
                              const Each& each) const {
  float* const distances = query.distances_.data();
  for (std::size_t first = begin; first < end; first += tokens_at_once) {
    const std::size_t count = std::min(tokens_at_once, end - first);
    for (std::size_t q = 0; q < query.count_; q += vectors_at_once) {
      const std::size_t group = std::min(vectors_at_once, query.count_ - q);
      codes_.score_range(std::span(query.prepared_).subspan(q, group), first, count, distances,
                         tokens_at_once);
      for (std::size_t i = 0; i < group; ++i) each(q + i, first, distances + i * tokens_at_once, count);
    }
  }
}

void TokenStore::score(MaxSimQuery& query, std::span<const std::uint32_t> documents, float* out) const {
  const bool lanes = codes_.has_lanes();
  for (std::size_t i = 0; i < documents.size(); ++i) {
    const std::size_t next = i + 1 < documents.size() ? documents[i + 1] : size();
    if (lanes) {
      out[i] = score_lanes(query, documents[i], next);
      continue;
    }
    if (next < size()) {
      const std::size_t bytes = (offsets_[next + 1] - offsets_[next]) * codes_.codec().stride();
      prefetch(codes_.record(offsets_[next]), std::min<std::size_t>(bytes, 4096));
    }
    score_range(query, documents[i], 1, out + i);
  }
}

void TokenStore::score_range(MaxSimQuery& query, std::size_t first, std::size_t count, float* out) const {
  if (codes_.has_lanes()) {
    for (std::size_t d = first; d < first + count; ++d) out[d - first] = score_lanes(query, d, d + 1);
    return;
  }
  const MaxSimKernels& loops = maxsim_kernels();
  std::size_t document = first;
  while (document < first + count) {
    // Documents whose vectors fit in one run are scored together, a longer one by itself.
    const std::size_t begin = offsets_[document];
    std::size_t last = document + 1;
    while (last < first + count && offsets_[last + 1] - begin <= tokens_at_once) ++last;
    const std::size_t end = offsets_[last];
    if (last == document + 1) {
      std::fill_n(query.nearest_.begin(), query.count_, no_distance);
      for_each_run(query, begin, end, [&](std::size_t q, std::size_t, const float* distances, std::size_t n) {
        query.nearest_[q] = std::min(query.nearest_[q], loops.minimum(distances, n));
      });
      float sum = 0;
      for (std::size_t q = 0; q < query.count_; ++q) sum += query.weights_[q] * query.nearest_[q];
      out[document - first] = sum;
    } else {
      float* const sums = out + (document - first);
      std::fill_n(sums, last - document, 0.0F);
      for_each_run(query, begin, end, [&](std::size_t q, std::size_t, const float* distances, std::size_t) {
        for (std::size_t d = document; d < last; ++d)
          sums[d - document] += query.weights_[q] * loops.minimum(distances + (offsets_[d] - begin),
                                                                  offsets_[d + 1] - offsets_[d]);
      });
    }
    document = last;
  }
}

void TokenStore::match(MaxSimQuery& query, std::size_t document, std::span<std::uint32_t> tokens,
                       std::span<float> distances) const {
  if (tokens.size() != query.count_ || distances.size() != query.count_)
    throw InvalidArgument(
        fmt::format("the query has {} vectors, there are places for {} tokens and {} distances", query.count_,
                    tokens.size(), distances.size()));
  const std::size_t begin = offsets_[document];
  const std::size_t end = offsets_[document + 1];
  if (begin == end) throw InvalidArgument(fmt::format("document {} has no vectors to match", document));
  std::ranges::fill(distances, no_distance);
  if (codes_.has_lanes()) return match_lanes(query, begin, end, tokens, distances);
  for_each_run(query, begin, end, [&](std::size_t q, std::size_t first, const float* run, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
      if (!(run[i] < distances[q])) continue;
      distances[q] = run[i];
      tokens[q] = static_cast<std::uint32_t>(first + i - begin);
    }
  });
}

void TokenStore::decode(std::size_t document, MatrixView<float> out) const {
  const std::size_t begin = offsets_[document];
  if (out.rows() != tokens(document) || out.cols() != dim())
    throw InvalidArgument(fmt::format("document {} has {} vectors of dimension {}, the result has {} x {}",
                                      document, tokens(document), dim(), out.rows(), out.cols()));
  for (std::size_t i = 0; i < out.rows(); ++i) codes_.decode(begin + i, out[i]);
}

void TokenStore::save(ContainerWriter& writer, const std::string& prefix) const {
  codes_.save(writer, prefix);
  writer.add(prefix + "/offsets", offsets_.span());
}

TokenStore TokenStore::load(const Container& file, const std::string& prefix) {
  TokenStore store;
  store.codes_ = CodeStore::load(file, prefix, true).in_lanes();
  const std::string name = prefix + "/offsets";
  const std::uint64_t count = file.info(name).length / sizeof(std::uint64_t);
  store.offsets_ = file.array<std::uint64_t>(name, count);
  const std::span<const std::uint64_t> offsets = std::as_const(store.offsets_).span();
  if (offsets.size() < 2 || offsets.front() != 0 || !std::ranges::is_sorted(offsets) ||
      offsets.back() != store.codes_.size())
    throw CorruptFile(
        fmt::format("section {}: offsets do not ascend from 0 to {} vectors", name, store.codes_.size()));
  if (store.metric() == Metric::l2)
    throw CorruptFile(fmt::format("sections {}/: vectors of metric l2", prefix));
  return store;
}

}  // namespace vicinal
