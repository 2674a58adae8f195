#pragma once

#include <tsl/robin_map.h>

#include <atomic>
#include <deque>
#include <limits>
#include <mutex>
#include <shared_mutex>
#include <vector>

#include "vicinal/core/epochs.hpp"
#include "vicinal/core/reserved_array.hpp"
#include "vicinal/index/build_space.hpp"
#include "vicinal/index/graph_search.hpp"
#include "vicinal/index/live_hnsw.hpp"

/// What a LiveHnsw is made of. Not installed.
namespace vicinal {

// Links are read by searches while a writer changes them. Whoever reads a link may read what it leads to.
inline std::uint32_t load_link(const std::uint32_t* place) {
  return __atomic_load_n(place, __ATOMIC_ACQUIRE);
}
inline void store_link(std::uint32_t* place, std::uint32_t slot) {
  __atomic_store_n(place, slot, __ATOMIC_RELEASE);
}

/// In which versions of the content an item is there: from `born` on, until before `died`.
struct Lifetime {
  static constexpr std::uint64_t never = std::numeric_limits<std::uint64_t>::max();
  std::uint64_t born, died;

  // The end first: a slot that is used again gets its beginning (never) before its end (never), so whoever sees the new end sees the new
  // beginning too, and not the old one, of an item that was there.
  [[nodiscard]] static bool covers(const Lifetime& life, std::uint64_t version) {
    return version < __atomic_load_n(&life.died, __ATOMIC_ACQUIRE) &&
           __atomic_load_n(&life.born, __ATOMIC_ACQUIRE) <= version;
  }
  static void set(std::uint64_t& when, std::uint64_t version) {
    __atomic_store_n(&when, version, __ATOMIC_RELEASE);
  }
};

/// A node of a graph: its slot, and the highest level that it is on.
struct LiveEntry {
  std::uint32_t slot = Graph::no_slot;
  std::uint32_t level = 0;
};

/// Of the writer alone.
struct LiveWorker {
  SearchScratch search;
  std::vector<Candidate> candidates;
  std::vector<std::uint32_t> slots;
  std::vector<std::uint32_t> orphans;  // that nothing led to when they were looked at
  NeighbourSelection selection;
};

/// Slots that no link leads to, waiting until no search can be at them.
struct Limbo {
  std::uint64_t epoch;
  std::vector<std::uint32_t> slots;
};

/// A walk over all nodes that leads links around the slots in `doomed`.
struct Consolidation {
  std::vector<std::uint32_t> slots;  // doomed ones; none: nothing under way
  std::vector<std::uint8_t> doomed;  // a flag a slot
  std::uint32_t cursor = 0;
  std::uint32_t end = 0;
};

/// See LiveHnsw. Everything that searches read while a writer changes it is atomic.
struct LiveState {
  LiveState(Codec vectors, const HnswOptions& graph, std::optional<LiveRerank> precise, std::size_t least);

  Codec codec;
  HnswOptions options;
  std::optional<LiveRerank> rerank;
  bool has_space_factors = false;
  std::size_t most = 0;  // slots

  // By slot. What a slot holds but for links and lifetime is written before a link leads to it, and again only when no search can be at it.
  ReservedArray<std::byte> records;
  ReservedArray<float> factors;        // of the codec
  ReservedArray<float> space_factors;  // as BuildSpace has them; the writer's
  ReservedArray<float> norms;          // squared, for inner product; the writer's
  ReservedArray<float> extra;          // as BuildSpace has it, when lifted; the writer's
  ReservedArray<std::byte> rerank_records;
  ReservedArray<float> rerank_factors;
  ReservedArray<std::uint32_t> links;       // 2 m places, on level 0
  ReservedArray<std::uint8_t> levels;       // the highest level of a slot
  ReservedArray<std::uint32_t> towers;      // the first list above level 0, of `upper`
  ReservedArray<std::uint32_t> in_degrees;  // on level 0; the writer's, whose threads count at the same time
  ReservedArray<Lifetime> lifetimes;
  ReservedArray<Id> ids;
  // By list above level 0: m places. Those of a slot lie one after the other.
  ReservedArray<std::uint32_t> upper;

