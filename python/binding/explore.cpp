#include "explore.hpp"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>

#include <limits>
#include <optional>
#include <string>

#include "vicinal/tools/explore/explore.hpp"
#include "vicinal/tools/explore/summary.hpp"
#include "arguments.hpp"
#include "interruptible.hpp"
#include "rows.hpp"
#include "threads.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace vicinal::python {
namespace {

// What was found as JSON, as a text for people, and as a picture. `judgements` are lines of text, `judgements_path` is a file of them.
nb::tuple explore_base(nb::handle base, nb::handle queries, nb::handle training_queries,
                       const std::string& metric, std::size_t k, const std::optional<std::string>& budget,
                       const std::optional<std::string>& floor, const std::optional<std::string>& judgements,
                       nb::handle judgements_path, const std::optional<std::string>& plan_for, bool graph,
                       bool paper, std::uint64_t seed, nb::handle threads, nb::handle progress) {
  const BorrowedRows rows(base, "base", false);
  const BorrowedRows asked(queries, "queries", false);
  std::optional<BorrowedRows> training;
  if (!training_queries.is_none()) training.emplace(training_queries, "training queries", false);
  tools::ExploreOptions options;
  if (training) options.training_queries = training->view();
  options.metric = parse_metric(metric);
  options.k = k;
  options.graph = graph;
  options.paper = paper;
  options.seed = seed;
  if (budget) options.budget = tools::parse_bytes(*budget);
  if (floor) options.floor = tools::parse_floor(*floor);
  if (plan_for) options.plan_for = tools::parse_rows(*plan_for);
  std::optional<tools::Judgements> judged;
  const std::size_t count = asked.view().rows(), size = rows.view().rows();
  if (judgements) judged = tools::Judgements::parse(*judgements, "qrels", count, size);
  if (!judgements_path.is_none()) judged = tools::Judgements::read(path_of(judgements_path), count, size);
  options.judgements = judged ? &*judged : nullptr;
  constexpr auto most = std::numeric_limits<std::uint64_t>::max();
  const ExecutorRef pool = executor(threads.is_none() ? 0 : whole_number(threads, "threads", 1, most));
  std::string json, text, picture;
  run_interruptibly(
      [&](const Job& job) {
        BuildControl control;
        control.executor = pool;
        control.stop = job.stop;
        control.progress = job.report;
        const tools::Exploration found = tools::explore(rows.view(), asked.view(), options, control);
        json = tools::exploration_json(found).dump();
        text = tools::summary_text(found);
        picture = tools::exploration_svg(found, "");
      },
      progress);
  return nb::make_tuple(json, text, picture);
}

}  // namespace

void bind_explore(nb::module_& module) {
  module.def(
      "explore", &explore_base, "base"_a, "queries"_a, nb::kw_only(), "training_queries"_a = nb::none(),
      "metric"_a, "k"_a, "budget"_a = nb::none(), "floor"_a = nb::none(), "qrels"_a = nb::none(),
      "qrels_path"_a = nb::none(), "plan_for"_a = nb::none(), "graph"_a, "paper"_a, "seed"_a,
      "threads"_a = nb::none(), "progress"_a = nb::none(),
      nb::sig("def explore(base: Vectors, queries: Vectors, *, training_queries: Vectors | None = None, "
              "metric: str, k: int, budget: str | None = None, "
              "floor: str | None = None, qrels: str | None = None, qrels_path: str | os.PathLike[str] | None "
              "= None, plan_for: str | None = None, graph: bool, paper: bool, seed: int, threads: int | None "
              "= None, progress: collections.abc.Callable[[str, int, int], object] | None = None) "
              "-> tuple[str, str, str]"));
}

}  // namespace vicinal::python
