#pragma once

#include <fmt/format.h>
#include <nanobind/nanobind.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <optional>
#include <stop_token>
#include <utility>
#include <variant>

#include "vicinal/index/index.hpp"
#include "vicinal/index/live_index.hpp"
#include "vicinal/tools/formatting.hpp"
#include "arguments.hpp"
#include "filter.hpp"
#include "hits.hpp"
#include "interruptible.hpp"
#include "rows.hpp"
#include "threads.hpp"

/// A search of anything with the interface of an Index.
namespace vicinal::python {

// Nothing given: 0, which stands for the default.
inline std::size_t optional_number(nanobind::handle value, const char* name, std::uint64_t most) {
  return value.is_none() ? 0 : whole_number(value, name, 1, most);
}

// More results than there are vectors are possible, padded, but not without bound.
inline constexpr std::uint64_t always_possible_k = 1'000'000;
inline constexpr std::uint64_t most_threads = std::numeric_limits<std::uint64_t>::max();
inline constexpr std::uint64_t most_effort =
    std::numeric_limits<std::uint64_t>::max();  // the library says what it takes

// More than half of this machine's memory: what is written to at once and is larger would end the process, not raise, so it is asked beforehand.
inline bool exceeds_memory(double bytes) {
  const double memory =
      static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGESIZE));
  return bytes > memory / 2;
}

inline void require_room(std::size_t k, std::size_t queries) {
  const double bytes = static_cast<double>(queries) * static_cast<double>(k) * (sizeof(Id) + sizeof(float));
  if (exceeds_memory(bytes)) {
    throw InvalidArgument(fmt::format(
        "{} queries with k = {} need {} for their results, more than half of this machine's memory", queries,
        k, tools::bytes_text(static_cast<std::uint64_t>(bytes))));
  }
}

// Whether ids are other than row numbers, so that a mask over them has a length of its own.
inline bool has_own_ids(const Index& index) { return !index.ids().empty(); }
inline bool has_own_ids(const LiveIndex& /*index*/) { return true; }

// A search of about this many multiplications or fewer, some 50 ms, is over before anybody could want to interrupt it.
inline constexpr double short_work = 1e8;

inline constexpr double vectors_of_a_document = 100;  // roughly, of one of several

// Roughly what a search costs: a graph reads a few thousand vectors, an exact scan all of them, and a result takes part in several
// comparisons until it is in its place.
template <class Searched>
double work_bound(const Searched& index, std::size_t queries, std::size_t k) {
  const bool documents = index.spec().maxsim.has_value();
  const bool scan = std::holds_alternative<FlatOptions>(index.spec().index) || documents;
  const double rows = static_cast<double>(index.size()) * (documents ? vectors_of_a_document : 1);
  const double read = scan ? rows : std::min(rows, 2e4);
  const double kept = 100 * std::min(static_cast<double>(k), rows);
  return static_cast<double>(queries) * (static_cast<double>(index.dim()) * read + kept);
}

// Runs what searches by `control`, which is told to stop by a signal or by a filter that raised. Without the GIL.
template <class Run>
void run_search(const PythonFilter& rule, double work, SearchControl& control, const Run& run) {
  if (!rule.calls_python() && work <= short_work) {
    const nanobind::gil_scoped_release released;
    run();
    return;
  }
  run_interruptibly([&](const Job& job) {
    std::stop_source stop;
    const auto request = [&stop] { stop.request_stop(); };
    const std::stop_callback interrupted(job.stop, request);
    const std::stop_callback failed(rule.failed().get_token(), request);
    control.stop = stop.get_token();
    run();
  });
  rule.rethrow();
}

inline std::optional<SearchControl::Clock::time_point> deadline_after(std::optional<double> timeout) {
  if (!timeout) return std::nullopt;
  if (!(*timeout >= 0)) throw InvalidArgument(fmt::format("timeout is {} s, expected 0 or more", *timeout));
  const auto limit = std::chrono::duration<double>(std::min(*timeout, 1e9));
  return SearchControl::Clock::now() + std::chrono::duration_cast<SearchControl::Clock::duration>(limit);
}

