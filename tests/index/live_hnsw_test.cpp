#include "vicinal/index/live_hnsw.hpp"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <optional>
#include <set>
#include <vector>

#include "vicinal/core/error.hpp"
#include "vicinal/core/executor.hpp"
#include "vicinal/index/flat.hpp"
#include "sample_data.hpp"

namespace vicinal {
namespace {

Codec codec_of(CodecKind kind, Metric metric, const Rows& base) {
  return Codec::train({.kind = kind}, metric, base.view());
}

std::vector<Id> numbers(std::size_t count, Id first = 0) {
  std::vector<Id> ids(count);
  std::iota(ids.begin(), ids.end(), first);
  return ids;
}

Neighbors search(const LiveHnsw& live, MatrixView<const float> queries, std::size_t k, std::size_t ef = 64,
                 const SearchControl& control = {}) {
  Neighbors out(queries.rows(), k);
  live.search(queries, out.view(), {.ef = ef, .depth = 0}, control);
  return out;
}

Neighbors exact(const Rows& base, const Rows& queries, Metric metric, std::size_t k) {
  Neighbors out(queries.count, k);
  Flat(CodeStore::build(codec_of(CodecKind::f32, metric, base), base.view(), {}))
      .search(queries.view(), out.view(), {}, {});
  return out;
}

bool same(const Neighbors& a, const Neighbors& b) {
  for (std::size_t q = 0; q < a.size(); ++q) {
    if (!std::ranges::equal(a.ids()[q], b.ids()[q]) ||
        !std::ranges::equal(a.distances()[q], b.distances()[q]))
      return false;
  }
  return a.size() == b.size();
}

constexpr HnswOptions small_graph{.m = 8, .ef_construction = 60, .alpha = 1.2F};

class LiveHnswOfMetric : public testing::TestWithParam<Metric> {};

TEST_P(LiveHnswOfMetric, FindsWhatABuiltGraphFinds) {
  const Rows base = make_rows(3000, 16, 1), queries = make_rows(200, 16, 1, 9);
  LiveHnsw live(codec_of(CodecKind::f32, GetParam(), base), small_graph);
  const std::vector<Id> ids = numbers(base.count);
  for (std::size_t first = 0; first < base.count; first += 100)
    live.add(base.view().rows_from(first, 100), std::span(ids).subspan(first, 100));
  EXPECT_EQ(live.size(), base.count);
  const Neighbors truth = exact(base, queries, GetParam(), 10);
  const double found = recall(search(live, queries.view(), 10).ids(), truth.ids(), 10);
  const Hnsw built = Hnsw::build(codec_of(CodecKind::f32, GetParam(), base), base.view(), small_graph);
  Neighbors other(queries.count, 10);
  built.search(queries.view(), other.view(), {.ef = 64}, {});
  EXPECT_GE(found, recall(other.ids(), truth.ids(), 10) - 0.01);
  EXPECT_GE(found, 0.95);
}

TEST_P(LiveHnswOfMetric, KeepsItsRecallWhenEveryVectorWasReplaced) {
  const Rows base = make_rows(2000, 16, 2), queries = make_rows(200, 16, 2, 9),
             other = make_rows(2000, 16, 2, 5);
  LiveHnsw live(codec_of(CodecKind::f32, GetParam(), base), small_graph);
  const std::vector<Id> ids = numbers(base.count);
  live.add(other.view(), ids);
  const double fresh =
      recall(search(live, queries.view(), 10).ids(), exact(other, queries, GetParam(), 10).ids(), 10);
  for (std::size_t first = 0; first < base.count; first += 20)
    live.upsert(base.view().rows_from(first, 20), std::span(ids).subspan(first, 20));
  EXPECT_EQ(live.size(), base.count);
  const Neighbors truth = exact(base, queries, GetParam(), 10);
  EXPECT_GE(recall(search(live, queries.view(), 10).ids(), truth.ids(), 10), fresh - 0.015);
  EXPECT_TRUE(live.consolidate());
  EXPECT_EQ(live.retired(), 0U);
  EXPECT_GE(recall(search(live, queries.view(), 10).ids(), truth.ids(), 10), fresh - 0.015);
}

INSTANTIATE_TEST_SUITE_P(Metrics, LiveHnswOfMetric, testing::Values(Metric::l2, Metric::ip, Metric::cosine));

// What a live graph must hold, and how near what it found was.
struct Model {
  std::map<Id, std::size_t> row_of;  // rows of a fixed table
  std::size_t wanted = 0, nearest = 0;
};

// An operation on ids below `most_ids`, on rows of the table.
struct Operation {
  int kind = 0;
  std::vector<std::pair<int, int>> items;  // id, row

