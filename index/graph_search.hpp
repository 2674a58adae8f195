#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <mutex>
#include <vector>

#include "vicinal/core/control.hpp"
#include "vicinal/core/prefetch.hpp"
#include "vicinal/index/build_space.hpp"
#include "vicinal/index/candidate_pool.hpp"
#include "vicinal/index/frontier.hpp"
#include "vicinal/index/fused_rows.hpp"
#include "vicinal/index/graph.hpp"
#include "vicinal/index/line_queue.hpp"
#include "vicinal/index/neighbour_selection.hpp"
#include "vicinal/index/ranking.hpp"
#include "vicinal/index/slot_set.hpp"
#include "vicinal/index/visited_set.hpp"
#include "vicinal/quant/code_store.hpp"

namespace vicinal {

/// Records to score against one prepared query. `factors` are the store's own for queries, the builder's for records.
struct Scorer {
  const Codec* codec = nullptr;
  const std::byte* records = nullptr;
  const float* factors = nullptr;
  const PreparedQuery* query = nullptr;

  void operator()(const std::uint32_t* slots, std::size_t count, float* out) const noexcept {
    codec->score(*query, records, factors, slots, count, out);
  }
  /// Asks for what the score of `slot` reads.
  void ask_for(std::uint32_t slot) const {
    prefetch(records + slot * codec->stride(), codec->stride());
    const std::size_t count = codec->factor_count();
    if (count != 0) prefetch(factors + count * slot, 1);
  }
  void ask_for(std::uint32_t slot, LineQueue& queue) const {
    queue.add(records + slot * codec->stride(), codec->stride());
    const std::size_t count = codec->factor_count();
    if (count != 0) queue.add(factors + count * slot, 1);
  }
};

/// Everything a graph search writes to; one at a time per search, reused by the next.
struct SearchScratch {
  PreparedQuery query;
  VisitedSet visited;
  CandidatePool pool;
  Frontier frontier;
  SlotSet met;
  std::vector<std::uint32_t> block;    // slots about to be scored
  std::vector<std::uint32_t> between;  // of a hop, neighbours that a filter refuses
  std::vector<float> distances;
  std::vector<Ranked> found;
  FusedQuery fused;
  TopK top;
  std::uint32_t absent = Graph::no_slot;  // a node that this search acts as if it were not there
};

/// Lends scratch objects so that a search allocates nothing once as many exist as searches run at one time. Thread-safe.
class ScratchPool {
 public:
  class Lease {
   public:
    Lease(ScratchPool& pool, std::unique_ptr<SearchScratch> scratch)
        : pool_(&pool), scratch_(std::move(scratch)) {}
    ~Lease() {
      if (scratch_ != nullptr) pool_->give_back(std::move(scratch_));
    }
    Lease(Lease&& other) noexcept : pool_(other.pool_), scratch_(std::move(other.scratch_)) {}
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    SearchScratch& operator*() const { return *scratch_; }
    SearchScratch* operator->() const { return scratch_.get(); }

   private:
    ScratchPool* pool_;
    std::unique_ptr<SearchScratch> scratch_;
  };
  [[nodiscard]] Lease borrow();

 private:
  void give_back(std::unique_ptr<SearchScratch> scratch) noexcept;
  std::mutex mutex_;
  std::vector<std::unique_ptr<SearchScratch>> free_;
};

/// Where and how long a search may walk.
struct WalkLimits {
  std::uint64_t max_distances = std::numeric_limits<std::uint64_t>::max();
  const SearchControl* control = nullptr;  ///< stop token and deadline, polled now and then; may be null
};

/// How often control is asked.
inline constexpr std::uint64_t hops_between_polls = 32;

/// What a walk did.
struct WalkWork {
  std::uint64_t distances = 0;
  std::uint64_t hops = 0;
  std::uint64_t lists = 0;  // read beside those of hops
  StopReason stop = StopReason::complete;
};

/// The same among the records of a build space, where `from` is the record that `query` was prepared from.
struct SpaceScorer {
  const BuildSpace* space = nullptr;
  const PreparedQuery* query = nullptr;
  std::uint32_t from = 0;

  void operator()(const std::uint32_t* slots, std::size_t count, float* out) const noexcept {
    space->score(*query, from, slots, count, out);
  }
  void ask_for(std::uint32_t slot) const { space->ask_for(slot); }
};

/// Writes the neighbours of a list that this search has not met to `block`, marks them, and returns how many. Without branches:
/// whether a neighbour is new is a coin toss to the predictor.
inline std::size_t take_fresh(const std::uint32_t* list, std::size_t degree, VisitedSet& visited,
                              std::uint32_t* block) noexcept {
  std::size_t fresh = 0;
  for (std::size_t i = 0; i < degree && list[i] != Graph::no_slot; ++i) {
    block[fresh] = list[i];
    fresh += visited.insert(list[i]) ? 1 : 0;
  }
  return fresh;
}

/// From `entry` to the nearest node that greedy steps on `level` lead to. `entry_distance` goes in and out.
template <class Score>
std::uint32_t greedy_descent(const Graph::Level& level, const Score& score, std::uint32_t entry,
                             float& entry_distance, SearchScratch& scratch, WalkWork& work) noexcept;

/// Best-first search on `level` with a pool as wide as it was reset to; `scratch.pool` and `scratch.visited` must be reset, and
/// every starting node inserted in both. Afterwards the pool holds the nearest nodes met.
template <class Score>
void best_first(const Graph::Level& level, const Score& score, SearchScratch& scratch,
                const WalkLimits& limits, WalkWork& work) noexcept;

}  // namespace vicinal
