#include "vicinal/tools/evaluation.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <numeric>

#include "vicinal/core/error.hpp"

namespace vicinal::tools {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t timed_passes = 3;
constexpr double least_pass_seconds = 0.2;

void throw_if_stopped(const std::stop_token& stop) {
  if (stop.stop_requested()) throw Cancelled("evaluation was stopped");
}

SearchControl control_with(const std::stop_token& stop) {
  SearchControl control;
  control.stop = stop;
  return control;
}

}  // namespace

void Workload::validate() const {
  if (k == 0) throw InvalidArgument("k is 0, expected at least 1");
  if (queries.size() == 0) throw InvalidArgument("there are no queries");
  if (truth.rows() != queries.size()) {
    throw InvalidArgument(
        fmt::format("the truth has {} rows, there are {} queries", truth.rows(), queries.size()));
  }
  if (truth.cols() < k)
    throw InvalidArgument(fmt::format("the truth has {} columns, k is {}", truth.cols(), k));
}

TimedPass time_one_by_one(Answer answer, const Workload& workload, std::size_t repeats, Neighbors& answers,
                          const std::stop_token& stop) {
  const std::size_t queries = workload.queries.size();
  const NeighborsView out = answers.view();
  const SearchControl control = control_with(stop);
  TimedPass pass;
  std::vector<std::uint64_t> offsets;
  pass.micros.resize(checked_product(queries, repeats, "timed queries"));
  auto time = pass.micros.begin();
  const auto start = Clock::now();
  auto before = start;
  for (std::size_t round = 0; round < repeats; ++round) {
    for (std::size_t i = 0; i < queries; ++i) {
      answer(workload.queries.part(i, 1, offsets), out.rows_from(i, 1), control);
      const auto after = Clock::now();
      *time++ = std::chrono::duration<float, std::micro>(after - before).count();
      before = after;
    }
    if (stop.stop_requested()) break;
  }
  pass.seconds = std::chrono::duration<double>(before - start).count();
  throw_if_stopped(stop);
  return pass;
}

double time_batch(Answer answer, const Workload& workload, std::size_t repeats, Neighbors& answers,
                  ExecutorRef executor, const std::stop_token& stop) {
  SearchControl control = control_with(stop);
  control.executor = executor;
  const auto start = Clock::now();
  for (std::size_t round = 0; round < repeats && !stop.stop_requested(); ++round) {
    answer(workload.queries, answers.view(), control);
  }
  const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
  throw_if_stopped(stop);
  return static_cast<double>(workload.queries.size() * repeats) / seconds;
}

WorkPerQuery count_work(Answer answer, const Workload& workload, Neighbors& answers,
                        const std::stop_token& stop) {
  SearchStats stats;
  SearchControl control = control_with(stop);
  control.stats = &stats;
  answer(workload.queries, answers.view(), control);
  throw_if_stopped(stop);
  const auto queries = static_cast<double>(workload.queries.size());
  const auto mean = [&](std::uint64_t total) { return static_cast<double>(total) / queries; };
  return {mean(stats.distances), mean(stats.reranked), mean(stats.hops), mean(stats.bytes), stats.strategy};
}

Latency median_latency(const std::vector<TimedPass>& passes) {
  std::vector<const TimedPass*> order;
  order.reserve(passes.size());
  for (const auto& pass : passes) order.push_back(&pass);
  std::sort(order.begin(), order.end(), [](const auto* a, const auto* b) { return a->seconds < b->seconds; });
  const TimedPass& pass = *order.at(order.size() / 2);
  std::vector<float> sorted = pass.micros;
  std::sort(sorted.begin(), sorted.end());
  const auto count = static_cast<double>(sorted.size());
  const auto percentile = [&](double share) -> double {
    return sorted.at(static_cast<std::size_t>(std::max(1.0, std::ceil(share * count))) - 1);
  };
  return {count / pass.seconds, pass.seconds * 1e6 / count, percentile(0.50), percentile(0.99)};
}

std::size_t repeats_for(double seconds_of_one_round) {
  if (seconds_of_one_round >= least_pass_seconds) return 1;
  return static_cast<std::size_t>(std::ceil(least_pass_seconds / std::max(seconds_of_one_round, 1e-6)));
}

EvaluationPoint evaluate(Answer answer, const Workload& workload, ExecutorRef executor,
                         const std::stop_token& stop) {
  workload.validate();
  Neighbors answers(workload.queries.size(), workload.k);
  EvaluationPoint point;
  point.work = count_work(answer, workload, answers, stop);
  const std::size_t repeats = repeats_for(time_one_by_one(answer, workload, 1, answers, stop).seconds);
  std::vector<TimedPass> passes;
  for (std::size_t i = 0; i < timed_passes; ++i)
    passes.push_back(time_one_by_one(answer, workload, repeats, answers, stop));
  point.latency = median_latency(passes);
  point.qps = point.latency.qps;
  if (executor.concurrency() > 1) {
    const double warm = time_batch(answer, workload, 1, answers, executor, stop);
    const std::size_t rounds = repeats_for(static_cast<double>(workload.queries.size()) / warm);
    std::array<double, timed_passes> qps{};
    for (double& value : qps) value = time_batch(answer, workload, rounds, answers, executor, stop);
    std::sort(qps.begin(), qps.end());
    point.qps = qps[timed_passes / 2];
  }
  point.recall = recall(answers.ids(), workload.truth, workload.k);
  return point;
}

std::vector<std::size_t> sweep_efforts(std::size_t k) {
  std::vector<std::size_t> efforts;
  for (const std::size_t effort :
       {10U, 16U, 24U, 32U, 48U, 64U, 96U, 128U, 192U, 256U, 384U, 512U, 768U, 1024U}) {
    if (effort >= k) efforts.push_back(effort);
  }
  if (efforts.empty()) efforts = {k, 2 * k, 4 * k};
  return efforts;
}

}  // namespace vicinal::tools
