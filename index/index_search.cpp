// Searches of an Index: by its own ids, at the effort that a recall needs.
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <memory>
#include <utility>
#include <vector>

#include "vicinal/index/index.hpp"
#include "vicinal/index/multi_vector.hpp"

namespace vicinal {
namespace {

// The rows whose ids are in an ascending list, ascending.
std::vector<Id> rows_of(std::span<const Id> wanted, std::span<const Id> ids) {
  std::vector<Id> rows;
  auto from = ids.begin();
  for (const Id id : wanted) {
    from = std::lower_bound(from, ids.end(), id);
    if (from == ids.end()) break;
    if (*from == id) rows.push_back(from - ids.begin());
  }
  return rows;
}

// A filter by id in terms of rows, and what it is made of.
class RowFilter {
 public:
  RowFilter(const Filter& filter, std::span<const Id> ids, std::size_t queries) {
    if (const Filter::IdSet* set = filter.as_id_set()) {
      rows_ = rows_of(set->ids, ids);
      by_row = Filter::id_set(rows_);
    } else if (const Filter::Bitmap* bitmap = filter.as_bitmap()) {
      take(filter, *bitmap, ids, queries);
    } else if (!filter.passes_all()) {
      by_row = translating(filter, ids);
    }
  }
  Filter by_row;

 private:
  static Filter translating(const Filter& filter, std::span<const Id> ids) {
    return Filter::predicate([&filter, ids](Id row) { return filter(ids[static_cast<std::size_t>(row)]); });
  }
  // Few ids are looked up. Of many, all rows are looked at, if there are queries enough to pay for that.
  void take(const Filter& filter, const Filter::Bitmap& bitmap, std::span<const Id> ids,
            std::size_t queries) {
    constexpr std::size_t look_up_cost = 16;  // of an id, in rows that are looked at
    constexpr std::size_t rows_a_query = 4096;
    std::size_t count = 0;
    for (const std::uint64_t word : bitmap.words) count += static_cast<std::size_t>(std::popcount(word));
    if (count < ids.size() / look_up_cost) {
      std::vector<Id> set;
      set.reserve(count);
      for (std::size_t w = 0; w < bitmap.words.size(); ++w) {
        for (std::uint64_t word = bitmap.words[w]; word != 0; word &= word - 1)
          set.push_back(static_cast<Id>(w * 64) + std::countr_zero(word));
      }
      rows_ = rows_of(set, ids);
      by_row = Filter::id_set(rows_);
    } else if (ids.size() / rows_a_query <= queries) {
      words_.resize((ids.size() + 63) / 64);
      for (std::size_t row = 0; row < ids.size(); ++row)
        words_[row / 64] |= std::uint64_t{filter(ids[row])} << row % 64;
      by_row = Filter::bitmap(words_);
    } else {
      by_row = translating(filter, ids);
    }
  }

