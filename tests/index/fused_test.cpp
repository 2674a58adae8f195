// Rows with codes of the neighbours, and the searches over them.
#include "vicinal/index/fused_rows.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <numeric>
#include <set>
#include <stop_token>
#include <string>
#include <vector>

#include "vicinal/core/error.hpp"
#include "vicinal/core/executor.hpp"
#include "vicinal/index/hnsw.hpp"
#include "../core/temporary_folder.hpp"
#include "sample_data.hpp"

namespace vicinal {
namespace {

constexpr HnswOptions fused{.m = 8,
                            .ef_construction = 80,
                            .layout = GraphLayout::fused,
                            .alpha = HnswOptions::default_alpha(GraphLayout::fused)};

class Fused : public ::testing::TestWithParam<Metric> {
 protected:
  static constexpr std::size_t count = 1500, dim = 40;

  [[nodiscard]] Hnsw build(CodecKind kind = CodecKind::f32, const HnswOptions& options = fused,
                           const BuildControl& control = {}) const {
    return Hnsw::build(Codec::train({.kind = kind}, GetParam(), base_.view()), base_.view(), options,
                       control);
  }
  [[nodiscard]] Neighbors search(const Hnsw& index, std::size_t k, const Hnsw::Params& params,
                                 const SearchControl& control = {}) const {
    Neighbors found(queries_.count, k);
    index.search({queries_.view()}, found.view(), params, control);
    return found;
  }

