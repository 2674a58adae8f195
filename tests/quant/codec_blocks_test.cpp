// Records of b1 and b2 in blocks: they come back, and have the distances they have one by one.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "vicinal/core/error.hpp"
#include "vicinal/quant/code_store.hpp"
#include "codec_cases.hpp"
#include "sample_vectors.hpp"

namespace vicinal {
namespace {

std::vector<CodecCase> cases() {
  std::vector<CodecCase> all;
  for (const Metric metric : {Metric::l2, Metric::ip, Metric::cosine}) {
    for (const CodecKind kind : {CodecKind::b1, CodecKind::b2})
      all.push_back({{kind, true, true, 7}, metric});
  }
  return all;
}

TEST(CodecBlocks, GiveRecordsBack) {
  for (const CodecKind kind : {CodecKind::b1, CodecKind::b2}) {
    for (const std::size_t dim : {1UL, 31UL, 32UL, 33UL, 64UL, 65UL, 200UL}) {
      const SampleVectors base = clustered_vectors(Codec::block_size, dim, 1);
      const Codec codec = Codec::train({kind, true, true, 7}, Metric::l2, base.view());
      const CodeStore store = CodeStore::build(codec, base.view(), {});
      std::vector<std::byte> block(codec.block_bytes());
      for (std::size_t slot = 0; slot < store.size(); ++slot)
        codec.put_in_block(store.record(slot), slot, block.data());
      std::vector<std::byte> record(codec.stride(), std::byte{0xAA});
      for (std::size_t slot = 0; slot < store.size(); ++slot) {
        codec.take_from_block(block.data(), slot, record.data());
        ASSERT_EQ(std::memcmp(record.data(), store.record(slot), codec.stride()), 0)
            << to_string(kind) << ", dim " << dim << ", slot " << slot;
      }
    }
  }
}

TEST(CodecBlocks, HaveTheDistancesOfTheirRecords) {
  constexpr std::size_t dim = 75;
  for (const std::size_t count : {1UL, 16UL, 61UL}) {
    const SampleVectors base = clustered_vectors(count, dim, 1);
    const SampleVectors asked = clustered_vectors(18, dim, 2);
    for (const CodecCase& which : cases()) {
      const CodeStore store =
          CodeStore::build(Codec::train(which.options, which.metric, base.view()), base.view(), {});
      const CodeStore blocks = store.in_blocks();
      ASSERT_TRUE(blocks.has_blocks());
      EXPECT_FALSE(store.has_blocks());
      std::vector<PreparedQuery> queries(asked.size());
      std::vector<float> expected(asked.size() * count);
      for (std::size_t q = 0; q < asked.size(); ++q) {
        store.codec().prepare_query(asked[q], queries[q]);
        store.codec().prepare_scan(queries[q]);
        store.score(queries[q], nullptr, count, expected.data() + q * count);
      }
      std::vector<float> found(expected.size());
      blocks.score_range(queries, 0, count, found.data(), count);
      EXPECT_EQ(found, expected) << which.name();
      if (count > Codec::block_size) {
        const std::size_t first = Codec::block_size;
        std::vector<float> later(count - first);
        blocks.score_range(std::span(queries).first(1), first, later.size(), later.data(), 0);
        EXPECT_TRUE(std::ranges::equal(later, std::span(expected).subspan(first, later.size())))
            << which.name();
      }
      std::vector<std::uint32_t> slots;
      for (std::size_t i = 0; i < count; i += 1 + i % 3) slots.push_back(static_cast<std::uint32_t>(i));
      std::ranges::reverse(slots);
      std::vector<float> some(slots.size());
      blocks.score(queries[3], slots.data(), slots.size(), some.data());
      for (std::size_t i = 0; i < slots.size(); ++i)
        EXPECT_EQ(some[i], expected[3 * count + slots[i]]) << which.name();
      std::vector<float> decoded(dim);
      std::vector<float> as_record(dim);
      for (std::size_t slot = 0; slot < count; ++slot) {
        blocks.decode(slot, decoded);
        store.decode(slot, as_record);
        ASSERT_EQ(decoded, as_record) << which.name() << ", slot " << slot;
      }
    }
  }
}

TEST(CodecBlocks, AreOfBitsAlone) {
  const SampleVectors base = clustered_vectors(20, 9, 1);
  const CodeStore store =
      CodeStore::build(Codec::train({.kind = CodecKind::i4}, Metric::l2, base.view()), base.view(), {});
  EXPECT_FALSE(store.codec().has_blocks());
  EXPECT_FALSE(store.in_blocks().has_blocks());
  EXPECT_EQ(store.in_blocks().records(), store.records());
}

}  // namespace
}  // namespace vicinal
