// How fast vectors become codes, one thread: bytes a second of input (f32), for every codec, and of the rotation alone.
//
//   vicinal_bench --benchmark_filter='^(encode|rotate)/'
#include "vicinal/bench/encoders.hpp"

#include <benchmark/benchmark.h>

#include <cmath>
#include <cstddef>
#include <string>
#include <vector>

#include "vicinal/core/random.hpp"
#include "vicinal/quant/codec.hpp"
#include "vicinal/quant/kernels/encode.hpp"
#include "vicinal/quant/rotation.hpp"

namespace vicinal::bench {
namespace {

constexpr std::size_t documents = 200;  // within a core's own cache

std::vector<float> random_vectors(std::size_t dim) {
  std::vector<float> values(documents * dim);
  RandomStream random(9, dim);
  for (float& value : values) {
    value = static_cast<float>(random.next_unit() + random.next_unit() + random.next_unit() - 1.5) * 0.05F;
  }
  return values;
}

// The part of a vector's length that a codec may be off by.
double allowed_error(CodecKind kind) {
  switch (kind) {
    case CodecKind::f32: return 0;
    case CodecKind::f16: return 0x1.0p-11;
    case CodecKind::bf16: return 0x1.0p-8;
    case CodecKind::e3m4: return 0x1.0p-5;
    case CodecKind::e4m3: return 0x1.0p-4;
    case CodecKind::e5m2: return 0x1.0p-3;
    case CodecKind::i8: return 0.02;
    case CodecKind::i4: return 0.2;
    case CodecKind::b2: return 0.6;
    default: return 0.8;
  }
}

bool decodes_to(const Codec& codec, std::span<const float> vector, const std::byte* record,
                const float* factors) {
  std::vector<float> decoded(vector.size());
  codec.decode(record, factors, decoded);
  double error = 0;
  double norm = 0;
  for (std::size_t j = 0; j < vector.size(); ++j) {
    const double difference = static_cast<double>(decoded[j]) - static_cast<double>(vector[j]);
    error += difference * difference;
    norm += static_cast<double>(vector[j]) * static_cast<double>(vector[j]);
  }
  return error <= norm * allowed_error(codec.kind()) * allowed_error(codec.kind());
}

void time_encode(benchmark::State& state, CodecOptions options, Metric metric, std::size_t dim) {
  const std::vector<float> values = random_vectors(dim);
  const MatrixView<const float> rows(values.data(), documents, dim);
  const Codec codec = Codec::train(options, metric, rows);
  std::vector<std::byte> record(codec.stride());
  std::vector<float> scratch(dim);
  float factors[2] = {};
  for (std::size_t row = 0; row < documents; ++row) {
    codec.encode(rows[row], record.data(), factors, scratch);
    if (metric != Metric::cosine && !decodes_to(codec, rows[row], record.data(), factors)) {
      state.SkipWithError("a record does not decode to its vector");
      return;
    }
  }
  std::size_t row = 0;
  for (auto _ : state) {
    codec.encode(rows[row], record.data(), factors, scratch);
    benchmark::DoNotOptimize(record.data());
    benchmark::ClobberMemory();
    row = row + 1 == documents ? 0 : row + 1;
  }
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(dim * sizeof(float)));
}

void time_rotation(benchmark::State& state, std::size_t dim) {
  std::vector<float> values = random_vectors(dim);
  const Rotation rotation(dim, 1);
  std::vector<float> vector(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(dim));
  rotation.apply(vector);
  rotation.apply_inverse(vector);
  for (std::size_t j = 0; j < dim; ++j) {
    if (std::abs(vector[j] - values[j]) < 1e-6F) continue;
    state.SkipWithError("the inverse does not undo the rotation");
    return;
  }
  for (auto _ : state) {
    rotation.apply(vector);
    benchmark::DoNotOptimize(vector.data());
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(dim * sizeof(float)));
}

}  // namespace

void register_encoders() {
  constexpr CodecKind kinds[] = {CodecKind::f32,  CodecKind::f16,  CodecKind::bf16, CodecKind::e4m3,
                                 CodecKind::e5m2, CodecKind::e3m4, CodecKind::i8,   CodecKind::i4,
                                 CodecKind::b2,   CodecKind::b1};
  for (const std::size_t dim : {384UL, 768UL}) {
    for (const Metric metric : {Metric::ip, Metric::l2, Metric::cosine}) {
      for (const CodecKind kind : kinds) {
        for (const bool rotate : {true, false}) {
          if (!rotate && kind != CodecKind::i8 && kind != CodecKind::i4) continue;
          const CodecOptions options{.kind = kind, .rotate = rotate};
          const std::string name = "encode/" + std::string(to_string(kind)) + (rotate ? "" : "_unrotated") +
                                   "/" + std::string(to_string(metric)) + "/" + std::to_string(dim);
          benchmark::RegisterBenchmark(name.c_str(), time_encode, options, metric, dim)->MinTime(0.05);
        }
      }
    }
    benchmark::RegisterBenchmark(("rotate/" + std::to_string(dim)).c_str(), time_rotation, dim)
        ->MinTime(0.05);
  }
}

}  // namespace vicinal::bench
