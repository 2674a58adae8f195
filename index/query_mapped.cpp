#include "vicinal/index/query_mapped.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <vector>

#include "vicinal/index/ranking.hpp"
#include "vicinal/index/search_without.hpp"

namespace vicinal {
namespace {

// Floats of mapped queries held at one time, which bounds the memory of a large batch.
constexpr std::size_t most_mapped = std::size_t{1} << 22;

// Adds a constant to the distances of one query. What differed by less than the sum can hold is equal then: ties are by id.
void add_constant(std::span<Id> ids, std::span<float> distances, float constant) {
  for (float& distance : distances) distance += constant;
  for (std::size_t begin = 0; begin < ids.size();) {
    std::size_t end = begin + 1;
    while (end < ids.size() && distances[end] == distances[begin]) ++end;
    std::ranges::sort(ids.subspan(begin, end - begin));
    begin = end;
  }
}

NeighborsView rows_from(NeighborsView out, std::size_t first, std::size_t count) {
  return {out.ids.rows_from(first, count), out.distances.rows_from(first, count),
          out.counts.subspan(first, count)};
}

// The inner pages, with the query's constant on every distance.
class MovedPages final : public Pages {
 public:
  MovedPages(std::unique_ptr<Pages> inner, float constant, std::string name)
      : inner_(std::move(inner)), constant_(constant), name_(std::move(name)) {}

  void next(std::size_t count, Page& page, const SearchControl& control) override {
    inner_->next(count, page, control);
    if (control.stats != nullptr)
      control.stats->strategy = fmt::format("{} > {}", name_, control.stats->strategy);
    add_constant(page.ids, page.distances, constant_);
  }

 private:
  std::unique_ptr<Pages> inner_;
  float constant_;
  std::string name_;
};

}  // namespace

QueryMapped::QueryMapped(AnyRetriever inner, Projection projection)
    : inner_(std::move(inner)), projection_(std::move(projection)) {
  const bool side = projection_.has_side_value() && inner_.dim() == projection_.out_dim() + 1;
  if ((inner_.dim() != projection_.out_dim() && !side) || inner_.metric() != projection_.inner_metric()) {
    throw InvalidArgument(fmt::format(
        "the inner retriever has dimension {} and metric {}, the projection gives {} and {}", inner_.dim(),
        to_string(inner_.metric()), projection_.out_dim(), to_string(projection_.inner_metric())));
  }
}

void QueryMapped::search(const VectorBatch& queries, NeighborsView out, const Params& params,
                         const SearchControl& control) const {
  const auto inner = [&](const VectorBatch& mapped, std::size_t, NeighborsView found,
                         const SearchControl& inner_control) {
    inner_.search(mapped, found, params.inner, inner_control);
  };
  search_with(inner, queries, out, control);
}

void QueryMapped::search_without(const VectorBatch& queries, std::span<const std::uint32_t> absent,
                                 NeighborsView out, const Params& params,
                                 const SearchControl& control) const {
  const auto inner = [&](const VectorBatch& mapped, std::size_t first, NeighborsView found,
                         const SearchControl& inner_control) {
    vicinal::search_without(inner_, mapped, absent.subspan(first, found.size()), found, params.inner,
                            inner_control);
  };
  search_with(inner, queries, out, control);
}

std::string QueryMapped::name() const {
  return fmt::format("{}({})", to_string(projection_.kind()), projection_.out_dim());
}

std::unique_ptr<Pages> QueryMapped::pages(std::span<const float> query, std::size_t page,
                                          const Params& params, const Filter& filter) const {
  std::vector<float> mapped(std::max<std::size_t>(1, inner_.dim()));
  Array<float> scratch;
  const float constant = projection_.project_query(query, mapped, scratch);
  return std::make_unique<MovedPages>(inner_.pages(mapped, page, params.inner, filter), constant, name());
}

void QueryMapped::search_with(Inner inner, const VectorBatch& queries, NeighborsView out,
                              const SearchControl& control) const {
  const std::size_t dim = std::max<std::size_t>(1, inner_.dim());
  const std::size_t block =
      std::clamp<std::size_t>(most_mapped / dim, 1, std::max<std::size_t>(1, queries.size()));
  constexpr std::size_t queries_per_task = 16;
  SearchStats work;
  SearchControl inner_control = control;
  inner_control.stats = control.stats == nullptr ? nullptr : &work;
  Array<float> mapped(block * dim);
  std::vector<float> constants(block);
  for (std::size_t first = 0; first < queries.size(); first += block) {
    const std::size_t count = std::min(block, queries.size() - first);
    control.executor.for_each(
        (count + queries_per_task - 1) / queries_per_task, [&](std::size_t task, std::size_t) {
          Array<float> scratch;
          const std::size_t end = std::min(count, (task + 1) * queries_per_task);
          for (std::size_t i = task * queries_per_task; i < end; ++i) {
            try {
              constants[i] = projection_.project_query(queries.rows[first + i],
                                                       mapped.span().subspan(i * dim, dim), scratch);
            } catch (const InvalidArgument& error) {
              throw InvalidArgument(fmt::format("queries row {}: {}", first + i, error.what()));
            }
          }
        });
    const NeighborsView found = rows_from(out, first, count);
    inner(MatrixView<const float>(mapped.data(), count, dim), first, found, inner_control);
    for (std::size_t i = 0; i < count; ++i) {
      add_constant(found.ids[i].first(found.counts[i]), found.distances[i].first(found.counts[i]),
                   constants[i]);
    }
  }
  if (control.stats != nullptr) {
    control.stats->add_work(work);
    control.stats->strategy = fmt::format("{} > {}", name(), work.strategy);
  }
}

}  // namespace vicinal
