#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <optional>
#include <variant>
#include <vector>

#include "vicinal/core/executor.hpp"
#include "vicinal/core/version.hpp"
#include "vicinal/index/index.hpp"
#include "vicinal/quant/kernels.hpp"
#include "vicinal/tools/command.hpp"
#include "vicinal/tools/evaluation.hpp"
#include "vicinal/tools/formatting.hpp"
#include "vicinal/tools/machine.hpp"
#include "vicinal/tools/paths.hpp"
#include "vicinal/tools/plot.hpp"
#include "vicinal/tools/progress.hpp"
#include "vicinal/tools/report.hpp"

namespace vicinal::tools {
namespace {

struct EvalOptions {
  std::string index, queries, offsets, truth, json, svg, title;
  std::size_t k = 10;
  std::vector<std::size_t> efforts;
  std::optional<double> recall;
  bool sweep = false;
  std::size_t threads = 1;
  bool map = false;
};

// Where effort changes nothing, one point says it all.
bool effort_matters(const Spec& spec) { return takes_effort(spec) || spec.rerank.has_value(); }

TableLayout point_table(std::size_t k) {
  return TableLayout({{"effort", 6},
                      {fmt::format("recall@{}", k), 9},
                      {"queries/s", 10},
                      {"mean µs", 9},
                      {"p50 µs", 9},
                      {"p99 µs", 9},
                      {"distances", 10},
                      {"bytes read", 11}});
}

std::string point_row(const TableLayout& table, const EvaluationPoint& point) {
  return table.row(
      {point.effort == 0 ? "-" : std::to_string(point.effort), fmt::format("{:.4f}", point.recall),
       thousands(point.qps, 1), thousands(point.latency.mean_us, 1), thousands(point.latency.p50_us, 1),
       thousands(point.latency.p99_us, 1), thousands(point.work.distances), thousands(point.work.bytes)});
}

std::vector<EvaluationPoint> measure(const Index& index, const Workload& workload, const EvalOptions& options,
                                     const std::stop_token& stop) {
  std::vector<std::size_t> efforts = options.efforts;
  const bool sweep = efforts.empty() && !options.recall;
  if (sweep) efforts = sweep_efforts(options.k);
  if (sweep && !effort_matters(index.spec())) efforts = {0};
  if (options.recall) {
    const bool exact = !takes_effort(index.spec());
    if (!exact && !index.calibration())
      throw InvalidArgument(options.index + " is not calibrated, so --recall cannot choose an effort");
    efforts = {exact ? 0 : index.calibration()->effort_for(*options.recall, options.k)};
  }

  std::optional<ThreadPool> pool;
  if (options.threads > 1) pool.emplace(options.threads);
  const TableLayout table = point_table(options.k);
  fmt::print("{}", table.header());
  Progress progress;
  std::vector<EvaluationPoint> points;
  for (const std::size_t effort : efforts) {
    progress.report("measure", points.size(), efforts.size());
    Index::Params params;
    params.search.effort = options.recall ? 0 : effort;
    params.search.target_recall = options.recall;
    params.validate();
    const auto answer = [&](const VectorBatch& queries, NeighborsView out, const SearchControl& control) {
      index.search(queries, out, params, control);
    };
    EvaluationPoint point = evaluate(answer, workload, pool ? ExecutorRef(*pool) : ExecutorRef(), stop);
    point.effort = effort;
    point.target_recall = options.recall;
    points.push_back(point);
    progress.finish();
    fmt::print("{}", point_row(table, point));
    std::fflush(stdout);
    if (sweep && point.recall > sweep_enough) break;
  }
  return points;
}

std::string plot_of(const EvaluationReport& report, const EvalOptions& options) {
  RecallPlot plot;
  plot.title = options.title.empty() ? report.spec : options.title;
  plot.subtitle = fmt::format("{} vectors · dimension {} · {} · {} queries · {}", thousands(report.n),
                              report.dim, to_string(report.metric), thousands(report.queries), cpu_model());
  plot.x_label = fmt::format("recall@{}", report.k);
  plot.y_label = report.threads == 1 ? "queries per second, one thread"
                                     : fmt::format("queries per second, {} threads", report.threads);
  plot.footer = fmt::format("vicinal {}", version);
  plot.series.push_back({report.spec, {}});
  for (const auto& point : report.points) {
    plot.series[0].points.push_back(
        {point.recall, point.qps, point.effort == 0 ? "" : fmt::format("effort {}", point.effort)});
  }
  return render_svg(plot);
}

int run_eval(const EvalOptions& options, const std::stop_token& stop) {
  require_writable({options.json, options.svg},
                   {options.index, options.queries, options.offsets, options.truth});
  const FloatMatrix queries = read_finite_vectors(options.queries);
  const IdMatrix truth = read_ids(options.truth);
  const std::vector<std::uint64_t> offsets = read_offsets(options.offsets, queries.rows);
  const Workload workload{{queries.view(), offsets}, truth.view(), options.k};
  workload.validate();
  const Container file = Container::open(options.index, options.map ? OpenMode::map : OpenMode::load);
  const Index index = Index::open(file);
  if (queries.cols != index.dim()) {
    throw InvalidArgument(fmt::format("{} has {} columns, {} has dimension {}", options.queries, queries.cols,
                                      options.index, index.dim()));
  }

  EvaluationReport report;
  report.build = read_build_report(options.index, uuid_text(file));
  report.memory_bytes = index.memory_bytes();
  report.n = index.size();
  report.dim = index.dim();
  report.metric = index.metric();
  report.spec = to_string(index.spec());
  report.seed = index.seed();
  report.k = options.k;
  report.queries = workload.queries.size();
  report.threads = options.threads;
  fmt::print("{}: {} vectors of dimension {}, {}, {}\n", options.index, thousands(report.n), report.dim,
             to_string(report.metric), report.spec);
  fmt::print("{} queries, {} thread{}, {} in memory, {} ({} kernels)\n\n", thousands(report.queries),
             options.threads, options.threads == 1 ? "" : "s", bytes_text(report.memory_bytes), cpu_model(),
             kernels().name);
  std::fflush(stdout);
  report.points = measure(index, workload, options, stop);
  if (!options.json.empty()) write_json(options.json, to_json(report));
  if (!options.svg.empty()) write_text(options.svg, plot_of(report, options));
  return exit_ok;
}

}  // namespace

void add_eval_command(CLI::App& app, Invocation& invocation) {
  CLI::App* command =
      app.add_subcommand("eval", "Measure recall, throughput and latency against the exact answers");
  const auto options = std::make_shared<EvalOptions>();
  command->add_option("index", options->index, "The index file (.vcn)")->required();
  command->add_option("queries", options->queries, "Query vectors (.npy .fvecs .bvecs .fbin .u8bin .i8bin)")
      ->required();
  add_query_offsets_option(*command, options->offsets);
  command->add_option("truth", options->truth, "Exact neighbours' ids, as \"vicinal truth\" writes them")
      ->required();
  add_k_option(*command, options->k);
  CLI::Option* sweep = command->add_flag("--sweep", options->sweep,
                                         "Efforts from 10 to 1024, until recall is above 0.9995 (default)");
  CLI::Option* effort =
      command->add_option("--effort", options->efforts, "Only these efforts (64 or 32,64,128)")
          ->delimiter(',')
          ->check(whole_number(1, 1U << 30U))
          ->excludes(sweep);
  command->add_option("--recall", options->recall, "The effort the index's calibration gives for this recall")
      ->check(recall_target())
      ->excludes(effort)
      ->excludes(sweep);
  command->add_option("--json", options->json, "Write the measurements as JSON");
  command->add_option("--svg", options->svg, "Write a picture of throughput against recall");
  command->add_option("--title", options->title, "Title of the picture (default: the spec)");
  command->add_flag("--mmap", options->map, "Map the index file instead of loading it");
  add_threads_option(*command, options->threads);
  command->callback([options, &invocation] {
    invocation.run = [options, &invocation] { return run_eval(*options, invocation.stop); };
  });
}

}  // namespace vicinal::tools