  std::vector<Id> rows_;
  std::vector<std::uint64_t> words_;
};

}  // namespace

void Index::Params::validate() const {
  if (!search.target_recall) return;
  const double target = *search.target_recall;
  if (!(target > 0 && target <= 1)) {
    throw InvalidArgument(
        fmt::format("the target recall is {}, expected a number above 0 and at most 1", target));
  }
  if (search.effort != 0) {
    throw InvalidArgument(
        fmt::format("both a target recall ({}) and an effort ({}) are given, expected one of them", target,
                    search.effort));
  }
}

std::size_t Index::effort_for(const IndexSearchOptions& options, std::size_t k) const {
  if (!options.target_recall) return options.effort;
  // Where no effort can make a difference, every target is met as well as it can be.
  if (!takes_effort(spec_) || size() - duplicates() == 1) return 0;
  if (!calibration_) {
    throw InvalidArgument(
        "the index is not calibrated, so it cannot aim at a target recall: build it with calibrate, or give "
        "an effort");
  }
  return calibration_->effort_for(*options.target_recall, k);
}

Neighbors Index::search(const VectorBatch& queries, std::size_t k, const IndexSearchOptions& options,
                        const SearchControl& control) const {
  if (k == 0) throw InvalidArgument("k is 0, expected at least 1");
  Neighbors out(queries.size(), k);
  search(queries, out.view(), Params{options}, control);
  return out;
}

void Index::search(const VectorBatch& queries, NeighborsView out, const Params& params,
                   const SearchControl& control) const {
  params.validate();
  SearchOptions options{retriever_.has_value() ? effort_for(params.search, out.k()) : 0, {}};
  if (!params.search.encodings.empty()) {
    if (!spec_.maxsim)
      throw InvalidArgument("encodings of the queries are given, but the index is of single vectors");
    options = {0, MultiVector::Params{.inner = {options.effort, {}},
                                      .encodings = params.search.encodings,
                                      .fingerprint = params.search.fingerprint}};
  }
  if (ids_.empty()) {
    retriever_.search(queries, out, options, control);
  } else {
    search_by_id(queries, out, options, control);
  }
}

// Rows ascend with ids, so results that are in order by row are in order by id.
void Index::search_by_id(const VectorBatch& queries, NeighborsView out, const SearchOptions& options,
                         const SearchControl& control) const {
  const Filter& filter = control.filter;
  const std::span<const Id> ids = ids_.span();
  SearchControl by_row = control;
  const RowFilter rows(filter, ids, queries.size());
  by_row.filter = rows.by_row;
  retriever_.search(queries, out, options, by_row);

  for (std::size_t q = 0; q < out.size(); ++q) {
    std::uint32_t kept = 0;
    for (std::uint32_t i = 0; i < out.counts[q]; ++i) {
      const Id id = ids[static_cast<std::size_t>(out.ids[q][i])];
      if (!filter.passes_all() && !filter(id))
        continue;  // The promise that a filter never leaks is kept here once more.
      out.ids[q][kept] = id;
      out.distances[q][kept] = out.distances[q][i];
      ++kept;
    }
    std::ranges::fill(out.ids[q].subspan(kept), no_id);
    std::ranges::fill(out.distances[q].subspan(kept), no_distance);
    out.counts[q] = kept;
  }
}

// Pages by row number, told in ids of one's own.
class Index::PagesById final : public Pages {
 public:
  PagesById(Index index, std::span<const float> query, std::size_t page, const SearchOptions& options,
            Filter filter)
      : index_(std::move(index)),
        filter_(std::move(filter)),
        rows_(filter_, index_.ids(), 1),
        by_row_(index_.retriever_.pages(query, page, options, rows_.by_row)) {}

  void next(std::size_t count, Page& page, const SearchControl& control) override {
    by_row_->next(count, page, control);
    std::size_t kept = 0;
    for (std::size_t i = 0; i < page.size(); ++i) {
      const Id id = index_.ids()[static_cast<std::size_t>(page.ids[i])];
      if (!filter_.passes_all() && !filter_(id)) continue;  // as in search_by_id()
      page.ids[kept] = id;
      page.distances[kept++] = page.distances[i];
    }
    page.ids.resize(kept);
    page.distances.resize(kept);
  }

 private:
  Index index_;
  Filter filter_;
  RowFilter rows_;
  std::unique_ptr<Pages> by_row_;
};

std::unique_ptr<Pages> Index::pages(std::span<const float> query, std::size_t page,
                                    const IndexSearchOptions& options, const Filter& filter) const {
  Params{options}.validate();
  const SearchOptions by_row{retriever_.has_value() ? effort_for(options, page) : 0, {}};
  if (ids_.empty()) return retriever_.pages(query, page, by_row, filter);
  return std::make_unique<PagesById>(*this, query, page, by_row, filter);
}

RangeNeighbors Index::search_range(MatrixView<const float> queries, float radius,
                                   const IndexSearchOptions& options, const SearchControl& control) const {
  validate_batch(queries, dim(), "queries");
  return search_range_of(*this, queries, radius, options, control);
}

}  // namespace vicinal
