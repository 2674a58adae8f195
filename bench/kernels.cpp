// Every kernel of every instruction set, on records in the cache and in memory, in order and by random ids.
//
//   vicinal_bench --benchmark_filter='dram_ids/bytes/.*/384'
//   vicinal_bench --benchmark_repetitions=5 --benchmark_enable_random_interleaving --benchmark_report_aggregates_only
//
// The column "%roofline" of the dram_ rows says how near a kernel comes to a loop that does nothing but read the same records, in
// the best of several ways; the rows "roofline/..." are that loop's own bandwidth.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <ctime>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "vicinal/bench/encoders.hpp"
#include "vicinal/bench/fde.hpp"
#include "vicinal/bench/maxsim.hpp"
#include "vicinal/bench/pooling.hpp"
#include "vicinal/core/array.hpp"
#include "vicinal/core/prefetch.hpp"
#include "vicinal/core/random.hpp"
#include "vicinal/quant/kernels.hpp"
#include "vicinal/quant/kernels/bit_blocks.hpp"

namespace vicinal::bench {
namespace {

constexpr std::size_t dims[] = {96, 128, 384, 768, 1536};
constexpr std::size_t batch = 32;                             // records a call: about a node's neighbours
constexpr std::size_t memory_bytes = std::size_t{256} << 20;  // far more than any cache
constexpr std::size_t cache_bytes = std::size_t{256} << 10;   // within a core's own cache
constexpr std::size_t id_count = std::size_t{1} << 20;        // a multiple of the batch

enum class Place : std::uint8_t { cache, dram };

// What the kernels read, made once.
struct Data {
  Data() : records(memory_bytes), factors(2 * (memory_bytes / 16)) {
    // Words that are finite, normal numbers as binary16, as bfloat16, in pairs as binary32, and bytes that are codes: none is 0.
    auto* const words = reinterpret_cast<std::uint16_t*>(records.data());
    RandomStream random(1, 1);
    for (std::size_t i = 0; i < memory_bytes / sizeof(std::uint16_t); i += 4) {
      const std::uint64_t bits = random.next();
      for (std::size_t j = 0; j < 4; ++j) {
        const auto word = static_cast<std::uint32_t>(bits >> (16 * j)) & 0xFFFFU;
        words[i + j] = static_cast<std::uint16_t>((word & 0x8FFFU) | 0x3001U);
      }
    }
    for (std::size_t i = 0; i < factors.size(); ++i) factors[i] = static_cast<float>(i % 1000) * 0x1.0p-10F;
  }
  static const Data& instance() {
    static const Data data;
    return data;
  }

  Array<std::byte> records;
  Array<float> factors;
};

// Padded with zeros, as the kernels want it.
struct Query {
  explicit Query(std::size_t dim, int largest)
      : floats((dim + 31) / 32 * 32), bytes((dim + 127) / 128 * 256) {
    RandomStream random(3, 3);
    for (std::size_t j = 0; j < dim; ++j) {
      floats[j] = static_cast<float>(random.next_unit() - 0.5);
      bytes[j] =
          static_cast<std::int8_t>(static_cast<int>(random.next_below(255)) % (2 * largest + 1) - largest);
    }
  }

  Array<float> floats;
  Array<std::int8_t> bytes;
};

std::vector<std::uint32_t> random_ids(std::size_t records) {
  std::vector<std::uint32_t> ids(id_count);
  RandomStream random(2, 2);
  for (auto& id : ids) id = static_cast<std::uint32_t>(random.next_below(records));
  return ids;
}

// Touches every cache line once. Memory delivers whole lines, so this is as good as reading all of it, and so little work that
// the processor has as many lines on their way as it can.
std::uint64_t touch(const std::byte* from, std::size_t bytes) {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < bytes; i += 64) {
    std::uint64_t word = 0;
    std::memcpy(&word, from + i, sizeof(word));
    sum += word;
  }
  return sum;
}

void read_in_order() { benchmark::DoNotOptimize(touch(Data::instance().records.data(), memory_bytes)); }

// Reads the records `ids`, each asked for `ahead` records earlier.
void read_by_id(const std::vector<std::uint32_t>& ids, std::size_t stride, std::size_t ahead) {
  const std::byte* const base = Data::instance().records.data();
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    if (ahead != 0 && i + ahead < ids.size()) prefetch(base + ids[i + ahead] * stride, stride);
    sum += touch(base + ids[i] * stride, stride);
  }
  benchmark::DoNotOptimize(sum);
}

// Processor time, which is what Google Benchmark's rates are of.
double seconds_now() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

template <class Read>
double seconds_of(const Read& read) {
  const double begin = seconds_now();
  read();
  return seconds_now() - begin;
}

// The fastest way found to read records by id, and what it reached.
struct Roofline {
  double bytes_per_second = 0;
  std::size_t ahead = 0;
};

