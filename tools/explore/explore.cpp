#include "vicinal/tools/explore/explore.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>

#include "vicinal/core/error.hpp"
#include "vicinal/core/random.hpp"
#include "vicinal/core/vector_batch.hpp"
#include "vicinal/tools/explore/measurement.hpp"
#include "vicinal/tools/explore/prediction.hpp"
#include "vicinal/tools/explore/yardstick.hpp"

namespace vicinal::tools {
namespace {

constexpr std::size_t most_sampled_rows = 2000;
constexpr std::size_t most_graphs = 4;
constexpr std::size_t least_grown_rows = 500;
// What a graph of the default shape adds a row, until one has been measured.
constexpr double usual_graph_bytes = 264;
constexpr std::uint64_t growth_stream = 0x67726f777468;

// The rows of a base in a random order, so that a prefix is a sample and a longer prefix holds the shorter one.
std::vector<std::uint32_t> shuffled(std::size_t rows, std::uint64_t seed) {
  std::vector<std::uint32_t> order(rows);
  std::iota(order.begin(), order.end(), 0U);
  RandomStream stream(seed, growth_stream);
  for (std::size_t i = rows; i > 1; --i) std::swap(order[i - 1], order[stream.next_below(i)]);
  return order;
}

Array<float> rows_at(MatrixView<const float> base, std::span<const std::uint32_t> order) {
  Array<float> rows(checked_product(order.size(), base.cols(), "sample"));
  for (std::size_t i = 0; i < order.size(); ++i) {
    std::ranges::copy(base[order[i]], rows.data() + i * base.cols());
  }
  return rows;
}

class Explorer {
 public:
  Explorer(MatrixView<const float> base, MatrixView<const float> queries, const ExploreOptions& options,
           const BuildControl& control)
      : base_(base),
        queries_(queries),
        options_(options),
        control_(control),
        yardstick_(base, queries, options.metric, options.k, options.judgements, control,
                   [&](std::size_t done) { control.report("truth", done, queries.rows()); }),
        measurement_(base, queries, yardstick_, options_, control_),
        recall_bootstrap_(queries.rows(), options.seed) {
    found_.options = options;
    found_.options.judgements = nullptr;
    found_.options.training_queries = {};
    found_.rows = base.rows();
    found_.dim = base.cols();
    found_.queries = queries.rows();
    found_.gap = yardstick_.gap();
    if (options.judgements != nullptr) {
      found_.judged_queries = options.judgements->judged_queries();
      ndcg_bootstrap_.emplace(found_.judged_queries, options.seed);
    }
    if (options.floor) found_.quality = options.floor->quality;
    if (!options.floor && options.paper && options.judgements != nullptr) found_.quality = Quality::ndcg;
  }

  Exploration run() {
    measure_scans(survivors());
    const auto worthwhile = distinct();
    if (!options_.paper) {
      grow(worthwhile);
      if (options_.graph) measure_graphs(worthwhile);
    }
    decide_all();
    return std::move(found_);
  }

 private:
  std::vector<Candidate> survivors() {
    const std::size_t sampled =
        std::min(queries_.rows(), std::max<std::size_t>(1, most_sampled_rows / options_.k));
    std::vector<Id> near(sampled * options_.k);
    for (std::size_t i = 0; i < sampled; ++i) {
      std::ranges::copy(yardstick_.exact().found.ids()[i].first(options_.k),
                        near.begin() + static_cast<std::ptrdiff_t>(i * options_.k));
    }
    const Neighbors& exact = yardstick_.exact().found;
    const MatrixView<const float> distances(exact.distances().data(), sampled, options_.k, exact.k());
    const PairSample sample{base_,     queries_,        {near.data(), sampled, options_.k},
                            distances, options_.metric, options_.training_queries};
    const auto errors = predict(sample, options_.paper, control_);
    for (const auto& of_one : errors) found_.projections.push_back(of_one.projection);
    auto candidates = combine(errors, options_.metric);
    if (options_.paper) std::erase_if(candidates, [](const auto& c) { return !c.rerank.empty(); });
    found_.predicted = candidates.size();
    if (!options_.paper) candidates = prune(candidates, yardstick_.gap());
    found_.pruned = found_.predicted - candidates.size();
    return candidates;
  }

  void measure_scans(const std::vector<Candidate>& candidates) {
    std::size_t done = 0;
    for (auto begin = candidates.begin(); begin != candidates.end();) {
      const auto end = std::find_if(begin, candidates.end(), [&](const Candidate& other) {
        return other.projection != begin->projection || other.codec != begin->codec;
      });
      control_.report("measure", done, candidates.size());
      control_.throw_if_stopped();
      for (auto& point : measurement_.scan({begin, end})) add(std::move(point));
      done += static_cast<std::size_t>(end - begin);
      begin = end;
    }
    control_.report("measure", done, candidates.size());
  }

