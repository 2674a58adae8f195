// Inner products with float8 codes as whole numbers: every kernel of every instruction set against plain integers.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "vicinal/quant/float8.hpp"
#include "guarded_memory.hpp"
#include "kernel_cases.hpp"
#include "kernel_oracle.hpp"

namespace vicinal {
namespace {

// Written from the definition, by the value of a code.
std::int64_t whole_number(int code, bool e4m3) {
  const double units = f8_value(code & 127, e4m3 ? 3 : 4, e4m3 ? 7 : 3) * 64;
  const auto whole = static_cast<std::int64_t>(e4m3 && (code & 127) < 8 ? 0.0 : std::floor(units));
  return code < 128 ? whole : -whole;
}

struct WholeCase {
  const char* name;
  Kernels::WholeKernel Kernels::*kernel;
  bool e4m3;
  [[nodiscard]] std::uint64_t codes() const { return e4m3 ? 0x7F : 0x70; }  // finite ones of each sign
};
const WholeCase whole_cases[] = {{"e4m3", &Kernels::whole_e4m3, true}, {"e3m4", &Kernels::whole_e3m4, false}};

struct WholeQuery {
  WholeQuery(RandomStream& random, std::size_t dim) : part((dim + 63) / 64 * 64), bytes(2 * part) {
    for (std::size_t j = 0; j < dim; ++j) {
      bytes[j] = static_cast<std::int8_t>(static_cast<int>(random.next_below(255)) - 127);
      bytes[part + j] = static_cast<std::int8_t>(static_cast<int>(random.next_below(255)) - 127);
    }
  }
  [[nodiscard]] std::int64_t value(std::size_t j) const {
    return std::int64_t{256} * bytes[j] + bytes[part + j];
  }

  std::size_t part;
  Array<std::int8_t> bytes;
};

float expected_whole(const WholeQuery& query, const std::byte* record, std::size_t dim, bool e4m3,
                     const float* factor, float weight, float constant) {
  std::int64_t dot = 0;
  for (std::size_t j = 0; j < dim; ++j)
    dot += query.value(j) * whole_number(std::to_integer<int>(record[j]), e4m3);
  const float product = (factor == nullptr ? weight : weight * *factor) * static_cast<float>(dot);
  return constant + product;
}

std::vector<std::byte> draw_records(RandomStream& random, std::size_t bytes, const WholeCase& which) {
  std::vector<std::byte> records(bytes);
  for (std::byte& code : records)
    code = static_cast<std::byte>(random.next_below(which.codes()) | (random.next() & 0x80U));
  return records;
}

TEST(WholeNumbers, AreTheCodesValuesInUnits) {
  for (int code = 0; code < 0x7F; ++code)
    EXPECT_EQ(f8_whole<Float8Format::e4m3>(static_cast<std::uint8_t>(code)), whole_number(code, true))
        << code;
  for (int code = 0; code < 0x70; ++code)
    EXPECT_EQ(f8_whole<Float8Format::e3m4>(static_cast<std::uint8_t>(code)), whole_number(code, false))
        << code;
}

class WholeKernelSet : public testing::TestWithParam<Kernels> {};

TEST_P(WholeKernelSet, SeesEveryCode) {
  for (const WholeCase& which : whole_cases) {
    Array<std::int8_t> query(128);
    query[0] = 1;
    for (int code = 0; code < 256; ++code) {
      if (static_cast<std::uint64_t>(code & 127) >= which.codes()) continue;
      const auto stored = static_cast<std::byte>(code);
      float out = 0;
      (GetParam().*which.kernel)(query.data(), 1, {&stored, 1, nullptr}, nullptr, 1.0F, 0.0F, 1, &out);
      ASSERT_EQ(out, static_cast<float>(256 * whole_number(code, which.e4m3))) << which.name << " " << code;
    }
  }
}

// Every dimension's tail, every count's last group, by ids and in order, with and without factors; records end where memory does.
TEST_P(WholeKernelSet, HasTheBitsOfTheContract) {
  constexpr std::size_t most_records = 9;
  for (const WholeCase& which : whole_cases) {
    for (const std::size_t dim : dimensions()) {
      RandomStream random(dim, 1);
      const std::size_t stride = dim + dim % 3;
      const WholeQuery query(random, dim);
      const std::vector<std::byte> drawn = draw_records(random, most_records * stride, which);
      for (std::size_t count = 0; count <= most_records; ++count) {
        GuardedMemory memory(most_records * stride + 1);
        const std::size_t used = count == 0 ? 0 : (count - 1) * stride + dim;
        std::byte* const base = memory.last(used);
        std::copy(drawn.begin(), drawn.begin() + static_cast<std::ptrdiff_t>(used), base);
        std::vector<float> factors(count);
        for (float& factor : factors) factor = static_cast<float>(random.next_unit());
        std::vector<std::uint32_t> ids(count);
        for (auto& id : ids) id = static_cast<std::uint32_t>(random.next_below(count));
        for (const bool by_id : {false, true}) {
          for (const bool with_factors : {false, true}) {
            std::vector<float> out(count + 5, 7.0F);
            (GetParam().*which.kernel)(query.bytes.data(), dim, {base, stride, by_id ? ids.data() : nullptr},
                                       with_factors ? factors.data() : nullptr, -0.3F, 2.0F, count,
                                       out.data());
            for (std::size_t i = 0; i < count; ++i) {
              const std::size_t record = by_id ? ids[i] : i;
              ASSERT_EQ(out[i], expected_whole(query, base + record * stride, dim, which.e4m3,
                                               with_factors ? &factors[record] : nullptr, -0.3F, 2.0F))
                  << which.name << ", dim " << dim << ", result " << i << " of " << count;
            }
            for (std::size_t i = count; i < out.size(); ++i) ASSERT_EQ(out[i], 7.0F) << dim;
          }
        }
      }
    }
  }
}

// The largest products of one sign: a sum of 32 bits that wraps shows here.
TEST_P(WholeKernelSet, HoldsTheLargestSums) {
  for (const WholeCase& which : whole_cases) {
    for (const std::size_t dim : {64UL, 511UL, 513UL, 4000UL, max_whole_dim}) {
      for (const int value : {127, -127}) {
        for (const int sign : {0, 0x80}) {
          WholeQuery query = [&] {
            RandomStream random(1, 1);
            return WholeQuery(random, dim);
          }();
          for (std::size_t j = 0; j < dim; ++j) {
            query.bytes[j] = static_cast<std::int8_t>(value);
            query.bytes[query.part + j] = static_cast<std::int8_t>(value);
          }
          // The largest whole number, and the one whose low byte is the largest.
          for (const int code : {which.e4m3 ? 0x7E : 0x6F, which.e4m3 ? 0x57 : 0x4F}) {
            const std::vector<std::byte> record(dim, static_cast<std::byte>(code | sign));
            float out = 0;
            (GetParam().*which.kernel)(query.bytes.data(), dim, {record.data(), dim, nullptr}, nullptr, 1.0F,
                                       0.0F, 1, &out);
            ASSERT_EQ(out, expected_whole(query, record.data(), dim, which.e4m3, nullptr, 1.0F, 0.0F))
                << which.name << ", dim " << dim;
          }
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Sets, WholeKernelSet, every_kernel_set(), name_of_set);

}  // namespace
}  // namespace vicinal
