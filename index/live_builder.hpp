#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "vicinal/core/control.hpp"
#include "vicinal/index/live_state.hpp"

/// How the links of a LiveHnsw are made and mended. Not installed.
namespace vicinal {

/// Of the one writer; whatever it does, searches may run.
class LiveBuilder {
 public:
  LiveBuilder(LiveState& state, const BuildControl& control) : state_(state), control_(control) {
    state_.ensure_workers(control.executor.concurrency());
  }

  /// Links slots that hold a record and no link, in batches.
  void link(std::span<const std::uint32_t> fresh);
  /// Leads links around what is retired: begins a pass if none is under way, and looks at up to `nodes` nodes. True when nothing is left.
  bool consolidate(std::size_t nodes);
  /// As much of that as a change of `items` items owes, so that a pass is over before as many again are retired; and now and then makes sure that
  /// every node can be reached.
  void look_after(std::size_t items);

 private:
  // A link from a node of a batch, to be made in the other direction.
  struct BackLink {
    std::uint32_t target;
    float distance;
    std::uint32_t source;

    friend bool operator<(const BackLink& a, const BackLink& b) {
      if (a.target != b.target) return a.target < b.target;
      return a.distance != b.distance ? a.distance < b.distance : a.source < b.source;
    }
  };
  // The list of a node as it is to be.
  struct NewList {
    std::uint32_t slot;
    std::uint32_t level;
    std::vector<Candidate> chosen;
  };

  void link_batch(std::span<const std::uint32_t> batch);
  void link_node(std::size_t index, std::span<const std::uint32_t> batch, LiveWorker& worker);
  void add_peers(std::uint32_t slot, std::size_t level, std::span<const std::uint32_t> batch,
                 LiveWorker& worker) const;
  void offer(std::uint32_t slot, std::span<const std::uint32_t> others, LiveWorker& worker) const;
  void take_candidates(std::uint32_t slot, LiveWorker& worker) const;
  void add_all(std::uint32_t slot, std::size_t level, LiveWorker& worker) const;
  void link_back(std::size_t level, std::span<const std::uint32_t> batch);
  void adopt_orphans();
  void adopt(std::uint32_t slot, LiveWorker& worker) const;
  void merge(std::span<const BackLink> links, std::size_t level, LiveWorker& worker) const;
  void write(std::uint32_t slot, std::size_t level, std::span<const Candidate> chosen,
             LiveWorker& worker) const;
  void append(std::uint32_t to, std::uint32_t* place, std::size_t level) const;
  void score_all(std::uint32_t slot, LiveWorker& worker) const;

  void begin_pass();
  void end_pass();
  void repair_some(std::uint32_t begin, std::uint32_t end);
  bool repaired_list(std::uint32_t slot, std::size_t level, LiveWorker& worker) const;
  void seek(std::uint32_t slot, std::size_t level, LiveWorker& worker) const;
  void choose_entry() const;
  void reconnect();
  [[nodiscard]] bool doomed(std::uint32_t slot) const {
    return slot < state_.pass.end && state_.pass.doomed[slot] != 0;
  }
  [[nodiscard]] std::size_t width() const;
  // Links that a full list keeps when it is pruned: with some places free it need not be again for each new link, of which an insertion brings
  // about 25. Two fifths of the time (163 to 96 us an insertion, 30,000 x 384), and shorter lists find as much with fewer distances.
  [[nodiscard]] static std::size_t with_slack(std::size_t degree) { return degree - degree / 6; }
  std::uint32_t add_to_in_degree(std::uint32_t slot, std::uint32_t change) const {
    return __atomic_add_fetch(&state_.in_degrees[slot], change, __ATOMIC_RELAXED);
  }

  LiveState& state_;
  const BuildControl& control_;
  // Of the batch: what every node of it was linked to, by level.
  std::vector<std::vector<std::vector<Candidate>>> chosen_;
  std::vector<BackLink> back_;
  std::vector<std::size_t> targets_;  // where in back_ a target begins
};

}  // namespace vicinal
