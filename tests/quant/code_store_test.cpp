#include "vicinal/quant/code_store.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <numeric>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "vicinal/core/error.hpp"
#include "vicinal/core/executor.hpp"
#include "../core/temporary_folder.hpp"
#include "codec_cases.hpp"
#include "sample_vectors.hpp"

namespace vicinal {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::ThrowsMessage;

std::vector<std::byte> record_bytes(const CodeStore& store) {
  return {store.records(), store.records() + store.size() * store.codec().stride()};
}

std::vector<float> factors_of(const CodeStore& store) {
  if (!store.codec().has_factors()) return {};
  return {store.factors(), store.factors() + 2 * store.size()};
}

void expect_same(const CodeStore& a, const CodeStore& b) {
  EXPECT_EQ(a.size(), b.size());
  EXPECT_EQ(a.dim(), b.dim());
  EXPECT_EQ(a.codec().options(), b.codec().options());
  EXPECT_EQ(a.codec().metric(), b.codec().metric());
  EXPECT_EQ(a.codec().fingerprint(), b.codec().fingerprint());
  EXPECT_EQ(record_bytes(a), record_bytes(b));
  EXPECT_EQ(factors_of(a), factors_of(b));
}

class CodeStores : public testing::TestWithParam<CodecCase> {
 protected:
  [[nodiscard]] static Codec trained_on(const SampleVectors& vectors) {
    return Codec::train(GetParam().options, GetParam().metric, vectors.view());
  }
};

TEST_P(CodeStores, GatherRecordsOfAnyLayout) {
  const SampleVectors vectors = clustered_vectors(100, 45, 1);
  const Codec codec = trained_on(vectors);
  const CodeStore plain = CodeStore::build(codec, vectors.view(), {});
  const CodeStore lanes = plain.in_lanes(), blocks = plain.in_blocks();
  const std::vector<CodeStore::Run> runs{{&lanes, 13, 20}, {&plain, 90, 10}, {&blocks, 7, 30},
                                         {&plain, 4, 0},   {&lanes, 99, 1},  {&plain, 0, 40}};
  std::vector<std::uint32_t> order;
  for (const CodeStore::Run& run : runs) {
    for (std::size_t i = 0; i < run.count; ++i) order.push_back(static_cast<std::uint32_t>(run.first + i));
  }
  expect_same(CodeStore::gather(codec, runs), CodeStore::build(codec, vectors.view(), order));
  EXPECT_EQ(CodeStore::gather(codec, {}).size(), 0U);
  const SampleVectors longer = clustered_vectors(20, 46, 1);
  const CodeStore other = CodeStore::build(trained_on(longer), longer.view(), {});
  const std::vector<CodeStore::Run> wrong{{&other, 0, 1}};
  EXPECT_THAT([&] { (void)CodeStore::gather(codec, wrong); },
              ThrowsMessage<InvalidArgument>(HasSubstr("dimension 46, expected")));
}

TEST_P(CodeStores, HoldWhatTheCodecEncodes) {
  const SampleVectors vectors = clustered_vectors(600, 45, 1);
  const Codec codec = trained_on(vectors);
  const CodeStore store = CodeStore::build(codec, vectors.view(), {});
  ASSERT_EQ(store.size(), 600U);
  EXPECT_EQ(store.dim(), 45U);
  const std::size_t stride = store.codec().stride();
  for (std::size_t slot = 0; slot < store.size(); ++slot) {
    const EncodedVector encoded(codec, vectors[slot]);
    ASSERT_EQ(std::memcmp(store.record(slot), encoded.record.data(), stride), 0) << slot;
    for (std::size_t f = 0; f < codec.factor_count(); ++f)
      ASSERT_EQ(store.factors()[codec.factor_count() * slot + f], encoded.factors[f]) << slot;
    std::vector<float> decoded(45);
    store.decode(slot, decoded);
    ASSERT_EQ(decoded, encoded.decoded(codec)) << slot;
  }
  EXPECT_EQ(store.bytes_per_vector(), stride + 4 * codec.factor_count());
  EXPECT_EQ(store.memory_bytes(), 600 * store.bytes_per_vector() + codec.memory_bytes());
  EXPECT_GE(codec.memory_bytes(), codec.mean().size_bytes());
}

TEST_P(CodeStores, AreTheSameForAnyNumberOfThreads) {
  const SampleVectors vectors = clustered_vectors(5000, 33, 2);
  const CodeStore alone = CodeStore::build(trained_on(vectors), vectors.view(), {});
  for (const std::size_t threads : {1UL, 2UL, 4UL}) {
    ThreadPool pool(threads);
    BuildControl control;
    control.executor = pool;
    const Codec codec = Codec::train(GetParam().options, GetParam().metric, vectors.view(), control);
    expect_same(CodeStore::build(codec, vectors.view(), {}, control), alone);
  }
}

TEST_P(CodeStores, FollowTheOrderGiven) {
  const SampleVectors vectors = clustered_vectors(1000, 33, 3);
  const Codec codec = trained_on(vectors);
  const CodeStore in_order = CodeStore::build(codec, vectors.view(), {});
  std::vector<std::uint32_t> order(1000);
  std::iota(order.begin(), order.end(), 0U);
  RandomStream random(3, 3);
  for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random.next_below(i)]);
  order.resize(700);  // A part of the rows is allowed, and so is the same row twice.
  order.push_back(order[0]);
  ThreadPool pool(2);
  BuildControl control;
  control.executor = pool;
  const CodeStore shuffled = CodeStore::build(codec, vectors.view(), order, control);
  ASSERT_EQ(shuffled.size(), order.size());
  for (std::size_t slot = 0; slot < order.size(); ++slot) {
    ASSERT_EQ(std::memcmp(shuffled.record(slot), in_order.record(order[slot]), codec.stride()), 0) << slot;
    if (codec.has_factors()) {
      ASSERT_EQ(std::memcmp(shuffled.factors() + 2 * slot, in_order.factors() + 2 * order[slot], 8), 0)
          << slot;
    }
  }
}

