// Between a graph that changes and one that does not.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <utility>

#include "vicinal/core/error.hpp"
#include "vicinal/index/graph_repair.hpp"
#include "vicinal/index/live_builder.hpp"
#include "vicinal/index/live_hnsw.hpp"
#include "vicinal/index/live_state.hpp"

namespace vicinal {
namespace {

constexpr std::uint32_t none = Graph::no_slot;
constexpr std::size_t nodes_a_task = 256;

HnswOptions with_layout(HnswOptions options, GraphLayout layout) {
  options.layout = layout;
  return options;
}

std::optional<LiveRerank> rerank_of(const CodeStore* rows, double depth) {
  if (rows == nullptr) return std::nullopt;
  return LiveRerank{rows->codec(), depth};
}

std::uint32_t level_of(const Graph& graph, std::uint32_t slot) {
  std::uint32_t level = 0;
  while (level + 1 < graph.levels() && slot < graph.level(level + 1).size) ++level;
  return level;
}

// Records of some slots, side by side.
CodeStore take_records(const Codec& codec, std::span<const std::uint32_t> slots,
                       const ReservedArray<std::byte>& records, const ReservedArray<float>& factors) {
  const std::size_t count = codec.factor_count();
  Array<std::byte> bytes(checked_product(slots.size(), codec.stride(), "codes"));
  Array<float> own(slots.size() * count);
  for (std::size_t i = 0; i < slots.size(); ++i) {
    std::memcpy(bytes.data() + i * codec.stride(), records.row(slots[i]), codec.stride());
    if (count != 0) std::memcpy(own.data() + i * count, factors.row(slots[i]), count * sizeof(float));
  }
  return CodeStore::of_codes(codec, std::move(bytes), std::move(own));
}

// A level of the new numbers, nearest neighbours first, and the distances of its links.
Graph::Level copy_level(const LiveState& state, std::size_t level, std::span<const std::uint32_t> slots,
                        std::span<const std::uint32_t> number, const BuildSpace& space,
                        Array<float>& distances, const BuildControl& control) {
  const std::size_t degree = state.degree(level);
  Array<std::uint32_t> links(checked_product(slots.size(), degree, "links"));
  distances = Array<float>(slots.size() * degree);
  control.executor.for_each(
      (slots.size() + nodes_a_task - 1) / nodes_a_task, [&](std::size_t task, std::size_t) {
        PreparedQuery query;
        std::vector<std::uint32_t> neighbours;
        std::vector<float> scores(degree);
        std::vector<Candidate> sorted;
        const std::size_t end = std::min(slots.size(), (task + 1) * nodes_a_task);
        for (std::size_t node = task * nodes_a_task; node < end; ++node) {
          const std::uint32_t* const list = state.list(slots[node], level);
          neighbours.clear();
          for (std::size_t i = 0; i < degree && list[i] != none; ++i) neighbours.push_back(number[list[i]]);
          const auto self = static_cast<std::uint32_t>(node);
          space.prepare(self, query);
          space.score(query, self, neighbours.data(), neighbours.size(), scores.data());
          sorted.clear();
          for (std::size_t i = 0; i < neighbours.size(); ++i) sorted.push_back({scores[i], neighbours[i]});
          std::sort(sorted.begin(), sorted.end());
          for (std::size_t i = 0; i < degree; ++i) {
            links[node * degree + i] = i < sorted.size() ? sorted[i].slot : none;
            distances[node * degree + i] = i < sorted.size() ? sorted[i].distance : 0.0F;
          }
        }
      });
  return {slots.size(), degree, std::move(links)};
}

}  // namespace

LiveHnsw::LiveHnsw(const Hnsw& graph, std::span<const Id> ids, const CodeStore* rerank_rows, double depth) {
  const std::size_t size = graph.size();
  if (!ids.empty() && ids.size() != size)
    throw InvalidArgument(std::to_string(ids.size()) + " ids for " + std::to_string(size) +
                          " rows, expected one a row");
  if (rerank_rows != nullptr && rerank_rows->size() != size) {
    throw InvalidArgument(std::to_string(rerank_rows->size()) + " rerank rows for " + std::to_string(size) +
                          " rows, expected one a row");
  }
  const CodeStore& codes = graph.codes();
  const Codec& codec = codes.codec();
  state_ = std::make_shared<LiveState>(codec, with_layout(graph.options(), GraphLayout::plain),
                                       rerank_of(rerank_rows, depth), size);
  LiveState& state = *state_;
  std::vector<std::uint32_t> slots;
  state.reserve_slots(size, slots);
  std::size_t lists = 0;
  for (std::size_t l = 1; l < graph.graph().levels(); ++l) lists += graph.graph().level(l).size;
  state.upper.commit_rows(lists);
  state.used_upper = 0;
  std::memcpy(state.records.data(), codes.records(), size * codec.stride());
  if (codec.factor_count() != 0)
    std::memcpy(state.factors.data(), codes.factors(), size * codec.factor_count() * sizeof(float));
  state.slot_of.reserve(size);
  std::vector<float> vector(codec.dim());
  for (std::uint32_t slot = 0; slot < size; ++slot) {
    const std::uint32_t level = level_of(graph.graph(), slot);
    state.levels[slot] = static_cast<std::uint8_t>(level);
    state.towers[slot] = state.used_upper;
    state.used_upper += level;
    for (std::uint32_t l = 0; l <= level; ++l)
      std::copy_n(graph.graph().level(l).list(slot), state.degree(l), state.list(slot, l));
    const std::uint32_t row = graph.row_of_slot()[slot];
    const Id id = ids.empty() ? static_cast<Id>(row) : ids[row];
    state.ids[slot] = id;
    if (!state.slot_of.insert({id, slot}).second)
      throw InvalidArgument("id " + std::to_string(id) + " is given twice, expected unique ids");
    if (rerank_rows != nullptr) {
      const Codec& precise = rerank_rows->codec();
      std::memcpy(state.rerank_records.row(slot), rerank_rows->record(row), precise.stride());
      const std::size_t count = precise.factor_count();
      if (count != 0)
        std::memcpy(state.rerank_factors.row(slot), rerank_rows->factors() + row * count,
                    count * sizeof(float));
    }
    state.write_space(slot);
    if (!state.norms.empty()) {
      codes.decode(slot, vector);
      double sum = 0;
      for (const float v : vector) sum += static_cast<double>(v) * static_cast<double>(v);
      state.norms[slot] = static_cast<float>(sum);
    }
    state.lifetimes[slot] = {0, Lifetime::never};
  }
  for (std::uint32_t slot = 0; slot < size; ++slot) {
    const std::uint32_t* const list = state.list(slot, 0);
    for (std::size_t i = 0; i < state.degree(0) && list[i] != none; ++i) ++state.in_degrees[list[i]];
  }
  state.update_lift(slots);
  state.live = size;
  state.store_entry({0, static_cast<std::uint32_t>(graph.graph().levels() - 1)});
}

LiveHnsw::Frozen LiveHnsw::freeze(GraphLayout layout, const BuildControl& control) const {
  LiveState& state = *state_;
  const HnswOptions options = with_layout(state.options, layout);
  options.validate();
  const std::lock_guard writing(state.writer);
  LiveBuilder(state, control).consolidate(static_cast<std::size_t>(-1));
  // The entry first, and then level by level, as Graph has them.
  const LiveEntry entry = state.load_entry();
  std::vector<std::uint32_t> slots;
  for (std::uint32_t slot = 0; slot < state.used.load(std::memory_order_relaxed); ++slot) {
    if (!state.is_retired(slot)) slots.push_back(slot);
  }
  if (slots.empty()) throw InvalidArgument("the index is empty, an immutable one needs at least one vector");
  std::ranges::stable_sort(slots, {}, [&](std::uint32_t slot) {
    return std::pair(-static_cast<int>(state.levels[slot]), slot != entry.slot);
  });
  std::vector<std::uint32_t> number(state.used.load(std::memory_order_relaxed), none);
  for (std::uint32_t i = 0; i < slots.size(); ++i) number[slots[i]] = i;

  Frozen frozen;
  CodeStore codes = take_records(state.codec, slots, state.records, state.factors);
  std::vector<float> extra(state.lift > 0 ? slots.size() : 0);
  for (std::size_t i = 0; i < extra.size(); ++i) extra[i] = state.extra[slots[i]];
  const BuildSpace space(codes, extra);
  std::vector<Graph::Level> levels;
  for (std::size_t l = 0;; ++l) {
    const auto end =
        std::ranges::partition_point(slots, [&](std::uint32_t slot) { return state.levels[slot] >= l; });
    const auto size = static_cast<std::size_t>(end - slots.begin());
    if (size == 0) break;
    if (l != 0 && size == levels.back().size) continue;  // no smaller than the one below
    Array<float> distances;
    levels.push_back(copy_level(state, l, std::span(slots).first(size), number, space, distances, control));
    if (l == 0) make_reachable(levels.back(), space, options.ef_construction, distances.span());
  }

  std::vector<std::uint32_t> by_id(slots.size());
  std::iota(by_id.begin(), by_id.end(), 0U);
  std::ranges::sort(by_id, {}, [&](std::uint32_t i) { return state.ids[slots[i]]; });
  Array<std::uint32_t> row_of_slot(slots.size());
  std::vector<std::uint32_t> slot_of_row(slots.size());
  for (std::uint32_t row = 0; row < by_id.size(); ++row) {
    row_of_slot[by_id[row]] = row;
    slot_of_row[row] = slots[by_id[row]];
    frozen.ids.push_back(state.ids[slot_of_row[row]]);
  }
  if (state.rerank)
    frozen.rerank_rows =
        take_records(state.rerank->codec, slot_of_row, state.rerank_records, state.rerank_factors);
  frozen.graph =
      Hnsw::of_parts(options, std::move(codes), Graph(std::move(levels)), std::move(row_of_slot), control);
  return frozen;
}

}  // namespace vicinal