// Best of three passes for each way of reading; measured when first asked for. Stride 0 means in order.
const Roofline& roofline(std::size_t stride) {
  static std::map<std::size_t, Roofline> measured;
  const auto [place, added] = measured.try_emplace(stride);
  Roofline& best = place->second;
  if (!added) return best;
  (void)Data::instance();
  const std::vector<std::uint32_t> ids =
      stride == 0 ? std::vector<std::uint32_t>() : random_ids(memory_bytes / stride);
  for (const std::size_t ahead : {0UL, 1UL, 4UL, 16UL}) {
    for (int pass = 0; pass < 3; ++pass) {
      const double seconds =
          seconds_of([&] { stride == 0 ? read_in_order() : read_by_id(ids, stride, ahead); });
      const double rate = static_cast<double>(stride == 0 ? memory_bytes : ids.size() * stride) / seconds;
      if (rate > best.bytes_per_second) best = {rate, ahead};
    }
  }
  return best;
}

void time_scan(benchmark::State& state) {
  (void)Data::instance();
  for (auto _ : state) read_in_order();
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(memory_bytes));
}
void time_reads_by_id(benchmark::State& state, std::size_t stride) {
  const std::vector<std::uint32_t> ids = random_ids(memory_bytes / stride);
  const std::size_t ahead = roofline(stride).ahead;
  for (auto _ : state) read_by_id(ids, stride, ahead);
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(ids.size() * stride));
}

struct FloatKernel {
  const char* name;
  Kernels::FloatKernel Kernels::*kernel;
  std::size_t value_bytes;
};
constexpr std::array float_kernels = {
    FloatKernel{"dot_f32", &Kernels::dot_f32, 4},   FloatKernel{"l2_f32", &Kernels::l2_f32, 4},
    FloatKernel{"dot_f16", &Kernels::dot_f16, 2},   FloatKernel{"l2_f16", &Kernels::l2_f16, 2},
    FloatKernel{"dot_bf16", &Kernels::dot_bf16, 2}, FloatKernel{"l2_bf16", &Kernels::l2_bf16, 2},
    FloatKernel{"dot_e4m3", &Kernels::dot_e4m3, 1}, FloatKernel{"dot_e3m4", &Kernels::dot_e3m4, 1}};

struct IntegerKernel {
  const char* name;
  Kernels::ByteKernel Kernels::*kernel;
  std::size_t line_elements;
  std::size_t line_bytes;
  std::size_t planes = 0;  // of records in blocks, which sums are looked up for
};
constexpr std::array integer_kernels = {
    IntegerKernel{"bytes", &Kernels::bytes, 64, 64}, IntegerKernel{"nibbles", &Kernels::nibbles, 128, 64},
    IntegerKernel{"bits", &Kernels::bits, 64, 8},    IntegerKernel{"quarters", &Kernels::quarters, 64, 16},
    IntegerKernel{"bit_blocks", nullptr, 64, 8, 1},  IntegerKernel{"quarter_blocks", nullptr, 64, 16, 2}};

const BitBlockKernels& blocks_of(const Kernels& set) {
  return *std::ranges::find(available_bit_block_kernels(), set.name, &BitBlockKernels::name);
}

struct WholeKernel {
  const char* name;
  Kernels::WholeKernel Kernels::*kernel;
};
constexpr std::array whole_kernels = {WholeKernel{"whole_e4m3", &Kernels::whole_e4m3},
                                      WholeKernel{"whole_e3m4", &Kernels::whole_e3m4}};

// One row of the table: one of the three kernels.
struct Row {
  const FloatKernel* kernel;
  const IntegerKernel* integer;
  const WholeKernel* whole;
  std::size_t dim;
  Place place;
  bool by_id;

  [[nodiscard]] std::size_t stride() const {
    if (whole != nullptr) return dim;
    return kernel != nullptr
               ? dim * kernel->value_bytes
               : (dim + integer->line_elements - 1) / integer->line_elements * integer->line_bytes;
  }
  [[nodiscard]] std::size_t records() const {
    return (place == Place::dram ? memory_bytes : cache_bytes) / stride();
  }
  [[nodiscard]] std::string name(const Kernels& set) const {
    return std::string(place == Place::dram ? "dram" : "cache") + (by_id ? "_ids/" : "_scan/") +
           (whole != nullptr    ? whole->name
            : kernel != nullptr ? kernel->name
                                : integer->name) +
           "/" + std::string(set.name) + "/" + std::to_string(dim);
  }
  [[nodiscard]] std::size_t planes() const { return integer != nullptr ? integer->planes : 0; }
  // Of a set's own.
  [[nodiscard]] Array<std::int8_t> tables(const Kernels& set, const Query& query) const {
    if (planes() == 0) return {};
    const std::size_t words = (dim + 63) / 64 * 2;
    Array<std::int8_t> made(words * block_table_bytes);
    blocks_of(set).make_tables(query.bytes.data(), words, made.data());
    return made;
  }
  // Scores `count` records from `first` on, or by ids.
  void run(const Kernels& set, const Query& query, const Array<std::int8_t>& tables, std::size_t first,
           const std::uint32_t* ids, std::size_t count, float* out) const {
    const Data& data = Data::instance();
    const Records where{data.records.data() + first * stride(), stride(), ids};
    if (whole != nullptr) {
      (set.*whole->kernel)(query.bytes.data(), dim, where, nullptr, -2.0F, 1.0F, count, out);
    } else if (kernel != nullptr) {
      (set.*kernel->kernel)(query.floats.data(), dim, where, count, out);
    } else if (planes() != 0) {
      const ByteQuery one{tables.data(), 1000, -2.0F, 1.0F, 1.0F};
      blocks_of(set).scan({&one, 1}, (dim + 63) / 64 * 2, planes(), where.base,
                          data.factors.data() + 2 * first, count, out, count);
    } else {
      (set.*integer->kernel)(query.bytes.data(), dim, where, data.factors.data() + 2 * first, 1000, -2.0F,
                             1.0F, 1.0F, count, out);
    }
  }
};

