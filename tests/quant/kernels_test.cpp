// Every kernel of every instruction set against the oracle, bit by bit.
#include "vicinal/quant/kernels.hpp"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "kernel_cases.hpp"

namespace vicinal {
namespace {

constexpr std::size_t record_count = 21;
constexpr float untouched = 12345.0F;

// Records somewhere in memory, everything around and between them filled with bytes that spoil any sum (NaN as a float).
struct Block {
  Block(std::size_t record_bytes, std::size_t gap, std::size_t misalignment)
      : stride(record_bytes + gap), memory(misalignment + record_count * stride + 64, std::byte{0xFF}) {
    base = memory.data() + misalignment;
  }
  [[nodiscard]] std::byte* record(std::size_t i) const { return base + i * stride; }
  [[nodiscard]] Records records(const std::uint32_t* ids) const { return {base, stride, ids}; }

  std::size_t stride;
  std::vector<std::byte> memory;
  std::byte* base;
};

// Fills record i of a block and returns its values.
std::vector<float> fill_record(const Block& block, std::size_t i, std::size_t dim, Stored stored,
                               Values values, RandomStream& random) {
  std::vector<float> drawn(dim);
  for (std::size_t j = 0; j < dim; ++j) {
    const std::uint32_t bits = draw_bits(random, stored, values);
    std::memcpy(block.record(i) + j * size_of(stored), &bits, size_of(stored));  // little-endian
    drawn[j] = stored_value(stored, bits);
  }
  return drawn;
}

std::vector<std::uint32_t> draw_ids(RandomStream& random, std::size_t count) {
  std::vector<std::uint32_t> ids(count);
  for (auto& id : ids) id = static_cast<std::uint32_t>(random.next_below(record_count));
  if (count > 2) ids[count - 1] = ids[0];
  return ids;
}

// Calls run(ids, out) for counts 0 to 20, in order and by ids, and compares with expected[record].
template <class Run>
void expect_results(std::span<const float> expected, RandomStream& random, const Run& run,
                    const std::string& what) {
  for (std::size_t count = 0; count < record_count; ++count) {
    for (const bool by_id : {false, true}) {
      const std::vector<std::uint32_t> ids = draw_ids(random, count);
      std::vector<float> out(count + 20, untouched);
      run(by_id ? ids.data() : nullptr, count, out.data());
      for (std::size_t i = 0; i < count; ++i) {
        const float wanted = expected[by_id ? ids[i] : i];
        ASSERT_PRED2(same_float, out[i], wanted)
            << what << (by_id ? ", ids" : ", in order") << ", result " << i << " of " << count;
      }
      for (std::size_t i = count; i < out.size(); ++i)
        ASSERT_EQ(out[i], untouched) << what << ", beyond count " << count;
    }
  }
}

class KernelSet : public testing::TestWithParam<Kernels> {
 protected:
  static void check_floats(const Kernels& set, const FloatCase& which, std::size_t dim, Values values,
                           std::size_t gap, std::size_t misalignment) {
    const std::string what = std::string(which.name) + ", dim " + std::to_string(dim) + ", gap " +
                             std::to_string(gap) + ", misaligned by " + std::to_string(misalignment);
    RandomStream random(dim, gap);
    const Array<float> query = draw_float_query(random, dim, values);
    const Block block(dim * size_of(which.stored), gap, misalignment);
    std::vector<float> expected;
    for (std::size_t i = 0; i < record_count; ++i) {
      const std::vector<float> record = fill_record(block, i, dim, which.stored, values, random);
      expected.push_back(which.l2 ? expected_l2(query.span(), record) : expected_dot(query.span(), record));
    }
    const auto run = [&](const std::uint32_t* ids, std::size_t count, float* out) {
      (set.*which.kernel)(query.data(), dim, block.records(ids), count, out);
    };
    expect_results(expected, random, run, what);
  }
};

TEST_P(KernelSet, HasANameAndEveryKernel) {
  EXPECT_FALSE(GetParam().name.empty());
  for (const FloatCase& which : float_cases) EXPECT_NE(GetParam().*which.kernel, nullptr) << which.name;
  EXPECT_NE(GetParam().bytes, nullptr);
  EXPECT_NE(GetParam().nibbles, nullptr);
  EXPECT_NE(GetParam().bits, nullptr);
  EXPECT_NE(GetParam().quarters, nullptr);
}

TEST_P(KernelSet, FloatsHaveTheBitsOfTheContract) {
  for (const FloatCase& which : float_cases) {
    for (const std::size_t dim : dimensions()) {
      check_floats(GetParam(), which, dim, Values::ordinary, 0, 0);
      check_floats(GetParam(), which, dim, Values::ordinary, 4 * (dim % 5), 4);
      if (HasFatalFailure()) return;
    }
  }
}

TEST_P(KernelSet, FloatsNeedNoAlignment) {
  for (const FloatCase& which : float_cases) {
    for (const std::size_t dim : {1UL, 31UL, 32UL, 33UL, 96UL, 100UL, 384UL}) {
      for (const std::size_t misalignment : {1UL, 2UL, 3UL, 31UL, 63UL}) {
        check_floats(GetParam(), which, dim, Values::ordinary, misalignment % 7, misalignment);
        if (HasFatalFailure()) return;
      }
    }
  }
}

// Subnormal, huge and zero values: sums under- and overflow, in the same place everywhere.
TEST_P(KernelSet, FloatsAgreeAtTheEndsOfTheRange) {
  for (const FloatCase& which : float_cases) {
    for (const std::size_t dim : dimensions()) {
      check_floats(GetParam(), which, dim, Values::any, 2, 0);
      if (HasFatalFailure()) return;
    }
  }
}

// Widening must be exact for each of the finite codes, and the 2^-24 of a subnormal half must not be flushed to zero.
TEST_P(KernelSet, SixteenBitCodesAreWidenedExactly) {
  Array<float> one(32);
  one[0] = 1.0F;
  for (std::uint32_t code = 0; code <= 0xFFFF; ++code) {
    const auto stored = static_cast<std::uint16_t>(code);
    const Records records{reinterpret_cast<const std::byte*>(&stored), 2, nullptr};
    float out = untouched;
    if ((code & 0x7C00U) != 0x7C00U) {
      GetParam().dot_f16(one.data(), 1, records, 1, &out);
      ASSERT_EQ(out, static_cast<float>(f16_value(stored))) << "binary16 " << code;
    }
    if ((code & 0x7F80U) != 0x7F80U) {
      GetParam().dot_bf16(one.data(), 1, records, 1, &out);
      ASSERT_EQ(out, static_cast<float>(bf16_value(stored))) << "bfloat16 " << code;
    }
  }
}

// Bounds of the error against double, u = 2^-24. A lane has at most ceil(dim / 32) additions, folding five more; a dot product's
// terms are rounded once, a squared difference's three times. So n roundings at most, error <= n u / (1 - n u) x sum of |terms|.
TEST_P(KernelSet, FloatsAreAccurate) {
  for (const FloatCase& which : float_cases) {
    for (const std::size_t dim : dimensions()) {
      RandomStream random(dim, 99);
      const Array<float> query = draw_float_query(random, dim, Values::ordinary);
      const Block block(dim * size_of(which.stored), 0, 0);
      const std::vector<float> record = fill_record(block, 0, dim, which.stored, Values::ordinary, random);
      double exact = 0;
      double magnitude = 0;
      for (std::size_t j = 0; j < dim; ++j) {
        const double q = query[j];
        const double x = record[j];
        const double term = which.l2 ? (q - x) * (q - x) : q * x;
        exact += term;
        magnitude += std::abs(term);
      }
      const double n = static_cast<double>((dim + 31) / 32 + 5 + (which.l2 ? 3 : 1)) * 0x1.0p-24;
      float out = untouched;
      (GetParam().*which.kernel)(query.data(), dim, block.records(nullptr), 1, &out);
      ASSERT_NEAR(static_cast<double>(out), exact, n / (1 - n) * magnitude) << which.name << ", dim " << dim;
    }
  }
}

TEST_P(KernelSet, BytesHaveTheBitsOfTheContract) {
  std::vector<std::size_t> dims = dimensions();
  // Every number of 64-byte lines that has code of its own, and neighbours.
  for (std::size_t lines = 3; lines <= 17; ++lines) dims.push_back(lines * 64);
  for (const std::size_t dim : dims) {
    for (const std::size_t gap : {0UL, 1UL, 64UL}) {
      RandomStream random(dim, gap);
      const Array<std::int8_t> query = draw_byte_query(random, dim);
      const Block block(dim, gap, gap % 64);
      std::vector<float> factors(2 * record_count);
      for (float& factor : factors) factor = static_cast<float>(random.next_unit());
      const auto shift = static_cast<std::int32_t>(random.next_below(1000)) - 500;
      const auto weight = static_cast<float>(random.next_unit() - 0.5);
      const auto constant = static_cast<float>(random.next_unit() * 100);
      std::vector<float> expected;
      for (std::size_t i = 0; i < record_count; ++i) {
        std::vector<std::uint8_t> record(dim);
        for (auto& byte : record) byte = static_cast<std::uint8_t>(1 + random.next_below(255));
        std::memcpy(block.record(i), record.data(), dim);
        expected.push_back(expected_bytes(query.span(), record, factors[2 * i], factors[2 * i + 1], shift,
                                          weight, constant, 1.5F));
      }
      const auto run = [&](const std::uint32_t* ids, std::size_t count, float* out) {
        GetParam().bytes(query.data(), dim, block.records(ids), factors.data(), shift, weight, constant, 1.5F,
                         count, out);
      };
      expect_results(expected, random, run, "dim " + std::to_string(dim) + ", gap " + std::to_string(gap));
      if (HasFatalFailure()) return;
    }
  }
}

TEST_P(KernelSet, NibblesHaveTheBitsOfTheContract) {
  // Every number of bytes up to three lines, and whole lines of which each number has code of its own, and neighbours.
  std::vector<std::size_t> sizes;
  for (std::size_t bytes = 1; bytes <= 192; ++bytes) sizes.push_back(bytes);
  for (std::size_t lines = 4; lines <= 17; ++lines)
    sizes.insert(sizes.end(), {lines * 64 - 8, lines * 64, lines * 64 + 40});
  for (const std::size_t bytes : sizes) {
    for (const std::size_t gap : {0UL, 1UL, 64UL}) {
      RandomStream random(bytes, gap + 100);
      Array<std::int8_t> query((bytes + 63) / 64 * 128);
      const Block block(bytes, gap, gap % 64);
      std::vector<float> factors(2 * record_count);
      for (float& factor : factors) factor = static_cast<float>(random.next_unit());
      std::vector<float> expected;
      for (std::size_t i = 0; i < record_count; ++i) {
        // Twice the halves, where the query has their values; those that belong to no byte are 0.
        std::vector<std::uint8_t> record(query.size());
        for (std::size_t byte = 0; byte < bytes; ++byte) {
          const std::size_t low = byte / 64 * 128 + byte % 64;
          const auto both = static_cast<std::uint8_t>(random.next_below(256));
          if (i == 0) {
            query[low] = static_cast<std::int8_t>(static_cast<int>(random.next_below(256)) - 128);
            query[low + 64] = static_cast<std::int8_t>(static_cast<int>(random.next_below(256)) - 128);
          }
          block.record(i)[byte] = std::byte{both};
          record[low] = static_cast<std::uint8_t>(2 * (both & 15));
          record[low + 64] = static_cast<std::uint8_t>(2 * (both >> 4));
        }
        expected.push_back(expected_bytes(query.span(), record, factors[2 * i], factors[2 * i + 1], 77, 0.25F,
                                          3.0F, -0.75F));
      }
      const auto run = [&](const std::uint32_t* ids, std::size_t count, float* out) {
        GetParam().nibbles(query.data(), 2 * bytes, block.records(ids), factors.data(), 77, 0.25F, 3.0F,
                           -0.75F, count, out);
      };
      expect_results(expected, random, run, std::to_string(bytes) + " bytes, gap " + std::to_string(gap));
      if (HasFatalFailure()) return;
    }
  }
}

TEST_P(KernelSet, PackedCodesHaveTheBitsOfTheContract) {
  std::vector<std::size_t> dims = dimensions();
  for (std::size_t lines = 3; lines <= 17; ++lines) dims.push_back(lines * 64);
  for (const PackedCase& which : packed_cases) {
    for (const std::size_t dim : dims) {
      for (const std::size_t gap : {0UL, 1UL, 64UL}) {
        RandomStream random(dim, gap + 200 + which.line_bytes);
        const Array<std::int8_t> query = draw_byte_query(random, dim);
        const std::size_t bytes = which.bytes(dim);
        const Block block(bytes, gap, gap % 64);
        std::vector<float> factors(2 * record_count);
        for (float& factor : factors) factor = static_cast<float>(random.next_unit());
        std::vector<float> expected;
        for (std::size_t i = 0; i < record_count; ++i) {
          // What lies beyond the last element is multiplied with zeros, so it may be anything.
          std::generate_n(block.record(i), bytes,
                          [&] { return static_cast<std::byte>(random.next_below(256)); });
          expected.push_back(expected_bytes(query.span(), which.doubled(block.record(i), dim), factors[2 * i],
                                            factors[2 * i + 1], 77, 0.25F, 3.0F, -0.75F));
        }
        const auto run = [&](const std::uint32_t* ids, std::size_t count, float* out) {
          (GetParam().*which.kernel)(query.data(), dim, block.records(ids), factors.data(), 77, 0.25F, 3.0F,
                                     -0.75F, count, out);
        };
        expect_results(
            expected, random, run,
            std::string(which.name) + ", dim " + std::to_string(dim) + ", gap " + std::to_string(gap));
        if (HasFatalFailure()) return;
      }
    }
  }
}

// An 8-bit multiply-add that saturates at 16 bits, or a sum that wraps, shows here.
TEST_P(KernelSet, BytesReachTheBoundOfInt32) {
  for (const std::size_t dim : {64UL, 1000UL, max_byte_dim}) {
    for (const int q : {127, -127}) {
      for (const int x : {255, 128, 1}) {
        Array<std::int8_t> query((dim + 63) / 64 * 64);
        for (std::size_t j = 0; j < dim; ++j) query[j] = static_cast<std::int8_t>(q);
        const std::vector<std::byte> record((dim + 63) / 64 * 64, static_cast<std::byte>(x));
        const std::int64_t sum = static_cast<std::int64_t>(dim) * q * x;
        ASSERT_LE(std::abs(sum), std::numeric_limits<std::int32_t>::max());
        for (const std::int32_t shift : {0, static_cast<std::int32_t>(dim) * q * 128}) {
          if (std::abs(sum - shift) > std::numeric_limits<std::int32_t>::max()) continue;
          const std::vector<float> factors = {1.0F, 0.0F};
          float out = untouched;
          GetParam().bytes(query.data(), dim, {record.data(), 0, nullptr}, factors.data(), shift, 1.0F, 0.0F,
                           1.0F, 1, &out);
          EXPECT_EQ(out, static_cast<float>(sum - shift))
              << "dim " << dim << ", " << q << " x " << x << ", shift " << shift;
        }
      }
    }
  }
}

// The same as above with shapes nobody thought of.
RC_GTEST_PROP(KernelSets, AgreeWithTheOracleOnAnyShape, ()) {
  const auto dim = *rc::gen::inRange<std::size_t>(1, 700);
  const auto count = *rc::gen::inRange<std::size_t>(0, record_count);
  const auto gap = *rc::gen::inRange<std::size_t>(0, 130);
  const auto misalignment = *rc::gen::inRange<std::size_t>(0, 64);
  const FloatCase& which = float_cases[*rc::gen::inRange<std::size_t>(0, float_cases.size())];
  const Values values = *rc::gen::element(Values::ordinary, Values::any);
  RandomStream random(*rc::gen::arbitrary<std::uint64_t>(), 0);
  const Array<float> query = draw_float_query(random, dim, values);
  const Block block(dim * size_of(which.stored), gap, misalignment);
  std::vector<float> expected;
  for (std::size_t i = 0; i < record_count; ++i) {
    const std::vector<float> record = fill_record(block, i, dim, which.stored, values, random);
    expected.push_back(which.l2 ? expected_l2(query.span(), record) : expected_dot(query.span(), record));
  }
  const std::vector<std::uint32_t> ids = draw_ids(random, count);
  for (const Kernels& set : available_kernels()) {
    std::vector<float> out(count);
    (set.*which.kernel)(query.data(), dim, block.records(ids.data()), count, out.data());
    for (std::size_t i = 0; i < count; ++i) RC_ASSERT(same_float(out[i], expected[ids[i]]));
  }
}

TEST(Oracle, RoundsTheProductBeforeItAdds) {
  // (1 + 2^-12)^2 - (1 + 2^-11) is 2^-24 in exact arithmetic; the product loses it when it is rounded to 24 bits.
  const std::vector<float> query = {1.0F + 0x1.0p-12F};
  std::vector<float> a(33, 0.0F);
  std::vector<float> b(33, 0.0F);
  a[0] = -(1.0F + 0x1.0p-11F);
  b[0] = 1.0F;
  a[32] = b[32] = query[0];
  EXPECT_EQ(expected_dot(a, b), 0.0F);
}

TEST(AvailableKernels, BeginWithThePlainOnesAndHaveDistinctNames) {
  const auto sets = available_kernels();
  ASSERT_FALSE(sets.empty());
  EXPECT_EQ(sets.front().name, "scalar");
  std::set<std::string_view> names;
  for (const Kernels& set : sets) names.insert(set.name);
  EXPECT_EQ(names.size(), sets.size());
  EXPECT_TRUE(names.contains(kernels().name));
#if defined(__x86_64__)
  // What the CPU has must be used: a set that silently goes missing is not found by comparing those that are left.
  EXPECT_EQ(names.contains("avx2"), __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"));
  EXPECT_EQ(names.contains("avx3_vnni"),
            __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512vl") &&
                __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq"));
#endif
}

INSTANTIATE_TEST_SUITE_P(Sets, KernelSet, every_kernel_set(), name_of_set);

}  // namespace
}  // namespace vicinal
