#include "vicinal/tools/plot_scale.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "vicinal/tools/formatting.hpp"

namespace vicinal::tools {
namespace {

double stretch_towards_one(double recall) { return -std::log10(1.0 - recall + 0.0005); }
double logarithm(double value) { return std::log10(value); }

// Round recalls, and how much a label at each is wanted when there is no room for all.
struct RoundRecall {
  double value;
  int rank;
};
constexpr std::array round_recalls{RoundRecall{0.0, 3},   RoundRecall{0.2, 4},   RoundRecall{0.4, 4},
                                   RoundRecall{0.5, 1},   RoundRecall{0.6, 5},   RoundRecall{0.7, 4},
                                   RoundRecall{0.8, 2},   RoundRecall{0.85, 6},  RoundRecall{0.9, 0},
                                   RoundRecall{0.95, 1},  RoundRecall{0.97, 6},  RoundRecall{0.98, 3},
                                   RoundRecall{0.99, 0},  RoundRecall{0.995, 2}, RoundRecall{0.998, 5},
                                   RoundRecall{0.999, 1}, RoundRecall{1.0, 0}};

std::string recall_label(double value) { return value == 1.0 ? "1.0" : fmt::format("{}", value); }

}  // namespace

double Scale::position(double value) const { return (transform_(value) - from_) / (to_ - from_); }

Scale Scale::recall(double least, double greatest, std::size_t room) {
  std::size_t first = 0;
  while (first + 2 < round_recalls.size() && round_recalls[first + 1].value <= least) ++first;
  std::size_t last = first + 1;
  while (last + 1 < round_recalls.size() && round_recalls[last].value < greatest) ++last;
  Scale scale(stretch_towards_one, round_recalls[first].value, round_recalls[last].value);

  std::vector<std::size_t> order(last - first + 1);
  std::iota(order.begin(), order.end(), first);
  std::stable_sort(order.begin(), order.end(),
                   [](auto a, auto b) { return round_recalls[a].rank < round_recalls[b].rank; });
  std::vector<double> labelled;
  for (const std::size_t i : order) {
    const double here = scale.position(round_recalls[i].value);
    const bool fits = std::all_of(labelled.begin(), labelled.end(), [&](double there) {
      return std::abs(here - there) * static_cast<double>(room) >= 1;
    });
    if (fits) labelled.push_back(here);
    scale.ticks_.push_back({round_recalls[i].value, fits ? recall_label(round_recalls[i].value) : ""});
  }
  return scale;
}

Scale Scale::logarithmic(double least, double greatest) {
  const double air = std::max(0.06 * std::log10(greatest / least), 0.05);
  double from = std::log10(least) - air;
  double to = std::log10(greatest) + air;
  if (to - from < 0.5) {
    const double centre = (from + to) / 2;
    from = centre - 0.25;
    to = centre + 0.25;
  }
  Scale scale(logarithm, std::pow(10.0, from), std::pow(10.0, to));
  const double decades = to - from;
  for (int exponent = static_cast<int>(std::floor(from)); exponent <= static_cast<int>(std::floor(to));
       ++exponent) {
    for (int digit = 1; digit <= 9; ++digit) {
      const double value = digit * std::pow(10.0, exponent);
      if (std::log10(value) < from || std::log10(value) > to) continue;
      const bool one_two_five = digit == 1 || digit == 2 || digit == 5;
      const bool labelled = decades > 3.2 ? digit == 1 : decades > 0.8 ? one_two_five : true;
      const int decimals = exponent < 0 ? -exponent : 0;
      scale.ticks_.push_back({value, labelled ? thousands(value, decimals) : ""});
    }
  }
  return scale;
}

std::vector<double> spread_labels(const std::vector<double>& wanted, const std::vector<double>& heights,
                                  double top, double bottom) {
  const double total = std::accumulate(heights.begin(), heights.end(), 0.0);
  if (total > bottom - top) return {};
  // Labels that touch form a group that moves as one; its best place is the mean of what its members want. Groups that run
  // into each other merge (pool adjacent violators).
  struct Group {
    std::size_t count;
    double height;
    double sum_of_tops;  // of the group's top edge, as each member would have it
  };
  const auto top_of = [&](const Group& group) {
    return std::clamp(group.sum_of_tops / static_cast<double>(group.count), top, bottom - group.height);
  };
  std::vector<Group> groups;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    Group group{1, heights[i], wanted[i] - heights[i] / 2};
    while (!groups.empty() && top_of(groups.back()) + groups.back().height > top_of(group)) {
      const Group& above = groups.back();
      group = {above.count + group.count, above.height + group.height,
               above.sum_of_tops + group.sum_of_tops - above.height * static_cast<double>(group.count)};
      groups.pop_back();
    }
    groups.push_back(group);
  }
  std::vector<double> centres;
  for (const auto& group : groups) {
    double edge = top_of(group);
    for (std::size_t j = 0; j < group.count; ++j) {
      const double height = heights[centres.size()];
      centres.push_back(edge + height / 2);
      edge += height;
    }
  }
  return centres;
}

}  // namespace vicinal::tools