  std::atomic<std::uint64_t> entry{pack({})};
  std::atomic<std::uint32_t> used = 0;  // slots that were ever used
  std::atomic<std::uint64_t> version = 0;
  std::atomic<std::size_t> live = 0;     // items of the newest version
  std::atomic<std::size_t> retired = 0;  // that are still linked
  mutable Epochs epochs;
  mutable ScratchPool scratch;

  // Who has which id in the newest version.
  mutable std::shared_mutex names_mutex;
  tsl::robin_map<Id, std::uint32_t> slot_of;

  // Of the writer.
  std::mutex writer;
  std::vector<LiveWorker> workers;
  std::vector<std::uint32_t> free_slots;
  std::vector<std::vector<std::uint32_t>> free_towers;  // by level
  std::uint32_t used_upper = 0;
  std::uint64_t inserted = 0;  // ever; draws levels
  double lift = 0;             // the squared norm that inner products are lifted to; 0: they are not
  double least_norm = std::numeric_limits<double>::infinity(), most_norm = 0;
  std::size_t unchecked = 0;  // nodes linked since it was last made sure that all can be reached
  std::vector<std::uint32_t> newly_retired;  // since the consolidation began
  Consolidation pass;
  std::deque<Limbo> limbo;

  [[nodiscard]] std::size_t degree(std::size_t level) const { return (level == 0 ? 2 : 1) * options.m; }
  [[nodiscard]] std::uint32_t* list(std::size_t slot, std::size_t level) const {
    return level == 0 ? links.row(slot) : upper.row(towers[slot] + level - 1);
  }
  [[nodiscard]] static std::uint64_t pack(LiveEntry entry) {
    return std::uint64_t{entry.level} << 32 | entry.slot;
  }
  [[nodiscard]] LiveEntry load_entry() const {
    const std::uint64_t packed = entry.load(std::memory_order_acquire);
    return {static_cast<std::uint32_t>(packed), static_cast<std::uint32_t>(packed >> 32)};
  }
  void store_entry(LiveEntry to) { entry.store(pack(to), std::memory_order_release); }
  [[nodiscard]] bool is_retired(std::uint32_t slot) const { return lifetimes[slot].died != Lifetime::never; }

  /// An item that is there to stay: not retired, free, or of the change under way.
  [[nodiscard]] bool is_settled(std::uint32_t slot) const {
    return !is_retired(slot) && lifetimes[slot].born != Lifetime::never;
  }

  [[nodiscard]] BuildSpace space() const {
    const float* const own = has_space_factors ? space_factors.data()
                             : factors.empty() ? nullptr
                                               : factors.data();
    return {codec, records.data(), own, lift > 0 ? extra.data() : nullptr};
  }
  [[nodiscard]] Scorer scorer(const PreparedQuery& query) const {
    return {&codec, records.data(), factors.empty() ? nullptr : factors.data(), &query};
  }

  /// Throws InvalidArgument when there can be no `count` more.
  void require_room(std::size_t count) const;
  /// Makes `count` slots usable, free ones first; nothing has changed when it throws.
  void reserve_slots(std::size_t count, std::vector<std::uint32_t>& slots);
  /// What BuildSpace needs of a slot whose record was written.
  void write_space(std::uint32_t slot);
  /// Lifts inner products to distances when norms differ by more than codes make them.
  void update_lift(std::span<const std::uint32_t> fresh);
  /// Draws the levels of slots and gives them lists.
  void raise_towers(std::span<const std::uint32_t> fresh);
  void ensure_workers(std::size_t count);
  /// Takes back what no search can be at any more.
  void reclaim();
  [[nodiscard]] std::size_t memory_bytes() const;
};

}  // namespace vicinal
