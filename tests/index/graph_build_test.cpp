#include <gtest/gtest.h>

#include <numeric>
#include <vector>

#include "vicinal/index/build_space.hpp"
#include "vicinal/index/graph_repair.hpp"
#include "vicinal/index/hnsw.hpp"
#include "vicinal/index/insertion_order.hpp"
#include "vicinal/index/neighbour_selection.hpp"
#include "sample_data.hpp"

namespace {

using namespace vicinal;

Hnsw build(const Rows& rows, CodecKind kind, Metric metric,
           const HnswOptions& options = {.m = 8, .ef_construction = 60, .seed = 7},
           ExecutorRef executor = {}) {
  BuildControl control;
  control.executor = executor;
  return Hnsw::build(Codec::train({.kind = kind}, metric, rows.view(), control), rows.view(), options,
                     control);
}

bool same_graph(const Hnsw& a, const Hnsw& b) {
  if (a.graph().levels() != b.graph().levels()) return false;
  for (std::size_t l = 0; l < a.graph().levels(); ++l) {
    const auto left = a.graph().level(l).links.span();
    const auto right = b.graph().level(l).links.span();
    if (!std::equal(left.begin(), left.end(), right.begin(), right.end())) return false;
  }
  return std::equal(a.codes().records(), a.codes().records() + a.size() * a.codes().codec().stride(),
                    b.codes().records());
}

class GraphBuild : public testing::TestWithParam<std::tuple<CodecKind, Metric>> {};

TEST_P(GraphBuild, IsTheSameForAnyNumberOfThreads) {
  const auto [kind, metric] = GetParam();
  const Rows rows = make_rows(1500, 20, 11);
  const Hnsw one = build(rows, kind, metric);
  for (const std::size_t threads : {2U, 4U}) {
    ThreadPool pool(threads);
    EXPECT_TRUE(same_graph(one, build(rows, kind, metric, {.m = 8, .ef_construction = 60, .seed = 7}, pool)))
        << threads;
  }
  EXPECT_FALSE(same_graph(one, build(rows, kind, metric, {.m = 8, .ef_construction = 60, .seed = 8})));
}

TEST_P(GraphBuild, DoesNotDependOnTheOrderOfTheRows) {
  const auto [kind, metric] = GetParam();
  const Rows rows = make_rows(1200, 12, 3);
  Rows turned = rows;
  for (std::size_t i = 0; i < rows.count; ++i)
    std::ranges::copy(rows[rows.count - 1 - i], turned.values.data() + i * rows.dim);
  // Without the mean, a rounded sum over rows in the order given.
  const auto of = [kind = kind, metric = metric](const Rows& given) {
    const Codec codec = Codec::train({.kind = kind, .centre = false}, metric, given.view());
    return Hnsw::build(codec, given.view(), {.m = 8, .ef_construction = 60});
  };
  const Hnsw a = of(rows);
  const Hnsw b = of(turned);
  EXPECT_TRUE(same_graph(a, b));
  for (std::size_t slot = 0; slot < a.size(); ++slot)
    EXPECT_EQ(a.row_of_slot()[slot], rows.count - 1 - b.row_of_slot()[slot]);
}

TEST_P(GraphBuild, LeavesNothingUnreachable) {
  const auto [kind, metric] = GetParam();
  for (const std::size_t count : {1U, 2U, 3U, 9U, 70U, 257U, 3000U}) {
    const Hnsw index = build(make_rows(count, 16, count), kind, metric);
    EXPECT_EQ(audit(index.graph()).unreachable, 0U) << count;
  }
}

INSTANTIATE_TEST_SUITE_P(CodecsAndMetrics, GraphBuild,
                         testing::Combine(testing::Values(CodecKind::f32, CodecKind::bf16, CodecKind::i8,
                                                          CodecKind::e4m3, CodecKind::i4),
                                          testing::Values(Metric::l2, Metric::ip, Metric::cosine)),
                         [](const auto& given) {
                           return std::string(to_string(std::get<0>(given.param))) + "_" +
                                  std::string(to_string(std::get<1>(given.param)));
                         });

// Equal rows lie at distance 0 from each other, which prunes all links among them but one: the classic way to lose nodes.
TEST(GraphBuild, ManyEqualRowsStayReachable) {
  Rows rows = make_rows(2000, 8, 5);
  for (std::size_t i = 0; i < 1200; ++i) std::ranges::copy(rows[0], rows.values.data() + i * rows.dim);
  for (const CodecKind kind : {CodecKind::f32, CodecKind::i8}) {
    const Hnsw index = build(rows, kind, Metric::l2);
    EXPECT_EQ(audit(index.graph()).unreachable, 0U);
  }
  Rows all_equal = make_rows(600, 8, 5);
  for (std::size_t i = 0; i < all_equal.count; ++i)
    std::ranges::copy(all_equal[0], all_equal.values.data() + i * all_equal.dim);
  EXPECT_EQ(audit(build(all_equal, CodecKind::f32, Metric::l2).graph()).unreachable, 0U);
}

// Inner product with norms that differ by orders of magnitude: pruned as inner products, a few long rows would draw every link.
TEST(GraphBuild, InnerProductOfUnequalNormsFindsTheTrueNeighbours) {
  Rows rows = make_rows(3000, 16, 21);
  RandomStream random(4, 4);
  for (std::size_t i = 0; i < rows.count; ++i) {
    const auto factor = static_cast<float>(std::exp(3.0 * random.next_unit()));
    for (std::size_t j = 0; j < rows.dim; ++j) rows.values[i * rows.dim + j] *= factor;
  }
  const Rows queries = make_rows(60, 16, 21, 9);
  const Hnsw index = build(rows, CodecKind::f32, Metric::ip, {.m = 16, .ef_construction = 150, .seed = 1});
  Neighbors found(queries.count, 10);
  index.search({queries.view()}, found.view(), {.ef = 200}, {});
  EXPECT_GT(recall_of(found, rows, queries, Metric::ip), 0.97);
  EXPECT_EQ(audit(index.graph()).unreachable, 0U);
}

TEST(InsertionOrder, IsAPermutationOfContentNotOfPlace) {
  Rows rows = make_rows(500, 4, 2);
  for (std::size_t i = 100; i < 200; ++i) std::ranges::copy(rows[100], rows.values.data() + i * rows.dim);
  const auto order = insertion_order(rows.view(), 1, {});
  std::vector<std::uint32_t> sorted = order;
  std::ranges::sort(sorted);
  for (std::uint32_t i = 0; i < sorted.size(); ++i) ASSERT_EQ(sorted[i], i);
  EXPECT_NE(order, insertion_order(rows.view(), 2, {}));
  // The hundred equal rows do not stand together.
  std::size_t longest = 0;
  std::size_t run = 0;
  for (const std::uint32_t row : order) {
    run = row >= 100 && row < 200 ? run + 1 : 0;
    longest = std::max(longest, run);
  }
  EXPECT_LT(longest, 10U);
}

// The rule as the paper states it, one comparison at a time.
std::vector<std::uint32_t> select_plainly(const Rows& rows, const std::vector<Candidate>& candidates,
                                          std::size_t most, double alpha) {
  std::vector<std::uint32_t> kept;
  for (const Candidate& candidate : candidates) {
    if (kept.size() == most) break;
    const bool apart = std::ranges::all_of(kept, [&](std::uint32_t other) {
      return alpha * exact_distance(rows[candidate.slot], rows[other], Metric::l2) >
             static_cast<double>(candidate.distance);
    });
    if (apart) kept.push_back(candidate.slot);
  }
  return kept;
}

TEST(NeighbourSelection, KeepsWhatThePapersRuleKeeps) {
  const Rows rows = make_rows(200, 6, 17);
  const CodeStore codes = CodeStore::build(Codec::train({}, Metric::l2, rows.view()), rows.view(), {});
  const BuildSpace space(codes, {});
  NeighbourSelection selection;
  for (std::uint32_t node = 0; node < 40; ++node) {
    std::vector<Candidate> candidates;
    for (std::uint32_t other = 0; other < rows.count; ++other) {
      if (other != node)
        candidates.push_back(
            {static_cast<float>(exact_distance(rows[node], rows[other], Metric::l2)), other});
    }
    std::sort(candidates.begin(), candidates.end());
    for (const std::size_t most : {1U, 4U, 64U}) {
      for (const float alpha : {1.0F, 1.25F, 2.0F}) {
        std::vector<Candidate> chosen = candidates;
        selection.select(space, chosen, most, alpha);
        std::vector<std::uint32_t> slots;
        for (const Candidate& c : chosen) slots.push_back(c.slot);
        EXPECT_EQ(slots, select_plainly(rows, candidates, most, static_cast<double>(alpha)));
      }
    }
  }
  std::vector<Candidate> none;
  selection.select(space, none, 8, 1.0F);
  EXPECT_TRUE(none.empty());
}

// Islands in full lists: every place is taken, so links must be given up, and only those that no path needs.
TEST(GraphRepair, ReachesIslandsWithoutLosingOthers) {
  constexpr std::size_t count = 240;
  constexpr std::size_t degree = 4;
  constexpr std::uint32_t island = 8;
  const Rows rows = make_rows(count, 5, 33);
  const CodeStore codes = CodeStore::build(Codec::train({}, Metric::l2, rows.view()), rows.view(), {});
  const BuildSpace space(codes, {});
  Graph::Level level{count, degree, Array<std::uint32_t>(count * degree)};
  std::vector<float> distances(count * degree);
  for (std::uint32_t slot = 0; slot < count; ++slot) {
    for (std::uint32_t i = 0; i < degree; ++i) {
      const std::uint32_t first = slot / island * island;
      const std::uint32_t other = first + (slot - first + i + 1) % island;
      level.links[slot * degree + i] = other;
      distances[slot * degree + i] = static_cast<float>(exact_distance(rows[slot], rows[other], Metric::l2));
    }
  }
  EXPECT_EQ(audit(Graph({level})).unreachable, count - island);
  const std::size_t linked = make_reachable(level, space, 10, distances);
  EXPECT_EQ(linked, count / island - 1);
  EXPECT_EQ(audit(Graph({level})).unreachable, 0U);
}

TEST(GraphBuild, RefusesOptionsOutOfRange) {
  const Rows rows = make_rows(10, 4, 1);
  const Codec codec = Codec::train({}, Metric::l2, rows.view());
  EXPECT_THROW(Hnsw::build(codec, rows.view(), {.m = 3}), InvalidArgument);
  EXPECT_THROW(Hnsw::build(codec, rows.view(), {.m = 16, .ef_construction = 15}), InvalidArgument);
  EXPECT_THROW(Hnsw::build(codec, rows.view().rows_from(0, 0), {}), InvalidArgument);
}

TEST(GraphBuild, StopsWhenAskedAndReportsProgress) {
  const Rows rows = make_rows(2000, 8, 1);
  const Codec codec = Codec::train({}, Metric::l2, rows.view());
  std::stop_source source;
  BuildControl control;
  control.stop = source.get_token();
  std::uint64_t last = 0;
  control.progress = [&](std::string_view phase, std::uint64_t done, std::uint64_t total) {
    EXPECT_LE(done, total);
    if (phase != "linking") return;
    EXPECT_GE(done, last);
    last = done;
    if (done > 500) source.request_stop();
  };
  EXPECT_THROW(Hnsw::build(codec, rows.view(), {.m = 8}, control), Cancelled);
  EXPECT_GT(last, 500U);
}

}  // namespace
