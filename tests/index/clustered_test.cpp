// Rows in clusters, each with a projection and codes of its own.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <string>
#include <vector>

#include "vicinal/core/executor.hpp"
#include "vicinal/index/clustered.hpp"
#include "vicinal/index/index.hpp"
#include "../core/temporary_folder.hpp"
#include "sample_data.hpp"

namespace vicinal {
namespace {

using ::testing::HasSubstr;

const Clustered& clustered_of(const Index& index) { return *index.retriever().get_if<Clustered>(); }
const Clustered& clustered_of(Index&&) = delete;  // It would be gone.

class ClusteredIndex : public ::testing::TestWithParam<Metric> {
 protected:
  static constexpr std::size_t count = 500, dim = 16;
  [[nodiscard]] Index build(const std::string& spec, std::span<const Id> ids = {},
                            const BuildControl& control = {}) const {
    IndexOptions options;
    options.ids = ids;
    return Index::build(base_.view(), spec, GetParam(), options, control);
  }

  Rows base_ = make_rows(count, dim, 51);
  Rows queries_ = make_rows(25, dim, 51, 1);
};

// With all dimensions nothing is lost, whatever the clusters.
TEST_P(ClusteredIndex, IsExactWithAllDimensions) {
  const Neighbors found = build("pca(16, clusters=7) | f32").search(queries_.view(), 12);
  for (std::size_t q = 0; q < queries_.count; ++q) {
    const auto expected = exact_neighbors(base_, queries_[q], GetParam(), 12);
    for (std::size_t i = 0; i < 12; ++i) {
      EXPECT_EQ(found.ids()[q][i], expected[i].second) << q << " " << i;
      EXPECT_NEAR(found.distances()[q][i], expected[i].first, 1e-3);
    }
  }
}

// Each row has the distance that an index of its cluster's rows alone gives it.
TEST_P(ClusteredIndex, GivesEachRowTheDistanceOfItsCluster) {
  const Index index = build("pca(6, clusters=5) | i8 | flat");
  const Clustered& clustered = clustered_of(index);
  std::vector<std::vector<std::pair<float, Id>>> expected(queries_.count);
  for (std::size_t c = 0; c < clustered.clusters(); ++c) {
    const std::span<const std::uint32_t> rows = clustered.rows(c);
    Rows own{rows.size(), dim, {}};
    for (const std::uint32_t row : rows)
      own.values.insert(own.values.end(), base_[row].begin(), base_[row].end());
    const Neighbors part =
        Index::build(own.view(), "pca(6) | i8 | flat", GetParam()).search(queries_.view(), rows.size());
    for (std::size_t q = 0; q < queries_.count; ++q) {
      for (std::size_t i = 0; i < rows.size(); ++i)
        expected[q].emplace_back(part.distances()[q][i], rows[static_cast<std::size_t>(part.ids()[q][i])]);
    }
  }
  const Neighbors found = index.search(queries_.view(), count);
  for (std::size_t q = 0; q < queries_.count; ++q) {
    std::ranges::sort(expected[q]);
    ASSERT_EQ(found.counts()[q], count);
    for (std::size_t i = 0; i < count; ++i) {
      EXPECT_EQ(found.ids()[q][i], expected[q][i].second);
      EXPECT_EQ(found.distances()[q][i], expected[q][i].first);
    }
  }
}

TEST_P(ClusteredIndex, FindsWithFiltersAndIds) {
  std::vector<Id> ids(count);
  for (std::size_t row = 0; row < count; ++row) ids[row] = static_cast<Id>((row * 51) % count) * 5 + 2;
  const Index index = build("pca(16, clusters=6) | f32 | flat", ids);
  SearchControl control;
  control.filter = Filter::predicate([](Id id) { return id % 3 == 0; });
  const Neighbors found = index.search(queries_.view(), 10, {}, control);
  for (std::size_t q = 0; q < queries_.count; ++q) {
    const auto expected = exact_neighbors(base_, queries_[q], GetParam(), 10, [&](Id row) {
      return ids[static_cast<std::size_t>(row)] % 3 == 0;
    });
    for (std::size_t i = 0; i < 10; ++i)
      EXPECT_EQ(found.ids()[q][i], ids[static_cast<std::size_t>(expected[i].second)]);
  }
}

TEST_P(ClusteredIndex, SavesAndOpens) {
  const TemporaryFolder folder;
  for (const std::string spec :
       {"pca(5, clusters=4) | i4 | flat", "pca(5, clusters=9) | b1 | flat | rerank(f16, 10x)",
        "pca(5, clusters=3) | e4m3 | flat", "pca(8, clusters=2) | pq(d/2) | flat",
        "dedup | pca(5, clusters=4) | i8 | flat"}) {
    const Index index = build(spec);
    index.save(folder / "index.vcn");
    for (const OpenMode mode : {OpenMode::load, OpenMode::map}) {
      const Index opened = Index::open(folder / "index.vcn", mode);
      EXPECT_EQ(opened.spec(), index.spec());
      EXPECT_EQ(opened.memory_bytes(), index.memory_bytes());
      EXPECT_TRUE(same_results(opened.search(queries_.view(), 30), index.search(queries_.view(), 30)))
          << spec;
      opened.save(folder / "again.vcn");
      EXPECT_EQ(read_bytes(folder / "again.vcn"), read_bytes(folder / "index.vcn")) << spec;
    }
  }
}

TEST_P(ClusteredIndex, DoesNotDependOnThreads) {
  const TemporaryFolder folder;
  ThreadPool threads(3);
  BuildControl control;
  control.executor = threads;
  build("pca(5, clusters=8) | i4").save(folder / "one.vcn");
  build("pca(5, clusters=8) | i4", {}, control).save(folder / "several.vcn");
  EXPECT_EQ(read_bytes(folder / "one.vcn"), read_bytes(folder / "several.vcn"));
}

TEST_P(ClusteredIndex, GivesVectorsBackAsItsClustersHaveThem) {
  std::vector<Id> ids(count);
  std::iota(ids.begin(), ids.end(), Id{0});
  std::vector<float> values(count * dim);
  const auto error = [&](const std::string& spec) {
    build(spec).reconstruct(ids, MatrixView<float>(values.data(), count, dim));
    double sum = 0;
    for (std::size_t row = 0; row < count; ++row) {
      std::vector<float> expected(base_[row].begin(), base_[row].end());
      if (GetParam() == Metric::cosine) normalise(base_[row], expected);
      sum += exact_distance(expected, std::span(values).subspan(row * dim, dim), Metric::l2);
    }
    return sum;
  };
  EXPECT_LT(error("pca(16, clusters=5) | f32"), 1e-5);
  EXPECT_LT(error("pca(6, clusters=16) | f32"), 0.9 * error("pca(6) | f32")) << "directions of near rows";
}

TEST_P(ClusteredIndex, CountsItsWorkAndStops) {
  const Index index = build("pca(5, clusters=4) | i8 | flat");
  const Clustered& clustered = clustered_of(index);
  ASSERT_EQ(clustered.clusters(), 4U);
  SearchStats stats;
  SearchControl control;
  control.stats = &stats;
  (void)index.search(queries_.view().rows_from(0, 2), 5, {}, control);
  EXPECT_EQ(stats.strategy, "clusters(4) > pca(5) > flat(scan)");
  EXPECT_EQ(stats.queries, 2U);
  EXPECT_EQ(stats.distances, 2 * count);
  stats = {};
  control.max_distances = clustered.rows(0).size() + 3;
  (void)index.search(queries_.view().rows_from(0, 1), 5, {}, control);
  EXPECT_EQ(stats.distances, control.max_distances) << "the first cluster, then a part of the second";
  EXPECT_EQ(stats.stop, StopReason::budget);
  stats = {};
  control.deadline = SearchControl::Clock::now() - std::chrono::seconds(1);
  const Neighbors late = index.search(queries_.view(), 5, {}, control);
  EXPECT_EQ(late.counts()[0], 0U);
  EXPECT_EQ(late.ids()[0][0], no_id);
  EXPECT_EQ(stats.stop, StopReason::deadline);
}

TEST_P(ClusteredIndex, CountsTheMemoryOfAllMatrices) {
  const Index index = build("pca(5, clusters=4) | f16");
  const Clustered& clustered = clustered_of(index);
  std::size_t expected = count * (sizeof(std::uint32_t) + 5 * 2);
  for (std::size_t c = 0; c < clustered.clusters(); ++c) expected += clustered.projection(c).memory_bytes();
  EXPECT_EQ(index.memory_bytes(), expected);
  EXPECT_EQ(clustered.projection(0).memory_bytes(), dim * (4 * (1 + 5) + 8));
}

INSTANTIATE_TEST_SUITE_P(Metrics, ClusteredIndex, ::testing::Values(Metric::l2, Metric::ip, Metric::cosine));

TEST(Clustered, TakesFewRowsAndEqualOnes) {
  const Rows few = make_rows(3, 4, 1);
  const Index index = Index::build(few.view(), "pca(2, clusters=16) | i8", Metric::l2);
  EXPECT_LE(clustered_of(index).clusters(), 3U);
  EXPECT_EQ(index.search(few.view(), 5).counts()[1], 3U);
  Rows equal{40, 3, std::vector<float>(120, 0.5F)};
  const Index same = Index::build(equal.view(), "pca(2, clusters=8) | f32", Metric::ip);
  EXPECT_EQ(clustered_of(same).clusters(), 1U);
  const Neighbors found = same.search(equal.view().rows_from(0, 1), 10);
  for (Id id = 0; id < 10; ++id) EXPECT_EQ(found.ids()[0][static_cast<std::size_t>(id)], id);
}

TEST(Clustered, NamesRowsThatAreTooLarge) {
  Rows base = make_rows(50, 4, 1);
  base.values[4 * 37] = 1e30F;
  try {
    (void)Index::build(base.view(), "pca(2, clusters=4) | f32", Metric::l2);
    FAIL();
  } catch (const InvalidArgument& error) {
    EXPECT_THAT(error.what(), HasSubstr("37"));
  }
}

TEST(Clustered, IsCancelled) {
  const Rows base = make_rows(500, 8, 1);
  std::stop_source source;
  source.request_stop();
  BuildControl control;
  control.stop = source.get_token();
  EXPECT_THROW((void)Index::build(base.view(), "pca(2, clusters=4) | f32", Metric::l2, {}, control),
               Cancelled);
}

TEST(Clustered, RefusesPartsThatDoNotFit) {
  const Rows base = make_rows(40, 6, 2);
  const auto cluster = [&](std::size_t first, std::size_t rows, std::size_t dims) {
    const MatrixView<const float> own = base.view().rows_from(first, rows);
    const Projection pca = Projection::train({ProjectionKind::pca, dims}, Metric::l2, own);
    Rows projected{rows, dims, std::vector<float>(rows * dims)};
    pca.project_documents(own, {projected.values.data(), rows, dims});
    Array<std::uint32_t> numbers(rows);
    std::iota(numbers.data(), numbers.data() + rows, static_cast<std::uint32_t>(first));
    return Clustered::Cluster{
        std::move(numbers), pca,
        CodeStore::build(Codec::train({}, Metric::l2, projected.view()), projected.view(), {})};
  };
  EXPECT_EQ(Clustered({cluster(0, 30, 3), cluster(30, 10, 3)}).size(), 40U);
  EXPECT_THROW(Clustered({cluster(0, 30, 3), cluster(20, 20, 3)}), InvalidArgument) << "rows twice";
  EXPECT_THROW(Clustered({cluster(1, 30, 3)}), InvalidArgument) << "row 30 of 30";
  Clustered::Cluster short_of_rows = cluster(0, 10, 3);
  short_of_rows.rows = Array<std::uint32_t>(9);
  EXPECT_THROW(Clustered({short_of_rows}), InvalidArgument);
}

TEST(ClusteredFile, IsRefusedWhenItIsNotWhole) {
  const TemporaryFolder folder;
  const Rows base = make_rows(60, 6, 3);
  Index::build(base.view(), "pca(3, clusters=4) | i8", Metric::l2).save(folder / "a.vcn");
  const Container file = Container::open(folder / "a.vcn", OpenMode::load);
  const auto why_not = [&](const std::function<std::string(std::string)>& rename) {
    ContainerWriter writer;
    for (const SectionInfo& section : file.sections()) {
      const std::string name = rename(section.name);
      if (name.empty()) continue;
      const std::size_t elements = section.length / element_size(section.type);
      std::span<const std::byte> bytes;
      Array<std::uint32_t> words;
      Array<float> floats;
      Array<double> doubles;
      Array<std::uint8_t> values;
      switch (section.type) {
        case ElementType::u32:
          bytes = std::as_bytes((words = file.array<std::uint32_t>(section.name, elements)).span());
          break;
        case ElementType::f32:
          bytes = std::as_bytes((floats = file.array<float>(section.name, elements)).span());
          break;
        case ElementType::f64:
          bytes = std::as_bytes((doubles = file.array<double>(section.name, elements)).span());
          break;
        case ElementType::u8:
          bytes = std::as_bytes((values = file.array<std::uint8_t>(section.name, elements)).span());
          break;
        default: bytes = std::as_bytes(std::span(file.metadata(section.name))); break;
      }
      writer.add(name, section.type, bytes, section.version);
    }
    writer.write(folder / "changed.vcn");
    try {
      (void)Index::open(folder / "changed.vcn");
    } catch (const CorruptFile& error) {
      return std::string(error.what());
    }
    return std::string("opened");
  };
  EXPECT_EQ(why_not([](std::string name) { return name; }), "opened");
  EXPECT_THAT(why_not([](const std::string& name) { return name.starts_with("clusters/3/") ? "" : name; }),
              ::testing::AnyOf(HasSubstr("beyond the end"), HasSubstr("section index/meta says 60")));
  EXPECT_THAT(why_not([](const std::string& name) { return name.starts_with("clusters/") ? "" : name; }),
              HasSubstr("hold 0 rows, section index/meta says 60"));
  EXPECT_THAT(
      why_not([](const std::string& name) { return name == "clusters/1/projection/mean" ? "" : name; }),
      HasSubstr("clusters/1/projection/mean is missing"));
  EXPECT_THAT(why_not([](const std::string& name) {
                return name == "clusters/1/projection/mean" ? "projection/mean" : name;
              }),
              HasSubstr("section projection/mean does not belong"));
}

}  // namespace
}  // namespace vicinal