  Rows base_ = make_rows(count, dim, 21);
  Rows queries_ = make_rows(60, dim, 21, 3);
};

// Over all links of some nodes the estimates are right in the mean, and off by no more than one bit a dimension explains.
TEST_P(Fused, EstimatesAreUnbiasedAndTheirErrorIsThatOfBits) {
  const Hnsw index = build();
  const CodeStore& codes = index.codes();
  const FusedRows rows = FusedRows::build(codes, index.graph().level(0), {});
  FusedQuery query;
  std::vector<float> estimates(rows.degree());
  std::vector<std::uint16_t> near(rows.degree() / block_records);
  double sum = 0;
  double squares = 0;
  double expected_squares = 0;
  std::size_t links = 0;
  const auto vector_of = [&](std::size_t slot) {
    std::vector<float> vector(dim);
    codes.decode(slot, vector);
    return vector;
  };
  for (std::size_t q = 0; q < queries_.count; ++q) {
    std::vector<float> asked(queries_[q].begin(), queries_[q].end());
    if (GetParam() == Metric::cosine) normalise(queries_[q], asked);
    rows.prepare_query(queries_[q], query);
    for (std::uint32_t slot = 0; slot < count; slot += 61) {
      const std::vector<float> node = vector_of(slot);
      const auto distance = static_cast<float>(exact_distance(asked, node, GetParam()));
      rows.score(slot, distance, query, 0, estimates.data(), near.data());
      const std::size_t degree = index.graph().level(0).count(slot);
      for (std::size_t i = 0; i < degree; ++i) {
        ASSERT_EQ(rows.neighbours(slot)[i], index.graph().level(0).list(slot)[i]);
        const std::vector<float> neighbour = vector_of(rows.neighbours(slot)[i]);
        const double error = static_cast<double>(estimates[i]) - exact_distance(asked, neighbour, GetParam());
        sum += error;
        squares += error * error;
        // (1 - 2 / pi) / (2 / pi) of the square of a product with a random direction.
        const double spread = 0.571 * exact_distance(node, neighbour, Metric::l2) *
                              exact_distance(asked, node, Metric::l2) / static_cast<double>(dim);
        expected_squares += (GetParam() == Metric::l2 ? 4 : 1) * spread;
        ++links;
      }
    }
  }
  const double deviation = std::sqrt(expected_squares / static_cast<double>(links));
  EXPECT_NEAR(sum / static_cast<double>(links), 0, 0.05 * deviation);
  EXPECT_LT(std::sqrt(squares / static_cast<double>(links)), 1.15 * deviation);
  EXPECT_GT(std::sqrt(squares / static_cast<double>(links)), 0.7 * deviation);
}

TEST_P(Fused, FindsWhatThePlainLayoutFinds) {
  const Hnsw index = build();
  HnswOptions options = fused;
  options.layout = GraphLayout::plain;
  const Hnsw plain = build(CodecKind::f32, options);
  const auto recall = [&](const Hnsw& which, const Hnsw::Params& params) {
    return recall_of(search(which, 10, params), base_, queries_, GetParam());
  };
  EXPECT_GT(recall(index, {.ef = 200}), 0.99);
  EXPECT_GT(recall(index, {.ef = 200, .adaptive = false}), 0.99);
  EXPECT_GT(recall(index, {.ef = 64}), recall(plain, {.ef = 64}) - 0.03);
  EXPECT_EQ(recall(index, {.ef = count, .adaptive = false}), 1.0) << "every node is expanded";
}

// Fewer hops than the width allows, and the answers hardly differ.
TEST_P(Fused, EndsEarlyWhenLittleIsLeft) {
  const Hnsw index = build();
  SearchStats wide;
  SearchStats early;
  SearchControl control;
  control.stats = &wide;
  const Neighbors all = search(index, 10, {.ef = 256, .adaptive = false}, control);
  control.stats = &early;
  const Neighbors some = search(index, 10, {.ef = 128}, control);
  EXPECT_LT(early.hops, wide.hops);
  EXPECT_GT(recall_of(some, base_, queries_, GetParam()), recall_of(all, base_, queries_, GetParam()) - 0.01);
  EXPECT_EQ(early.strategy, "hnsw(fused, ef=128)");
}

TEST_P(Fused, DistancesAreThoseOfTheCodec) {
  const Hnsw index = build(CodecKind::i8);
  const Neighbors found = search(index, 10, {.ef = 50});
  const Codec& codec = index.codes().codec();
  std::vector<std::uint32_t> slot_of(count);
  for (std::uint32_t slot = 0; slot < count; ++slot) slot_of[index.row_of_slot()[slot]] = slot;
  PreparedQuery query;
  for (std::size_t q = 0; q < queries_.count; ++q) {
    codec.prepare_query(queries_[q], query);
    for (std::size_t i = 0; i < 10; ++i) {
      const std::uint32_t slot = slot_of[static_cast<std::size_t>(found.ids()[q][i])];
      float distance = 0;
      index.codes().score(query, &slot, 1, &distance);
      EXPECT_EQ(found.distances()[q][i], distance);
    }
  }
}

// Searches of a batch that take turns find, and do, what each does alone: whatever the size of the batch, and where some end early.
TEST_P(Fused, TurnsChangeNothing) {
  const Hnsw index = build(CodecKind::i8);
  ThreadPool threads(2);
  for (const std::uint64_t most : {std::numeric_limits<std::uint64_t>::max(), std::uint64_t{60}}) {
    SearchStats alone;
    SearchControl control;
    control.max_distances = most;
    control.stats = &alone;
    std::vector<Neighbors> expected;
    for (std::size_t q = 0; q < queries_.count; ++q) {
      expected.emplace_back(1, 10);
      index.search({MatrixView<const float>(queries_[q].data(), 1, dim)}, expected.back().view(), {.ef = 40},
                   control);
    }
    EXPECT_GT(alone.hops, 20 * queries_.count);
    for (const bool parallel : {false, true}) {
      for (const std::size_t size : {std::size_t{2}, std::size_t{3}, std::size_t{7}, queries_.count}) {
        SearchStats together;
        control.stats = &together;
        control.executor = parallel ? ExecutorRef(threads) : ExecutorRef();
        for (std::size_t first = 0; first < queries_.count; first += size) {
          const std::size_t some = std::min(size, queries_.count - first);
          Neighbors found(some, 10);
          index.search({MatrixView<const float>(queries_[first].data(), some, dim)}, found.view(), {.ef = 40},
                       control);
          for (std::size_t q = 0; q < some; ++q) {
            for (std::size_t i = 0; i < 10; ++i) {
              ASSERT_EQ(found.ids()[q][i], expected[first + q].ids()[0][i]);
              ASSERT_EQ(found.distances()[q][i], expected[first + q].distances()[0][i]);
            }
          }
        }
        EXPECT_EQ(together.hops, alone.hops);
        EXPECT_EQ(together.distances, alone.distances);
        EXPECT_EQ(together.queries, alone.queries);
        EXPECT_EQ(together.bytes, alone.bytes);
        EXPECT_EQ(together.stop, alone.stop);
      }
    }
  }
}

// A search that is stopped between the hops of several queries answers all of them, with what there was.
TEST_P(Fused, AStopReachesQueriesThatTakeTurns) {
  const Rows base =
      make_rows(6000, dim, 21);  // so many that five queries do not ask the filter about all of them first
  const Hnsw index = Hnsw::build(Codec::train({.kind = CodecKind::i8}, GetParam(), base.view()), base.view(),
                                 {.m = 8, .ef_construction = 40, .layout = GraphLayout::fused});
  std::stop_source source;
  std::uint64_t asked = 0;
  SearchStats stats;
  SearchControl control;
  control.stop = source.get_token();
  control.stats = &stats;
  control.filter = Filter::predicate([&](Id) {
    if (++asked == 620) source.request_stop();  // beyond those that estimate the share
    return true;
  });
  Neighbors found(5, 10);
  index.search({queries_.view().rows_from(0, 5)}, found.view(), {.ef = 100}, control);
  EXPECT_EQ(stats.stop, StopReason::cancelled);
  EXPECT_EQ(stats.queries, 5U);
  EXPECT_GT(found.counts()[0], 0U);
  EXPECT_EQ(found.counts()[4], 0U);
}

TEST_P(Fused, DoesNotDependOnThreadsAndSurvivesAFile) {
  const TemporaryFolder folder;
  ThreadPool threads(3);
  BuildControl control;
  control.executor = threads;
  const auto save = [&](const Hnsw& index, const std::string& name) {
    ContainerWriter writer;
    index.save(writer, "hnsw");
    writer.write(folder / name);
    return read_bytes(folder / name);
  };
  const Hnsw index = build(CodecKind::i8);
  const auto bytes = save(index, "one.vcn");
  EXPECT_EQ(save(build(CodecKind::i8, fused, control), "several.vcn"), bytes);
  for (const OpenMode mode : {OpenMode::load, OpenMode::map}) {
    const Hnsw opened = Hnsw::load(Container::open(folder / "one.vcn", mode), "hnsw");
    EXPECT_EQ(opened.options(), index.options());
    EXPECT_EQ(opened.memory_bytes(), index.memory_bytes());
    EXPECT_EQ(save(opened, "again.vcn"), bytes);
    EXPECT_TRUE(same_results(search(opened, 10, {}), search(index, 10, {})));
  }
}

TEST_P(Fused, FiltersAreKept) {
  const Hnsw index = build();
  SearchControl control;
  control.filter = Filter::predicate([](Id id) { return id % 5 < 3; });
  const Neighbors found = search(index, 5, {.ef = 60}, control);
  std::size_t hits = 0;
  for (std::size_t q = 0; q < queries_.count; ++q) {
    ASSERT_EQ(found.counts()[q], 5U);
    for (const Id id : found.ids()[q]) EXPECT_LT(id % 5, 3);
    for (const auto& [distance, id] :
         exact_neighbors(base_, queries_[q], GetParam(), 5, [](Id i) { return i % 5 < 3; }))
      hits += static_cast<std::size_t>(std::count(found.ids()[q].begin(), found.ids()[q].end(), id));
  }
  EXPECT_GT(static_cast<double>(hits), 0.93 * 5 * static_cast<double>(queries_.count));
}

TEST_P(Fused, AbsentRowsAreNeitherFoundNorWalkedThrough) {
  const Hnsw index = build();
  std::vector<std::uint32_t> absent(count);
  std::iota(absent.begin(), absent.end(), 0U);
  Neighbors found(count, 5);
  index.search_without({base_.view()}, absent, found.view(), {.ef = 60}, {});
  std::size_t hits = 0;
  for (std::size_t row = 0; row < count; ++row) {
    const auto ids = found.ids()[row];
    EXPECT_EQ(found.counts()[row], 5U);
    EXPECT_EQ(std::count(ids.begin(), ids.end(), static_cast<Id>(row)), 0);
    if (row % 10 != 0) continue;
    for (const auto& [distance, id] :
         exact_neighbors(base_, base_[row], GetParam(), 5, [&](Id i) { return i != static_cast<Id>(row); }))
      hits += static_cast<std::size_t>(std::count(ids.begin(), ids.end(), id));
  }
  EXPECT_GT(static_cast<double>(hits), 0.9 * 5 * count / 10);
}

INSTANTIATE_TEST_SUITE_P(Metrics, Fused, ::testing::Values(Metric::l2, Metric::ip, Metric::cosine));

// Of equal rows differences have no direction; of one there is no neighbour; of one dimension there is one bit.
TEST(FusedEdges, FewEqualAndNarrowRows) {
  for (const Metric metric : {Metric::l2, Metric::ip, Metric::cosine}) {
    for (const std::size_t rows : {1UL, 2UL, 17UL, 300UL}) {
      for (const std::size_t dim : {1UL, 3UL, 33UL}) {
        Rows base{rows, dim, std::vector<float>(rows * dim, 0.75F)};
        const Hnsw index = Hnsw::build(Codec::train({}, metric, base.view()), base.view(), fused);
        Neighbors found(1, 10);
        index.search({base.view().rows_from(0, 1)}, found.view(), {.ef = 10}, {});
        ASSERT_EQ(found.counts()[0], std::min<std::size_t>(rows, 10)) << rows << " x " << dim;
        EXPECT_EQ(audit(index.graph()).unreachable, 0U);
        Rows line{rows, 1, {}};
        for (std::size_t i = 0; i < rows; ++i) line.values.push_back(static_cast<float>(i));
        const Hnsw on_line = Hnsw::build(Codec::train({}, Metric::l2, line.view()), line.view(), fused);
        on_line.search({line.view().rows_from(rows - 1, 1)}, found.view(), {.ef = 40}, {});
        EXPECT_EQ(found.ids()[0][0], static_cast<Id>(rows - 1));
      }
    }
  }
}

TEST(FusedEdges, HugeAndTinyValuesGiveKResults) {
  for (const float scale : {1e-30F, 1e-18F, 1e15F}) {
    Rows base = make_rows(200, 8, 5);
    for (float& value : base.values) value *= scale;
    const Hnsw index = Hnsw::build(Codec::train({}, Metric::l2, base.view()), base.view(), fused);
    Neighbors found(base.count, 3);
    index.search({base.view()}, found.view(), {.ef = 50}, {});
    for (std::size_t row = 0; row < base.count; ++row) ASSERT_EQ(found.counts()[row], 3U) << scale;
  }
}

TEST(FusedEdges, OptionsAreChecked) {
  HnswOptions options = fused;
  options.m = 12;
  EXPECT_THROW(options.validate(), InvalidArgument);
  options = fused;
  for (const float alpha : {0.5F, 2.5F, std::nanf("")}) {
    options.alpha = alpha;
    EXPECT_THROW(options.validate(), InvalidArgument);
  }
}

TEST(FusedFile, IsRefusedWhenItIsNotWhole) {
  const TemporaryFolder folder;
  const Rows base = make_rows(50, 6, 3);
  const Hnsw index = Hnsw::build(Codec::train({}, Metric::l2, base.view()), base.view(), fused);
  const FusedRows rows = FusedRows::build(index.codes(), index.graph().level(0), {});
  const auto why_not = [&](std::size_t degree, const std::function<void(std::vector<std::byte>&)>& change) {
    ContainerWriter kept;
    rows.save(kept, "fused");
    kept.write(folder / "a.vcn");
    const Container file = Container::open(folder / "a.vcn", OpenMode::load);
    const Array<std::uint8_t> stored =
        file.array<std::uint8_t>("fused/bf16_rows", rows.size() * rows.row_bytes());
    const Array<float> centre = file.array<float>("fused/centre", 6);
    std::vector<std::byte> bytes(stored.size());
    std::memcpy(bytes.data(), stored.data(), bytes.size());
    change(bytes);
    ContainerWriter writer;
    writer.add("fused/bf16_rows", ElementType::u8, std::span<const std::byte>(bytes));
    writer.add("fused/centre", std::as_const(centre).span());
    writer.write(folder / "b.vcn");
    try {
      (void)FusedRows::load(Container::open(folder / "b.vcn", OpenMode::load), "fused", index.codes(),
                            degree);
    } catch (const CorruptFile& error) {
      return std::string(error.what());
    }
    return std::string("opened");
  };
  const std::size_t factors = 64;  // of one block and one word
  EXPECT_EQ(why_not(16, [](auto&) {}), "opened");
  EXPECT_THAT(why_not(32, [](auto&) {}), ::testing::HasSubstr("fused/bf16_rows"));
  EXPECT_THAT(why_not(16, [](auto& bytes) { bytes.resize(bytes.size() - 1); }),
              ::testing::HasSubstr("fused/bf16_rows"));
  EXPECT_THAT(why_not(16,
                      [&](auto& bytes) {
                        const std::uint16_t infinity = 0x7F80;  // of bfloat16
                        std::memcpy(bytes.data() + 7 * rows.row_bytes() + factors, &infinity,
                                    sizeof(infinity));
                      }),
              ::testing::HasSubstr("a factor of node 7 is not finite"));
}

// The first files had factors of binary32 (tests/golden has some).
TEST(FusedFile, FactorsBeyondBfloat16AreRefused) {
  const TemporaryFolder folder;
  const Rows base = make_rows(50, 6, 3);
  const Hnsw index = Hnsw::build(Codec::train({}, Metric::l2, base.view()), base.view(), fused);
  const std::vector<float> centre(6);
  constexpr std::size_t row = (64 + 2 * 16 * sizeof(float) + 16 * sizeof(std::uint32_t)) / sizeof(float);
  for (const char* section : {"fused/blocks", "fused/rows"}) {
    for (const float factor : {0x1.FEp127F, std::numeric_limits<float>::max()}) {
      std::vector<float> rows(50 * row);
      rows[9 * row + 16 + 31] = factor;
      ContainerWriter writer;
      writer.add(section, ElementType::u8, std::as_bytes(std::span(rows)));
      writer.add("fused/centre", std::span(centre));
      writer.write(folder / "a.vcn");
      const auto load = [&] {
        return FusedRows::load(Container::open(folder / "a.vcn", OpenMode::load), "fused", index.codes(), 16);
      };
      if (factor < std::numeric_limits<float>::max()) {
        EXPECT_EQ(load().size(), 50U);
      } else {
        EXPECT_THROW((void)load(), CorruptFile);
      }
    }
  }
}

}  // namespace
}  // namespace vicinal