// Nothing is timed that does not give the scalar kernels' answers.
bool answers_agree(const Row& row, const Kernels& set, const Query& query,
                   const std::vector<std::uint32_t>& ids) {
  const std::size_t count = std::min<std::size_t>(1000, row.records());
  std::vector<float> expected(count);
  std::vector<float> got(count);
  const std::uint32_t* const use = row.by_id ? ids.data() : nullptr;
  const Kernels& scalar = available_kernels().front();
  row.run(scalar, query, row.tables(scalar, query), 0, use, count, expected.data());
  row.run(set, query, row.tables(set, query), 0, use, count, got.data());
  return std::memcmp(expected.data(), got.data(), count * sizeof(float)) == 0;
}

void time_kernel(benchmark::State& state, const Row& row, const Kernels& set) {
  const std::vector<std::uint32_t> ids = row.by_id ? random_ids(row.records()) : std::vector<std::uint32_t>();
  const Query query(row.dim, row.planes() != 0 ? Kernels::largest_bit_value : 127);
  if (!answers_agree(row, set, query, ids)) {
    state.SkipWithError("differs from the scalar kernels");
    return;
  }
  const Array<std::int8_t> tables = row.tables(set, query);
  const double most =
      row.place == Place::dram ? roofline(row.by_id ? row.stride() : 0).bytes_per_second : 0.0;
  const std::size_t end = (row.by_id ? id_count : row.records()) / batch * batch;
  float out[batch];
  std::size_t next = 0;
  const double begin = seconds_now();
  for (auto _ : state) {
    if (row.by_id) {
      row.run(set, query, tables, 0, ids.data() + next, batch, out);
    } else {
      row.run(set, query, tables, next, nullptr, batch, out);
    }
    benchmark::DoNotOptimize(out);
    next += batch;
    if (next == end) next = 0;
  }
  const double seconds = seconds_now() - begin;
  const std::size_t scored = static_cast<std::size_t>(state.iterations()) * batch;
  const std::size_t bytes = scored * (row.stride() + (row.integer != nullptr ? 2 * sizeof(float) : 0));
  state.SetItemsProcessed(static_cast<std::int64_t>(scored));
  state.SetBytesProcessed(static_cast<std::int64_t>(bytes));
  if (row.place == Place::dram) {
    state.counters["%roofline"] = 100.0 * static_cast<double>(bytes) / std::max(seconds, 1e-9) / most;
  }
}

void register_all() {
  std::vector<Row> rows;
  for (const Place place : {Place::cache, Place::dram}) {
    for (const bool by_id : {false, true}) {
      for (const std::size_t dim : dims) {
        for (const FloatKernel& kernel : float_kernels)
          rows.push_back({&kernel, nullptr, nullptr, dim, place, by_id});
        for (const IntegerKernel& kernel : integer_kernels) {
          if (kernel.planes == 0 || !by_id) rows.push_back({nullptr, &kernel, nullptr, dim, place, by_id});
        }
        for (const WholeKernel& kernel : whole_kernels)
          rows.push_back({nullptr, nullptr, &kernel, dim, place, by_id});
      }
    }
  }
  benchmark::RegisterBenchmark("roofline/scan", time_scan)->MinTime(0.5);
  std::set<std::size_t> strides;
  for (const Row& row : rows) strides.insert(row.stride());
  for (const std::size_t stride : strides) {
    benchmark::RegisterBenchmark(("roofline/ids/" + std::to_string(stride) + "_bytes").c_str(),
                                 time_reads_by_id, stride)
        ->MinTime(0.5);
  }
  for (const Row& row : rows) {
    for (const Kernels& set : available_kernels()) {
      benchmark::RegisterBenchmark(row.name(set).c_str(), time_kernel, row, set)->MinTime(0.1);
    }
  }
}

}  // namespace
}  // namespace vicinal::bench

int main(int argc, char** argv) {
  vicinal::bench::register_encoders();
  vicinal::bench::register_fde();
  vicinal::bench::register_maxsim();
  vicinal::bench::register_pooling();
  vicinal::bench::register_all();
  benchmark::AddCustomContext("kernels in use", std::string(vicinal::kernels().name));
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
}
