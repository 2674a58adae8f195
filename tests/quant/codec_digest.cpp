// Prints the name of the kernels in use, and a hash of everything that every codec makes of fixed vectors: the test runs it under
// each value of VICINAL_SIMD, since the library chooses its kernels once in a process.
#include <xxhash.h>

#include <cstdio>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "vicinal/quant/projection.hpp"
#include "vicinal/quant/row_clusters.hpp"
#include "vicinal/quant/two_level_store.hpp"
#include "codec_cases.hpp"
#include "sample_vectors.hpp"

namespace vicinal {
namespace {

template <class T>
unsigned long long hash_of(std::span<const T> values) {
  return XXH3_64bits(values.data(), values.size_bytes());
}

void print_digest(const CodecCase& which, std::size_t dim) {
  const std::size_t documents = is_product(which.options.kind) ? 300 : 67;  // more than there are centroids
  const SampleVectors vectors = clustered_vectors(documents + 10, dim, 1);
  const MatrixView<const float> base = vectors.view().rows_from(0, documents);
  const Codec codec = Codec::train(which.options, which.metric, base);
  const CodeStore store = CodeStore::build(codec, base, {});
  const CodeStore blocks = store.in_blocks();
  std::vector<float> build_factors;
  std::vector<float> decoded(documents * dim);
  for (std::size_t slot = 0; slot < documents; ++slot) {
    store.decode(slot, {decoded.data() + slot * dim, dim});
    const float scale = codec.has_factors() ? store.factors()[2 * slot] : 0.0F;
    build_factors.insert(
        build_factors.end(),
        {scale, codec.has_factors() ? codec.residual_norm(store.record(slot), scale) : 0.0F});
  }
  std::vector<std::uint32_t> ids;
  for (std::size_t i = 0; i < documents; ++i) ids.push_back(static_cast<std::uint32_t>(i * 31 % documents));

  std::vector<float> scores;
  std::vector<float> found(documents);
  PreparedQuery prepared;
  for (std::size_t q = 0; q < 10; ++q) {
    codec.prepare_query(vectors[documents + q], prepared);
    codec.prepare_scan(prepared);
    store.score(prepared, ids.data(), documents - q, found.data());
    scores.insert(scores.end(), found.begin(), found.end() - static_cast<std::ptrdiff_t>(q));
    blocks.score_range({&prepared, 1}, 0, documents, found.data(), documents);
    scores.insert(scores.end(), found.begin(), found.end());
    codec.prepare_record(store.record(q), build_factors.data() + 2 * q, prepared);
    codec.score(prepared, store.records(), build_factors.data(), ids.data(), documents, found.data());
    scores.insert(scores.end(), found.begin(), found.end());
  }
  const std::size_t factors = codec.factor_count() * documents;
  std::printf("%s dim %zu: codec %016llx, codes %016llx, factors %016llx, decoded %016llx, scores %016llx\n",
              which.name().c_str(), dim, static_cast<unsigned long long>(codec.fingerprint()),
              hash_of(std::span(store.records(), documents * codec.stride())),
              hash_of(std::span(store.factors(), factors)), hash_of(std::span<const float>(decoded)),
              hash_of(std::span<const float>(scores)));
}

// Second levels, and distances to the sums.
void print_levels(const CodecCase& first, CodecKind second, std::size_t dim) {
  constexpr std::uint32_t documents = 67;
  const SampleVectors vectors = clustered_vectors(documents + 10, dim, 1);
  const MatrixView<const float> base = vectors.view().rows_from(0, documents);
  const TwoLevelStore store = TwoLevelStore::build(
      CodeStore::build(Codec::train(first.options, first.metric, base), base, {}), second, base, {});
  std::vector<std::uint32_t> slots;
  for (std::uint32_t i = 0; i < documents; ++i) slots.push_back(i * 31 % documents);
  std::vector<float> scores;
  std::vector<float> found(documents);
  TwoLevelQuery prepared;
  for (std::size_t q = 0; q < 10; ++q) {
    store.prepare_query(vectors[documents + q], prepared);
    store.score(prepared, slots.data(), documents, found.data());
    scores.insert(scores.end(), found.begin(), found.end());
  }
  std::printf("%s + %s dim %zu: codes %016llx, factors %016llx, scores %016llx\n", first.name().c_str(),
              std::string(to_string(second)).c_str(), dim,
              hash_of(std::span(store.second().records(), documents * store.second().codec().stride())),
              hash_of(std::span(store.second().factors(), 2 * documents)),
              hash_of(std::span<const float>(scores)));
}

void print_all_levels() {
  for (const Metric metric : {Metric::l2, Metric::ip, Metric::cosine}) {
    for (const CodecKind first : {CodecKind::i8, CodecKind::i4, CodecKind::b2, CodecKind::b1}) {
      for (const std::size_t dim : {1UL, 33UL, 100UL, 384UL}) {
        for (const CodecKind second : {CodecKind::i8, CodecKind::i4})
          print_levels({{first, true, true, 7}, metric}, second, dim);
      }
    }
  }
}

// Matrices, spectra and mapped vectors.
void print_projection(const ProjectionOptions& options, Metric metric, std::size_t dim) {
  constexpr std::size_t documents = 150;
  const SampleVectors vectors = clustered_vectors(documents + 40, dim, 2);
  const Projection projection = Projection::train(options, metric, vectors.view().rows_from(0, documents),
                                                  vectors.view().rows_from(documents, 40));
  std::vector<float> mapped;
  std::vector<float> one(projection.out_dim());
  std::vector<float> back(dim);
  for (std::size_t row = 0; row < vectors.size(); ++row) {
    mapped.push_back(projection.project_query(vectors[row], one));
    mapped.insert(mapped.end(), one.begin(), one.end());
    projection.project_document(vectors[row], one);
    mapped.insert(mapped.end(), one.begin(), one.end());
    projection.reconstruct(one, back);
    mapped.insert(mapped.end(), back.begin(), back.end());
  }
  std::printf("%s %s dim %zu: spectrum %016llx, mapped %016llx\n",
              std::string(to_string(options.kind)).c_str(), std::string(to_string(metric)).c_str(), dim,
              hash_of(projection.spectrum()), hash_of(std::span<const float>(mapped)));
}

void print_clusters(std::size_t count, std::size_t dim) {
  const SampleVectors vectors = clustered_vectors(1500, dim, 4);
  const std::vector<std::uint32_t> ids = cluster_rows(vectors.view(), dim % 2 == 0, count, 1);
  std::printf("%zu clusters dim %zu: %016llx\n", count, dim, hash_of(std::span(ids)));
}

void print_projections() {
  for (const std::size_t count : {2UL, 16UL, 40UL, 200UL}) {
    for (const std::size_t dim : {5UL, 100UL}) print_clusters(count, dim);
  }
  for (const Metric metric : {Metric::l2, Metric::ip, Metric::cosine}) {
    for (const std::size_t dim : {1UL, 5UL, 33UL, 200UL}) {
      for (const ProjectionKind kind :
           {ProjectionKind::truncate, ProjectionKind::pca, ProjectionKind::query_pca})
        print_projection({kind, (dim + 1) / 2}, metric, dim);
      print_projection({ProjectionKind::pca, (dim + 1) / 2, true}, metric, dim);
    }
  }
}

}  // namespace
}  // namespace vicinal