inline std::uint64_t budget_of(nanobind::handle max_distances) {
  constexpr std::uint64_t most = std::numeric_limits<std::uint64_t>::max();
  return max_distances.is_none() ? most : whole_number(max_distances, "max_distances", 1, most);
}

// Encodings of queries, and what made them.
struct MadeElsewhere {
  MatrixView<const float> encodings;
  std::uint64_t fingerprint = 0;
};

template <class Searched>
nanobind::object search_with(const Searched& index, nanobind::handle queries, nanobind::handle k,
                             std::optional<double> recall, nanobind::handle effort, nanobind::handle filter,
                             nanobind::handle threads, std::optional<double> timeout,
                             nanobind::handle max_distances, const std::optional<MadeElsewhere>& made) {
  const BorrowedItems items(queries, "queries", true);
  const VectorBatch batch = items.batch();
  Hits hits;
  hits.one_dimensional = items.one_dimensional();
  const std::size_t wanted = whole_number(k, "k", 1, std::max<std::size_t>(index.size(), always_possible_k));
  typename Searched::Params params{{optional_number(effort, "effort", most_effort), recall}};
  SearchControl control;
  control.stats = &hits.stats;
  control.max_distances = budget_of(max_distances);
  control.deadline = deadline_after(timeout);
  const std::size_t pool = optional_number(threads, "threads", most_threads);
  const std::size_t count = batch.size();
  if (made) {
    if (made->encodings.rows() != count)
      throw InvalidArgument(
          fmt::format("{} encodings of {} queries, expected as many", made->encodings.rows(), count));
    params.search.encodings = made->encodings;
    params.search.fingerprint = made->fingerprint;
  }
  // Before room for the answers is made; the values are looked at later.
  validate_batch(batch.rows.rows_from(0, 0), index.dim(), "queries");
  PythonFilter rule(filter, index.size(), has_own_ids(index));
  control.filter = rule.filter();
  require_room(wanted, count);
  // Of a document of several vectors one query is work enough for all.
  const bool documents = index.spec().maxsim.has_value();
  const ExecutorRef pool_executor = count > 1 || documents ? executor(pool) : ExecutorRef();
  run_search(rule, work_bound(index, documents ? batch.rows.rows() : count, wanted), control, [&] {
    hits.neighbors = Neighbors(count, wanted);
    control.executor = pool_executor;
    index.search(batch, hits.neighbors.view(), params, control);
  });
  return nanobind::cast(std::move(hits));
}

template <class Searched>
nanobind::object search_index(const Searched& index, nanobind::handle queries, nanobind::handle k,
                              std::optional<double> recall, nanobind::handle effort, nanobind::handle filter,
                              nanobind::handle threads, std::optional<double> timeout,
                              nanobind::handle max_distances) {
  return search_with(index, queries, k, recall, effort, filter, threads, timeout, max_distances, {});
}

inline constexpr const char* search_documentation =
    R"(The k nearest of every query.

Parameters
----------
queries : (n, dim) or (dim,) float32, or (rows, offsets)
    With offsets, n + 1 integers, query i is of several vectors: rows[offsets[i] : offsets[i + 1]]. Read where they lie when rows are contiguous; float16, bfloat16, uint8 and int8 are converted.
k : int
recall : float, optional
    The recall@k to aim at, in (0, 1]; the effort that gives it was measured when the index was built.
effort : int, optional
    The knob itself: how many candidates a search keeps (ef_search of a graph). Not together with recall.
filter : mask, ids or callable, optional
    What may be returned: a boolean array by id, an array of ids, or a function id -> bool (slow: it is called a query and
    candidate). Never fewer than min(k, matches) results.
threads : int, optional
    For a batch; default: every core this process may use.
timeout : float, optional
    Seconds after which no further work is begun; what was found so far is returned.
max_distances : int, optional
    Distances computed a query at most.
encodings : (n, out_dim) float32, optional
    Of documents of several vectors: the queries' encodings, made elsewhere by an encoder like `encoder`. MaxSim is computed from `queries`.
fingerprint : int, optional
    That encoder's, which goes with encodings. Another than the index's is refused.

Returns
-------
Hits)";

}  // namespace vicinal::python
