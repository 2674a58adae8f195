#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "vicinal/core/executor.hpp"
#include "vicinal/core/filter.hpp"
#include "vicinal/core/function_ref.hpp"

namespace vicinal {

/// Why a search ended.
enum class StopReason : std::uint8_t { complete, budget, deadline, cancelled };
std::string_view to_string(StopReason reason);

/// How long a stage of a search took, by the clock.
struct StageTime {
  std::string_view name;  ///< a literal
  double seconds = 0;
};

/// The work one search call did, summed over its queries.
struct SearchStats {
  std::uint64_t queries = 0;
  std::uint64_t distances = 0;  ///< distances computed on (compressed) codes
  std::uint64_t reranked = 0;   ///< distances computed on precise rows
  std::uint64_t hops = 0;       ///< graph nodes expanded
  std::uint64_t bytes = 0;      ///< bytes of codes, adjacency and precise rows read
  std::string strategy;  ///< how it was answered, outermost decorator first: "hnsw(ef=64) > rerank(f16, 30)"
  StopReason stop = StopReason::complete;  ///< the worst over the queries
  /// In their order, of retrievers that take all queries through one stage after the other (MultiVector); else empty.
  std::vector<StageTime> stages = {};
  std::string advice = {};  ///< what would have taken less work, where that is plain; else empty

  void add_time(std::string_view stage, double seconds);
  /// Sums counters and times, keeps the worst stop reason; words are untouched.
  void add_work(const SearchStats& other);
};

/// How one search call runs, the same for every retriever. All members have defaults that do nothing.
/// A search that is stopped early returns what it found so far, padded as NeighborsView says.
struct SearchControl {
  using Clock = std::chrono::steady_clock;

  ExecutorRef executor;                       ///< queries of the batch run on it; default inline
  std::stop_token stop;                       ///< polled per query and during long ones
  std::optional<Clock::time_point> deadline;  ///< after it no further work is begun
  std::uint64_t max_distances = std::numeric_limits<std::uint64_t>::max();  ///< per query
  Filter filter;                                                            ///< items that may be returned
  SearchStats* stats = nullptr;                                             ///< where to add this call's work

  [[nodiscard]] bool must_stop() const {
    return stop.stop_requested() || (deadline.has_value() && Clock::now() >= *deadline);
  }
  [[nodiscard]] StopReason stop_reason() const {
    return stop.stop_requested() ? StopReason::cancelled : StopReason::deadline;
  }
};

/// How a build runs.
struct BuildControl {
  ExecutorRef executor;
  std::stop_token stop;  ///< a stopped build throws Cancelled and leaves nothing behind
  /// Called on the calling thread only with the phase's name and its progress.
  std::function<void(std::string_view phase, std::uint64_t done, std::uint64_t total)> progress;

  void report(std::string_view phase, std::uint64_t done, std::uint64_t total) const {
    if (progress) progress(phase, done, total);
  }
  void throw_if_stopped() const;
};

/// A build that was stopped by its stop token.
class Cancelled : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace vicinal