// Rows that are parts of longer ones.
TEST_P(CodeStores, AcceptAnyRowStride) {
  const SampleVectors wide = clustered_vectors(300, 50, 4);
  const MatrixView<const float> part(wide.values.data(), 300, 33, 50);
  SampleVectors narrow(300, 33);
  for (std::size_t row = 0; row < 300; ++row) std::copy_n(wide[row].begin(), 33, narrow[row].begin());
  const Codec codec = Codec::train(GetParam().options, GetParam().metric, part);
  expect_same(CodeStore::build(codec, part, {}), CodeStore::build(trained_on(narrow), narrow.view(), {}));
}

TEST_P(CodeStores, SurviveAFile) {
  const TemporaryFolder folder;
  for (const std::size_t rows : {300UL, 1UL, 0UL}) {
    const SampleVectors vectors = clustered_vectors(rows, 45, 5);
    const CodeStore store = CodeStore::build(trained_on(vectors), vectors.view(), {});
    ContainerWriter writer;
    store.save(writer, "some/where");
    writer.write(folder / "codes.vcn");
    const SampleVectors queries = clustered_vectors(3, 45, 6);
    for (const OpenMode mode : {OpenMode::load, OpenMode::map}) {
      const CodeStore loaded = CodeStore::load(Container::open(folder / "codes.vcn", mode), "some/where");
      expect_same(loaded, store);
      PreparedQuery prepared;
      PreparedQuery prepared_again;
      for (std::size_t q = 0; q < queries.size(); ++q) {
        store.codec().prepare_query(queries[q], prepared);
        loaded.codec().prepare_query(queries[q], prepared_again);
        std::vector<float> before(rows);
        std::vector<float> after(rows);
        store.codec().score(prepared, store.records(), store.factors(), nullptr, rows, before.data());
        loaded.codec().score(prepared_again, loaded.records(), loaded.factors(), nullptr, rows, after.data());
        EXPECT_EQ(before, after);
      }
      ContainerWriter again;
      loaded.save(again, "some/where");
      again.write(folder / "again.vcn");
      EXPECT_EQ(read_bytes(folder / "again.vcn"), read_bytes(folder / "codes.vcn"));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Codecs, CodeStores, testing::ValuesIn(codec_cases()),
                         [](const auto& tested) { return tested.param.name(); });
INSTANTIATE_TEST_SUITE_P(Products, CodeStores, testing::ValuesIn(product_cases()),
                         [](const auto& tested) { return tested.param.name(); });

TEST(CodeStore, NamesTheRowAndColumnThatF16CannotHold) {
  SampleVectors vectors = clustered_vectors(1000, 20, 7);
  vectors[613][17] = -70000.0F;
  const Codec codec = Codec::train({CodecKind::f16, true, true, 0}, Metric::l2, vectors.view());
  ThreadPool pool(4);
  for (const ExecutorRef executor : {ExecutorRef(), ExecutorRef(pool)}) {
    BuildControl control;
    control.executor = executor;
    EXPECT_THAT([&] { (void)CodeStore::build(codec, vectors.view(), {}, control); },
                ThrowsMessage<InvalidArgument>(
                    AllOf(HasSubstr("row 613:"), HasSubstr("column 17"), HasSubstr("-70000"))));
  }
  // The row of the matrix, not the slot.
  const std::vector<std::uint32_t> order = {5, 613};
  EXPECT_THAT([&] { (void)CodeStore::build(codec, vectors.view(), order); },
              ThrowsMessage<InvalidArgument>(HasSubstr("row 613:")));
}

TEST(CodeStore, RefusesAnotherDimension) {
  const SampleVectors vectors = clustered_vectors(10, 20, 8);
  const Codec codec = Codec::restore({}, Metric::l2, 19, {});
  EXPECT_THAT([&] { (void)CodeStore::build(codec, vectors.view(), {}); },
              ThrowsMessage<InvalidArgument>(AllOf(HasSubstr("20"), HasSubstr("19"))));
}

TEST(CodeStore, StopsWhenAsked) {
  const SampleVectors vectors = clustered_vectors(10, 20, 9);
  std::stop_source source;
  source.request_stop();
  BuildControl control;
  control.stop = source.get_token();
  EXPECT_THROW((void)CodeStore::build(Codec::restore({}, Metric::l2, 20, {}), vectors.view(), {}, control),
               Cancelled);
}

}  // namespace
}  // namespace vicinal