  void add(ExploredPoint point) {
    point.recall = recall_bootstrap_.mean(point.recalls);
    if (ndcg_bootstrap_) point.ndcg = ndcg_bootstrap_->mean(point.ndcgs);
    // A projection's matrix does not grow with the rows, and with few of them it is most of the memory.
    const double more = static_cast<double>(found_.planned_rows()) - static_cast<double>(found_.rows);
    const double per_row = point.candidate.projection.empty()
                               ? static_cast<double>(point.bytes) / static_cast<double>(found_.rows)
                               : static_cast<double>(point.candidate.bytes_per_row);
    point.planned_bytes = static_cast<std::uint64_t>(
        std::llround(std::max(0.0, static_cast<double>(point.bytes) + per_row * more)));
    point.planned_quality = found_.quality_of(point);
    found_.points.push_back(std::move(point));
  }

  // Whether the second is within the noise of the first, or better. One below the floor does not stand for one that reaches it.
  bool tied(const ExploredPoint& best, const ExploredPoint& other) const {
    const auto reaches = [&](const ExploredPoint& point) {
      return found_.quality_of(point) >= options_.floor->value;
    };
    if (options_.floor && reaches(best) && !reaches(other)) return false;
    const bool by_ndcg = found_.quality == Quality::ndcg;
    const Estimate difference = by_ndcg ? ndcg_bootstrap_->difference(best.ndcgs, other.ndcgs)
                                        : recall_bootstrap_.difference(best.recalls, other.recalls);
    return difference.low <= 0;
  }

  Offer offer(const ExploredPoint& point) const {
    return {found_.quality_of(point), point.planned_quality, point.planned_bytes, point.micros};
  }

  // The members that `wanted` says, as offers, and which points they are.
  template <class Wanted>
  std::pair<std::vector<Offer>, std::vector<std::size_t>> offers(Wanted wanted) const {
    std::pair<std::vector<Offer>, std::vector<std::size_t>> result;
    for (std::size_t i = 0; i < found_.points.size(); ++i) {
      if (!wanted(found_.points[i])) continue;
      result.first.push_back(offer(found_.points[i]));
      result.second.push_back(i);
    }
    return result;
  }

  // Scans that are worth their bytes, ascending bytes and quality.
  std::vector<std::size_t> distinct() const {
    const auto [given, members] = offers([](const ExploredPoint&) { return true; });
    const auto places = distinct_front(given, [&, &points = members](std::size_t best, std::size_t other) {
      return tied(found_.points[points[best]], found_.points[points[other]]);
    });
    std::vector<std::size_t> result;
    result.reserve(places.size());
    for (const std::size_t place : places) result.push_back(members[place]);
    return result;
  }

  void grow(const std::vector<std::size_t>& members) {
    std::vector<Growth> growths(members.size());
    const auto order = shuffled(base_.rows(), options_.seed);
    std::vector<std::uint64_t> quarter_bytes(members.size());
    std::size_t done = 0;
    for (const std::size_t divisor : {16U, 4U}) {
      const std::size_t rows = base_.rows() / divisor;
      if (rows < std::max(least_grown_rows, 50 * options_.k)) continue;
      const Array<float> values = rows_at(base_, std::span(order).first(rows));
      const MatrixView<const float> part(values.data(), rows, base_.cols());
      const Yardstick yardstick(part, queries_, options_.metric, options_.k, nullptr, quiet());
      ExploreOptions options = options_;
      options.floor.reset();
      Measurement measurement(part, queries_, yardstick, options, control_);
      for (std::size_t i = 0; i < members.size(); ++i) {
        control_.report("growth", done++, 2 * members.size());
        const ExploredPoint& point = found_.points[members[i]];
        const auto grown = measurement.scan({point.candidate}, point.depth);
        growths[i].rows.push_back(static_cast<double>(rows));
        growths[i].recalls.push_back(recall_bootstrap_.mean(grown.front().recalls).mean);
        quarter_bytes[i] = grown.front().bytes;
      }
    }
    if (done == 0) return;
    const std::size_t quarter = base_.rows() / 4;
    for (std::size_t i = 0; i < members.size(); ++i)
      finish_growth(found_.points[members[i]], std::move(growths[i]), quarter, quarter_bytes[i]);
  }

  void finish_growth(ExploredPoint& point, Growth growth, std::size_t quarter, std::uint64_t quarter_bytes) {
    growth.rows.push_back(static_cast<double>(base_.rows()));
    growth.recalls.push_back(point.recall.mean);
    growth.fit = fit_loss(growth.rows, growth.recalls);
    if (found_.extrapolated()) {
      // Some memory does not grow with the rows: two sizes tell how much.
      const double slope =
          static_cast<double>(point.bytes - quarter_bytes) / static_cast<double>(base_.rows() - quarter);
      const auto more = static_cast<double>(found_.planned_rows() - base_.rows());
      point.planned_bytes = point.bytes + static_cast<std::uint64_t>(std::llround(slope * more));
      if (found_.quality == Quality::recall) {
        const double loss = growth.fit.slope * std::log(static_cast<double>(found_.planned_rows()) /
                                                        static_cast<double>(base_.rows()));
        point.planned_quality = std::clamp(point.recall.mean - loss, 0.0, 1.0);
      }
    }
    point.growth = std::move(growth);
  }

