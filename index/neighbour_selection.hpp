#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "vicinal/index/build_space.hpp"

namespace vicinal {

/// A possible neighbour and its distance to the node that seeks neighbours; ordered by (distance, slot).
struct Candidate {
  float distance;
  std::uint32_t slot;

  friend bool operator<(const Candidate& a, const Candidate& b) {
    return a.distance != b.distance ? a.distance < b.distance : a.slot < b.slot;
  }
};

/// Chooses neighbours that lie in different directions (Malkov & Yashunin 2016, algorithm 4): from near to far, a candidate is
/// kept unless one already kept is at least as near to it as the node is. Holds scratch memory: one per thread.
/// With alpha above 1, unless one already kept is nearer by that factor of squared distances, which keeps more and longer links
/// (DiskANN: Subramanya et al., NeurIPS 2019).
class NeighbourSelection {
 public:
  /// `candidates` ascend; the chosen ones, at most `most`, remain, ascending.
  void select(const BuildSpace& space, std::vector<Candidate>& candidates, std::size_t most, float alpha);

 private:
  PreparedQuery query_;
  std::vector<std::uint32_t> slots_;
  std::vector<float> distances_;
};

}  // namespace vicinal
