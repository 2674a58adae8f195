#include "vicinal/index/neighbour_selection.hpp"

#include <algorithm>

namespace vicinal {

// Turned inside out: whenever a candidate is kept, all that are still alive are compared with it at once. The comparisons made are
// the same, but one record is prepared for each one kept, not for each one considered, and the kernel gets long lists.
void NeighbourSelection::select(const BuildSpace& space, std::vector<Candidate>& candidates, std::size_t most,
                                float alpha) {
  slots_.resize(std::max(slots_.size(), candidates.size()));
  distances_.resize(std::max(distances_.size(), candidates.size()));
  std::size_t kept = 0;
  std::size_t alive_end = candidates.size();  // candidates[kept, alive_end) are alive
  while (kept < std::min(most, alive_end)) {
    const Candidate chosen = candidates[kept++];
    if (kept == most || kept == alive_end) break;
    const std::size_t alive = alive_end - kept;
    for (std::size_t i = 0; i < alive; ++i) slots_[i] = candidates[kept + i].slot;
    space.prepare(chosen.slot, query_);
    space.score(query_, chosen.slot, slots_.data(), alive, distances_.data());
    std::size_t end = kept;
    for (std::size_t i = 0; i < alive; ++i) {
      const Candidate candidate = candidates[kept + i];
      candidates[end] = candidate;
      end += candidate.distance < alpha * distances_[i] ? 1 : 0;
    }
    alive_end = end;
  }
  candidates.resize(kept);
}

}  // namespace vicinal
