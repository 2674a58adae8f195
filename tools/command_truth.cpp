#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <vector>

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
  std::string base, queries, out, distances, ids, offsets, query_offsets;
  std::string metric;
  std::size_t k = 100;
  std::size_t threads = usable_threads();
};

int run_truth(const TruthOptions& options, const std::stop_token& stop) {
  require_extension(options.out, id_extensions());
  require_extension(options.distances, vector_extensions());
  require_writable({options.out, options.distances},
                   {options.base, options.queries, options.ids, options.offsets, options.query_offsets});
  const FloatMatrix queries = read_finite_vectors(options.queries);
  const FloatMatrix base = read_finite_vectors(options.base);
  if (queries.cols != base.cols) {
    throw InvalidArgument(
        fmt::format("{} has {} columns, {} has {}", options.queries, queries.cols, options.base, base.cols));
  }
  if (options.offsets.empty() && !options.query_offsets.empty())
    throw UsageError(
        "--query-offsets needs --offsets: queries of several vectors are compared with documents of several");
  const std::vector<std::uint64_t> offsets = read_offsets(options.offsets, base.rows);
  const std::vector<std::uint64_t> query_offsets = read_offsets(options.query_offsets, queries.rows);
  const VectorBatch documents(base.view(), offsets);
  const VectorBatch asked(queries.view(), query_offsets);
  const IdMatrix ids = options.ids.empty() ? IdMatrix{} : read_row_ids(options.ids, documents.size());

  Progress progress;
  ThreadPool pool(options.threads);
  BuildControl build;
  build.executor = pool;
  build.stop = stop;
  IndexOptions index_options;
  index_options.calibrate = false;
  index_options.ids = ids.values.span();
  const Index index = Index::build(documents, documents.multi_vector() ? "maxsim(f32)" : "f32 | flat",
                                   parse_metric(options.metric), index_options, build);

  SearchControl control;
  control.executor = pool;
  control.stop = stop;
  Neighbors neighbors(asked.size(), options.k);
  // Blocks are large enough for the matrix products and small enough for progress and interruption.
  constexpr std::size_t block = 512;
  std::vector<std::uint64_t> own;
  for (std::size_t first = 0; first < asked.size(); first += block) {
    const std::size_t count = std::min(block, asked.size() - first);
    progress.report("search", first, asked.size());
    index.search(asked.part(first, count, own), neighbors.view().rows_from(first, count), {}, control);
    build.throw_if_stopped();
  }
  progress.finish();
  write_ids(options.out, neighbors.ids());
  if (!options.distances.empty()) write_vectors(options.distances, neighbors.distances());
  fmt::print("{}: exact {} nearest of {} queries among {} {} of dimension {}, {}\n", options.out, options.k,
             thousands(asked.size()), thousands(documents.size()),
             documents.multi_vector() ? "documents" : "vectors", base.cols, options.metric);
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
  command->add_option(
      "--offsets", options->offsets,
      "Documents of several vectors, compared by MaxSim: where each begins in the base, and its end (.npy)");
  add_query_offsets_option(*command, options->query_offsets);
  command->add_option("--ids", options->ids, "Ids of the base's rows (default: row numbers)");
  add_k_option(*command, options->k);
  add_metric_option(*command, options->metric);
  add_threads_option(*command, options->threads);
  command->callback([options, &invocation] {
    invocation.run = [options, &invocation] { return run_truth(*options, invocation.stop); };
  });
}

}  // namespace vicinal::tools