// Without an argument codecs, with one projections or levels.
int main(int argc, char** argv) {
  std::printf("%s\n", std::string(vicinal::kernels().name).c_str());
  if (argc > 1) {
    if (std::string_view(argv[1]) == "levels") {
      vicinal::print_all_levels();
    } else {
      vicinal::print_projections();
    }
    return 0;
  }
  std::vector<vicinal::CodecCase> cases = vicinal::codec_cases();
  for (const vicinal::Metric metric : {vicinal::Metric::l2, vicinal::Metric::ip, vicinal::Metric::cosine})
    cases.push_back({{vicinal::CodecKind::b1, true, true, 7}, metric});
  for (const vicinal::Metric metric : {vicinal::Metric::l2, vicinal::Metric::ip, vicinal::Metric::cosine})
    cases.push_back({{vicinal::CodecKind::b2, true, true, 7}, metric});
  for (const vicinal::CodecCase& which : cases) {
    for (const std::size_t dim : {1UL, 5UL, 33UL, 64UL, 100UL, 384UL, 784UL})
      vicinal::print_digest(which, dim);
  }
  for (const vicinal::CodecCase& which : vicinal::product_cases()) {
    for (const std::size_t dim : {1UL, 5UL, 33UL, 100UL}) vicinal::print_digest(which, dim);
  }
}
