#include "vicinal/tools/explore/measurement.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <utility>

namespace vicinal::tools {
namespace {

constexpr std::array depths{1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0, deepest};
constexpr std::array efforts{10, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384};

double mean_of(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) /
         static_cast<double>(std::max<std::size_t>(values.size(), 1));
}

std::size_t candidates_at(double depth, std::size_t k, std::size_t most) {
  return std::min(most, static_cast<std::size_t>(std::ceil(depth * static_cast<double>(k))));
}

std::vector<std::size_t> wide_enough(std::size_t k) {
  std::vector<std::size_t> wide;
  for (const int effort : efforts) {
    if (static_cast<std::size_t>(effort) >= k) wide.push_back(static_cast<std::size_t>(effort));
  }
  for (const std::size_t factor : {1U, 2U, 4U, 8U}) {
    if (wide.size() < 4 && (wide.empty() || factor * k > wide.back())) wide.push_back(factor * k);
  }
  return wide;
}

}  // namespace

std::size_t first_reaching(const std::vector<double>& values, double target) {
  const auto place =
      std::find_if(values.begin(), values.end(), [&](double value) { return value >= target; });
  return place == values.end() ? values.size() - 1 : static_cast<std::size_t>(place - values.begin());
}

double aim(const std::vector<double>& values, const std::optional<Floor>& floor) {
  if (floor && values.back() >= floor->value) return floor->value;
  return values.back() - plateau;
}

Measurement::Measurement(MatrixView<const float> base, MatrixView<const float> queries,
                         const Yardstick& yardstick, const ExploreOptions& options, BuildControl control)
    : base_(base),
      queries_(queries),
      yardstick_(yardstick),
      options_(options),
      control_(std::move(control)) {}

BuildControl Measurement::quiet() const { return {control_.executor, control_.stop, {}}; }

const CodeStore& Measurement::rerank_rows(const std::string& codec) {
  if (const auto known = rows_.find(codec); known != rows_.end()) return known->second;
  const Codec trained = Codec::train(parse_spec(codec).codec, options_.metric, base_, quiet());
  return rows_.emplace(codec, CodeStore::build(trained, base_, {}, quiet())).first->second;
}

// What an index with this rerank stage would answer: its candidates are the first of a longer list.
Neighbors Measurement::reranked(const CodeStore& rows, const Neighbors& candidates, double depth) const {
  const std::size_t k = yardstick_.k();
  const std::size_t wanted = candidates_at(depth, k, candidates.k());
  Neighbors answers(candidates.size(), k);
  const NeighborsView out = answers.view();
  control_.executor.for_each(candidates.size(), [&](std::size_t query, std::size_t) {
    std::vector<std::uint32_t> slots;
    for (const Id id : candidates.ids()[query].first(wanted)) {
      if (id != no_id) slots.push_back(static_cast<std::uint32_t>(id));
    }
    std::vector<float> distances(slots.size());
    PreparedQuery prepared;
    rows.codec().prepare_query(queries_[query], prepared);
    rows.score(prepared, slots.data(), slots.size(), distances.data());
    std::vector<std::pair<float, std::uint32_t>> ranked;
    for (std::size_t i = 0; i < slots.size(); ++i) ranked.emplace_back(distances[i], slots[i]);
    std::sort(ranked.begin(), ranked.end());
    const std::size_t count = std::min(k, ranked.size());
    for (std::size_t i = 0; i < count; ++i) {
      out.distances[query][i] = ranked[i].first;
      out.ids[query][i] = static_cast<Id>(ranked[i].second);
    }
    out.counts[query] = static_cast<std::uint32_t>(count);
  });
  return answers;
}

double Measurement::quality(const ExploredPoint& point) const {
  const bool by_ndcg = options_.floor && options_.floor->quality == Quality::ndcg;
  return mean_of(by_ndcg ? point.ndcgs : point.recalls);
}

void Measurement::judge(ExploredPoint& point, const Neighbors& found) const {
  point.recalls = yardstick_.recalls(found.ids(), control_.executor);
  point.ndcgs = yardstick_.ndcgs(found.ids());
  point.measured_error = yardstick_.distance_error(found, control_.executor);
}

void Measurement::choose_depth(ExploredPoint& point, const Neighbors& candidates, double fixed_depth) {
  const CodeStore& rows = rerank_rows(point.candidate.rerank);
  std::vector<double> tried, reached;
  for (const double depth : depths) {
    if (fixed_depth != 0 && depth != fixed_depth) continue;
    tried.push_back(depth);
    judge(point, reranked(rows, candidates, depth));
    reached.push_back(quality(point));
  }
  point.depth = tried[first_reaching(reached, aim(reached, options_.floor))];
  judge(point, reranked(rows, candidates, point.depth));
}

std::vector<ExploredPoint> Measurement::scan(const std::vector<Candidate>& group, double fixed_depth) {
  IndexOptions options;
  options.calibrate = false;
  options.seed = options_.seed;
  options.calibration_queries = options_.training_queries;
  Candidate plain = group.front();
  plain.rerank.clear();
  const Index index = Index::build(base_, spec_of(plain, "flat", 0), options_.metric, options, quiet());
  const bool reranks =
      std::any_of(group.begin(), group.end(), [](const auto& c) { return !c.rerank.empty(); });
  const std::size_t k = yardstick_.k();
  const std::size_t wanted = reranks ? candidates_at(deepest, k, base_.rows()) : k;
  const TimedAnswers answers = answer_all(index, queries_, wanted, 0, control_);
  std::vector<ExploredPoint> points;
  for (const Candidate& candidate : group) {
    ExploredPoint point;
    point.candidate = candidate;
    point.bytes = index.memory_bytes();
    point.micros = answers.micros;
    if (candidate.rerank.empty()) {
      judge(point, answers.found);
    } else {
      choose_depth(point, answers.found, fixed_depth);
      point.bytes += rerank_rows(candidate.rerank).memory_bytes();
    }
    point.spec = to_string(parse_spec(spec_of(candidate, "flat", point.depth)));
    points.push_back(std::move(point));
  }
  return points;
}

ExploredPoint Measurement::graph(const ExploredPoint& scanned) {
  IndexOptions options;
  options.calibrate = false;
  options.seed = options_.seed;
  options.calibration_queries = options_.training_queries;
  ExploredPoint point;
  point.candidate = scanned.candidate;
  point.depth = scanned.depth;
  point.graph = true;
  const Index index = Index::build(base_, spec_of(scanned.candidate, "hnsw", scanned.depth), options_.metric,
                                   options, quiet());
  point.spec = to_string(index.spec());
  point.bytes = index.memory_bytes();
  const std::vector<std::size_t> widths = wide_enough(yardstick_.k());
  std::vector<double> reached;
  for (const std::size_t width : widths) {
    judge(point, answer_all(index, queries_, yardstick_.k(), width, control_).found);
    reached.push_back(quality(point));
  }
  point.effort = widths[first_reaching(reached, reached.back() - 2 * plateau)];
  if (options_.floor && reached.back() >= options_.floor->value)
    point.floor_effort = widths[first_reaching(reached, options_.floor->value)];
  const TimedAnswers answers = answer_all(index, queries_, yardstick_.k(), point.effort, control_);
  judge(point, answers.found);
  point.micros = answers.micros;
  return point;
}

}  // namespace vicinal::tools
