#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "vicinal/index/ranking.hpp"
#include "vicinal/index/reranked.hpp"

namespace vicinal {

/// What a search of Reranked borrows; not installed. Vectors keep their memory from one search to the next.
struct Reranked::Scratch {
  struct Worker {
    PreparedQuery query;
    TwoLevelQuery levels;
    std::vector<Id> ids;
    std::vector<std::uint32_t> slots;
    std::vector<float> distances;
    std::vector<Ranked> found;
    std::uint64_t reranked = 0;
  };
  std::vector<Id> ids;
  std::vector<float> distances;
  std::vector<std::uint32_t> counts;
  std::vector<Worker> workers;

  NeighborsView candidates(std::size_t queries, std::size_t k) {
    ids.resize(std::max(ids.size(), queries * k));
    distances.resize(std::max(distances.size(), queries * k));
    counts.resize(std::max(counts.size(), queries));
    return {{ids.data(), queries, k}, {distances.data(), queries, k}, std::span(counts).first(queries)};
  }
  [[nodiscard]] std::size_t bytes() const {
    return ids.capacity() * sizeof(Id) + distances.capacity() * sizeof(float);
  }
};

/// Scratch that is not in use. As many are made as searches ran at one time.
class Reranked::ScratchPool {
 public:
  std::unique_ptr<Scratch> take() {
    const std::scoped_lock lock(mutex_);
    if (free_.empty()) return std::make_unique<Scratch>();
    std::unique_ptr<Scratch> scratch = std::move(free_.back());
    free_.pop_back();
    return scratch;
  }
  void give_back(std::unique_ptr<Scratch> scratch) {
    if (scratch->bytes() > most_kept_bytes) return;
    const std::scoped_lock lock(mutex_);
    free_.push_back(std::move(scratch));
  }

 private:
  // Scratch of more bytes than this goes back to the system after the search that needed it.
  static constexpr std::size_t most_kept_bytes = std::size_t{64} << 20;

  std::mutex mutex_;
  std::vector<std::unique_ptr<Scratch>> free_;
};

}  // namespace vicinal
