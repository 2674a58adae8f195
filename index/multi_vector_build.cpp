#include "vicinal/index/multi_vector_build.hpp"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "vicinal/core/array.hpp"
#include "vicinal/core/random.hpp"

namespace vicinal {
namespace {

constexpr std::size_t measured_k = 10;
constexpr std::size_t most_queries = 200;
constexpr std::size_t vectors_of_a_query = 32;
constexpr std::array<std::size_t, 14> efforts{10,  16,  24,  32,  48,   64,   96,
                                              128, 192, 256, 512, 1024, 2048, 4096};
constexpr double as_good_as_exact = 0.9995;
constexpr std::uint64_t sample_stream = 0x746F6B656E73;  // "tokens"

// The first vectors of documents drawn at random, and which documents those are.
struct SampledQueries {
  std::vector<float> rows;
  std::vector<std::uint64_t> offsets{0};
  std::vector<Id> documents;
};

SampledQueries sample_queries(const VectorBatch& documents, const TokenStore& stored, std::uint64_t seed) {
  SampledQueries sample;
  std::vector<float> decoded;
  RandomStream random(seed, sample_stream);
  const std::size_t draws = std::min(stored.size(), most_queries);
  for (std::size_t i = 0; i < draws; ++i) {
    // One of each of as many equal parts of all, so that none is drawn twice.
    const std::size_t first = stored.size() * i / draws;
    const std::size_t document = first + random.next_below(stored.size() * (i + 1) / draws - first);
    MatrixView<const float> vectors;
    if (documents.size() > 0) {
      vectors = documents.item(document);
    } else {
      decoded.resize(stored.tokens(document) * stored.dim());
      const MatrixView<float> own(decoded.data(), stored.tokens(document), stored.dim());
      stored.decode(document, own);
      vectors = own;
    }
    if (vectors.rows() == 0) continue;
    for (std::size_t v = 0; v < std::min(vectors.rows(), vectors_of_a_query); ++v)
      sample.rows.insert(sample.rows.end(), vectors[v].begin(), vectors[v].end());
    sample.offsets.push_back(sample.rows.size() / stored.dim());
    sample.documents.push_back(static_cast<Id>(document));
  }
  return sample;
}

// The first k of each row that are not the query itself.
Neighbors without(const Neighbors& found, std::span<const Id> itself, std::size_t k) {
  Neighbors result(found.size(), k);
  const NeighborsView out = result.view();
  for (std::size_t q = 0; q < found.size(); ++q) {
    std::uint32_t& count = out.counts[q];
    for (std::uint32_t i = 0; i < found.counts()[q] && count < k; ++i) {
      if (!itself.empty() && found.ids()[q][i] == itself[q]) continue;
      out.ids[q][count] = found.ids()[q][i];
      out.distances[q][count++] = found.distances()[q][i];
    }
  }
  return result;
}

}  // namespace

FdeOptions encoder_options(const Spec& spec, Metric metric) {
  FdeOptions options = *spec.muvera;
  options.scale_tokens = metric == Metric::cosine;
  return options;
}

DocumentEncoder train_encoder(const Spec& spec, Metric metric, const VectorBatch& documents,
                              const BuildControl& control) {
  if (spec.head) {
    control.report("learn", 0, 1);
    TokenHeadOptions options = *spec.head;
    options.scale_tokens = metric == Metric::cosine;
    return TokenHead::train(options, documents, {}, control);
  }
  return FdeEncoder::train(encoder_options(spec, metric), documents, control);
}

MultiVector build_multi_vector(const Spec& spec, Metric metric, const VectorBatch& given,
                               BuildEncodings build_encodings, const BuildControl& control) {
  PooledTokens pooled;
  VectorBatch documents = given;
  if (spec.pool) {
    control.report("pool", 0, 1);
    pooled = pool_tokens(given, *spec.pool, control);
    documents = {{pooled.rows.data(), pooled.offsets.back(), given.dim()}, pooled.offsets};
  }
  TokenStore store = TokenStore::build(maxsim_codec(spec), metric, documents, control);
  if (spec.scan) {
    CoarseScan coarse{TokenStore::build(scan_codec(spec), metric, documents, control), spec.scan->carve};
    return {std::move(coarse), std::move(store), spec.maxsim->depth};
  }
  if (!spec.muvera && !spec.head) return MultiVector(std::move(store));
  DocumentEncoder encoder = train_encoder(spec, metric, documents, control);
  Array<float> encodings(checked_product(documents.size(), encoder.out_dim(), "encodings"));
  const MatrixView<float> rows(encodings.data(), documents.size(), encoder.out_dim());
  control.report("encode", 0, 1);
  encoder.encode_documents(documents, rows, control);
  AnyRetriever inner = build_encodings(rows);
  return MultiVector(std::move(encoder), std::move(inner), std::move(store), spec.maxsim->depth);
}

std::optional<Calibration> calibrate_multi_vector(const MultiVector& retriever, const VectorBatch& documents,
                                                  const VectorBatch& queries, std::uint64_t seed,
                                                  const BuildControl& control) {
  if (retriever.scans() || retriever.size() < 2) return std::nullopt;
  Calibration calibration;
  calibration.given_queries = queries.size() > 0;
  SampledQueries sample;
  VectorBatch asked = queries;
  if (!calibration.given_queries) {
    sample = sample_queries(documents, retriever.documents(), seed);
    if (sample.documents.empty()) return std::nullopt;
    asked = {{sample.rows.data(), sample.offsets.back(), retriever.dim()}, sample.offsets};
  }
  const std::size_t itself = calibration.given_queries ? 0 : 1;
  calibration.k = std::min(measured_k, retriever.size() - itself);
  calibration.queries = asked.size();
  SearchControl search;
  search.executor = control.executor;
  search.stop = control.stop;
  const auto answer = [&](const MultiVector& way, std::size_t effort) {
    const Neighbors found = AnyRetriever(way).search(asked, calibration.k + itself, {effort, {}}, search);
    control.throw_if_stopped();
    return without(found, sample.documents, calibration.k);
  };
  control.report("calibrate", 0, efforts.size() + 1);
  const Neighbors truth = answer(MultiVector(retriever.documents()), 0);
  double best = 0;
  for (std::size_t i = 0; i < efforts.size(); ++i) {
    control.report("calibrate", i + 1, efforts.size() + 1);
    best = std::max(best, recall(answer(retriever, efforts[i]).ids(), truth.ids(), calibration.k));
    calibration.points.push_back({efforts[i], best});
    if (best >= as_good_as_exact || efforts[i] >= retriever.size()) break;
  }
  control.report("calibrate", efforts.size() + 1, efforts.size() + 1);
  return calibration;
}

}  // namespace vicinal