  friend std::ostream& operator<<(std::ostream& out, const Operation& operation) {
    out << "{" << operation.kind << ":";
    for (const auto& [id, row] : operation.items) out << " " << id << "=" << row;
    return out << "}";
  }
};
constexpr int most_ids = 60;
constexpr int table_rows = 40;  // fewer than ids, so that vectors repeat

}  // namespace

}  // namespace vicinal

namespace rc {
template <>
struct Arbitrary<vicinal::Operation> {
  static Gen<vicinal::Operation> arbitrary() {
    return gen::build<vicinal::Operation>(
        gen::set(&vicinal::Operation::kind, gen::inRange(0, 8)),
        gen::set(&vicinal::Operation::items,
                 gen::container<std::vector<std::pair<int, int>>>(
                     gen::pair(gen::inRange(0, vicinal::most_ids), gen::inRange(0, vicinal::table_rows)))));
  }
};
}  // namespace rc

namespace vicinal {
namespace {

void check_search(const LiveHnsw& live, Model& model, const Rows& table, std::span<const float> query,
                  std::size_t k, std::size_t ef, const std::vector<Id>* allowed) {
  SearchControl control;
  std::vector<Id> sorted;
  if (allowed != nullptr) {
    std::set<Id> unique(allowed->begin(), allowed->end());
    sorted.assign(unique.begin(), unique.end());
    control.filter = Filter::id_set(sorted);
  }
  std::vector<std::pair<float, Id>> expected;
  for (const auto& [id, row] : model.row_of) {
    if (allowed == nullptr || std::ranges::binary_search(sorted, id))
      expected.emplace_back(static_cast<float>(exact_distance(query, table[row], Metric::l2)), id);
  }
  std::sort(expected.begin(), expected.end());
  const Neighbors found = search(live, {query.data(), 1, query.size()}, k, ef, control);
  RC_ASSERT(found.counts()[0] == std::min(k, expected.size()));
  std::set<Id> seen;
  for (std::size_t i = 0; i < found.counts()[0]; ++i) {
    const Id id = found.ids()[0][i];
    RC_ASSERT(model.row_of.contains(id));
    RC_ASSERT(allowed == nullptr || std::ranges::binary_search(sorted, id));
    RC_ASSERT(seen.insert(id).second);
    const double own = exact_distance(query, table[model.row_of.at(id)], Metric::l2);
    RC_ASSERT(std::abs(static_cast<double>(found.distances()[0][i]) - own) <= 1e-4 * (1 + own));
    // As near as the i-th of all: always, where everything is compared.
    const bool near = static_cast<double>(found.distances()[0][i]) <=
                      static_cast<double>(expected[i].first) * 1.0001 + 1e-4;
    RC_ASSERT(near || (ef < model.row_of.size() && allowed == nullptr));
    ++model.wanted;
    model.nearest += near ? 1 : 0;
  }
}

void run_operations(const std::vector<Operation>& operations, std::uint64_t seed) {
  const Rows table = make_rows(table_rows, 6, seed);
  LiveHnsw live(codec_of(CodecKind::f32, Metric::l2, table),
                {.m = 4, .ef_construction = 20, .seed = seed, .alpha = 1.2F});
  Model model;
  for (const Operation& operation : operations) {
    std::map<Id, std::size_t> items;
    std::vector<Id> ids;
    std::vector<float> rows;
    for (const auto& [id, row] : operation.items) items.emplace(id, row);
    for (const auto& [id, row] : items) {
      ids.push_back(id);
      rows.insert(rows.end(), table[row].begin(), table[row].end());
    }
    const MatrixView<const float> view(rows.data(), ids.size(), table.dim);
    switch (operation.kind) {
      case 0:
      case 1:
        live.upsert(view, ids);
        for (const auto& [id, row] : items) model.row_of[id] = row;
        break;
      case 2: {
        const bool any = std::ranges::any_of(ids, [&](Id id) { return model.row_of.contains(id); });
        if (any) {
          RC_ASSERT_THROWS_AS(live.add(view, ids), InvalidArgument);
        } else {
          live.add(view, ids);
          for (const auto& [id, row] : items) model.row_of[id] = row;
        }
        break;
      }
      case 3:
      case 4: {
        std::size_t expected = 0;
        for (const Id id : ids) expected += model.row_of.erase(id);
        RC_ASSERT(live.remove(ids) == expected);
        break;
      }
      case 5: live.consolidate(items.size() * 3); break;
      case 6:
        check_search(live, model, table, table[items.empty() ? 0 : items.begin()->second], 5, 20, &ids);
        break;
      default: break;
    }
    RC_ASSERT(live.size() == model.row_of.size());
    check_search(live, model, table, table[items.empty() ? 0 : items.rbegin()->second], 1 + items.size() % 7,
                 10, nullptr);
    check_search(live, model, table, table[items.empty() ? 0 : items.begin()->second], 10, most_ids, nullptr);
  }
  RC_ASSERT(model.nearest * 100 + 1000 >= model.wanted * 97);
  std::vector<Id> expected;
  for (const auto& [id, row] : model.row_of) expected.push_back(id);
  RC_ASSERT(live.ids() == expected);
  if (expected.empty()) return;
  const LiveHnsw::Frozen frozen = live.freeze();
  RC_ASSERT(frozen.ids == expected);
  RC_ASSERT(audit(frozen.graph.graph()).unreachable == 0);
}

// 50 seeds of about 4,000 operations each; a failure is shrunk to the shortest list of operations that fails.
TEST(LiveHnsw, IsWhatAMapOfVectorsIs) {
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    rc::detail::TestParams params;
    params.seed = seed;
    params.maxSuccess = 80;
    const auto result = rc::detail::checkTestable(
        [seed] {
          const auto operations = *rc::gen::resize(100, rc::gen::arbitrary<std::vector<Operation>>());
          run_operations(operations, seed);
        },
        rc::detail::TestMetadata(), params);
    rc::detail::SuccessResult success;
    ASSERT_TRUE(result.match(success)) << "seed " << seed << ": " << [&] {
      std::ostringstream text;
      rc::detail::printResultMessage(result, text);
      return text.str();
    }();
  }
}

TEST(LiveHnsw, IsTheSameForAnyNumberOfThreads) {
  const Rows base = make_rows(1500, 12, 4), queries = make_rows(50, 12, 4, 9);
  const std::vector<Id> ids = numbers(base.count);
  std::optional<Neighbors> expected;
  for (const std::size_t threads : {1U, 2U, 4U}) {
    ThreadPool pool(threads);
    BuildControl control;
    control.executor = pool;
    LiveHnsw live(codec_of(CodecKind::i8, Metric::ip, base), small_graph);
    for (std::size_t first = 0; first < base.count; first += 250) {
      const auto some = std::span(ids).subspan(first, 250);
      live.apply({base.view().rows_from(first, 250), some, {}, true}, control);
      // Every third of them goes, and every ninth comes back.
      std::vector<Id> gone;
      for (std::size_t i = first; i < first + 250; i += 3) gone.push_back(ids[i]);
      live.apply({{}, {}, gone, false}, control);
    }
    live.consolidate(400, control);
    const Neighbors found = search(live, queries.view(), 10);
    if (!expected) expected = found;
    EXPECT_TRUE(same(found, *expected)) << threads;
  }
}

TEST(LiveHnsw, GoesOnFromABuiltGraphAndBack) {
  const Rows base = make_rows(800, 16, 5), queries = make_rows(60, 16, 5, 9), more = make_rows(200, 16, 5, 7);
  for (const Metric metric : {Metric::l2, Metric::ip, Metric::cosine}) {
    for (const GraphLayout layout : {GraphLayout::plain, GraphLayout::fused}) {
      HnswOptions options = small_graph;
      options.layout = layout;
      const Hnsw built = Hnsw::build(codec_of(CodecKind::i8, metric, base), base.view(), options);
      std::vector<Id> ids;
      for (std::size_t row = 0; row < base.count; ++row) ids.push_back(static_cast<Id>(3 * row + 1));
      LiveHnsw live(built, ids);
      EXPECT_EQ(live.ids(), ids);
      live.add(more.view(), numbers(more.count, 10'000));
      live.remove(std::span(ids).first(400));
      const LiveHnsw::Frozen frozen = live.freeze(layout);
      EXPECT_EQ(frozen.graph.size(), 600U);
      EXPECT_EQ(frozen.ids, live.ids());
      EXPECT_EQ(audit(frozen.graph.graph()).unreachable, 0U);
      EXPECT_EQ(frozen.graph.options().layout, layout);
      Neighbors rows(queries.count, 10);
      frozen.graph.search(queries.view(), rows.view(), {.ef = 600}, {});
      const Neighbors items = search(live, queries.view(), 10, 600);
      std::size_t equal = 0;
      for (std::size_t q = 0; q < queries.count; ++q) {
        for (std::size_t i = 0; i < 10; ++i)
          equal += frozen.ids[static_cast<std::size_t>(rows.ids()[q][i])] == items.ids()[q][i] ? 1 : 0;
      }
      EXPECT_GE(equal, queries.count * 10 * 99 / 100) << to_string(metric);
    }
  }
}

TEST(LiveHnsw, ReranksOnPreciseRows) {
  const Rows base = make_rows(1000, 24, 6), queries = make_rows(100, 24, 6, 9);
  const LiveRerank rerank{codec_of(CodecKind::f32, Metric::l2, base), 4};
  LiveHnsw live(codec_of(CodecKind::i4, Metric::l2, base), small_graph, rerank);
  live.add(base.view(), numbers(base.count));
  const Neighbors truth = exact(base, queries, Metric::l2, 10);
  const Neighbors found = search(live, queries.view(), 10, 100);
  EXPECT_GE(recall(found.ids(), truth.ids(), 10), 0.97);
  std::vector<float> row(base.dim);
  const Id id[] = {7};
  live.reconstruct(id, {row.data(), 1, base.dim});
  EXPECT_TRUE(std::ranges::equal(row, base[7]));
  const LiveHnsw::Frozen frozen = live.freeze();
  EXPECT_EQ(frozen.rerank_rows.size(), base.count);
}

TEST(LiveHnsw, EqualVectorsFarClustersAndSortedRowsLoseNothing) {
  constexpr std::size_t count = 700, dim = 8;
  for (const int kind : {0, 1, 2}) {
    Rows base{count, dim, std::vector<float>(count * dim)};
    for (std::size_t i = 0; i < count; ++i) {
      for (std::size_t j = 0; j < dim; ++j) {
        const float equal = 1.0F,
                    cluster = (i % 2 == 0 ? 0.0F : 1e4F) + static_cast<float>(i * 31 % 97) * 0.01F,
                    sorted = static_cast<float>(i) + static_cast<float>(j);
        base.values[i * dim + j] = kind == 0 ? equal : kind == 1 ? cluster : sorted;
      }
    }
    LiveHnsw live(codec_of(CodecKind::f32, Metric::l2, base), {.m = 4, .ef_construction = 20});
    const std::vector<Id> ids = numbers(count);
    for (std::size_t i = 0; i < count; ++i)
      live.add(base.view().rows_from(i, 1), std::span(ids).subspan(i, 1));
    EXPECT_EQ(search(live, base.view().rows_from(3, 1), count, 10).counts()[0], count) << kind;
    for (std::size_t i = 0; i < count; i += 3) live.remove(std::span(ids).subspan(i, 1));
    const Neighbors found = search(live, base.view().rows_from(4, 2), count, 10);
    EXPECT_EQ(found.counts()[0], live.size()) << kind;
    EXPECT_EQ(found.counts()[1], live.size()) << kind;
  }
}

TEST(LiveHnsw, IsEmptyAgainWhenAllIsRemovedAndFillsUpAgain) {
  const Rows base = make_rows(300, 8, 8);
  LiveHnsw live(codec_of(CodecKind::f32, Metric::l2, base), small_graph);
  EXPECT_EQ(search(live, base.view().rows_from(0, 1), 3).counts()[0], 0U);
  for (int round = 0; round < 3; ++round) {
    live.add(base.view(), numbers(base.count));
    EXPECT_EQ(search(live, base.view().rows_from(5, 1), 1).ids()[0][0], 5);
    EXPECT_EQ(live.remove(live.ids()), base.count);
    EXPECT_EQ(live.size(), 0U);
    EXPECT_EQ(search(live, base.view().rows_from(0, 1), 3).counts()[0], 0U);
    EXPECT_THROW((void)live.freeze(), InvalidArgument);
  }
}

TEST(LiveHnsw, UsesTheSlotsOfWhatWasRemovedAgain) {
  const Rows base = make_rows(400, 8, 9);
  LiveHnsw live(codec_of(CodecKind::f32, Metric::l2, base), small_graph);
  const std::vector<Id> ids = numbers(base.count);
  live.add(base.view(), ids);
  live.consolidate();
  const std::size_t before = live.memory_bytes();
  for (int round = 0; round < 40; ++round) {
    for (std::size_t first = 0; first < base.count; first += 50)
      live.upsert(base.view().rows_from(first, 50), std::span(ids).subspan(first, 50));
  }
  live.consolidate();
  EXPECT_EQ(live.retired(), 0U);
  // Small arrays grow by pages of 64 KiB.
  EXPECT_LE(live.memory_bytes(), before + (std::size_t{16} << 16));
}

TEST(LiveHnsw, LiftsInnerProductsOfLongerAndLongerVectors) {
  Rows base = make_rows(1200, 12, 10);
  const Rows queries = make_rows(100, 12, 10, 9);
  for (std::size_t i = 0; i < base.count; ++i) {
    for (std::size_t j = 0; j < base.dim; ++j)
      base.values[i * base.dim + j] *= 0.2F + static_cast<float>(i) / 400.0F;
  }
  LiveHnsw live(codec_of(CodecKind::f32, Metric::ip, base), small_graph);
  const std::vector<Id> ids = numbers(base.count);
  for (std::size_t first = 0; first < base.count; first += 40)
    live.add(base.view().rows_from(first, 40), std::span(ids).subspan(first, 40));
  const Neighbors truth = exact(base, queries, Metric::ip, 10);
  EXPECT_GE(recall(search(live, queries.view(), 10, 100).ids(), truth.ids(), 10), 0.95);
}

TEST(LiveHnsw, RefusesBadChangesAndIsAsItWas) {
  const Rows base = make_rows(50, 8, 11);
  LiveHnsw live(codec_of(CodecKind::f32, Metric::l2, base), small_graph);
  live.add(base.view().rows_from(0, 40), numbers(40));
  const Neighbors before = search(live, base.view(), 5);
  const auto refused = [&](const LiveChange& change, const char* words) {
    try {
      live.apply(change);
      ADD_FAILURE() << words;
    } catch (const InvalidArgument& error) {
      EXPECT_NE(std::string(error.what()).find(words), std::string::npos) << error.what();
    }
  };
  const MatrixView<const float> two = base.view().rows_from(40, 2);
  const std::vector<Id> one{90}, twice{90, 90}, negative{90, -4}, known{3, 91}, fresh{90, 91};
  refused({two, one, {}, true}, "1 ids for 2 rows");
  refused({two, twice, {}, true}, "id 90 is given twice");
  refused({two, negative, {}, true}, "id -4 of row 1 is negative");
  refused({two, known, {}, true}, "id 3 is in the index already");
  refused({two, fresh, one, false}, "id 90 is both added and removed");
  const Rows narrow = make_rows(2, 7, 1);
  refused({narrow.view(), fresh, {}, true}, "7");
  Rows bad = make_rows(2, 8, 1);
  bad.values[9] = std::numeric_limits<float>::quiet_NaN();
  refused({bad.view(), fresh, {}, true}, "row 1 column 1");
  EXPECT_THROW(live.apply({two, fresh, {}, true}, {}, [] { throw IoError("disk full"); }), IoError);
  std::stop_source stop;
  stop.request_stop();
  BuildControl stopped;
  stopped.stop = stop.get_token();
  EXPECT_THROW(live.apply({two, fresh, {}, true}, stopped), Cancelled);
  EXPECT_EQ(live.size(), 40U);
  EXPECT_TRUE(same(search(live, base.view(), 5), before));
  EXPECT_THROW(LiveHnsw(codec_of(CodecKind::b1, Metric::l2, base)), Unsupported);
  EXPECT_THROW(LiveHnsw(codec_of(CodecKind::f32, Metric::l2, base), {.m = 2}), InvalidArgument);
}

TEST(LiveHnsw, AChangeThatStopsHalfWayIsUndone) {
  const Rows base = make_rows(1400, 8, 12);
  LiveHnsw live(codec_of(CodecKind::f32, Metric::l2, base), small_graph);
  const std::vector<Id> ids = numbers(base.count);
  live.add(base.view().rows_from(0, 200), std::span(ids).first(200));
  const Neighbors before = search(live, base.view().rows_from(0, 50), 5, 300);
  std::stop_source stop;
  BuildControl control;
  control.stop = stop.get_token();
  control.progress = [&](std::string_view, std::uint64_t done, std::uint64_t) {
    if (done > 300) stop.request_stop();
  };
  // Replaces all there is and adds more.
  EXPECT_THROW(live.apply({base.view(), ids, {}, false}, control), Cancelled);
  EXPECT_EQ(live.size(), 200U);
  EXPECT_TRUE(same(search(live, base.view().rows_from(0, 50), 5, 300), before));
  live.upsert(base.view(), ids);
  EXPECT_EQ(live.size(), base.count);
  EXPECT_EQ(search(live, base.view().rows_from(1300, 1), 1).ids()[0][0], 1300);
}

}  // namespace
}  // namespace vicinal
