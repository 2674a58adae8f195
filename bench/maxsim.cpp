// How long MaxSim takes on documents of 80 tokens of 128 dimensions, one thread: on documents in cache, on documents drawn from more than
// caches hold, and on all of those one after the other.
//
//   vicinal_bench --benchmark_filter='^maxsim/'
#include "vicinal/bench/maxsim.hpp"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

#include "vicinal/core/random.hpp"
#include "vicinal/encode/token_store.hpp"

namespace vicinal::bench {
namespace {

constexpr std::size_t dim = 128;
constexpr std::size_t tokens = 80;
constexpr std::size_t cached_documents = 2;

std::vector<float> unit_vectors(std::size_t count, std::uint64_t stream) {
  RandomStream random(9, stream);
  std::vector<float> values(count * dim);
  for (std::size_t i = 0; i < count; ++i) {
    float* const row = values.data() + i * dim;
    float squares = 0;
    for (std::size_t j = 0; j < dim; ++j) {
      row[j] = static_cast<float>(random.next_unit() * 2 - 0.9);
      squares += row[j] * row[j];
    }
    for (std::size_t j = 0; j < dim; ++j) row[j] /= std::sqrt(squares);
  }
  return values;
}

// The same documents over and over, in memory of their own each.
TokenStore make_store(CodecKind kind, std::size_t documents) {
  constexpr std::size_t different = 100;
  const std::vector<float> values = unit_vectors(different * tokens, 1);
  std::vector<float> rows(documents * tokens * dim);
  for (std::size_t i = 0; i < rows.size(); ++i) rows[i] = values[i % values.size()];
  std::vector<std::uint64_t> offsets(documents + 1);
  for (std::size_t d = 0; d <= documents; ++d) offsets[d] = d * tokens;
  CodecOptions options;
  options.kind = kind;
  return TokenStore::build(options, Metric::ip, {{rows.data(), documents * tokens, dim}, offsets});
}

// The last one asked for is kept: a benchmark is called several times.
const TokenStore& stored(CodecKind kind, std::size_t documents) {
  static TokenStore store;
  if (store.size() != documents || store.codes().codec().kind() != kind) {
    store = {};
    store = make_store(kind, documents);
  }
  return store;
}

// By a plain loop over decoded vectors; codes of queries are rounded too.
bool is_maxsim(const TokenStore& store, MatrixView<const float> query, std::uint32_t document,
               float distance) {
  std::vector<float> decoded(tokens * dim);
  store.decode(document, {decoded.data(), tokens, dim});
  double sum = 0;
  for (std::size_t q = 0; q < query.rows(); ++q) {
    double best = -std::numeric_limits<double>::infinity();
    for (std::size_t t = 0; t < tokens; ++t) {
      double dot = 0;
      for (std::size_t j = 0; j < dim; ++j)
        dot += static_cast<double>(query[q][j]) * static_cast<double>(decoded[t * dim + j]);
      best = std::max(best, dot);
    }
    sum += best;
  }
  const CodecKind kind = store.codes().codec().kind();
  const double tolerance = is_rabitq(kind) ? 0.25 : is_integer(kind) ? 0.02 : 1e-4;
  return std::abs(sum + static_cast<double>(distance)) <= tolerance * static_cast<double>(query.rows());
}

enum class Order { cached, random, scan };

void time_maxsim(benchmark::State& state, CodecKind kind, std::size_t vectors, Order order) {
  // 25,000 documents are 1 GB of f32.
  const std::size_t documents = order == Order::cached ? cached_documents : vectors > 16 ? 25'000 : 100'000;
  const TokenStore& store = stored(kind, documents);
  const std::vector<float> values = unit_vectors(vectors, 2);
  const MatrixView<const float> query(values.data(), vectors, dim);
  MaxSimQuery prepared;
  store.prepare_query(query, prepared);
  std::vector<std::uint32_t> numbers(order == Order::cached ? cached_documents : 2048);
  std::iota(numbers.begin(), numbers.end(), 0U);
  RandomStream random(4, 4);
  std::vector<float> distances(order == Order::scan ? documents : numbers.size());
  store.score(prepared, numbers, distances.data());
  for (std::size_t i = 0; i < std::min<std::size_t>(numbers.size(), 100); ++i) {
    if (is_maxsim(store, query, numbers[i], distances[i])) continue;
    state.SkipWithError("a distance is not that of the plain loop");
    return;
  }
  std::size_t scored = 0;
  for (auto _ : state) {
    if (order == Order::random) {
      state.PauseTiming();
      for (std::uint32_t& number : numbers) number = static_cast<std::uint32_t>(random.next_below(documents));
      std::ranges::sort(numbers);
      state.ResumeTiming();
    }
    if (order == Order::scan) {
      store.score_range(prepared, 0, documents, distances.data());
    } else {
      store.score(prepared, numbers, distances.data());
    }
    benchmark::DoNotOptimize(distances.data());
    benchmark::ClobberMemory();
    scored += distances.size();
  }
  const auto count = static_cast<double>(scored);
  state.counters["documents/s"] = benchmark::Counter(count, benchmark::Counter::kIsRate);
  state.counters["a_document"] =
      benchmark::Counter(count, benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

}  // namespace

void register_maxsim() {
  const auto add = [](CodecKind kind, std::size_t vectors, Order order, const char* name) {
    const std::string all =
        "maxsim/" + std::string(to_string(kind)) + "/" + std::to_string(vectors) + "/" + name;
    benchmark::RegisterBenchmark(all.c_str(), time_maxsim, kind, vectors, order)
        ->MinTime(0.2)
        ->Unit(benchmark::kMicrosecond);
  };
  for (const CodecKind kind : {CodecKind::f32, CodecKind::f16, CodecKind::i8, CodecKind::i4, CodecKind::b1}) {
    add(kind, 32, Order::cached, "cached");
    add(kind, 32, Order::random, "random");
  }
  for (const Order order : {Order::cached, Order::random, Order::scan})
    add(CodecKind::i4, 6, order,
        order == Order::cached   ? "cached"
        : order == Order::random ? "random"
                                 : "scan");
}

}  // namespace vicinal::bench
