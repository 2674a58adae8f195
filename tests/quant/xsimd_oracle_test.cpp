// A second opinion on the kernels, from a SIMD library that the kernels do not use.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <iterator>
#include <numeric>
#include <vector>
#include <xsimd/xsimd.hpp>

#include "kernel_cases.hpp"

namespace vicinal {
namespace {

using Floats = xsimd::batch<float>;
using Integers = xsimd::batch<std::int32_t>;

struct Opinion {
  float value;
  float magnitude;  // of the terms, summed
};

// xsimd has changed its own name for this between versions.
template <class T>
T sum_of(const xsimd::batch<T>& batch) {
  T lanes[xsimd::batch<T>::size];
  batch.store_unaligned(lanes);
  return std::accumulate(std::begin(lanes), std::end(lanes), T{0});
}

Opinion of_floats(const float* query, const float* record, std::size_t dim, bool l2) {
  Floats sum(0.0F);
  Floats magnitudes(0.0F);
  std::size_t i = 0;
  for (; i + Floats::size <= dim; i += Floats::size) {
    const Floats q = Floats::load_unaligned(query + i);
    const Floats x = Floats::load_unaligned(record + i);
    const Floats term = l2 ? (q - x) * (q - x) : q * x;
    sum = sum + term;
    magnitudes = magnitudes + xsimd::abs(term);
  }
  Opinion opinion{sum_of(sum), sum_of(magnitudes)};
  for (; i < dim; ++i) {
    const float term = l2 ? (query[i] - record[i]) * (query[i] - record[i]) : query[i] * record[i];
    opinion.value += term;
    opinion.magnitude += std::abs(term);
  }
  return opinion;
}

std::int32_t of_bytes(const std::int8_t* query, const std::uint8_t* record, std::size_t padded) {
  Integers sum(0);
  for (std::size_t i = 0; i < padded; i += Integers::size) {
    std::int32_t q[Integers::size];
    std::int32_t x[Integers::size];
    for (std::size_t j = 0; j < Integers::size; ++j) {
      q[j] = query[i + j];
      x[j] = record[i + j];
    }
    sum = sum + Integers::load_unaligned(q) * Integers::load_unaligned(x);
  }
  return sum_of(sum);
}

class KernelsAndXsimd : public testing::TestWithParam<Kernels> {};

// Two sums of at most dim + 8 roundings each, in different orders: they differ by at most twice (dim + 8) 2^-24 of the terms'
// magnitudes (themselves rounded, which the factor 2 leaves room for).
TEST_P(KernelsAndXsimd, AgreeOnFloats) {
  for (const FloatCase& which : float_cases) {
    for (const std::size_t dim : dimensions()) {
      RandomStream random(dim, 3);
      const Array<float> query = draw_float_query(random, dim, Values::ordinary);
      std::vector<float> values(dim);
      std::vector<std::byte> record(dim * size_of(which.stored));
      for (std::size_t j = 0; j < dim; ++j) {
        const std::uint32_t bits = draw_bits(random, which.stored, Values::ordinary);
        std::memcpy(record.data() + j * size_of(which.stored), &bits, size_of(which.stored));
        values[j] = stored_value(which.stored, bits);
      }
      float out = 0;
      (GetParam().*which.kernel)(query.data(), dim, {record.data(), 0, nullptr}, 1, &out);
      const Opinion opinion = of_floats(query.data(), values.data(), dim, which.l2);
      ASSERT_NEAR(out, opinion.value, 2.0F * static_cast<float>(dim + 8) * 0x1.0p-24F * opinion.magnitude)
          << which.name << ", dim " << dim;
    }
  }
}

TEST_P(KernelsAndXsimd, AgreeOnBytesExactly) {
  const std::vector<float> factors = {1.0F, 0.0F};
  for (const std::size_t dim : dimensions()) {
    RandomStream random(dim, 4);
    const Array<std::int8_t> query = draw_byte_query(random, dim);
    std::vector<std::uint8_t> record(query.size());
    for (auto& byte : record) byte = static_cast<std::uint8_t>(1 + random.next_below(255));
    const std::int32_t dot = of_bytes(query.data(), record.data(), record.size());
    // Near the sum, so that no bit is lost when the result becomes a float.
    const std::int32_t shift = dot - static_cast<std::int32_t>(random.next_below(1000));
    float out = 0;
    GetParam().bytes(query.data(), dim, {reinterpret_cast<const std::byte*>(record.data()), 0, nullptr},
                     factors.data(), shift, 1.0F, 0.0F, 1.0F, 1, &out);
    ASSERT_EQ(out, static_cast<float>(dot - shift)) << "dim " << dim;
  }
}

INSTANTIATE_TEST_SUITE_P(Sets, KernelsAndXsimd, every_kernel_set(), name_of_set);

}  // namespace
}  // namespace vicinal
