#include "vicinal/multitenant/partition_tree.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "vicinal/core/error.hpp"
#include "vicinal/core/executor.hpp"
#include "vicinal/core/random.hpp"

namespace vicinal {
namespace {

using testing::HasSubstr;

struct Rows {
  std::size_t dim = 0;
  std::vector<float> values;

  [[nodiscard]] std::size_t size() const { return values.size() / dim; }
  [[nodiscard]] MatrixView<const float> view() const { return {values.data(), size(), dim}; }
  [[nodiscard]] std::span<const float> operator[](std::size_t i) const { return view()[i]; }
};

// Around `topics` points, which are all different.
Rows clustered_rows(std::size_t count, std::size_t dim, std::size_t topics, std::uint64_t seed = 1) {
  RandomStream random(seed, 7);
  std::vector<double> centres(topics * dim);
  for (double& value : centres) value = 4 * random.next_unit();
  Rows rows{dim, std::vector<float>(count * dim)};
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t topic = random.next_below(topics);
    for (std::size_t j = 0; j < dim; ++j)
      rows.values[i * dim + j] = static_cast<float>(centres[topic * dim + j] + random.next_unit());
  }
  return rows;
}

double squared_distance(std::span<const float> a, std::span<const float> b) {
  double sum = 0;
  for (std::size_t j = 0; j < a.size(); ++j) {
    const double difference = static_cast<double>(a[j]) - static_cast<double>(b[j]);
    sum += difference * difference;
  }
  return sum;
}

template <class Error, class Run>
void expect_error(const Run& run, const std::string& words) {
  try {
    run();
    ADD_FAILURE() << "expected an error about " << words;
  } catch (const Error& error) {
    EXPECT_THAT(std::string(error.what()), HasSubstr(words));
  }
}

std::map<NodeId, std::size_t> sizes_of(const std::vector<NodeId>& leaves) {
  std::map<NodeId, std::size_t> sizes;
  for (const NodeId leaf : leaves) ++sizes[leaf];
  return sizes;
}

// Everything that a tree says of itself fits together.
void check_structure(const PartitionTree& tree) {
  std::set<NodeId> seen;
  std::vector<NodeId> open{PartitionTree::root};
  std::size_t leaves = 0;
  while (!open.empty()) {
    const NodeId node = open.back();
    open.pop_back();
    ASSERT_TRUE(seen.insert(node).second);
    leaves += tree.is_leaf(node) ? 1 : 0;
    ASSERT_NE(tree.children(node), 1U);
    ASSERT_LE(tree.children(node), tree.options().fanout);
    for (std::size_t c = 0; c < tree.children(node); ++c) {
      const NodeId child = tree.first_child(node) + static_cast<NodeId>(c);
      ASSERT_EQ(tree.parent(child), node);
      ASSERT_EQ(tree.depth(child), tree.depth(node) + 1);
      ASSERT_TRUE(tree.contains(node, child));
      ASSERT_FALSE(tree.contains(child, node));
      open.push_back(child);
    }
  }
  ASSERT_EQ(seen.size(), tree.nodes());
  ASSERT_EQ(leaves, tree.leaves());
  ASSERT_EQ(tree.parent(PartitionTree::root), no_node);
  const std::vector<NodeId> in_order = tree.leaves_in_order();
  ASSERT_EQ(std::set<NodeId>(in_order.begin(), in_order.end()).size(), leaves);
  ASSERT_EQ(in_order.size(), leaves);
}

TEST(PartitionTree, CutsUntilLeavesAreSmallAndFindsEveryRowAgain) {
  for (const std::size_t fanout : {2U, 4U, 7U, 16U}) {
    for (const std::size_t dim : {1U, 3U, 33U, 192U}) {
      SCOPED_TRACE(testing::Message() << fanout << " children, dimension " << dim);
      const Rows rows = clustered_rows(3000, dim, 40);
      PartitionTreeOptions options;
      options.fanout = fanout;
      options.leaf_capacity = 50;
      std::vector<NodeId> leaves;
      const PartitionTree tree = PartitionTree::train(options, rows.view(), leaves);
      ASSERT_NO_FATAL_FAILURE(check_structure(tree));
      ASSERT_EQ(leaves.size(), 3000U);
      for (std::size_t i = 0; i < rows.size(); ++i) {
        ASSERT_TRUE(tree.is_leaf(leaves[i]));
        ASSERT_EQ(tree.leaf_of(TreeQuery(rows[i])), leaves[i]) << i;
      }
      for (const auto& [leaf, size] : sizes_of(leaves)) ASSERT_LE(size, 50U);
      EXPECT_EQ(sizes_of(leaves).size(), tree.leaves());  // none is empty
      EXPECT_GT(tree.memory_bytes(), tree.nodes() * dim * sizeof(float));
    }
  }
}

TEST(PartitionTree, PutsNearRowsTogether) {
  const Rows rows = clustered_rows(4000, 24, 30);
  std::vector<NodeId> leaves;
  const PartitionTree tree = PartitionTree::train({}, rows.view(), leaves);
  // A row is nearer to others of its leaf than to any.
  RandomStream random(3, 3);
  double own = 0, any = 0;
  std::size_t pairs = 0;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const std::size_t other = random.next_below(rows.size());
    if (leaves[other] == leaves[i]) continue;
    for (std::size_t j = i + 1; j < rows.size(); ++j) {
      if (leaves[j] != leaves[i]) continue;
      own += squared_distance(rows[i], rows[j]);
      any += squared_distance(rows[i], rows[other]);
      ++pairs;
      break;
    }
  }
  EXPECT_GT(pairs, 3000U);
  EXPECT_LT(own, 0.2 * any);
  // The root's centroid is the mean of all.
  for (std::size_t j = 0; j < 24; ++j) {
    double sum = 0;
    for (std::size_t i = 0; i < rows.size(); ++i) sum += static_cast<double>(rows[i][j]);
    EXPECT_NEAR(static_cast<double>(tree.centroid(PartitionTree::root)[j]), sum / 4000, 1e-4);
  }
}

