#include "vicinal/index/graph_repair.hpp"

#include <algorithm>
#include <vector>

#include "vicinal/index/graph_search.hpp"

namespace vicinal {
namespace {

constexpr std::uint32_t none = Graph::no_slot;

// The tree of paths by which nodes were reached. Its links must stay.
class Reach {
 public:
  explicit Reach(const Graph::Level& level) : level_(level), parent_(level.size, none) {}

  [[nodiscard]] bool reached(std::uint32_t slot) const { return parent_[slot] != none; }
  [[nodiscard]] bool in_tree(std::uint32_t from, std::uint32_t to) const { return parent_[to] == from; }

  // Marks everything that can be reached from `slot`, itself reached from `parent`.
  void spread(std::uint32_t slot, std::uint32_t parent) {
    parent_[slot] = parent;
    frontier_.assign(1, slot);
    while (!frontier_.empty()) {
      const std::uint32_t from = frontier_.back();
      frontier_.pop_back();
      const std::uint32_t* list = level_.list(from);
      for (std::size_t i = 0; i < level_.degree && list[i] != none; ++i) {
        if (reached(list[i])) continue;
        parent_[list[i]] = from;
        frontier_.push_back(list[i]);
      }
    }
  }

 private:
  const Graph::Level& level_;
  std::vector<std::uint32_t> parent_;
  std::vector<std::uint32_t> frontier_;
};

// Puts the link from -> to into the list of `from`, in its order, if there is a place to give. True if it was done.
bool add_link(Graph::Level& level, std::span<float> distances, const Reach& reach, std::uint32_t from,
              std::uint32_t to, float distance) {
  std::uint32_t* list = level.links.data() + from * level.degree;
  float* lengths = distances.data() + from * level.degree;
  std::size_t count = 0;
  while (count < level.degree && list[count] != none) ++count;
  if (count == level.degree) {
    std::size_t victim = count;
    while (victim > 0 && reach.in_tree(from, list[victim - 1])) --victim;
    if (victim == 0) return false;
    std::copy(list + victim, list + count, list + victim - 1);
    std::copy(lengths + victim, lengths + count, lengths + victim - 1);
    --count;
  }
  std::size_t place = count;
  for (; place > 0 && lengths[place - 1] > distance; --place) {
    list[place] = list[place - 1];
    lengths[place] = lengths[place - 1];
  }
  list[place] = to;
  lengths[place] = distance;
  return true;
}

}  // namespace

std::size_t make_reachable(Graph::Level& level, const BuildSpace& space, std::size_t width,
                           std::span<float> distances) {
  Reach reach(level);
  reach.spread(0, 0);
  SearchScratch scratch;
  scratch.block.resize(level.degree);
  scratch.distances.resize(level.degree);
  std::size_t lost = 0;
  for (std::uint32_t slot = 0; slot < level.size; ++slot) {
    if (reach.reached(slot)) continue;
    ++lost;
    space.prepare(slot, scratch.query);
    const SpaceScorer score{&space, &scratch.query, slot};
    bool linked = false;
    // A search from slot 0 meets reachable nodes only. It widens until one of them has a place to give; reachable nodes have more
    // places than the tree has links, so that ends.
    for (std::size_t wide = width; !linked; wide *= 4) {
      wide = std::min(wide, level.size);
      const std::uint32_t entry = 0;
      float distance = 0;
      score(&entry, 1, &distance);
      scratch.pool.reset(wide);
      scratch.visited.reset(level.size);
      scratch.visited.insert(entry);
      scratch.pool.insert(distance, entry);
      WalkWork work;
      best_first(level, score, scratch, {}, work);
      for (std::size_t i = 0; i < scratch.pool.size() && !linked; ++i) {
        const std::uint32_t from = scratch.pool.slot(i);
        linked = add_link(level, distances, reach, from, slot, scratch.pool.distance(i));
        if (linked) reach.spread(slot, from);
      }
      if (wide == level.size && !linked) break;
    }
  }
  return lost;
}

}  // namespace vicinal
