#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "vicinal/core/executor.hpp"
#include "vicinal/core/vector_file.hpp"
#include "vicinal/index/index.hpp"
#include "vicinal/tools/command.hpp"
#include "vicinal/tools/formatting.hpp"
#include "vicinal/tools/machine.hpp"
#include "vicinal/tools/paths.hpp"
#include "vicinal/tools/progress.hpp"

namespace vicinal::tools {
namespace {

struct TruthOptions {
  std::string base, queries, out, distances, ids;
  std::string metric;
  std::size_t k = 100;
  std::size_t threads = usable_threads();
};

int run_truth(const TruthOptions& options, const std::stop_token& stop) {
  require_extension(options.out, id_extensions());
  require_extension(options.distances, vector_extensions());
  require_writable({options.out, options.distances}, {options.base, options.queries, options.ids});
  const FloatMatrix queries = read_finite_vectors(options.queries);
  const FloatMatrix base = read_finite_vectors(options.base);
  if (queries.cols != base.cols) {
    throw InvalidArgument(
        fmt::format("{} has {} columns, {} has {}", options.queries, queries.cols, options.base, base.cols));
  }
  const IdMatrix ids = options.ids.empty() ? IdMatrix{} : read_row_ids(options.ids, base.rows);

  Progress progress;
  ThreadPool pool(options.threads);
  BuildControl build;
  build.executor = pool;
  build.stop = stop;
  IndexOptions index_options;
  index_options.calibrate = false;
  index_options.ids = ids.values.span();
  const Index index =
      Index::build(base.view(), "f32 | flat", parse_metric(options.metric), index_options, build);

  SearchControl control;
  control.executor = pool;
  control.stop = stop;
  Neighbors neighbors(queries.rows, options.k);
  // Blocks are large enough for the matrix products and small enough for progress and interruption.
  constexpr std::size_t block = 512;
  for (std::size_t first = 0; first < queries.rows; first += block) {
    const std::size_t count = std::min(block, queries.rows - first);
    progress.report("search", first, queries.rows);
    index.search(queries.view().rows_from(first, count), neighbors.view().rows_from(first, count), {},
                 control);
    build.throw_if_stopped();
  }
  progress.finish();
  write_ids(options.out, neighbors.ids());
  if (!options.distances.empty()) write_vectors(options.distances, neighbors.distances());
  fmt::print("{}: exact {} nearest of {} queries among {} vectors of dimension {}, {}\n", options.out,
             options.k, thousands(queries.rows), thousands(base.rows), base.cols, options.metric);
  return exit_ok;
}

}  // namespace

void add_truth_command(CLI::App& app, Invocation& invocation) {
  CLI::App* command =
      app.add_subcommand("truth", "Exact nearest neighbours, by comparing every query with every vector");
  const auto options = std::make_shared<TruthOptions>();
  command->add_option("base", options->base, "Vectors to search (.npy .fvecs .bvecs .fbin .u8bin .i8bin)")
      ->required();
  command->add_option("queries", options->queries, "Query vectors, same formats")->required();
  command->add_option("-o,--output", options->out, "Neighbours' ids, queries x k (.npy .ivecs .ibin)")
      ->required();
  command->add_option("--distances", options->distances, "Their distances as well (.npy .fvecs .fbin)");
  command->add_option("--ids", options->ids, "Ids of the base's rows (default: row numbers)");
  add_k_option(*command, options->k);
  add_metric_option(*command, options->metric);
  add_threads_option(*command, options->threads);
  command->callback([options, &invocation] {
    invocation.run = [options, &invocation] { return run_truth(*options, invocation.stop); };
  });
}

}  // namespace vicinal::tools
