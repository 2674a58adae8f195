// How long it takes to make one vector of the many of a document, or of a query: MUVERA's encodings of documents of 80 tokens and of queries
// of 32, of 128 dimensions, in batches, one thread.
//
//   vicinal_bench --benchmark_filter='^fde/'
#include "vicinal/bench/fde.hpp"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "vicinal/core/random.hpp"
#include "vicinal/encode/fde.hpp"

namespace vicinal::bench {
namespace {

constexpr std::size_t dim = 128;
constexpr std::size_t items = 64;

struct Recipe {
  const char* name;
  FdeOptions options;
};

FdeOptions of(std::size_t reps, std::size_t bits, std::size_t values, FdePartition partition) {
  FdeOptions options;
  options.reps = reps;
  options.bits = bits;
  options.dim = values;
  options.partition = partition;
  return options;
}

FdeOptions of_final(std::size_t reps, std::size_t bits, std::size_t final_dim) {
  FdeOptions options = of(reps, bits, dim, FdePartition::planes);
  options.projection = FdeProjection::identity;
  options.final_dim = final_dim;
  return options;
}

std::vector<float> unit_tokens(std::size_t tokens, std::uint64_t stream) {
  RandomStream random(6, stream);
  std::vector<float> values(tokens * dim);
  for (std::size_t i = 0; i < tokens; ++i) {
    double squares = 0;
    for (std::size_t j = 0; j < dim; ++j) {
      const double value = random.next_unit() + random.next_unit() - 0.9;
      values[i * dim + j] = static_cast<float>(value);
      squares += value * value;
    }
    for (std::size_t j = 0; j < dim; ++j) values[i * dim + j] /= static_cast<float>(std::sqrt(squares));
  }
  return values;
}

void time_encoding(benchmark::State& state, const FdeOptions& options, bool document) {
  const std::size_t tokens = document ? 80 : 32;
  const std::vector<float> values = unit_tokens(items * tokens, tokens);
  std::vector<std::uint64_t> offsets(items + 1);
  for (std::size_t i = 0; i <= items; ++i) offsets[i] = i * tokens;
  const VectorBatch batch{{values.data(), items * tokens, dim}, offsets};
  const FdeEncoder encoder = FdeEncoder::train(options, batch);
  std::vector<float> encodings(items * encoder.out_dim());
  const MatrixView<float> out(encodings.data(), items, encoder.out_dim());
  const auto encode = [&] {
    if (document) {
      encoder.encode_documents(batch, out);
    } else {
      encoder.encode_queries(batch, out);
    }
  };
  encode();
  // One by itself has the same bits.
  std::vector<float> one(encoder.out_dim());
  const MatrixView<const float> last = batch.item(items - 1);
  if (document) {
    encoder.encode_document(last, one);
  } else {
    encoder.encode_query(last, one);
  }
  const auto is_zero = [](float value) { return value == 0; };
  if (!std::ranges::equal(one, out[items - 1]) || std::ranges::all_of(one, is_zero)) {
    state.SkipWithError("an encoding in a batch is not that of the item alone");
    return;
  }
  for (auto _ : state) {
    encode();
    benchmark::DoNotOptimize(encodings.data());
    benchmark::ClobberMemory();
  }
  const auto count = static_cast<double>(state.iterations()) * items;
  state.counters["values"] = static_cast<double>(encoder.out_dim());
  state.counters["an_item"] =
      benchmark::Counter(count, benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

}  // namespace

void register_fde() {
  using enum FdePartition;
  const Recipe recipes[] = {
      {"40x2^3x8/cross", of(40, 3, 8, cross_polytope)},   {"40x2^3x8/planes", of(40, 3, 8, planes)},
      {"40x2^4x16/cross", of(40, 4, 16, cross_polytope)}, {"20x2^5x16/planes", of(20, 5, 16, planes)},
      {"40x2^6/final10240", of_final(40, 6, 10'240)},     {"20x2^5x16/paper", FdeOptions::paper(20, 5, 16)}};
  for (const bool document : {true, false}) {
    for (const Recipe& recipe : recipes) {
      const std::string name = std::string("fde/") + (document ? "document/" : "query/") + recipe.name;
      benchmark::RegisterBenchmark(name.c_str(), time_encoding, recipe.options, document)
          ->MinTime(0.2)
          ->Unit(benchmark::kMicrosecond);
    }
  }
}

}  // namespace vicinal::bench
