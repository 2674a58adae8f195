#include "vicinal/index/filter_plan.hpp"

#include <algorithm>
#include <cmath>

namespace vicinal {
namespace {

// What things cost, in ns of one thread of a Zen 4 processor with the codes in its cache: ratios are what counts. Measured by forcing each way in
// turn on 62,440 MiniLM vectors of 384 dimensions (docs/benchmarks.md). Constants, so that an answer depends on no clock.
struct Linear {
  double base;
  double a_byte;
  [[nodiscard]] double of(std::size_t bytes) const { return base + a_byte * static_cast<double>(bytes); }
};
constexpr Linear scanned{5, 0.03};  // a distance of a scan: b1 8, i8 14, f32 37 to 62
constexpr Linear walked{
    36, 0.07};  // a distance of a walk over all, with finding and keeping it: b1 40, i8 62, f32 140 to 210
constexpr double list_read = 40;          // of a hop
constexpr double fresh_share = 0.4;       // of links: what a hop had not met
constexpr double fused_hop_place = 12.5;  // a hop over fused rows, by places of a row: 0.3 to 0.45 us at 32
constexpr double two_hop_link =
    1.6;  // a link that is tested in a hop of two steps, most links of links are: 2.5 us at 32 links
constexpr double two_hop_fresh = 0.8;      // of links: how many passing rows such a hop scores
constexpr Linear two_hop_scored{8, 0.06};  // a distance of those
constexpr double entry = 5000;             // from the root to where a walk begins

// A test: of a bit a slot, of a bitmap by row, of an id set, which is searched, of a function of C++.
constexpr double bit_test = 0.7;
constexpr double bitmap_test = 2;
constexpr double id_set_test = 40;
constexpr double predicate_test = 4;
constexpr double bit_made = 2;         // of an item of a bitmap or id set that passes
constexpr double word_made = 0.02;     // of an item that does not
constexpr double tests_of_link = 0.2;  // of a walk over all

// Of what is expected of a walk, before it is given up: one over rows goes on for twice that where estimates are bad.
constexpr double most_walked = 2;
constexpr double most_rows_walked = 3;

double test_cost(const PassingSlots& passing) {
  switch (passing.kind()) {
    case PassingSlots::Kind::bitmap: return bitmap_test;
    case PassingSlots::Kind::id_set: return id_set_test;
    case PassingSlots::Kind::predicate: return predicate_test;
    case PassingSlots::Kind::all: break;
  }
  return 0;
}

// What a bit a slot costs to work out, and the list of them.
double cost_of_bits(const PassingSlots& passing) {
  if (passing.has_bits()) return word_made * static_cast<double>(passing.size()) + passing.count();
  if (passing.kind() == PassingSlots::Kind::predicate)
    return predicate_test * static_cast<double>(passing.size());
  return bit_made * passing.count() + word_made * static_cast<double>(passing.size());
}

// A walk that has its tests done by bits if those are worth making.
struct Walk {
  double cost = 0;  // of a query
  bool bits = false;
};
Walk with_tests(double walk, double tests, const PassingSlots& passing, double queries) {
  if (passing.has_bits()) return {walk, false};
  const double by_bits = cost_of_bits(passing) / queries;
  const double directly = tests * std::max(0.0, test_cost(passing) - bit_test);
  return {walk + std::min(by_bits, directly), by_bits < directly};
}

// Among many that pass, a pool of as many has more of the nearest than it has of all rows.
std::size_t post_filter_width(double share, std::size_t k, std::size_t ef) {
  return std::max(k, static_cast<std::size_t>(std::ceil(std::sqrt(share) * static_cast<double>(ef))));
}

// Where few pass, they hang together badly.
std::size_t two_hop_width(double share, std::size_t ef) {
  const double wider = 1 + 0.03 / share + 0.0024 / (share * share);
  return static_cast<std::size_t>(std::ceil(std::min(wider, 64.0) * static_cast<double>(ef)));
}

}  // namespace

FilterPlan plan_filter(const PassingSlots& passing, const GraphShape& shape, const FilteredSearch& search) {
  // Something may pass though none of a sample did.
  const auto size = static_cast<double>(passing.size());
  const double share = std::max(passing.share(), 0.5 / std::min(size, 512.0));
  const auto queries = static_cast<double>(std::max<std::size_t>(search.queries, 1));
  const double links = std::max(shape.links, 1.0);
  const double a_distance = walked.of(shape.record_bytes);

  const double scan = cost_of_bits(passing) / queries + passing.count() * scanned.of(shape.record_bytes);
  const std::size_t wide = shape.fused ? search.ef : post_filter_width(share, search.k, search.ef);
  const double hops = std::min(size, static_cast<double>(wide) / share);
  const double a_hop = shape.fused ? fused_hop_place * static_cast<double>(shape.degree)
                                   : list_read + fresh_share * links * a_distance;
  const Walk all = with_tests(entry + hops * a_hop, hops * (1 + tests_of_link * links), passing, queries);
  const std::size_t wider = std::min(passing.size(), two_hop_width(share, search.ef));
  const double steps = std::min(passing.count(), static_cast<double>(wider));
  const double a_step =
      links * (two_hop_link * links + two_hop_fresh * two_hop_scored.of(shape.record_bytes));
  const Walk between = with_tests(entry + steps * a_step, steps * links * links, passing, queries);

  FilterPlan plan;
  plan.strategy = search.wanted;
  const bool automatic = search.wanted == FilterStrategy::automatic;
  if (automatic) {
    plan.strategy = scan <= std::min(all.cost, between.cost) ? FilterStrategy::scan
                    : between.cost < all.cost                ? FilterStrategy::two_hop
                                                             : FilterStrategy::post_filter;
  }
  if (plan.strategy == FilterStrategy::scan) return plan;
  const bool two_hop = plan.strategy == FilterStrategy::two_hop;
  const Walk& walk = two_hop ? between : all;
  plan.width = two_hop ? wider : wide;
  plan.bits = walk.bits;
  plan.two_hop_cap = two_hop ? shape.degree : 0;
  const bool rows = shape.fused && !two_hop;
  const double limit = std::max(scan, (rows ? most_rows_walked : most_walked) * walk.cost);
  if (automatic) plan.most_work = static_cast<std::uint64_t>(limit / (rows ? a_hop : a_distance)) + 1;
  return plan;
}

std::string describe(const FilterPlan* plan, bool fused, std::size_t ef) {
  if (plan != nullptr && plan->strategy == FilterStrategy::scan) return "hnsw(scan of what passes)";
  std::string text = fused ? "hnsw(fused, " : "hnsw(";
  if (plan != nullptr) text += plan->strategy == FilterStrategy::two_hop ? "two-hop, " : "post-filter, ";
  return text + "ef=" + std::to_string(ef) + ")";
}

}  // namespace vicinal
