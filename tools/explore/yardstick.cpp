#include "vicinal/tools/explore/yardstick.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <set>

#include "vicinal/core/error.hpp"
#include "vicinal/index/flat.hpp"

namespace vicinal::tools {
namespace {

Index exact_index(MatrixView<const float> base, Metric metric, const BuildControl& control) {
  IndexOptions options;
  options.calibrate = false;
  return Index::build(base, "f32 | flat", metric, options, {control.executor, control.stop, {}});
}

double median_gap(const Neighbors& exact, std::size_t k) {
  const std::size_t last = exact.k() - 1;
  std::vector<double> gaps(exact.size());
  for (std::size_t i = 0; i < gaps.size(); ++i) {
    const auto distances = exact.distances()[i];
    gaps[i] = static_cast<double>(distances[last]) - static_cast<double>(distances[k - 1]);
  }
  const auto middle = gaps.begin() + static_cast<std::ptrdiff_t>(gaps.size() / 2);
  std::nth_element(gaps.begin(), middle, gaps.end());
  return *middle;
}

}  // namespace

TimedAnswers answer_all(const Index& index, MatrixView<const float> queries, std::size_t k,
                        std::size_t effort, const BuildControl& control,
                        const std::function<void(std::size_t)>& reached) {
  constexpr std::size_t block = 256;
  TimedAnswers answers{Neighbors(queries.rows(), k), 0};
  SearchControl search;
  search.executor = control.executor;
  search.stop = control.stop;
  Index::Params params;
  params.search.effort = effort;
  const auto start = std::chrono::steady_clock::now();
  for (std::size_t first = 0; first < queries.rows(); first += block) {
    const std::size_t count = std::min(block, queries.rows() - first);
    index.search(queries.rows_from(first, count), answers.found.view().rows_from(first, count), params,
                 search);
    control.throw_if_stopped();
    if (reached) reached(first + count);
  }
  const std::chrono::duration<double, std::micro> taken = std::chrono::steady_clock::now() - start;
  answers.micros = taken.count() / static_cast<double>(queries.rows());
  return answers;
}

Yardstick::Yardstick(MatrixView<const float> base, MatrixView<const float> queries, Metric metric,
                     std::size_t k, const Judgements* judgements, const BuildControl& control,
                     const std::function<void(std::size_t)>& reached)
    : queries_(queries), k_(k), judgements_(judgements) {
  if (queries.rows() == 0) throw InvalidArgument("there are no queries");
  if (queries.cols() != base.cols()) {
    throw InvalidArgument(
        fmt::format("queries have {} columns, the base has {}", queries.cols(), base.cols()));
  }
  if (k == 0 || k > base.rows())
    throw InvalidArgument(fmt::format("k is {}, expected 1 to the {} rows of the base", k, base.rows()));
  index_ = exact_index(base, metric, control);
  exact_ = answer_all(index_, queries, std::min(2 * k, base.rows()), 0, control, reached);
  gap_ = median_gap(exact_.found, k);
}

void Yardstick::exact_distances(std::size_t query, std::span<const Id> found,
                                std::vector<float>& distances) const {
  const CodeStore& codes = index_.retriever().get_if<Flat>()->codes();
  std::vector<std::uint32_t> slots;
  for (const Id id : found) slots.push_back(static_cast<std::uint32_t>(id));
  distances.resize(slots.size());
  PreparedQuery prepared;
  codes.codec().prepare_query(queries_[query], prepared);
  codes.score(prepared, slots.data(), slots.size(), distances.data());
}

std::vector<double> Yardstick::recalls(MatrixView<const Id> found, ExecutorRef executor) const {
  std::vector<double> recalls(found.rows());
  executor.for_each(found.rows(), [&](std::size_t query, std::size_t) {
    std::set<Id> distinct;
    for (const Id id : found[query].first(std::min(k_, found.cols()))) {
      if (id != no_id) distinct.insert(id);
    }
    const std::vector<Id> rows(distinct.begin(), distinct.end());
    std::vector<float> distances;
    exact_distances(query, rows, distances);
    const float farthest = exact_.found.distances()[query][k_ - 1];
    const auto hits = std::ranges::count_if(distances, [&](float distance) { return distance <= farthest; });
    recalls[query] = static_cast<double>(hits) / static_cast<double>(k_);
  });
  return recalls;
}

std::vector<double> Yardstick::ndcgs(MatrixView<const Id> found) const {
  std::vector<double> values;
  if (judgements_ == nullptr) return values;
  for (std::size_t query = 0; query < found.rows(); ++query) {
    if (judgements_->judged(query)) values.push_back(judgements_->ndcg(query, found[query], k_));
  }
  return values;
}

double Yardstick::distance_error(const Neighbors& found, ExecutorRef executor) const {
  std::vector<double> squares(found.size());
  executor.for_each(found.size(), [&](std::size_t query, std::size_t) {
    const std::size_t count = std::min<std::size_t>(k_, found.counts()[query]);
    std::vector<float> distances;
    exact_distances(query, found.ids()[query].first(count), distances);
    for (std::size_t i = 0; i < count; ++i) {
      const double error =
          static_cast<double>(found.distances()[query][i]) - static_cast<double>(distances[i]);
      squares[query] += error * error / static_cast<double>(count);
    }
  });
  double sum = 0;
  for (const double square : squares) sum += square;
  return std::sqrt(sum / static_cast<double>(squares.size()));
}

}  // namespace vicinal::tools