TEST(PartitionTree, GoesToTheNearestChildOfEqualsTheFirst) {
  const Rows rows = clustered_rows(2000, 17, 25), asked = clustered_rows(300, 17, 25, 2);
  std::vector<NodeId> leaves;
  const PartitionTree tree = PartitionTree::train({5, 20, 3}, rows.view(), leaves);
  TreeQuery query;
  for (std::size_t q = 0; q < asked.size(); ++q) {
    query.assign(asked[q]);
    NodeId node = PartitionTree::root;
    while (!tree.is_leaf(node)) {
      std::vector<NodeId> children(tree.children(node));
      for (std::size_t c = 0; c < children.size(); ++c)
        children[c] = tree.first_child(node) + static_cast<NodeId>(c);
      std::vector<float> distances(children.size());
      tree.squared_distances(query, children, distances.data());
      for (std::size_t c = 0; c < children.size(); ++c)
        ASSERT_NEAR(static_cast<double>(distances[c]), squared_distance(asked[q], tree.centroid(children[c])),
                    1e-3);
      node = children[static_cast<std::size_t>(std::ranges::min_element(distances) - distances.begin())];
    }
    ASSERT_EQ(tree.leaf_of(query), node);
  }
}

TEST(PartitionTree, IsTheSameForAnyNumberOfThreads) {
  const Rows rows = clustered_rows(20'000, 32, 300);
  std::vector<NodeId> alone, together;
  const PartitionTree one = PartitionTree::train({4, 64, 9}, rows.view(), alone);
  for (const std::size_t threads : {2U, 3U}) {
    ThreadPool pool(threads);
    BuildControl control;
    control.executor = pool;
    const PartitionTree other = PartitionTree::train({4, 64, 9}, rows.view(), together, control);
    EXPECT_EQ(alone, together);
    ASSERT_EQ(one.nodes(), other.nodes());
    for (const NodeId leaf : one.leaves_in_order())
      ASSERT_TRUE(std::ranges::equal(one.centroid(leaf), other.centroid(leaf)));
  }
  (void)PartitionTree::train({4, 64, 10}, rows.view(), together);
  EXPECT_NE(alone, together);  // another seed
}

TEST(PartitionTree, RowsThatAreEqualStayTogether) {
  Rows rows{8, std::vector<float>(500 * std::size_t{8}, 1.5F)};
  std::vector<NodeId> leaves;
  PartitionTree tree = PartitionTree::train({4, 16, 0}, rows.view(), leaves);
  EXPECT_EQ(tree.nodes(), 1U);
  EXPECT_EQ(leaves, std::vector<NodeId>(500, PartitionTree::root));
  std::vector<NodeId> children{77};
  EXPECT_EQ(tree.split(PartitionTree::root, rows.view(), children), 0U);
  EXPECT_EQ(children, std::vector<NodeId>{77});
  // One that differs is told apart, and the others stay in one leaf.
  rows.values[8 * 123] = 2;
  tree = PartitionTree::train({4, 16, 0}, rows.view(), leaves);
  EXPECT_EQ(sizes_of(leaves).size(), 2U);
  EXPECT_EQ(std::ranges::count(leaves, leaves[123]), 1);
  EXPECT_EQ(tree.leaf_of(TreeQuery(rows[123])), leaves[123]);
}

TEST(PartitionTree, FewRowsOrNone) {
  std::vector<NodeId> leaves{5};
  const PartitionTree none = PartitionTree::train({}, MatrixView<const float>(nullptr, 0, 6), leaves);
  EXPECT_TRUE(leaves.empty());
  EXPECT_EQ(none.leaves(), 1U);
  const std::vector<float> zero(6);
  EXPECT_EQ(none.leaf_of(TreeQuery(zero)), PartitionTree::root);
  const Rows three = clustered_rows(3, 6, 3);
  const PartitionTree tree = PartitionTree::train({4, 4, 0}, three.view(), leaves);
  EXPECT_EQ(leaves, std::vector<NodeId>(3, PartitionTree::root));
  EXPECT_EQ(tree.leaves_in_order(), std::vector<NodeId>{PartitionTree::root});
  EXPECT_TRUE(PartitionTree().leaves_in_order().empty());
}

// Leaves with their rows, cut and joined at random: as a map says.
TEST(PartitionTree, LeavesAreCutAndJoined) {
  const Rows rows = clustered_rows(1500, 12, 60);
  std::vector<NodeId> leaf_of_row;
  PartitionTree tree = PartitionTree::train({3, 1500, 4}, rows.view(), leaf_of_row);
  ASSERT_EQ(tree.nodes(), 1U);
  RandomStream random(8, 8);
  std::size_t cuts = 0, joins = 0;
  std::set<NodeId> given_again, gone;
  for (int step = 0; step < 600; ++step) {
    const std::vector<NodeId> leaves = tree.leaves_in_order();
    const NodeId leaf = leaves[random.next_below(leaves.size())];
    if (random.next_below(5) < 3) {
      Rows own{12, {}};
      std::vector<std::size_t> members;
      for (std::size_t i = 0; i < rows.size(); ++i) {
        if (leaf_of_row[i] != leaf) continue;
        members.push_back(i);
        own.values.insert(own.values.end(), rows[i].begin(), rows[i].end());
      }
      std::vector<NodeId> children;
      const std::size_t made = tree.split(leaf, own.view(), children);
      if (members.size() < 2) {
        ASSERT_EQ(made, 0U);
        continue;
      }
      ASSERT_EQ(made, tree.children(leaf));
      for (std::size_t m = 0; m < members.size(); ++m) leaf_of_row[members[m]] = children[m];
      for (const NodeId child : children) {
        if (gone.contains(child)) given_again.insert(child);
      }
      ++cuts;
    } else if (leaf != PartitionTree::root) {
      const NodeId above = tree.parent(leaf);
      const NodeId first = tree.first_child(above);
      const std::size_t count = tree.children(above);
      bool all_leaves = true;
      for (std::size_t c = 0; c < count; ++c)
        all_leaves = all_leaves && tree.is_leaf(first + static_cast<NodeId>(c));
      if (!all_leaves) {
        expect_error<InvalidArgument>([&] { tree.merge(above); }, "has children, expected leaves");
        continue;
      }
      tree.merge(above);
      for (NodeId& at : leaf_of_row) {
        if (at >= first && at < first + count) at = above;
      }
      for (std::size_t c = 0; c < count; ++c) gone.insert(first + static_cast<NodeId>(c));
      ++joins;
    }
    ASSERT_NO_FATAL_FAILURE(check_structure(tree));
    for (std::size_t i = static_cast<std::size_t>(step) % 7; i < rows.size(); i += 7)
      ASSERT_EQ(tree.leaf_of(TreeQuery(rows[i])), leaf_of_row[i]);
  }
  EXPECT_GT(cuts, 100U);
  EXPECT_GT(joins, 50U);
  EXPECT_FALSE(given_again.empty());
}

TEST(PartitionTree, CentroidsStayWhereTheyAre) {
  const Rows rows = clustered_rows(4000, 40, 80);
  std::vector<NodeId> leaves;
  PartitionTree tree = PartitionTree::train({4, 1000, 4}, rows.view(), leaves);
  const NodeId leaf = leaves[0];
  const float* const before = tree.centroid(leaf).data();
  const std::vector<float> values(tree.centroid(leaf).begin(), tree.centroid(leaf).end());
  std::vector<NodeId> children;
  for (int round = 0; round < 200; ++round) {
    const std::vector<NodeId> all = tree.leaves_in_order();
    for (const NodeId one : all) {
      if (one != leaf) (void)tree.split(one, rows.view().rows_from(0, 50), children);
    }
    if (tree.nodes() > 5000) break;
  }
  EXPECT_GT(tree.nodes(), 5000U);
  EXPECT_EQ(tree.centroid(leaf).data(), before);
  EXPECT_TRUE(std::ranges::equal(tree.centroid(leaf), values));
}

TEST(PartitionTree, BadInputIsNamedAndNothingChanges) {
  const Rows rows = clustered_rows(100, 6, 5);
  std::vector<NodeId> leaves{9};
  const auto refused = [&](const PartitionTreeOptions& options, MatrixView<const float> given,
                           const std::string& words) {
    expect_error<InvalidArgument>([&] { (void)PartitionTree::train(options, given, leaves); }, words);
    EXPECT_EQ(leaves, std::vector<NodeId>{9});
  };
  refused({1, 128, 0}, rows.view(), "a fanout of 1, expected 2 to 16");
  refused({17, 128, 0}, rows.view(), "a fanout of 17, expected 2 to 16");
  refused({4, 3, 0}, rows.view(), "a leaf holds 3 rows, expected 4 to 65536");
  refused({4, 65'537, 0}, rows.view(), "a leaf holds 65537 rows");
  refused({}, MatrixView<const float>(rows.values.data(), 4, 0), "the dimension is 0");
  Rows bad = rows;
  bad.values[6 * 7 + 2] = std::numeric_limits<float>::quiet_NaN();
  refused({}, bad.view(), "rows row 7 column 2 is nan");
  bad.values[6 * 7 + 2] = 0x1.0p60F;
  refused({}, bad.view(), "row 7");

  PartitionTree tree = PartitionTree::train({4, 20, 0}, rows.view(), leaves);
  const std::size_t nodes = tree.nodes();
  std::vector<NodeId> children{3};
  const auto cut = [&](NodeId node, MatrixView<const float> given, const std::string& words) {
    expect_error<InvalidArgument>([&] { (void)tree.split(node, given, children); }, words);
    EXPECT_EQ(children, std::vector<NodeId>{3});
    EXPECT_EQ(tree.nodes(), nodes);
  };
  cut(PartitionTree::root, rows.view(), "node 0 has children, expected a leaf");
  cut(100'000, rows.view(), "node 100000 is not in the partition");
  cut(leaves[0], MatrixView<const float>(rows.values.data(), 10, 5),
      "rows have dimension 5, the partition 6");
  cut(leaves[0], bad.view(), "row 7");
  expect_error<InvalidArgument>([&] { tree.merge(leaves[0]); }, "is a leaf, expected one with children");
  expect_error<InvalidArgument>([&] { tree.merge(no_node); }, "is not in the partition");
  const std::vector<float> short_row(5);
  expect_error<InvalidArgument>([&] { (void)tree.leaf_of(TreeQuery(short_row)); },
                                "the row has dimension 5, the partition 6");
  EXPECT_NO_FATAL_FAILURE(check_structure(tree));
}

TEST(PartitionTree, StopsWhenAsked) {
  const Rows rows = clustered_rows(5000, 16, 50);
  std::stop_source source;
  BuildControl control;
  control.stop = source.get_token();
  source.request_stop();
  std::vector<NodeId> leaves{9};
  EXPECT_THROW((void)PartitionTree::train({}, rows.view(), leaves, control), Cancelled);
  EXPECT_EQ(leaves, std::vector<NodeId>{9});
}

}  // namespace
}  // namespace vicinal
