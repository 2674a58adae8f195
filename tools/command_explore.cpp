#include <fmt/format.h>

#include <cstdio>
#include <memory>
#include <optional>

#include "vicinal/core/executor.hpp"
#include "vicinal/core/vector_file.hpp"
#include "vicinal/tools/command.hpp"
#include "vicinal/tools/explore/explore.hpp"
#include "vicinal/tools/explore/summary.hpp"
#include "vicinal/tools/machine.hpp"
#include "vicinal/tools/paths.hpp"
#include "vicinal/tools/progress.hpp"

namespace vicinal::tools {
namespace {

struct ExploreCommandOptions {
  std::string base, queries, training, judgements, metric, budget, floor, plan_for, json, svg, title,
      index = "hnsw";
  std::size_t k = 10;
  std::uint64_t seed = 1;
  bool paper = false;
  std::size_t threads = usable_threads();
};

// What the words of the command line mean; a mistake in them is one of usage.
ExploreOptions parsed(const ExploreCommandOptions& given) {
  ExploreOptions options;
  options.metric = parse_metric(given.metric);
  options.k = given.k;
  options.seed = given.seed;
  options.paper = given.paper;
  options.graph = given.index == "hnsw";
  try {
    if (!given.budget.empty()) options.budget = parse_bytes(given.budget);
    if (!given.floor.empty()) options.floor = parse_floor(given.floor);
    if (!given.plan_for.empty()) options.plan_for = parse_rows(given.plan_for);
  } catch (const InvalidArgument& error) {
    throw UsageError(error.what());
  }
  if (given.budget.empty() && !given.paper)
    throw UsageError("there is no --budget to choose under (only --paper needs none)");
  if (options.floor && options.floor->k != 0 && options.floor->k != given.k)
    throw UsageError(fmt::format("--floor is for k = {}, -k is {}", options.floor->k, given.k));
  if (options.floor && options.floor->quality == Quality::ndcg && given.judgements.empty())
    throw UsageError("a --floor for nDCG needs --qrels");
  return options;
}

int run_explore(const ExploreCommandOptions& given, const std::stop_token& stop) {
  ExploreOptions options = parsed(given);
  require_extension(given.json, {".json"});
  require_extension(given.svg, {".svg"});
  require_writable({given.json, given.svg}, {given.base, given.queries, given.training, given.judgements});
  const FloatMatrix queries = read_finite_vectors(given.queries);
  const FloatMatrix base = read_finite_vectors(given.base);
  if (queries.cols != base.cols) {
    throw InvalidArgument(
        fmt::format("{} has {} columns, {} has {}", given.queries, queries.cols, given.base, base.cols));
  }
  FloatMatrix training;
  if (!given.training.empty()) training = read_finite_vectors(given.training);
  options.training_queries = training.view();
  std::optional<Judgements> judgements;
  if (!given.judgements.empty()) judgements = Judgements::read(given.judgements, queries.rows, base.rows);
  options.judgements = judgements ? &*judgements : nullptr;

  Progress progress;
  ThreadPool pool(given.threads);
  BuildControl control;
  control.executor = pool;
  control.stop = stop;
  control.progress = progress.callback();
  const Exploration found = explore(base.view(), queries.view(), options, control);
  progress.finish();
  fmt::print("{}", summary_text(found));
  if (!given.json.empty()) write_json(given.json, exploration_json(found));
  if (!given.svg.empty()) write_text(given.svg, exploration_svg(found, given.title));
  return exit_ok;
}

}  // namespace

void add_explore_command(CLI::App& app, Invocation& invocation) {
  CLI::App* command = app.add_subcommand("explore", "Measure which compression to take under a memory limit");
  const auto options = std::make_shared<ExploreCommandOptions>();
  command->add_option("base", options->base, "Vectors to store (.npy .fvecs .bvecs .fbin .u8bin .i8bin)")
      ->required();
  command->add_option("--queries", options->queries, "Query vectors, same formats")->required();
  command->add_option("--training-queries", options->training,
                      "Other queries for qpca to learn from; without them it is not tried");
  command->add_option(
      "--qrels", options->judgements,
      "Relevance judgements: lines of query row, base row, relevance; nDCG is measured as well");
  add_metric_option(*command, options->metric);
  add_k_option(*command, options->k);
  command->add_option("--budget", options->budget, "Memory the index may take: 200MiB, 1.5GiB, 300MB");
  command->add_option("--floor", options->floor, "Quality to be reached: recall@10=.95 or ndcg@10=.6");
  command->add_option("--plan-for", options->plan_for,
                      "Rows the budget is meant for (50M, 200k): memory is scaled, recall extrapolated");
  command->add_option("--index", options->index, "What searches the codes: hnsw, or flat for a scan")
      ->check(CLI::IsMember({"hnsw", "flat"}))
      ->capture_default_str();
  command->add_flag("--paper", options->paper,
                    "The grid of arXiv 2505.00105, its claims against what is measured");
  command->add_option("-o,--output", options->json, "Write everything that was measured as JSON");
  command->add_option("--plot", options->svg, "Write a picture of quality against memory (.svg)");
  command->add_option("--title", options->title, "Title of the picture");
  command->add_option("--seed", options->seed, "Seed of samples, rotations and graphs")
      ->capture_default_str();
  add_threads_option(*command, options->threads);
  command->callback([options, &invocation] {
    invocation.run = [options, &invocation] { return run_explore(*options, invocation.stop); };
  });
}

}  // namespace vicinal::tools
