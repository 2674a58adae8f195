// How long it takes to pool the tokens of a document, and to carve a query, one thread.
//
//   vicinal_bench --benchmark_filter='^(pool|pool_clusters|carve)/'
#include "vicinal/bench/pooling.hpp"

#include <benchmark/benchmark.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "vicinal/core/random.hpp"
#include "vicinal/encode/query_carving.hpp"
#include "vicinal/encode/token_clusters.hpp"
#include "vicinal/encode/token_pooling.hpp"

namespace vicinal::bench {
namespace {

constexpr std::size_t dim = 128;

// Unit vectors around a direction for every four, with cosines of about 0.7 to it, as neighbouring tokens have.
std::vector<float> unit_tokens(std::size_t tokens) {
  RandomStream random(5, tokens);
  const auto draw = [&] { return random.next_unit() + random.next_unit() + random.next_unit() - 1.5; };
  std::vector<double> directions((tokens / 4 + 1) * dim);
  for (double& value : directions) value = draw();
  std::vector<float> values(tokens * dim);
  for (std::size_t i = 0; i < tokens; ++i) {
    const double* const direction = directions.data() + random.next_below(tokens / 4 + 1) * dim;
    std::vector<double> token(dim);
    double squares = 0;
    for (std::size_t j = 0; j < dim; ++j) {
      token[j] = direction[j] + draw();
      squares += token[j] * token[j];
    }
    for (std::size_t j = 0; j < dim; ++j)
      values[i * dim + j] = static_cast<float>(token[j] / std::sqrt(squares));
  }
  return values;
}

void time_pooling(benchmark::State& state, PoolingMethod method, std::size_t tokens, double factor) {
  const std::vector<float> values = unit_tokens(tokens);
  const MatrixView<const float> document(values.data(), tokens, dim);
  const PoolingOptions options{.method = method, .factor = factor};
  std::vector<float> pooled(pooled_count(tokens, options) * dim);
  const MatrixView<float> out(pooled.data(), pooled.size() / dim, dim);
  pool_tokens(document, options, out);
  for (std::size_t i = 0; i < out.rows(); ++i) {
    double squares = 0;
    for (const float value : out[i]) squares += static_cast<double>(value) * static_cast<double>(value);
    if (std::abs(squares - 1) < 1e-5) continue;
    state.SkipWithError("a pooled token is not of unit length");
    return;
  }
  for (auto _ : state) {
    pool_tokens(document, options, out);
    benchmark::ClobberMemory();
  }
}

void time_clusters(benchmark::State& state, const PoolingKernels& kernels, std::size_t tokens) {
  const std::vector<float> values = unit_tokens(tokens);
  const ClusterTask task{{values.data(), tokens, dim}, {}, tokens / 2};
  ClusterScratch scratch;
  std::vector<std::uint32_t> plain(tokens);
  std::vector<std::uint32_t> clusters(tokens);
  ward_clusters(available_pooling_kernels().front(), task, plain.data(), scratch);
  ward_clusters(kernels, task, clusters.data(), scratch);
  if (clusters != plain) {
    state.SkipWithError("the clusters are not those of the plain loops");
    return;
  }
  for (auto _ : state) {
    ward_clusters(kernels, task, clusters.data(), scratch);
    benchmark::ClobberMemory();
  }
}

void time_carving(benchmark::State& state, std::size_t tokens, float tau) {
  const std::vector<float> values = unit_tokens(tokens);
  const MatrixView<const float> query(values.data(), tokens, dim);
  std::vector<float> carved(values.size());
  std::vector<std::uint32_t> sizes(tokens);
  const std::size_t rows = carve_query(query, tau, {carved.data(), tokens, dim}, sizes);
  std::size_t carved_tokens = 0;
  for (std::size_t i = 0; i < rows; ++i) carved_tokens += sizes[i];
  if (carved_tokens != tokens) {
    state.SkipWithError("tokens were lost");
    return;
  }
  for (auto _ : state) {
    carve_query(query, tau, {carved.data(), tokens, dim});
    benchmark::ClobberMemory();
  }
  state.counters["rows"] = static_cast<double>(rows);
}

}  // namespace

void register_pooling() {
  for (const std::size_t tokens : {32UL, 113UL, 300UL, 1000UL, max_pooled_run}) {
    const std::string size = std::to_string(tokens);
    for (const int factor : {2, 4}) {
      const std::string end = "/" + size + "/" + std::to_string(factor);
      benchmark::RegisterBenchmark(("pool/ward" + end).c_str(), time_pooling, PoolingMethod::ward, tokens,
                                   factor)
          ->MinTime(0.1)
          ->Unit(benchmark::kMicrosecond);
      if (tokens > 1000) continue;
      benchmark::RegisterBenchmark(("pool/kmeans" + end).c_str(), time_pooling, PoolingMethod::kmeans, tokens,
                                   factor)
          ->MinTime(0.1)
          ->Unit(benchmark::kMicrosecond);
    }
    if (tokens > 1000) continue;
    for (const PoolingKernels& kernels : available_pooling_kernels()) {
      const std::string name = "pool_clusters/" + std::string(kernels.name) + "/" + size;
      benchmark::RegisterBenchmark(name.c_str(), time_clusters, kernels, tokens)
          ->MinTime(0.1)
          ->Unit(benchmark::kMicrosecond);
    }
  }
  for (const float tau : {0.5F, 0.7F, 0.9F}) {
    const std::string name = "carve/32/" + std::to_string(tau).substr(0, 3);
    benchmark::RegisterBenchmark(name.c_str(), time_carving, 32, tau)
        ->MinTime(0.1)
        ->Unit(benchmark::kMicrosecond);
  }
}

}  // namespace vicinal::bench
