#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <limits>
#include <memory>
#include <vector>

#include "vicinal/core/executor.hpp"
#include "vicinal/core/vector_batch.hpp"
#include "vicinal/core/version.hpp"
#include "vicinal/index/index.hpp"
#include "vicinal/tools/command.hpp"
#include "vicinal/tools/formatting.hpp"
#include "vicinal/tools/machine.hpp"
#include "vicinal/tools/paths.hpp"
#include "vicinal/tools/progress.hpp"
#include "vicinal/tools/report.hpp"

namespace vicinal::tools {
namespace {

struct BuildOptions {
  std::string base, out, ids, queries, popularity, offsets, query_offsets;
  std::string spec = "i8 | hnsw(m=32, efc=200) | rerank(f16)";
  std::string metric;
  std::size_t threads = usable_threads();
  std::uint64_t seed = 1;
  bool no_calibrate = false;
};

int run_build(const BuildOptions& options, const std::stop_token& stop) {
  // Whatever can be known to be wrong is found before the vectors are read.
  const Spec spec = parse_spec(options.spec);
  if (options.no_calibrate && !options.queries.empty() && spec.projection.kind != ProjectionKind::query_pca)
    throw UsageError("--no-calibrate excludes --queries, but for specs with qpca, which learns from them");
  require_writable({options.out, build_report_path(options.out)},
                   {options.base, options.ids, options.queries, options.popularity, options.offsets,
                    options.query_offsets});
  const FloatMatrix base = read_vectors(options.base);
  require_finite(base.view(), options.base.c_str());
  IndexOptions index_options;
  index_options.seed = options.seed;
  index_options.calibrate = !options.no_calibrate;
  const std::vector<std::uint64_t> offsets = read_offsets(options.offsets, base.rows);
  const VectorBatch items(base.view(), offsets);
  const IdMatrix ids = options.ids.empty() ? IdMatrix{} : read_row_ids(options.ids, items.size());
  index_options.ids = ids.values.span();
  const FloatMatrix popularity = options.popularity.empty() ? FloatMatrix{} : read_column(options.popularity);
  index_options.popularity = popularity.values.span();
  const FloatMatrix sample = options.queries.empty() ? FloatMatrix{} : read_finite_vectors(options.queries);
  if (!options.queries.empty()) {
    if (sample.cols != base.cols) {
      throw InvalidArgument(
          fmt::format("{} has {} columns, {} has {}", options.queries, sample.cols, options.base, base.cols));
    }
    index_options.calibration_queries = sample.view();
  }
  const std::vector<std::uint64_t> query_offsets = read_offsets(options.query_offsets, sample.rows);
  index_options.calibration_offsets = query_offsets;

  Progress progress;
  ThreadPool pool(options.threads);
  BuildControl control;
  control.executor = pool;
  control.stop = stop;
  control.progress = progress.callback();
  const auto start = std::chrono::steady_clock::now();
  const Index index = Index::build(items, options.spec, parse_metric(options.metric), index_options, control);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  progress.finish();
  control.throw_if_stopped();
  index.save(options.out);

  BuildReport report;
  report.seconds = seconds;
  report.threads = options.threads;
  report.version = version;
  report.cpu = cpu_model();
  report.uuid = uuid_text(Container::open(options.out, OpenMode::map));
  report.n = index.size();
  report.dim = index.dim();
  report.spec = to_string(spec);
  report.phases = progress.phases();
  write_build_report(options.out, report);

  fmt::print("{}: {} {} of dimension {}, {}, {}\n", options.out, thousands(index.size()),
             spec.maxsim ? fmt::format("documents of {} vectors", thousands(base.rows)) : "vectors",
             index.dim(), options.metric, report.spec);
  fmt::print("  built in {} with {} thread{}, {} on disk, {} a {} in memory\n", duration_text(seconds),
             options.threads, options.threads == 1 ? "" : "s",
             bytes_text(std::filesystem::file_size(options.out)),
             bytes_text(index.memory_bytes() / std::max<std::size_t>(index.size(), 1)),
             spec.maxsim ? "document" : "vector");
  if (index.calibration()) {
    const Calibration& calibration = *index.calibration();
    for (const double target : {0.95, 0.99}) {
      if (calibration.points.empty() || calibration.points.back().recall < target) continue;
      fmt::print("  recall@{} of {:.2f} needs effort {}\n", calibration.k, target,
                 calibration.effort_for(target));
    }
  }
  return exit_ok;
}

}  // namespace

void add_build_command(CLI::App& app, Invocation& invocation) {
  CLI::App* command = app.add_subcommand("build", "Build an index over a file of vectors");
  const auto options = std::make_shared<BuildOptions>();
  command->add_option("base", options->base, "Vectors to index (.npy .fvecs .bvecs .fbin .u8bin .i8bin)")
      ->required();
  command->add_option("-o,--output", options->out, "The index file to write (.vcn)")->required();
  command->add_option("--spec", options->spec, "What to build; \"vicinal spec\" explains")
      ->capture_default_str();
  add_metric_option(*command, options->metric);
  command->add_option("--ids", options->ids,
                      "Ids of the rows, unique and not negative (default: row numbers)");
  command->add_option(
      "--queries", options->queries,
      "Sample queries to calibrate recall on (default: rows of the base), and for qpca to learn from");
  command->add_option("--offsets", options->offsets,
                      "Documents of several vectors: where each begins in the base, and its end (.npy); for "
                      "specs with maxsim");
  add_query_offsets_option(*command, options->query_offsets);
  command->add_option("--popularity", options->popularity,
                      "How often each row is wanted, a number >= 0 a row (.npy), for specs with tiers");
  command->add_flag("--no-calibrate", options->no_calibrate, "Do not measure recall by effort");
  command->add_option("--seed", options->seed, "Seed of everything random")
      ->check(whole_number(0, std::numeric_limits<std::uint64_t>::max()))
      ->capture_default_str();
  add_threads_option(*command, options->threads);
  command->callback([options, &invocation] {
    invocation.run = [options, &invocation] { return run_build(*options, invocation.stop); };
  });
}

}  // namespace vicinal::tools
