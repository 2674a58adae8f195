#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <vector>

#include "vicinal/core/executor.hpp"
#include "vicinal/core/vector_batch.hpp"
#include "vicinal/core/vector_file.hpp"
#include "vicinal/index/index.hpp"
#include "vicinal/tools/command.hpp"
#include "vicinal/tools/formatting.hpp"
#include "vicinal/tools/machine.hpp"
#include "vicinal/tools/paths.hpp"
#include "vicinal/tools/progress.hpp"

namespace vicinal::tools {
namespace {

struct SearchCommandOptions {
  std::string index, queries, offsets, out, distances;
  std::size_t k = 10;
  std::size_t effort = 0;
  std::optional<double> recall;
  std::size_t threads = usable_threads();
  bool map = false;
};

void print_neighbors(const Neighbors& neighbors) {
  fmt::print("query\trank\tid\tdistance\n");
  for (std::size_t q = 0; q < neighbors.size(); ++q) {
    for (std::size_t rank = 0; rank < neighbors.counts()[q]; ++rank) {
      fmt::print("{}\t{}\t{}\t{}\n", q, rank + 1, neighbors.ids()[q][rank], neighbors.distances()[q][rank]);
    }
  }
}

int run_search(const SearchCommandOptions& options, const std::stop_token& stop) {
  require_extension(options.out, id_extensions());
  require_extension(options.distances, vector_extensions());
  require_writable({options.out, options.distances}, {options.index, options.queries, options.offsets});
  const FloatMatrix queries = read_finite_vectors(options.queries);
  const std::vector<std::uint64_t> offsets = read_offsets(options.offsets, queries.rows);
  const VectorBatch items(queries.view(), offsets);
  const Index index = Index::open(options.index, options.map ? OpenMode::map : OpenMode::load);
  if (queries.cols != index.dim()) {
    throw InvalidArgument(fmt::format("{} has {} columns, {} has dimension {}", options.queries, queries.cols,
                                      options.index, index.dim()));
  }

  Progress progress;
  ThreadPool pool(options.threads);
  SearchControl control;
  control.executor = pool;
  control.stop = stop;
  Index::Params params;
  params.search.effort = options.effort;
  params.search.target_recall = options.recall;
  params.validate();
  Neighbors neighbors(items.size(), options.k);
  const auto start = std::chrono::steady_clock::now();
  constexpr std::size_t block = 4096;
  std::vector<std::uint64_t> own;
  for (std::size_t first = 0; first < items.size(); first += block) {
    const std::size_t count = std::min(block, items.size() - first);
    progress.report("search", first, items.size());
    index.search(items.part(first, count, own), neighbors.view().rows_from(first, count), params, control);
    if (stop.stop_requested()) throw Cancelled("search was stopped");
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  progress.finish();
  if (!options.out.empty()) write_ids(options.out, neighbors.ids());
  if (!options.distances.empty()) write_vectors(options.distances, neighbors.distances());
  if (options.out.empty() && options.distances.empty()) {
    print_neighbors(neighbors);
  } else {
    fmt::print("{}: {} nearest of {} queries in {}\n", options.out.empty() ? options.distances : options.out,
               options.k, thousands(items.size()), duration_text(seconds));
  }
  return exit_ok;
}

}  // namespace

void add_search_command(CLI::App& app, Invocation& invocation) {
  CLI::App* command =
      app.add_subcommand("search", "Answer queries; without output files, as a table on standard output");
  const auto options = std::make_shared<SearchCommandOptions>();
  command->add_option("index", options->index, "The index file (.vcn)")->required();
  command->add_option("queries", options->queries, "Query vectors (.npy .fvecs .bvecs .fbin .u8bin .i8bin)")
      ->required();
  add_query_offsets_option(*command, options->offsets);
  command->add_option("-o,--output", options->out,
                      "Neighbours' ids, queries x k; -1 where there are fewer (.npy .ivecs .ibin)");
  command->add_option("--distances", options->distances, "Their distances (.npy .fvecs .fbin)");
  add_k_option(*command, options->k);
  CLI::Option* effort =
      command->add_option("--effort", options->effort, "Width of the search; more is slower and finds more")
          ->check(whole_number(1, 1U << 30U));
  command
      ->add_option("--recall", options->recall,
                   "Choose the effort for this recall, from the index's calibration")
      ->check(recall_target())
      ->excludes(effort);
  command->add_flag("--mmap", options->map, "Map the index file instead of loading it");
  add_threads_option(*command, options->threads);
  command->callback([options, &invocation] {
    invocation.run = [options, &invocation] { return run_search(*options, invocation.stop); };
  });
}

}  // namespace vicinal::tools
