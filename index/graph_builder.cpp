#include "vicinal/index/graph_builder.hpp"

#include <algorithm>
#include <cstring>

#include "vicinal/core/prefetch.hpp"
#include "vicinal/index/build_space.hpp"
#include "vicinal/index/graph_repair.hpp"
#include "vicinal/index/graph_search.hpp"
#include "vicinal/index/neighbour_selection.hpp"

namespace vicinal {
namespace {

constexpr std::size_t first_batch =
    256;  // nodes that find each other by brute force, before there is a graph
constexpr std::size_t largest_batch = 2048;
constexpr std::size_t batch_share =
    32;  // a batch is at most this part of the nodes before it, so that few neighbours hide in it
constexpr std::size_t smallest_batch = 64;
// While a level grows its lists have this part of their degree as room to spare, so that a full list is pruned once for
// several new links and not for each; what is in the room at the end is pruned away.
constexpr std::size_t spare_share = 4;
constexpr std::uint32_t none = Graph::no_slot;

// One level being built: lists with the distances of their links, which pruning needs again and again.
struct Lists {
  std::size_t places;
  Array<std::uint32_t> links;
  Array<float> distances;

  Lists(std::size_t nodes, std::size_t places_each)
      : places(places_each),
        links(checked_product(nodes, places, "links")),
        distances(checked_product(nodes, places, "links")) {
    std::memset(links.data(), 0xFF, links.bytes());
  }
  [[nodiscard]] std::size_t count(std::size_t slot) const {
    const std::uint32_t* list = links.data() + slot * places;
    std::size_t n = 0;
    while (n < places && list[n] != none) ++n;
    return n;
  }
  void read(std::size_t slot, std::vector<Candidate>& into) const {
    into.clear();
    const std::size_t n = count(slot);
    for (std::size_t i = 0; i < n; ++i)
      into.push_back({distances[slot * places + i], links[slot * places + i]});
  }
  void write(std::size_t slot, std::span<const Candidate> chosen) {
    for (std::size_t i = 0; i < places; ++i) {
      links[slot * places + i] = i < chosen.size() ? chosen[i].slot : none;
      distances[slot * places + i] = i < chosen.size() ? chosen[i].distance : 0.0F;
    }
  }
};

// A link from a node of the batch back to it, waiting in the list of its target.
struct BackLink {
  std::uint32_t source;
  float distance;
  std::uint32_t next;
};

struct Worker {
  SearchScratch search;
  std::vector<Candidate> candidates;
  NeighbourSelection selection;
};

class LevelBuilder {
 public:
  LevelBuilder(const BuildSpace& space, std::size_t nodes, std::size_t degree, const HnswOptions& options,
               const std::vector<Graph::Level>& above, std::vector<Worker>& workers,
               const BuildControl& control)
      : space_(space),
        nodes_(nodes),
        options_(options),
        above_(above),
        workers_(workers),
        control_(control),
        degree_(degree),
        lists_(nodes, degree + degree / spare_share),
        first_back_(nodes, none) {}

  Graph::Level build(const std::string& phase, std::uint64_t done_before, std::uint64_t total) {
    std::size_t prefix = 0;
    while (prefix < nodes_) {
      const std::size_t batch =
          prefix == 0 ? first_batch : std::clamp(prefix / batch_share, smallest_batch, largest_batch);
      const std::size_t end = std::min(nodes_, prefix + batch);
      add_batch(prefix, end);
      prefix = end;
      control_.throw_if_stopped();
      control_.report(phase, done_before + prefix, total);
    }
    prune_spare_places();
    Graph::Level level = view();
    make_reachable(level, space_, options_.ef_construction, lists_.distances.span());
    return level;
  }

 private:
  [[nodiscard]] Graph::Level view() const { return {nodes_, lists_.places, lists_.links}; }

  void add_batch(std::size_t begin, std::size_t end) {
    const Graph::Level level = view();
    control_.executor.for_each(end - begin, [&](std::size_t task, std::size_t worker) {
      const auto slot = static_cast<std::uint32_t>(begin + task);
      find_candidates(level, slot, begin, end, workers_[worker]);
      Worker& w = workers_[worker];
      w.selection.select(space_, w.candidates, degree_, options_.alpha);
      lists_.write(slot, w.candidates);
    });
    collect_back_links(begin, end);
    control_.executor.for_each(targets_.size(), [&](std::size_t task, std::size_t worker) {
      merge_back_links(targets_[task], workers_[worker]);
    });
    for (const std::uint32_t target : targets_) first_back_[target] = none;
  }

