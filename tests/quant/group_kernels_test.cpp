// Kernels for groups of queries give what those for one give, bit by bit, and read no farther.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "vicinal/quant/codec.hpp"
#include "codec_cases.hpp"
#include "guarded_memory.hpp"
#include "kernel_cases.hpp"
#include "sample_vectors.hpp"

namespace vicinal {
namespace {

struct GroupCase {
  const char* name;
  Kernels::ByteKernel Kernels::*one;
  Kernels::GroupKernel Kernels::*group;
  std::size_t line_elements;
  std::size_t line_bytes;
};
constexpr GroupCase group_cases[] = {
    {"bytes", &Kernels::bytes, &Kernels::bytes_group, 64, 64},
    {"nibbles", &Kernels::nibbles, &Kernels::nibbles_group, 128, 64},
};

class GroupKernels : public testing::TestWithParam<Kernels> {};

TEST_P(GroupKernels, GiveWhatTheKernelsOfOneQueryGive) {
  constexpr std::size_t most_records = 11, most_queries = 7, most_dim = 520;
  const GuardedMemory records(most_records * most_dim);
  const GuardedMemory factors(most_records * 2 * sizeof(float));
  for (const GroupCase& which : group_cases) {
    const Kernels::GroupKernel group = GetParam().*which.group;
    if (group == nullptr) continue;
    for (std::size_t dim = 2; dim <= most_dim; dim += dim < 140 ? 2 : 26) {
      RandomStream random(dim, 9);
      const std::size_t bytes = dim * which.line_bytes / which.line_elements;
      const std::size_t padded = (dim + 127) / 128 * 128;
      Array<std::int8_t> values(most_queries * padded);
      for (std::size_t j = 0; j < values.size(); ++j) {
        // Padding is 0: of nibbles it lies between the last line's low and high values.
        const bool used = which.line_elements == 128 || j % padded < dim;
        values[j] = static_cast<std::int8_t>(used ? static_cast<int>(random.next_below(255)) - 127 : 0);
      }
      std::vector<ByteQuery> queries;
      for (std::size_t q = 0; q < most_queries; ++q) {
        const auto number = [&] { return static_cast<float>(random.next_unit() - 0.5); };
        queries.push_back({values.data() + q * padded, static_cast<std::int32_t>(random.next_below(1000)),
                           number(), number(), number()});
      }
      for (std::size_t count = 0; count <= most_records; ++count) {
        std::byte* const base = records.last(count * bytes);
        std::generate(base, base + count * bytes,
                      [&] { return static_cast<std::byte>(1 + random.next_below(255)); });
        std::vector<float> drawn(2 * count);
        for (float& factor : drawn) factor = static_cast<float>(random.next_unit());
        const float* const guarded = factors.place(std::span<const float>(drawn));
        const std::size_t size = 1 + count % most_queries;
        constexpr std::size_t out_stride = most_records + 3;
        std::vector<float> out(most_queries * out_stride, 12345.0F);
        group({queries.data(), size}, dim, base, bytes, guarded, count, out.data(), out_stride);
        for (std::size_t q = 0; q < most_queries; ++q) {
          const ByteQuery& query = queries[q];
          std::vector<float> expected(out_stride, 12345.0F);
          if (q < size) {
            (GetParam().*which.one)(query.values, dim, {base, bytes, nullptr}, guarded, query.shift,
                                    query.weight, query.constant, query.offset_weight, count,
                                    expected.data());
          }
          for (std::size_t i = 0; i < out_stride; ++i) {
            ASSERT_PRED2(same_float, out[q * out_stride + i], expected[i])
                << which.name << ", dim " << dim << ", query " << q << " of " << size << ", record " << i
                << " of " << count;
          }
        }
      }
    }
  }
}

TEST_P(GroupKernels, AreThereWhereBytesAreFast) {
  for (const GroupCase& which : group_cases)
    EXPECT_EQ(GetParam().*which.group != nullptr, GetParam().fast_bytes) << which.name;
}

INSTANTIATE_TEST_SUITE_P(Sets, GroupKernels, every_kernel_set(), name_of_set);

TEST(CodecGroups, ScoreAsQueriesDoOneByOne) {
  constexpr std::size_t dim = 75, count = 23;
  const SampleVectors base = clustered_vectors(count, dim, 1);
  const SampleVectors asked = clustered_vectors(37, dim, 2);
  std::vector<CodecCase> cases = codec_cases();
  for (const Metric metric : {Metric::l2, Metric::ip, Metric::cosine}) {
    for (const CodecKind kind : {CodecKind::b1, CodecKind::b2})
      cases.push_back({{kind, true, true, 7}, metric});
  }
  for (const CodecCase& which : cases) {
    const Codec codec = Codec::train(which.options, which.metric, base.view());
    const CodeStore store = CodeStore::build(codec, base.view(), {});
    std::vector<PreparedQuery> queries(asked.size());
    for (std::size_t q = 0; q < asked.size(); ++q) codec.prepare_query(asked[q], queries[q]);
    constexpr std::size_t stride = count + 1;
    std::vector<float> expected(asked.size() * stride, 12345.0F);
    for (std::size_t q = 0; q < asked.size(); ++q)
      store.score(queries[q], nullptr, count, expected.data() + q * stride);
    std::vector<float> out(asked.size() * stride, 12345.0F);
    codec.score_group(queries, store.records(), store.factors(), count, out.data(), stride);
    EXPECT_EQ(out, expected) << which.name();
    store.score_range(queries, 0, count, out.data(), stride);
    EXPECT_EQ(out, expected) << which.name();
  }
}

}  // namespace
}  // namespace vicinal
