// What the kernels read: every argument lies at the very end of readable memory.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <span>
#include <vector>

#include "guarded_memory.hpp"
#include "kernel_cases.hpp"

namespace vicinal {
namespace {

constexpr std::size_t most_records = 9;
constexpr std::size_t most_dim = 300;

class KernelReads : public testing::TestWithParam<Kernels> {
 protected:
  // Ids that visit every record, the last one (at the guard) first and last.
  static std::vector<std::uint32_t> ids_of(std::size_t count) {
    std::vector<std::uint32_t> ids(count);
    for (std::size_t i = 0; i < count; ++i) ids[i] = static_cast<std::uint32_t>(count - 1 - i);
    if (count > 1) ids[count - 1] = static_cast<std::uint32_t>(count - 1);
    return ids;
  }

  // Random records of `stride` bytes, up to most_records of them: `expected(record)` is what the kernel has to give for one with factors of
  // 0.5, shift 7, weight -2, constant 3 and offset weight 1.
  template <class Expected>
  void check_integers(Kernels::ByteKernel kernel, std::span<const std::int8_t> query, std::size_t dim,
                      std::size_t stride, RandomStream& random, const Expected& expected) {
    const std::int8_t* const guarded_query = queries_.place(query);
    for (std::size_t count = 0; count <= most_records; ++count) {
      std::byte* const base = records_.last(count * stride);
      std::generate(base, base + count * stride,
                    [&] { return static_cast<std::byte>(1 + random.next_below(255)); });
      const std::vector<float> factors(2 * count, 0.5F);
      const float* const guarded_factors = factors_.place(std::span<const float>(factors));
      const std::vector<std::uint32_t> ids = ids_of(count);
      const std::uint32_t* const guarded_ids = ids_.place(std::span(ids));
      float* const out = reinterpret_cast<float*>(results_.last(count * sizeof(float)));
      for (const std::uint32_t* use : {guarded_ids, static_cast<const std::uint32_t*>(nullptr)}) {
        kernel(guarded_query, dim, {base, stride, use}, guarded_factors, 7, -2.0F, 3.0F, 1.0F, count, out);
        for (std::size_t i = 0; i < count; ++i) {
          ASSERT_EQ(out[i], expected(base + (use == nullptr ? i : ids[i]) * stride))
              << "dim " << dim << ", records of " << stride << " bytes, result " << i << " of " << count;
        }
      }
    }
  }

  GuardedMemory queries_{most_dim * 8};
  GuardedMemory records_{most_records * most_dim * 8};
  GuardedMemory factors_{most_records * 8};
  GuardedMemory ids_{most_records * 4};
  GuardedMemory results_{most_records * 4};
};

TEST_P(KernelReads, FloatRecordsEndAtTheirDimension) {
  RandomStream random(1, 1);
  for (const FloatCase& which : float_cases) {
    for (std::size_t dim = 1; dim <= most_dim; dim += dim < 130 ? 1 : 17) {
      const Array<float> query = draw_float_query(random, dim, Values::ordinary);
      const float* const guarded_query = queries_.place(query.span());
      for (std::size_t count = 0; count <= most_records; ++count) {
        const std::size_t stride = dim * size_of(which.stored);
        std::byte* const base = records_.last(count * stride);
        std::vector<float> values(count * dim);
        for (std::size_t i = 0; i < values.size(); ++i) {
          const std::uint32_t bits = draw_bits(random, which.stored, Values::ordinary);
          std::memcpy(base + i * size_of(which.stored), &bits, size_of(which.stored));
          values[i] = stored_value(which.stored, bits);
        }
        const std::vector<std::uint32_t> ids = ids_of(count);
        const std::uint32_t* const guarded_ids = ids_.place(std::span(ids));
        float* const out = reinterpret_cast<float*>(results_.last(count * sizeof(float)));
        for (const std::uint32_t* use : {guarded_ids, static_cast<const std::uint32_t*>(nullptr)}) {
          (GetParam().*which.kernel)(guarded_query, dim, {base, stride, use}, count, out);
          for (std::size_t i = 0; i < count; ++i) {
            const std::span<const float> record(values.data() + (use == nullptr ? i : ids[i]) * dim, dim);
            ASSERT_EQ(out[i],
                      which.l2 ? expected_l2(query.span(), record) : expected_dot(query.span(), record))
                << which.name << ", dim " << dim << ", result " << i << " of " << count;
          }
        }
      }
    }
  }
}

TEST_P(KernelReads, ByteRecordsEndAtTheirLastByte) {
  RandomStream random(1, 2);
  for (std::size_t dim = 1; dim <= most_dim; dim += dim < 130 ? 1 : 17) {
    const Array<std::int8_t> query = draw_byte_query(random, dim);
    check_integers(GetParam().bytes, query.span(), dim, dim, random, [&](const std::byte* record) {
      const auto* const bytes = reinterpret_cast<const std::uint8_t*>(record);
      return expected_bytes(query.span(), {bytes, dim}, 0.5F, 0.5F, 7, -2.0F, 3.0F, 1.0F);
    });
  }
}

TEST_P(KernelReads, NibbleRecordsEndAtTheirLastByte) {
  RandomStream random(1, 5);
  for (std::size_t stride = 1; stride <= most_dim / 2; stride += stride < 130 ? 1 : 17) {
    const std::vector<std::int8_t> ones((stride + 63) / 64 * 128, 1);
    check_integers(GetParam().nibbles, ones, 2 * stride, stride, random, [&](const std::byte* record) {
      int sum = 0;
      for (std::size_t b = 0; b < stride; ++b)
        sum += 2 * (std::to_integer<int>(record[b] & std::byte{15}) + std::to_integer<int>(record[b] >> 4));
      return (3.0F + 0.5F) + (-2.0F * 0.5F) * static_cast<float>(sum - 7);
    });
  }
}

TEST_P(KernelReads, PackedRecordsEndWithTheirLastLine) {
  for (const PackedCase& which : packed_cases) {
    SCOPED_TRACE(which.name);
    RandomStream random(1, 3);
    for (std::size_t dim = 1; dim <= most_dim; dim += dim < 130 ? 1 : 17) {
      const Array<std::int8_t> query = draw_byte_query(random, dim);
      check_integers(GetParam().*which.kernel, query.span(), dim, which.bytes(dim), random,
                     [&](const std::byte* record) {
                       return expected_bytes(query.span(), which.doubled(record, dim), 0.5F, 0.5F, 7, -2.0F,
                                             3.0F, 1.0F);
                     });
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Sets, KernelReads, every_kernel_set(), name_of_set);

}  // namespace
}  // namespace vicinal
