#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "vicinal/core/function_ref.hpp"

namespace vicinal::tools {

/// What a decision weighs of a measured point.
struct Offer {
  double quality = 0;  ///< what is compared, measured
  double promised =
      0;  ///< what a floor is held against: the quality, or its extrapolation to the planned size
  std::uint64_t bytes = 0;
  double micros = 0;  ///< of a query
};

struct Limits {
  std::optional<std::uint64_t> bytes;
  std::optional<double> floor;
};

struct Decision {
  std::optional<std::size_t> chosen;  ///< none: nothing reaches the floor within the budget
  std::optional<std::size_t>
      nearest;                        ///< then: the best within the budget, or the smallest when nothing fits
  std::optional<std::size_t> needed;  ///< then: the smallest that reaches the floor, when one does
  std::vector<std::size_t> tied;      ///< within the budget and no worse than the best there, it included
};

/// Whether the second is no worse than the first, given the noise of the queries.
using Tied = FunctionRef<bool(std::size_t best, std::size_t other)>;

/// The offers that no other beats in quality and bytes, ascending bytes and quality; of equals the first.
std::vector<std::size_t> front(std::span<const Offer> offers);

/// Of the front, those that are worth their bytes: no cheaper one is tied with them. Ascending bytes.
std::vector<std::size_t> distinct_front(std::span<const Offer> offers, Tied tied);

/// The best within the limits; among those tied with it the smallest, then the fastest, then the first.
Decision decide(std::span<const Offer> offers, const Limits& limits, Tied tied);

}  // namespace vicinal::tools
