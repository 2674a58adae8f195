#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

#include "vicinal/core/control.hpp"
#include "vicinal/index/fused_rows.hpp"
#include "vicinal/index/graph_search.hpp"
#include "vicinal/index/line_queue.hpp"
#include "vicinal/index/passing_slots.hpp"

namespace vicinal {

/// A best-first search over fused rows, a hop at a time: what is expanded gets its exact distance, what it is linked to an estimate that
/// orders what comes next. It ends when the nearest estimate left is behind the k-th distance found by `margin` times what estimates
/// were off so far, or after so many hops.
///
/// Searches that one thread does in turns need not wait for memory: each asks for what its next hop reads, and goes on when the others have
/// had their hops. What one finds does not depend on the others. Not installed.
class RowWalk {
 public:
  struct Limits {
    std::uint64_t hops = 0;  ///< at most; with a filter, of nodes that pass
    float margin = std::numeric_limits<float>::infinity();
    LineQueue* queue = nullptr;             ///< of the searches that this one takes turns with
    const PassingSlots* passing = nullptr;  ///< what may be found; null: all
    std::uint64_t most_hops =
        std::numeric_limits<std::uint64_t>::max();  ///< before it gives up, whatever passes
  };

  /// `scratch` has the query of `score`, prepared for both, and in its pool the nodes to begin at; `row_of_slot` names what is found. All
  /// must outlive the walk.
  RowWalk(const FusedRows& rows, std::span<const std::uint32_t> row_of_slot, const Scorer& score,
          SearchScratch& scratch, const Limits& limits, const SearchControl& control, WalkWork work);

  /// Expands a node, unless done().
  void hop();
  [[nodiscard]] bool done() const { return done_; }
  /// Whether most_hops ended it.
  [[nodiscard]] bool gave_up() const { return expanded_ >= limits_.most_hops; }
  /// What it did, with what had been done before it began. What it found is scratch.top.
  [[nodiscard]] const WalkWork& work() const { return work_; }

 private:
  void ask_for_next();
  void ask_for_others();
  void learn_from(float estimate, float distance);
  void add_neighbours(std::uint32_t slot, float distance);
  [[nodiscard]] bool is_over() const;

  const FusedRows* rows_;
  std::span<const std::uint32_t> row_of_slot_;
  Scorer score_;
  SearchScratch* scratch_;
  Limits limits_;
  const SearchControl* control_;
  WalkWork work_;
  std::size_t lines_a_part_;  // of others' reads, of which four parts are asked for a hop
  std::uint64_t hops_ = 0;    // of nodes that pass
  std::uint64_t expanded_ = 0;
  double squares_ = 0;  // of how far estimates were off
  std::uint64_t samples_ = 0;
  float bound_ = std::numeric_limits<float>::infinity();  // of estimates that are worth a hop
  std::uint32_t asked_ = Graph::no_slot;
  std::uint64_t added_ = 0;  // to the queue, when what the next hop reads was in it
  bool done_ = false;
};

}  // namespace vicinal
