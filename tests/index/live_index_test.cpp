#include "vicinal/index/live_index.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <string>
#include <vector>

#include "vicinal/core/error.hpp"
#include "../core/temporary_folder.hpp"
#include "sample_data.hpp"

namespace vicinal {
namespace {

std::vector<Id> numbers(std::size_t count, Id first = 0) {
  std::vector<Id> ids(count);
  std::iota(ids.begin(), ids.end(), first);
  return ids;
}

constexpr const char* spec = "i8 | hnsw(m=8, efc=60, alpha=1.2) | rerank(f16, 3x)";

bool same(const Neighbors& a, const Neighbors& b) {
  for (std::size_t q = 0; q < a.size(); ++q) {
    if (!std::ranges::equal(a.ids()[q], b.ids()[q]) ||
        !std::ranges::equal(a.distances()[q], b.distances()[q]))
      return false;
  }
  return a.size() == b.size();
}

template <class Error, class Run>
void expect_error(const Run& run, const std::string& words) {
  try {
    run();
    ADD_FAILURE() << "expected an error about " << words;
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find(words), std::string::npos) << error.what();
  }
}

TEST(LiveIndex, OpensAsItWasFromItsLogAlone) {
  const TemporaryFolder folder;
  const Rows base = make_rows(600, 12, 1), queries = make_rows(40, 12, 1, 9);
  const std::vector<Id> ids = numbers(base.count);
  Neighbors before;
  {
    LiveIndex index = LiveIndex::create(folder / "a.vcn", 12, spec, Metric::cosine, 7);
    index.add(base.view().rows_from(0, 400), std::span(ids).first(400));
    index.remove(std::span(ids).first(100));
    index.upsert(base.view().rows_from(300, 300), std::span(ids).subspan(300));
    before = index.search(queries.view(), 10, {.effort = 50});
    EXPECT_GT(index.log_bytes(), 700 * 12 * sizeof(float));
    EXPECT_EQ(folder.entries(), 1U);
  }
  const LiveIndex again = LiveIndex::open(folder / "a.vcn");
  EXPECT_EQ(again.size(), 500U);
  EXPECT_EQ(again.seed(), 7U);
  EXPECT_EQ(to_string(again.spec()), spec);
  EXPECT_EQ(again.metric(), Metric::cosine);
  // Even to the links: replayed changes do what the first ones did.
  EXPECT_TRUE(same(again.search(queries.view(), 10, {.effort = 50}), before));
}

TEST(LiveIndex, CompactsIntoAFileThatOpensAsAnIndex) {
  const TemporaryFolder folder;
  const std::filesystem::path path = folder / "b.vcn";
  const Rows base = make_rows(900, 12, 2), queries = make_rows(40, 12, 2, 9);
  const std::vector<Id> ids = numbers(base.count, 5000);
  {
    LiveIndex index = LiveIndex::create(path, 12, spec, Metric::l2);
    index.add(base.view(), ids);
    index.remove(std::span(ids).first(50));
    expect_error<InvalidArgument>([&] { (void)index.search(queries.view(), 10, {.target_recall = 0.9}); },
                                  "calibrated");
    index.compact();
    EXPECT_LT(index.log_bytes(), 200U);
    EXPECT_EQ(index.search(queries.view(), 10, {.target_recall = 0.9}).size(), queries.count);
    index.add(base.view().rows_from(0, 50), std::span(ids).first(50));
  }
  EXPECT_EQ(folder.entries(), 2U);
  const Index fixed = Index::open(path);
  EXPECT_EQ(fixed.size(), 850U);
  EXPECT_EQ(fixed.ids().front(), 5050);
  EXPECT_TRUE(fixed.calibration().has_value());
  const LiveIndex again = LiveIndex::open(path);
  EXPECT_EQ(again.ids(), ids);
  const Index all = again.freeze();
  const Neighbors found = all.search(queries.view(), 10, {.effort = 200});
  const Neighbors live = again.search(queries.view(), 10, {.effort = 200});
  EXPECT_GE(recall(live.ids(), found.ids(), 10), 0.99);
}

TEST(LiveIndex, FreezesIntoFusedRows) {
  const Rows base = make_rows(700, 16, 3), queries = make_rows(40, 16, 3, 9);
  LiveIndex index = LiveIndex::create(16, spec, Metric::ip);
  index.add(base.view(), numbers(base.count));
  const Index fused = index.freeze(false, GraphLayout::fused);
  EXPECT_EQ(to_string(fused.spec()), "i8 | hnsw(m=8, efc=60, layout=fused) | rerank(f16, 3x)");
  const Neighbors found = fused.search(queries.view(), 10, {.effort = 100});
  EXPECT_GE(recall(found.ids(), index.search(queries.view(), 10, {.effort = 300}).ids(), 10), 0.95);
  const TemporaryFolder folder;
  fused.save(folder / "fused.vcn");
  LiveIndex on = LiveIndex::open(folder / "fused.vcn");
  on.remove(numbers(10));
  EXPECT_EQ(on.size(), base.count - 10);
}

TEST(LiveIndex, GoesOnFromAnIndexInMemory) {
  const Rows base = make_rows(300, 12, 4);
  const Index built = Index::build(base.view(), "f32 | hnsw(m=8, efc=40)", Metric::l2);
  LiveIndex index = LiveIndex::from(built);
  EXPECT_EQ(index.size(), 300U);
  EXPECT_TRUE(index.calibration().has_value());
  index.remove(numbers(299));
  EXPECT_EQ(index.search(base.view().rows_from(0, 1), 5).ids()[0][0], 299);
  EXPECT_EQ(built.size(), 300U);
  expect_error<InvalidArgument>([&] { index.compact(); }, "no file");
}

TEST(LiveIndex, RefusesWhatItCannotBe) {
  for (const char* other : {"flat", "i8 | flat", "b1 | hnsw", "pq(d/2) | hnsw", "pca(4) | i8 | hnsw",
                            "dedup | i8 | hnsw", "i8 | hnsw | rerank(+i8)", "tiers(f32=0.3, f16) | flat"}) {
    EXPECT_THROW((void)LiveIndex::create(8, other, Metric::l2), Unsupported) << other;
  }
  EXPECT_THROW((void)LiveIndex::create(8, "i9 | hnsw", Metric::l2), SpecError);
  EXPECT_THROW((void)LiveIndex::create(0, "hnsw", Metric::l2), InvalidArgument);
}

TEST(LiveIndex, SaysWhatIsWrongWithItsFiles) {
  const TemporaryFolder folder;
  const std::filesystem::path path = folder / "c.vcn";
  expect_error<IoError>([&] { (void)LiveIndex::open(path); }, "c.vcn");
  const Rows base = make_rows(30, 8, 5);
  {
    LiveIndex index = LiveIndex::create(path, 8, "hnsw(m=4, efc=20)", Metric::l2);
    index.add(base.view(), numbers(30));
    expect_error<IoError>([&] { (void)LiveIndex::create(path, 8, "hnsw", Metric::l2); }, "exists already");
    expect_error<IoError>([&] { (void)LiveIndex::open(path); }, "open for changes already");
    index.compact();
    index.remove(numbers(3));
  }
  // Another file under the log.
  Index::build(base.view(), "hnsw(m=4, efc=20)", Metric::l2).save(path);
  expect_error<CorruptFile>([&] { (void)LiveIndex::open(path); }, "belongs to another file");
}

TEST(LiveIndex, IsReadOnlyOnceItIsClosed) {
  const TemporaryFolder folder;
  const Rows base = make_rows(30, 8, 5);
  LiveIndex index = LiveIndex::create(folder / "f.vcn", 8, spec, Metric::l2);
  index.add(base.view(), numbers(30));
  index.close();
  expect_error<InvalidArgument>([&] { index.remove(numbers(3)); }, "closed");
  expect_error<InvalidArgument>([&] { index.compact(); }, "closed");
  EXPECT_EQ(index.search(base.view(), 4).counts()[0], 4U);
  EXPECT_EQ(LiveIndex::open(folder / "f.vcn").size(), 30U);
}

TEST(LiveIndex, AnEmptyOneAnswersAndCannotBeFrozen) {
  const TemporaryFolder folder;
  const Rows queries = make_rows(3, 8, 6);
  {
    LiveIndex index = LiveIndex::create(folder / "d.vcn", 8, spec, Metric::l2);
    EXPECT_EQ(index.search(queries.view(), 4).counts()[2], 0U);
    EXPECT_EQ(index.remove(numbers(5)), 0U);
    EXPECT_THROW((void)index.freeze(), InvalidArgument);
    expect_error<InvalidArgument>([&] { (void)index.search(make_rows(1, 9, 1).view(), 4); }, "9");
    EXPECT_THROW((void)index.search(queries.view(), 0), InvalidArgument);
  }
  EXPECT_EQ(LiveIndex::open(folder / "d.vcn").size(), 0U);
}

TEST(LiveIndex, RefusesARecordThatIsNone) {
  const TemporaryFolder folder;
  const std::filesystem::path path = folder / "e.vcn";
  { LiveIndex::create(path, 8, spec, Metric::l2).add(make_rows(30, 8, 5).view(), numbers(30)); }
  const std::vector<char> bytes = read_bytes(folder / "e.vcn.log");
  // Cut at every byte: the change is there whole, or not at all.
  for (std::size_t length = 0; length < bytes.size(); length += 7) {
    write_bytes(folder / "e.vcn.log", std::span(bytes).first(length));
    try {
      EXPECT_EQ(LiveIndex::open(path).size(), 0U) << length;
    } catch (const CorruptFile&) {
      EXPECT_LT(length, 200U);  // not even the first record is there
    }
  }
}

}  // namespace
}  // namespace vicinal
