#include "vicinal/index/reranked.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "vicinal/core/prefetch.hpp"
#include "vicinal/index/ranking.hpp"
#include "vicinal/index/reranked_scratch.hpp"
#include "vicinal/index/search_without.hpp"

namespace vicinal {
namespace {

// Candidates held at one time, which bounds the memory of a large batch with a large k.
constexpr std::size_t most_candidates = std::size_t{1} << 22;

SearchOptions inner_at(std::size_t effort) { return {effort, {}}; }

}  // namespace

Reranked::Params Reranked::Params::from_effort(std::size_t effort) { return {inner_at(effort), 0}; }

void Reranked::Params::validate() const {
  if (depth == 0 || (depth >= 1 && std::isfinite(depth))) return;
  throw InvalidArgument(fmt::format("the rerank depth is {}, expected 0 (as built) or at least 1", depth));
}

Reranked::Reranked(AnyRetriever inner, CodeStore rows, double depth)
    : inner_(std::move(inner)),
      rows_(std::move(rows)),
      depth_(depth),
      scratch_(std::make_shared<ScratchPool>()) {
  require_fit();
  if (rows_.codec().metric() != inner_.metric()) {
    throw InvalidArgument(fmt::format("rows to rerank on have metric {}, the inner retriever {}",
                                      to_string(rows_.codec().metric()), to_string(inner_.metric())));
  }
}

Reranked::Reranked(AnyRetriever inner, TwoLevelStore levels, Array<std::uint32_t> slot_of_row, double depth)
    : inner_(std::move(inner)),
      rows_(levels.second()),
      levels_(std::move(levels)),
      slot_of_row_(std::move(slot_of_row)),
      depth_(depth),
      scratch_(std::make_shared<ScratchPool>()) {
  require_fit();
  const Metric metric = levels_->first().codec().metric();
  if (metric != inner_.metric()) {
    throw InvalidArgument(fmt::format("levels to rerank on have metric {}, the inner retriever {}",
                                      to_string(metric), to_string(inner_.metric())));
  }
  if (!slot_of_row_.empty() && (slot_of_row_.size() != size() ||
                                std::ranges::any_of(std::as_const(slot_of_row_).span(),
                                                    [&](std::uint32_t slot) { return slot >= size(); }))) {
    throw InvalidArgument(
        fmt::format("the slots of {} rows do not fit {} codes", slot_of_row_.size(), size()));
  }
}

void Reranked::require_fit() const {
  if (!inner_.has_value()) throw InvalidArgument("the retriever to rerank is empty");
  if (!(depth_ >= 1 && std::isfinite(depth_))) {
    throw InvalidArgument(fmt::format("the rerank depth is {}, expected at least 1", depth_));
  }
  if (rows_.size() != inner_.size()) {
    throw InvalidArgument(
        fmt::format("{} rows to rerank on, the inner retriever has {} items", rows_.size(), inner_.size()));
  }
  if (rows_.dim() != inner_.dim()) {
    throw InvalidArgument(fmt::format("rows to rerank on have dimension {}, the inner retriever {}",
                                      rows_.dim(), inner_.dim()));
  }
}

void Reranked::decode(std::size_t row, std::span<float> out) const {
  if (levels_) {
    levels_->decode(slot_of(row), out);
  } else {
    rows_.decode(row, out);
  }
}

// max(k, depth x k), capped by the effort and by the size.
std::size_t Reranked::candidates_for(std::size_t k, const Params& params) const {
  const double depth = params.depth == 0 ? depth_ : params.depth;
  // A little less before rounding up: 1.1 x 10 is a hair above 11 in binary.
  const double wanted = std::ceil(depth * static_cast<double>(k) * (1 - 1e-12));
  std::size_t candidates = wanted >= static_cast<double>(size()) ? size() : static_cast<std::size_t>(wanted);
  if (params.inner.effort != 0) candidates = std::min(candidates, params.inner.effort);
  return std::max<std::size_t>(1, std::min(size(), std::max(candidates, k)));
}

std::size_t Reranked::row_bytes() const {
  return levels_ ? levels_->bytes_per_vector() : rows_.bytes_per_vector();
}

std::string Reranked::description(std::size_t candidates) const {
  return fmt::format("rerank({}{}, {})", levels_ ? "+" : "", to_string(rows_.codec().kind()), candidates);
}

void Reranked::search(const VectorBatch& queries, NeighborsView out, const Params& params,
                      const SearchControl& control) const {
  const auto candidates = [&](std::size_t first, NeighborsView found, const SearchControl& inner_control) {
    inner_.search(queries.rows.rows_from(first, found.size()), found, params.inner, inner_control);
  };
  search_with(candidates, queries, out, params, control);
}

void Reranked::search_without(const VectorBatch& queries, std::span<const std::uint32_t> absent,
                              NeighborsView out, const Params& params, const SearchControl& control) const {
  const auto candidates = [&](std::size_t first, NeighborsView found, const SearchControl& inner_control) {
    vicinal::search_without(inner_, queries.rows.rows_from(first, found.size()),
                            absent.subspan(first, found.size()), found, params.inner, inner_control);
  };
  search_with(candidates, queries, out, params, control);
}

void Reranked::search_with(Candidates candidates, const VectorBatch& queries, NeighborsView out,
                           const Params& params, const SearchControl& control) const {
  const std::size_t wanted = candidates_for(out.k(), params);
  const std::size_t block = std::max<std::size_t>(1, most_candidates / wanted);
  SearchStats work;
  SearchControl inner_control = control;
  inner_control.stats = control.stats == nullptr ? nullptr : &work;

  std::unique_ptr<Scratch> scratch = scratch_->take();
  scratch->workers.resize(std::max(scratch->workers.size(), control.executor.concurrency()));
  for (Scratch::Worker& worker : scratch->workers) worker.reranked = 0;
  for (std::size_t first = 0; first < queries.size(); first += block) {
    const std::size_t count = std::min(block, queries.size() - first);
    const NeighborsView found = scratch->candidates(count, wanted);
    candidates(first, found, inner_control);
    control.executor.for_each(count, [&](std::size_t i, std::size_t worker) {
      rerank(queries.rows[first + i], found.ids[i].first(found.counts[i]), out, first + i, control.filter,
             *scratch, worker);
    });
  }

  if (control.stats != nullptr) {
    for (const Scratch::Worker& worker : scratch->workers) work.reranked += worker.reranked;
    work.bytes += work.reranked * row_bytes();
    control.stats->add_work(work);
    control.stats->strategy = fmt::format("{} > {}", description(wanted), work.strategy);
  }
  scratch_->give_back(std::move(scratch));
}

// Scores one query's candidates on the rows and writes the best to a row of `out`, which is empty so far.
void Reranked::rerank(std::span<const float> query, std::span<const Id> candidates, NeighborsView out,
                      std::size_t row, const Filter& filter, Scratch& scratch, std::size_t worker) const {
  constexpr std::size_t lookahead = 8;
  Scratch::Worker& own = scratch.workers[worker];
  own.ids.clear();
  own.slots.clear();
  for (const Id id : candidates) {
    if (id < 0 || static_cast<std::uint64_t>(id) >= rows_.size() || !(filter.passes_all() || filter(id)))
      continue;
    own.ids.push_back(id);
    own.slots.push_back(static_cast<std::uint32_t>(slot_of(static_cast<std::size_t>(id))));
  }
  if (own.slots.empty()) return;

  // The rows lie anywhere in memory: ask for the first while the query is made ready, then score in short runs and ask for the
  // rows of the next run before each.
  const auto ask_for = [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < std::min(end, own.slots.size()); ++i) {
      prefetch(rows_.record(own.slots[i]), rows_.codec().stride());
      if (levels_) prefetch(levels_->first().record(own.slots[i]), levels_->first().codec().stride());
    }
  };
  ask_for(0, lookahead);
  if (levels_) {
    levels_->prepare_query(query, own.levels);
  } else {
    rows_.codec().prepare_query(query, own.query);
  }
  own.distances.resize(std::max(own.distances.size(), own.slots.size()));
  for (std::size_t begin = 0; begin < own.slots.size(); begin += lookahead) {
    const std::size_t count = std::min(lookahead, own.slots.size() - begin);
    ask_for(begin + count, begin + count + lookahead);
    if (levels_) {
      levels_->score(own.levels, own.slots.data() + begin, count, own.distances.data() + begin);
    } else {
      rows_.score(own.query, own.slots.data() + begin, count, own.distances.data() + begin);
    }
  }
  own.reranked += own.slots.size();

  own.found.clear();
  for (std::size_t i = 0; i < own.ids.size(); ++i) own.found.push_back({own.distances[i], own.ids[i]});
  write_ranked(own.found, out, row);
}

}  // namespace vicinal