  void measure_graphs(const std::vector<std::size_t>& members) {
    const auto planned = static_cast<double>(found_.planned_rows());
    double graph_bytes = usual_graph_bytes;
    std::size_t built = 0;
    for (std::size_t i = members.size(); i-- > 0 && built < most_graphs;) {
      const ExploredPoint scanned = found_.points[members[i]];
      const bool fits =
          !options_.budget || static_cast<double>(scanned.planned_bytes) + graph_bytes * planned <=
                                  static_cast<double>(*options_.budget);
      if (!fits && (i > 0 || built > 0)) continue;
      control_.report("graphs", built, std::min(most_graphs, i + built + 1));
      ++built;
      control_.throw_if_stopped();
      ExploredPoint point = measurement_.graph(scanned);
      graph_bytes = static_cast<double>(point.bytes - scanned.bytes) / static_cast<double>(found_.rows);
      add(std::move(point));
      ExploredPoint& added = found_.points.back();
      added.planned_bytes =
          scanned.planned_bytes + static_cast<std::uint64_t>(std::llround(graph_bytes * planned));
      added.planned_quality -= found_.quality_of(scanned) - scanned.planned_quality;
      added.growth = scanned.growth;
    }
  }

  Decision decide_among(bool graphs) {
    const auto [everything, everybody] =
        offers([&](const ExploredPoint& point) { return point.graph == graphs; });
    for (const std::size_t place : front(everything)) found_.points[everybody[place]].on_front = true;
    // Of a size that was not measured, only points whose growth is known say anything.
    const bool grown =
        found_.extrapolated() && std::any_of(found_.points.begin(), found_.points.end(),
                                             [](const auto& p) { return p.growth.has_value(); });
    const auto [given, members] =
        offers([&](const ExploredPoint& point) { return point.graph == graphs && (!grown || point.growth); });
    const auto same = [&, &points = members](std::size_t best, std::size_t other) {
      return tied(found_.points[points[best]], found_.points[points[other]]);
    };
    const Limits limits{options_.budget,
                        options_.floor ? std::optional(options_.floor->value) : std::nullopt};
    Decision decision = decide(given, limits, same);
    const auto name = [&, &points = members](std::optional<std::size_t>& place) {
      if (place) place = points[*place];
    };
    name(decision.chosen);
    name(decision.nearest);
    name(decision.needed);
    for (auto& place : decision.tied) place = members[place];
    return decision;
  }

  void decide_all() {
    const bool graphs =
        std::any_of(found_.points.begin(), found_.points.end(), [](const auto& p) { return p.graph; });
    const Decision scans = decide_among(false);
    if (!found_.decided()) return;
    found_.decision = scans;
    if (graphs) {
      const Decision with_graph = decide_among(true);
      const bool fits = !with_graph.tied.empty();
      found_.graph_does_not_fit = !with_graph.chosen && (scans.chosen || !fits);
      if (!found_.graph_does_not_fit) {
        found_.decision = with_graph;
        // What the floor needs may be a scan that was not worth a graph under this budget.
        if (!with_graph.chosen && !with_graph.needed) found_.decision.needed = scans.needed;
      }
    }
    for (const std::size_t i : found_.decision.tied) found_.points[i].tied_with_best = true;
  }

  BuildControl quiet() const { return {control_.executor, control_.stop, {}}; }

  MatrixView<const float> base_;
  MatrixView<const float> queries_;
  ExploreOptions options_;
  const BuildControl& control_;
  Exploration found_;
  Yardstick yardstick_;
  Measurement measurement_;
  Bootstrap recall_bootstrap_;
  std::optional<Bootstrap> ndcg_bootstrap_;
};

}  // namespace

Exploration explore(MatrixView<const float> base, MatrixView<const float> queries,
                    const ExploreOptions& options, const BuildControl& control) {
  if (base.rows() == 0) throw InvalidArgument("the base has no rows");
  if (options.floor) {
    if (options.floor->k != 0 && options.floor->k != options.k)
      throw InvalidArgument(
          fmt::format("the floor is for k = {}, expected k = {}", options.floor->k, options.k));
    if (options.floor->quality == Quality::ndcg && options.judgements == nullptr)
      throw InvalidArgument("a floor for nDCG needs relevance judgements");
  }
  if (options.judgements != nullptr && options.judgements->queries() != queries.rows()) {
    throw InvalidArgument(fmt::format("judgements of {} queries, there are {} queries",
                                      options.judgements->queries(), queries.rows()));
  }
  require_finite(base, "base");
  require_finite(queries, "queries");
  if (!options.training_queries.empty()) {
    if (options.training_queries.cols() != base.cols()) {
      throw InvalidArgument(fmt::format("training queries have {} columns, the base has {}",
                                        options.training_queries.cols(), base.cols()));
    }
    require_finite(options.training_queries, "training queries");
  }
  const auto start = std::chrono::steady_clock::now();
  Exploration found = Explorer(base, queries, options, control).run();
  found.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return found;
}

}  // namespace vicinal::tools
