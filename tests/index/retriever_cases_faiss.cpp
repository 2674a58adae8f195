#include "retriever_cases.hpp"

#ifdef VICINAL_HAS_FAISS

#include <faiss/IndexHNSW.h>
#include <faiss/IndexIDMap.h>
#include <faiss/IndexIVF.h>
#include <faiss/index_factory.h>

#include "vicinal/index/faiss_adapter.hpp"
#include "vicinal/quant/codec.hpp"

using namespace vicinal;

namespace {

std::shared_ptr<faiss::Index> fill(const std::string& description, const Rows& base, Metric metric,
                                   bool own_ids) {
  std::vector<float> rows = base.values;
  if (metric == Metric::cosine) {
    for (std::size_t i = 0; i < base.count; ++i)
      normalise(base[i], std::span(rows).subspan(i * base.dim, base.dim));
  }
  const auto type = metric == Metric::l2 ? faiss::METRIC_L2 : faiss::METRIC_INNER_PRODUCT;
  std::shared_ptr<faiss::Index> index(
      faiss::index_factory(static_cast<int>(base.dim), description.c_str(), type));
  const auto count = static_cast<faiss::Index::idx_t>(base.count);
  index->train(count, rows.data());
  std::vector<faiss::Index::idx_t> ids;
  for (std::size_t i = 0; i < base.count; ++i) ids.push_back(case_id(i));
  if (own_ids) {
    index->add_with_ids(count, rows.data(), ids.data());
  } else {
    index->add(count, rows.data());
  }
  return index;
}

RetrieverCase faiss_case(const std::string& name, const std::string& description, bool own_ids,
                         double least_recall = 0.9) {
  RetrieverCase c{"faiss_" + name, [description, own_ids](const Rows& base, Metric metric) -> AnyRetriever {
                    const std::shared_ptr<faiss::Index> index = fill(description, base, metric, own_ids);
                    if (auto* ivf = dynamic_cast<faiss::IndexIVF*>(index.get())) ivf->nprobe = 6;
                    return FaissRetriever(index, metric);
                  }};
  c.obeys_budget = false;
  c.own_ids = own_ids;
  c.least_recall = least_recall;
  c.tolerance = 1e-4;
  return c;
}

}  // namespace

std::vector<RetrieverCase> faiss_retriever_cases() {
  std::vector<RetrieverCase> cases{
      faiss_case("flat", "Flat", false),
      faiss_case("hnsw", "HNSW16", false),
      faiss_case("hnsw_with_ids", "IDMap,HNSW16", true),
      faiss_case("ivf", "IVF16,Flat", false),
      faiss_case("ivf_with_ids", "IVF16,Flat", true),
      faiss_case("rotated_hnsw", "RR,HNSW16", false),
      faiss_case("ids_over_rotated_ivf", "IDMap,RR,IVF16,Flat", true, 0.2),
      faiss_case("refined", "HNSW16,RFlat", false),
  };
  RetrieverCase& sq = cases.emplace_back(faiss_case("sq8", "SQ8", false, 0.85));
  sq.tolerance = 3e-2;
  return cases;
}

#else

std::vector<RetrieverCase> faiss_retriever_cases() { return {}; }

#endif
