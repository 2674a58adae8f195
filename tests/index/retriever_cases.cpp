#include "retriever_cases.hpp"

#include <cstdint>

#include "vicinal/index/flat.hpp"
#include "vicinal/index/hnsw.hpp"
#include "vicinal/index/index.hpp"
#include "vicinal/index/live_hnsw.hpp"
#include "vicinal/index/query_mapped.hpp"
#include "vicinal/index/reranked.hpp"

using namespace vicinal;

namespace {

Codec codec_of(CodecKind kind, const Rows& base, Metric metric) {
  CodecOptions options;
  options.kind = kind;
  options.seed = 5;
  return Codec::train(options, metric, base.view());
}

CodeStore store_of(CodecKind kind, const Rows& base, Metric metric) {
  return CodeStore::build(codec_of(kind, base, metric), base.view(), {});
}

RetrieverCase flat_case(CodecKind kind, double least_recall, double tolerance) {
  RetrieverCase c{
      "flat_" + std::string(to_string(kind)),
      [kind](const Rows& base, Metric metric) -> AnyRetriever { return Flat(store_of(kind, base, metric)); }};
  c.least_recall = least_recall;
  c.tolerance = tolerance;
  return c;
}

Hnsw hnsw_of(CodecKind kind, const Rows& base, Metric metric) {
  return Hnsw::build(codec_of(kind, base, metric), base.view(), {.m = 12, .ef_construction = 80, .seed = 3});
}

RetrieverCase hnsw_case(CodecKind kind, double least_recall, double tolerance) {
  RetrieverCase c{
      "hnsw_" + std::string(to_string(kind)),
      [kind](const Rows& base, Metric metric) -> AnyRetriever { return hnsw_of(kind, base, metric); }};
  c.least_recall = least_recall;
  c.tolerance = tolerance;
  return c;
}

LiveHnsw live_of(CodecKind kind, const Rows& base, Metric metric) {
  LiveHnsw live(codec_of(kind, base, metric), {.m = 12, .ef_construction = 80, .seed = 3, .alpha = 1.2F});
  std::vector<Id> ids;
  for (std::size_t i = 0; i < base.count; ++i) ids.push_back(case_id(i));
  for (std::size_t first = 0; first < base.count; first += 50) {
    const std::size_t count = std::min<std::size_t>(50, base.count - first);
    live.add(base.view().rows_from(first, count), std::span(ids).subspan(first, count));
  }
  return live;
}

RetrieverCase index_case(const std::string& name, const std::string& spec, bool own_ids) {
  RetrieverCase c{name, [spec, own_ids](const Rows& base, Metric metric) -> AnyRetriever {
                    std::vector<Id> ids;
                    for (std::size_t i = 0; own_ids && i < base.count; ++i) ids.push_back(case_id(i));
                    IndexOptions options;
                    options.calibrate = false;
                    options.ids = ids;
                    std::vector<float> popularity;
                    for (std::size_t i = 0; spec.starts_with("tiers") && i < base.count; ++i)
                      popularity.push_back(static_cast<float>(i * 7 % 11));
                    options.popularity = popularity;
                    // Documents of one vector each, whose MaxSim is its inner product.
                    std::vector<std::uint64_t> offsets;
                    for (std::size_t i = 0; spec.find("maxsim") != std::string::npos && i <= base.count; ++i)
                      offsets.push_back(i);
                    return Index::build({base.view(), offsets}, spec, metric, options);
                  }};
  c.tolerance = 2e-3;
  c.own_ids = own_ids;
  return c;
}

RetrieverCase projection_case(const std::string& name, ProjectionKind kind, bool graph) {
  RetrieverCase c{
      name, [kind, graph](const Rows& base, Metric metric) -> AnyRetriever {
        const Projection projection =
            Projection::train({.kind = kind, .dim = base.dim}, metric, base.view(), base.view());
        Rows projected{base.count, base.dim, std::vector<float>(base.values.size())};
        projection.project_documents(base.view(), {projected.values.data(), base.count, base.dim});
        const Metric inner = projection.inner_metric();
        if (graph) return QueryMapped(hnsw_of(CodecKind::f32, projected, inner), projection);
        return QueryMapped(Flat(store_of(CodecKind::f32, projected, inner)), projection);
      }};
  c.tolerance = 2e-4;
  return c;
}

}  // namespace

