#include "vicinal/tools/explore/decision.hpp"

#include <algorithm>
#include <numeric>
#include <tuple>

namespace vicinal::tools {
namespace {

// A mean of tenths is a hair off in binary.
constexpr double rounding = 1e-9;

bool reaches(const Offer& offer, const Limits& limits) {
  return !limits.floor || offer.promised >= *limits.floor - rounding;
}

// The member for which `key` is smallest; the first of equals.
template <class Key>
std::optional<std::size_t> least(const std::vector<std::size_t>& members, Key key) {
  const auto place =
      std::min_element(members.begin(), members.end(), [&](auto a, auto b) { return key(a) < key(b); });
  if (place == members.end()) return std::nullopt;
  return *place;
}

}  // namespace

std::vector<std::size_t> front(std::span<const Offer> offers) {
  std::vector<std::size_t> order(offers.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) {
    return std::tuple(offers[a].bytes, -offers[a].quality) < std::tuple(offers[b].bytes, -offers[b].quality);
  });
  std::vector<std::size_t> ahead;
  for (const std::size_t i : order) {
    if (ahead.empty() || offers[i].quality > offers[ahead.back()].quality) ahead.push_back(i);
  }
  return ahead;
}

std::vector<std::size_t> distinct_front(std::span<const Offer> offers, Tied tied) {
  std::vector<std::size_t> distinct;
  for (const std::size_t i : front(offers)) {
    const bool replaced = std::any_of(distinct.begin(), distinct.end(), [&](auto j) { return tied(i, j); });
    if (!replaced) distinct.push_back(i);
  }
  return distinct;
}

Decision decide(std::span<const Offer> offers, const Limits& limits, Tied tied) {
  std::vector<std::size_t> all(offers.size()), fitting, good;
  std::iota(all.begin(), all.end(), std::size_t{0});
  for (const std::size_t i : all) {
    if (!limits.bytes || offers[i].bytes <= *limits.bytes) fitting.push_back(i);
    if (limits.floor && reaches(offers[i], limits)) good.push_back(i);
  }
  const auto size = [&](std::size_t i) { return std::tuple(offers[i].bytes, -offers[i].quality); };
  const auto loss = [&](std::size_t i) { return -offers[i].quality; };
  Decision decision;
  const auto best = least(fitting, loss);
  if (best) {
    std::copy_if(fitting.begin(), fitting.end(), std::back_inserter(decision.tied),
                 [&](auto i) { return i == *best || tied(*best, i); });
  }
  std::vector<std::size_t> eligible;
  for (const std::size_t i : decision.tied) {
    if (reaches(offers[i], limits)) eligible.push_back(i);
  }
  const auto cost = [&](std::size_t i) { return std::tuple(offers[i].bytes, offers[i].micros); };
  decision.chosen = least(eligible, cost);
  if (decision.chosen) return decision;
  // What is tied with the best may all be promised less than another that is measured a little worse.
  for (const std::size_t i : fitting) {
    if (limits.floor && reaches(offers[i], limits)) eligible.push_back(i);
  }
  decision.chosen = least(eligible, loss);
  if (decision.chosen) return decision;
  decision.nearest = best ? best : least(all, size);
  decision.needed = least(good, size);
  return decision;
}

}  // namespace vicinal::tools
