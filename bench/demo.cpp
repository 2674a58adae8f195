// Vicinal on real data in two minutes: Fashion-MNIST, exact search, graphs on full and on compressed vectors, and FAISS beside
// them; a table, a picture and a JSON report.

#include <fmt/format.h>

#include <chrono>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <string>
#include <vector>
#include <CLI/CLI.hpp>

#include "vicinal/bench/demo_contestant.hpp"
#include "vicinal/bench/fashion_mnist.hpp"
#include "vicinal/core/error.hpp"
#include "vicinal/core/executor.hpp"
#include "vicinal/core/version.hpp"
#include "vicinal/quant/kernels.hpp"
#include "vicinal/tools/evaluation.hpp"
#include "vicinal/tools/formatting.hpp"
#include "vicinal/tools/machine.hpp"
#include "vicinal/tools/plot.hpp"
#include "vicinal/tools/progress.hpp"
#include "vicinal/tools/report.hpp"

namespace vicinal::bench {
namespace {

using tools::thousands;

constexpr std::size_t k = 10;
constexpr std::size_t m = 24;
constexpr std::size_t ef_construction = 200;
constexpr std::size_t rounds = 3;

struct DemoOptions {
  std::filesystem::path data = "/usr/share/datasets/fashion-mnist";
  std::filesystem::path svg = "vicinal-demo.svg";
  std::filesystem::path json = "vicinal-demo.json";
  std::size_t threads = tools::usable_threads();
  std::size_t queries = 1000;
};

std::vector<Contestant> build_all(MatrixView<const float> base, ThreadPool& pool, tools::Progress& progress) {
  BuildControl control;
  control.executor = pool;
  control.progress = progress.callback();
  std::vector<Contestant> contestants;
  const auto built = [&](Contestant contestant) {
    progress.finish();
    fmt::print("built {:<44} {:>10}  {:>6} bytes a vector\n", contestant.name,
               tools::duration_text(contestant.build_seconds), thousands(contestant.bytes_per_vector));
    std::fflush(stdout);
    contestants.push_back(std::move(contestant));
  };
  Contestant flat = build_vicinal(base, "flat", control);
  flat.exact = true;
  built(std::move(flat));
  built(
      build_vicinal(base, fmt::format("i8 | hnsw(m={}, efc={}) | rerank(f16)", m, ef_construction), control));
  built(build_vicinal(base, fmt::format("hnsw(m={}, efc={})", m, ef_construction), control));
#if VICINAL_HAS_FAISS
  progress.report(faiss_name(), 0, 1);
  built(build_faiss_hnsw(base, m, ef_construction, pool.concurrency()));
#endif
  return contestants;
}

// What everything else is measured against: the exact index's answers.
Neighbors exact_answers(const Contestant& flat, MatrixView<const float> queries, ExecutorRef executor) {
  SearchControl control;
  control.executor = executor;
  Neighbors truth(queries.rows(), k);
  flat.search(queries, truth.view(), 0, control);
  return truth;
}

void print_table(const std::vector<Contestant>& contestants) {
  const tools::TableLayout table({{"index", 40, true},
                                  {"wanted", 6},
                                  {"effort", 6},
                                  {"recall@10", 9},
                                  {"queries/s", 9},
                                  {"p50 µs", 8},
                                  {"p99 µs", 8},
                                  {"build s", 7},
                                  {"bytes/vector", 12}});
  fmt::print("\n{}", table.header());
  for (const double target : {0.95, 0.99}) {
    for (const auto& contestant : contestants) {
      const Contestant::Point* point = contestant.at_recall(target);
      const std::string wanted = fmt::format("{:.2f}", target);
      if (point == nullptr) {
        fmt::print("{}", table.row({contestant.name, wanted, "-", "-", "-", "-", "-"}));
        continue;
      }
      fmt::print("{}",
                 table.row({contestant.name, wanted, contestant.exact ? "-" : std::to_string(point->effort),
                            fmt::format("{:.4f}", point->recall), thousands(point->latency.qps, 1),
                            thousands(point->latency.p50_us), thousands(point->latency.p99_us),
                            fmt::format("{:.1f}", contestant.build_seconds),
                            thousands(contestant.bytes_per_vector)}));
    }
  }
}

void print_remarks([[maybe_unused]] const std::vector<Contestant>& contestants) {
#if VICINAL_HAS_FAISS
  const Contestant& ours = contestants.at(1);
  const Contestant& theirs = contestants.back();
  for (const double target : {0.95, 0.99}) {
    const auto* a = ours.at_recall(target);
    const auto* b = theirs.at_recall(target);
    if (a == nullptr || b == nullptr) continue;
    fmt::print("\nAt recall {:.2f}, {} answers {:.1f} times as many queries a second as {}.", target,
               ours.name, a->latency.qps / b->latency.qps, theirs.name);
  }
  fmt::print(
      "\n\nDebian builds {} for any x86-64 processor, without AVX2 or AVX-512, so that comparison is a weak "
      "one.\n"
      "The peers benchmark compares with libraries built for this processor.\n",
      faiss_name());
#endif
}

std::string plot_of(const std::vector<Contestant>& contestants, const DemoOptions& options,
                    MatrixView<const float> base) {
  tools::RecallPlot plot;
  plot.title = "Fashion-MNIST: throughput against recall";
  plot.subtitle = fmt::format("{} images of {} pixels · l2 · {} queries · {}", thousands(base.rows()),
                              base.cols(), thousands(options.queries), tools::cpu_model());
  plot.y_label = "queries per second, one thread";
  plot.footer = fmt::format("vicinal {}, {} kernels · median of {} interleaved passes · {}", version,
                            kernels().name, rounds,
#if VICINAL_HAS_FAISS
                            faiss_name() + " as Debian builds it, for baseline x86-64"
#else
                            "built without FAISS"
#endif
  );
  for (const auto& contestant : contestants) {
    tools::PlotSeries series{contestant.exact ? "exact search" : contestant.name, {}};
    for (const auto& point : contestant.points) {
      series.points.push_back(
          {point.recall, point.latency.qps, contestant.exact ? "" : fmt::format("effort {}", point.effort)});
    }
    plot.series.push_back(std::move(series));
  }
  return tools::render_svg(plot);
}

tools::Json json_of(const std::vector<Contestant>& contestants, const DemoOptions& options,
                    MatrixView<const float> base) {
  tools::Json json = {{"dataset", "fashion-mnist"},
                      {"n", base.rows()},
                      {"dim", base.cols()},
                      {"metric", "l2"},
                      {"k", k},
                      {"queries", options.queries},
                      {"build_threads", options.threads},
                      {"version", std::string(version)},
                      {"cpu", tools::cpu_model()},
                      {"kernels", std::string(kernels().name)},
                      {"contestants", tools::Json::array()}};
  for (const auto& contestant : contestants) {
    tools::Json points = tools::Json::array();
    for (const auto& point : contestant.points) {
      points.push_back({{"effort", point.effort},
                        {"recall", point.recall},
                        {"qps", point.latency.qps},
                        {"mean_us", point.latency.mean_us},
                        {"p50_us", point.latency.p50_us},
                        {"p99_us", point.latency.p99_us}});
    }
    json["contestants"].push_back({{"name", contestant.name},
                                   {"build_seconds", contestant.build_seconds},
                                   {"bytes_per_vector", contestant.bytes_per_vector},
                                   {"points", std::move(points)}});
  }
  return json;
}

void require_folder_of(const std::filesystem::path& path) {
  const auto folder = path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
  if (!std::filesystem::is_directory(folder)) {
    throw IoError(fmt::format("cannot write {}: there is no folder {}", path.string(), folder.string()));
  }
}

void run(const DemoOptions& options) {
  require_folder_of(options.svg);
  require_folder_of(options.json);
  const auto start = std::chrono::steady_clock::now();
  const Images base = read_images(options.data / "train-images-idx3-ubyte.gz", 60'000);
  const Images queries = read_images(options.data / "t10k-images-idx3-ubyte.gz", options.queries);
  fmt::print(
      "Fashion-MNIST: {} images of {} pixels, {} queries, {} nearest, l2\n{}, {} kernels; builds use {} "
      "threads, searches one\n\n",
      thousands(base.rows), base.cols, thousands(queries.rows), k, tools::cpu_model(), kernels().name,
      options.threads);
  std::fflush(stdout);

  ThreadPool pool(options.threads);
  tools::Progress progress;
  std::vector<Contestant> contestants = build_all(base.view(), pool, progress);
  const Neighbors truth = exact_answers(contestants.front(), queries.view(), pool);
  const tools::Workload workload{queries.view(), truth.ids(), k};
  for (auto& contestant : contestants) sweep_recall(contestant, workload, pool);
  time_in_rounds(contestants, workload, rounds,
                 [&](std::size_t done, std::size_t total) { progress.report("measure", done, total); });
  progress.finish();

  print_table(contestants);
  print_remarks(contestants);
  tools::write_text(options.svg, plot_of(contestants, options, base.view()));
  tools::write_json(options.json, json_of(contestants, options, base.view()));
  fmt::print(
      "\nPicture: {}\nNumbers: {}\n{} in all\n", options.svg.string(), options.json.string(),
      tools::duration_text(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count()));
}

}  // namespace
}  // namespace vicinal::bench

int main(int argc, char** argv) {
  vicinal::bench::DemoOptions options;
  CLI::App app("Vicinal and FAISS on Fashion-MNIST: recall, speed, memory", "vicinal_demo");
  app.add_option("--data", options.data, "Folder of the gzip-compressed IDX files")->capture_default_str();
  app.add_option("--svg", options.svg, "The picture to write")->capture_default_str();
  app.add_option("--json", options.json, "The numbers to write")->capture_default_str();
  app.add_option("--threads", options.threads, "Threads of the builds")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  app.add_option("--queries", options.queries, "Test images to search for")
      ->check(CLI::Range(1, 10'000))
      ->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  try {
    vicinal::bench::run(options);
    return 0;
  } catch (const std::exception& error) {
    fmt::print(stderr, "vicinal_demo: {}\n", error.what());
    return 3;
  }
}