std::vector<RetrieverCase> own_retriever_cases() {
  std::vector<RetrieverCase> cases{
      flat_case(CodecKind::f32, 0.999, 1e-5), flat_case(CodecKind::f16, 0.97, 2e-3),
      flat_case(CodecKind::i8, 0.9, 2e-2),    hnsw_case(CodecKind::f32, 0.95, 1e-5),
      hnsw_case(CodecKind::i8, 0.9, 2e-2),
  };
  RetrieverCase live{"live", [](const Rows& base, Metric metric) -> AnyRetriever {
                       return live_of(CodecKind::f32, base, metric);
                     }};
  live.own_ids = true;
  cases.push_back(std::move(live));
  RetrieverCase reranked{"reranked", [](const Rows& base, Metric metric) -> AnyRetriever {
                           return Reranked(hnsw_of(CodecKind::i8, base, metric),
                                           store_of(CodecKind::f32, base, metric), 3);
                         }};
  cases.push_back(std::move(reranked));
  RetrieverCase over_flat{"reranked_flat", [](const Rows& base, Metric metric) -> AnyRetriever {
                            return Reranked(Flat(store_of(CodecKind::i8, base, metric)),
                                            store_of(CodecKind::f16, base, metric), 2.5);
                          }};
  over_flat.tolerance = 2e-3;
  cases.push_back(std::move(over_flat));
  cases.push_back(index_case("index", "i8 | hnsw(m=12, efc=80) | rerank(f16, 3x)", false));
  cases.push_back(index_case("fused", "f32 | hnsw(m=8, efc=80, layout=fused)", true));
  cases.push_back(index_case("fused_i8", "i8 | hnsw(m=16, efc=80, layout=fused) | rerank(f16, 3x)", false));
  cases.push_back(
      index_case("fused_pca", "pca(8) | i8 | hnsw(m=8, efc=80, layout=fused) | rerank(f16, 10x)", true));
  cases.push_back(index_case("two_bits", "b2 | hnsw(m=12, efc=80) | rerank(f16, 10x)", false));
  cases.push_back(index_case("bits", "b1 | hnsw(m=12, efc=80) | rerank(f16, 20x)", false));
  cases.push_back(index_case("product", "pq(d/2) | hnsw(m=12, efc=80) | rerank(f16, 20x)", true));
  cases.push_back(index_case("rotated_product", "opq(d/2, bits=4) | flat | rerank(f16, 20x)", false));
  cases.push_back(index_case("bits_and_residual", "b1 | hnsw(m=12, efc=80) | rerank(+i8, 20x)", false));
  cases.back().tolerance = 1e-2;
  cases.push_back(index_case("halves_and_residual", "i4 | flat | rerank(+i8, 5x)", true));
  cases.push_back(index_case("tiers", "tiers(f32=0.3, f16) | flat", true));
  cases.push_back(index_case("clusters", "pca(20, clusters=7) | f32 | flat", true));
  cases.push_back(
      index_case("clusters_reranked", "pca(8, clusters=4) | i8 | flat | rerank(f16, 20x)", false));
  cases.push_back(index_case("dedup", "dedup | f32 | hnsw(m=12, efc=80)", true));
  cases.push_back(index_case("index_with_ids", "i8 | hnsw(m=12, efc=80) | rerank(f16, 3x)", true));
  cases.push_back(index_case("flat_index_with_ids", "f16 | flat", true));
  for (const bool own_ids : {false, true}) {
    cases.push_back(index_case(own_ids ? "maxsim_with_ids" : "maxsim", "maxsim(f32)", own_ids));
    cases.back().metrics = {Metric::ip, Metric::cosine};
    cases.push_back(index_case(own_ids ? "scan_with_ids" : "scan",
                               own_ids ? "scan(b2, carve=off) | maxsim(f32, 20x)" : "scan | maxsim(f16)",
                               own_ids));
    cases.back().metrics = {Metric::ip, Metric::cosine};
    cases.push_back(index_case(own_ids ? "head_with_ids" : "head",
                               own_ids ? "head(dim=64) | f16 | hnsw(m=12, efc=80) | maxsim(f16, 20x)"
                                       : "head(dim=64) | i8 | flat | maxsim(f32, 20x)",
                               own_ids));
    cases.back().metrics = {Metric::ip, Metric::cosine};
    cases.push_back(index_case(
        own_ids ? "muvera_with_ids" : "muvera",
        own_ids ? "muvera(reps=30, bits=1, projection=identity) | i8 | hnsw(m=12, efc=80) | maxsim(f16, 20x)"
                : "muvera(reps=60, bits=2, dim=8) | i8 | flat | maxsim(f32, 20x)",
        own_ids));
    cases.back().metrics = {Metric::ip, Metric::cosine};
  }
  // All dimensions, so that distances are what they were.
  cases.push_back(projection_case("pca_flat", ProjectionKind::pca, false));
  cases.push_back(projection_case("query_pca_hnsw", ProjectionKind::query_pca, true));
  cases.push_back(projection_case("truncate_hnsw", ProjectionKind::truncate, true));
  cases.push_back(index_case("pca_index", "pca(8) | f32 | hnsw(m=12, efc=80) | rerank(f16, 10x)", true));
  return cases;
}