  // The nearest nodes before the batch, by a search, and in the batch, by brute force.
  void find_candidates(const Graph::Level& level, std::uint32_t slot, std::size_t begin, std::size_t end,
                       Worker& worker) const {
    SearchScratch& scratch = worker.search;
    CandidatePool& pool = scratch.pool;
    pool.reset(options_.ef_construction);
    space_.prepare(slot, scratch.query);
    WalkWork work;
    if (begin > 0) {
      const SpaceScorer score{&space_, &scratch.query, slot};
      std::uint32_t entry = 0;
      float distance = 0;
      score(&entry, 1, &distance);
      scratch.visited.reset(begin);
      scratch.visited.insert(entry);
      pool.insert(distance, entry);
      for (std::size_t l = above_.size(); l-- > 0;) {
        // Levels above were built whole; while this one holds fewer nodes, it is small enough to enter at its first.
        if (above_[l].size > begin) break;
        entry = greedy_descent(above_[l], score, entry, distance, scratch, work);
      }
      if (scratch.visited.insert(entry)) pool.insert(distance, entry);
      best_first(level, score, scratch, {}, work);
    }
    std::uint32_t block[64];
    float distances[64];
    for (std::size_t peer = begin; peer < end;) {
      std::size_t count = 0;
      for (; peer < end && count < 64; ++peer) {
        if (peer != slot) block[count++] = static_cast<std::uint32_t>(peer);
      }
      space_.score(scratch.query, slot, block, count, distances);
      for (std::size_t i = 0; i < count; ++i) {
        if (distances[i] < pool.worst()) pool.insert(distances[i], block[i]);
      }
    }
    worker.candidates.clear();
    for (std::size_t i = 0; i < pool.size(); ++i)
      worker.candidates.push_back({pool.distance(i), pool.slot(i)});
  }

  // Threads the batch's links backwards: every target gets a chain of its new sources.
  void collect_back_links(std::size_t begin, std::size_t end) {
    back_.clear();
    targets_.clear();
    for (std::size_t slot = begin; slot < end; ++slot) {
      for (std::size_t i = 0; i < degree_; ++i) {
        const std::uint32_t target = lists_.links[slot * lists_.places + i];
        if (target == none) break;
        if (first_back_[target] == none) targets_.push_back(target);
        back_.push_back({static_cast<std::uint32_t>(slot), lists_.distances[slot * lists_.places + i],
                         first_back_[target]});
        first_back_[target] = static_cast<std::uint32_t>(back_.size() - 1);
      }
    }
  }

  void merge_back_links(std::uint32_t target, Worker& worker) {
    std::vector<Candidate>& merged = worker.candidates;
    lists_.read(target, merged);
    const std::size_t count = merged.size();
    const std::uint32_t* list = lists_.links.data() + target * lists_.places;
    for (std::uint32_t link = first_back_[target]; link != none; link = back_[link].next) {
      const std::uint32_t source = back_[link].source;
      if (std::find(list, list + count, source) == list + count)
        merged.push_back({back_[link].distance, source});
    }
    if (merged.size() == count) return;
    std::sort(merged.begin(), merged.end());
    if (merged.size() > lists_.places) worker.selection.select(space_, merged, degree_, options_.alpha);
    lists_.write(target, merged);
  }

  void prune_spare_places() {
    Lists pruned(nodes_, degree_);
    control_.executor.for_each(nodes_, [&](std::size_t slot, std::size_t worker) {
      std::vector<Candidate>& list = workers_[worker].candidates;
      lists_.read(slot, list);
      if (list.size() > degree_) workers_[worker].selection.select(space_, list, degree_, options_.alpha);
      pruned.write(slot, list);
    });
    lists_ = std::move(pruned);
  }

  const BuildSpace& space_;
  std::size_t nodes_;
  const HnswOptions& options_;
  const std::vector<Graph::Level>& above_;  // from level l + 1 upwards
  std::vector<Worker>& workers_;
  const BuildControl& control_;
  std::size_t degree_;
  Lists lists_;
  std::vector<std::uint32_t> first_back_;
  std::vector<BackLink> back_;
  std::vector<std::uint32_t> targets_;
};

}  // namespace

Graph build_graph(const CodeStore& codes, std::span<const float> extra, const HnswOptions& options,
                  const BuildControl& control) {
  const BuildSpace space(codes, extra);
  std::vector<std::size_t> sizes{codes.size()};
  while (sizes.back() > options.m) sizes.push_back(std::max<std::size_t>(1, sizes.back() / options.m));
  std::vector<Worker> workers(control.executor.concurrency());
  for (Worker& worker : workers) {
    const std::size_t places = 2 * options.m + 2 * options.m / spare_share;
    worker.search.block.resize(places);
    worker.search.distances.resize(places);
  }
  std::uint64_t total = 0;
  for (const std::size_t size : sizes) total += size;
  // From the top down: a level is entered through the levels above it.
  std::vector<Graph::Level> above;
  std::uint64_t done = 0;
  for (std::size_t l = sizes.size(); l-- > 0;) {
    const std::size_t degree = l == 0 ? 2 * options.m : options.m;
    LevelBuilder builder(space, sizes[l], degree, options, above, workers, control);
    above.insert(above.begin(), builder.build("linking", done, total));
    done += sizes[l];
  }
  return Graph(std::move(above));
}

}  // namespace vicinal
