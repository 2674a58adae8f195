#include "vicinal/index/live_state.hpp"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <new>

#include "vicinal/core/error.hpp"
#include "vicinal/core/random.hpp"

namespace vicinal {
namespace {

constexpr std::size_t most_slots = (std::size_t{1} << 31) - 1;  // 31 bits in the candidate pool
constexpr std::size_t least_slots = std::size_t{1} << 16;
constexpr std::uint8_t most_level = 15;
constexpr double norm_tolerance = 0.05;  // quantised unit vectors stay within it
constexpr double lift_slack = 1.25;      // so that ever longer vectors do not lift everything anew each time

// Twice the machine's memory, of addresses; it costs nothing until it is used.
std::size_t addresses_to_reserve() {
  const long pages = ::sysconf(_SC_PHYS_PAGES), page = ::sysconf(_SC_PAGESIZE);
  constexpr std::size_t least = std::size_t{4} << 30;
  if (pages <= 0 || page <= 0) return least;
  return std::max(least, 2 * static_cast<std::size_t>(pages) * static_cast<std::size_t>(page));
}

std::size_t upper_rows(std::size_t slots) { return slots / 2 + 1024; }

}  // namespace

LiveState::LiveState(Codec vectors, const HnswOptions& graph, std::optional<LiveRerank> precise,
                     std::size_t least)
    : codec(std::move(vectors)), options(graph), rerank(std::move(precise)) {
  if (is_rabitq(codec.kind()) || is_product(codec.kind())) {
    throw Unsupported("a graph that changes is linked by its own codes, for which those of " +
                      std::string(to_string(codec.kind())) +
                      " are too coarse; expected f32, f16, bf16, float8, i8 or i4");
  }
  has_space_factors = codec.has_factors() && (codec.metric() != Metric::l2 || codec.options().side_value);
  const std::size_t factor_count = codec.factor_count();
  const std::size_t rerank_stride = rerank ? rerank->codec.stride() : 0;
  const std::size_t rerank_factor_count = rerank ? rerank->codec.factor_count() : 0;
  const bool lifts = codec.metric() == Metric::ip;
  const std::size_t a_slot = codec.stride() + rerank_stride + sizeof(Lifetime) + sizeof(Id) +
                             (factor_count + rerank_factor_count + 2 * degree(0) + 7) * sizeof(float);
  std::size_t slots =
      std::clamp(std::max(addresses_to_reserve() / a_slot, 2 * least), least_slots, most_slots);
  // Where addresses are limited, what there is has to do.
  for (;; slots /= 2) {
    try {
      records = {slots, codec.stride()};
      if (factor_count != 0) factors = {slots, factor_count};
      if (has_space_factors) space_factors = {slots, 2};
      if (lifts) norms = {slots, 1};
      if (lifts) extra = {slots, 1};
      if (rerank) rerank_records = {slots, rerank_stride};
      if (rerank_factor_count != 0) rerank_factors = {slots, rerank_factor_count};
      links = {slots, degree(0)};
      levels = {slots, 1};
      towers = {slots, 1};
      in_degrees = {slots, 1};
      lifetimes = {slots, 1};
      ids = {slots, 1};
      upper = {upper_rows(slots), degree(1)};
      break;
    } catch (const std::bad_alloc&) {
      if (slots <= std::max(least, least_slots)) throw;
    }
  }
  most = slots;
  free_towers.resize(most_level + 1);
}

void LiveState::require_room(std::size_t count) const {
  const std::size_t taken = used.load(std::memory_order_relaxed) - free_slots.size();
  if (count <= most - taken) return;
  throw InvalidArgument("the index holds " + std::to_string(taken) + " of at most " + std::to_string(most) +
                        " vectors, there is no room for " + std::to_string(count) + " more");
}

void LiveState::reserve_slots(std::size_t count, std::vector<std::uint32_t>& slots) {
  slots.clear();
  const std::size_t reused = std::min(count, free_slots.size());
  const std::size_t first = used.load(std::memory_order_relaxed);
  const std::size_t end = first + (count - reused);
  slots.reserve(count);
  records.commit_rows(end);
  factors.commit_rows(end);
  space_factors.commit_rows(end);
  norms.commit_rows(end);
  extra.commit_rows(end);
  rerank_records.commit_rows(end);
  rerank_factors.commit_rows(end);
  links.commit_rows(end);
  levels.commit_rows(end);
  towers.commit_rows(end);
  in_degrees.commit_rows(end);
  lifetimes.commit_rows(end);
  ids.commit_rows(end);
  // Levels are drawn first, since their lists need memory too. A node is on level l + 1 with a chance of 1 in m if it is on l.
  const RandomStream random(options.seed, 1);
  const std::uint64_t chance = std::numeric_limits<std::uint64_t>::max() / options.m;
  std::vector<std::uint8_t> drawn(count);
  std::size_t lists = 0;
  for (std::size_t i = 0; i < count; ++i) {
    while (drawn[i] < most_level && random.at((inserted + i) * (most_level + 1) + drawn[i]) < chance)
      ++drawn[i];
    lists += drawn[i];
  }
  upper.commit_rows(used_upper + lists);

  for (std::size_t i = 0; i < count; ++i) {
    auto slot = static_cast<std::uint32_t>(first + i - reused);
    if (i < reused) {
      slot = free_slots.back();
      free_slots.pop_back();
    }
    slots.push_back(slot);
    levels[slot] = drawn[i];
    if (drawn[i] == 0) continue;
    std::vector<std::uint32_t>& free = free_towers[drawn[i]];
    if (free.empty()) {
      towers[slot] = used_upper;
      used_upper += drawn[i];
    } else {
      towers[slot] = free.back();
      free.pop_back();
    }
  }
  inserted += count;
  // Before `used` says that they are there.
  for (const std::uint32_t slot : slots) {
    Lifetime::set(lifetimes[slot].born, Lifetime::never);
    Lifetime::set(lifetimes[slot].died, Lifetime::never);
    in_degrees[slot] = 0;
    for (std::size_t l = 0; l <= levels[slot]; ++l) {
      std::uint32_t* const places = list(slot, l);
      for (std::size_t i = 0; i < degree(l); ++i) store_link(places + i, Graph::no_slot);
    }
  }
  used.store(static_cast<std::uint32_t>(end), std::memory_order_release);
}

void LiveState::write_space(std::uint32_t slot) {
  if (!has_space_factors) return;
  const float scale = factors.row(slot)[0];
  space_factors.row(slot)[0] = scale;
  space_factors.row(slot)[1] = codec.residual_norm(records.row(slot), scale);
}

void LiveState::update_lift(std::span<const std::uint32_t> fresh) {
  if (norms.empty() || fresh.empty()) return;
  for (const std::uint32_t slot : fresh) {
    least_norm = std::min(least_norm, static_cast<double>(norms[slot]));
    most_norm = std::max(most_norm, static_cast<double>(norms[slot]));
  }
  if (lift == 0 && most_norm - least_norm <= norm_tolerance * most_norm) return;
  const auto write = [&](std::uint32_t slot) {
    extra[slot] = static_cast<float>(std::sqrt(std::max(0.0, lift - static_cast<double>(norms[slot]))));
  };
  if (most_norm <= lift) {
    for (const std::uint32_t slot : fresh) write(slot);
    return;
  }
  lift = lift_slack * most_norm;
  for (std::uint32_t slot = 0; slot < used.load(std::memory_order_relaxed); ++slot) write(slot);
}

void LiveState::ensure_workers(std::size_t count) {
  if (workers.size() < count) workers.resize(count);
  constexpr std::size_t block = 256;
  for (LiveWorker& worker : workers) {
    const std::size_t places = std::max(block, degree(0));
    if (worker.search.block.size() >= places) continue;
    worker.search.block.resize(places);
    worker.search.distances.resize(places);
  }
}

void LiveState::reclaim() {
  epochs.try_advance();
  while (!limbo.empty() && epochs.has_passed(limbo.front().epoch)) {
    for (const std::uint32_t slot : limbo.front().slots) {
      if (levels[slot] != 0) free_towers[levels[slot]].push_back(towers[slot]);
      free_slots.push_back(slot);
    }
    limbo.pop_front();
  }
}

std::size_t LiveState::memory_bytes() const {
  const std::shared_lock lock(names_mutex);
  return records.bytes() + factors.bytes() + space_factors.bytes() + norms.bytes() + extra.bytes() +
         rerank_records.bytes() + rerank_factors.bytes() + links.bytes() + levels.bytes() + towers.bytes() +
         in_degrees.bytes() + lifetimes.bytes() + ids.bytes() + upper.bytes() + codec.memory_bytes() +
         slot_of.bucket_count() * sizeof(std::pair<Id, std::uint64_t>);
}

}  // namespace vicinal
