#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <unordered_set>
#include <utility>
#include <vector>

#include "vicinal/core/control.hpp"
#include "vicinal/core/matrix_view.hpp"
#include "vicinal/core/neighbors.hpp"

namespace vicinal {

/// Some results of one query, ascending by (distance, id).
struct Page {
  std::vector<Id> ids;
  std::vector<float> distances;  ///< as many

  [[nodiscard]] std::size_t size() const { return ids.size(); }
  void clear() {
    ids.clear();
    distances.clear();
  }
};

/// The results of one query a page at a time, without end known beforehand. Not safe to use from several threads at once; made by pages() of a
/// retriever, which it shares.
class Pages {
 public:
  virtual ~Pages() = default;

  /// Writes the nearest `count` of what no page had yet to `page`. Fewer, when control does not say stop, only if there is no more: every
  /// item that the filter passes comes once, in the end. As with any approximate search, a page may hold something nearer than the page
  /// before it.
  ///
  /// The filter is the one given at the beginning; that of `control` is not looked at. Past a deadline or the budget the page has what was
  /// found so far, and the next call goes on. A cancelled call gives nothing and loses nothing.
  virtual void next(std::size_t count, Page& page, const SearchControl& control) = 0;

 protected:
  /// Whether a call has been cancelled, which it then says.
  static bool is_cancelled(const SearchControl& control);
};

/// Pages of anything that can only be searched: searches again, for twice as many, when what was found has all been given. So n results cost
/// less than twice a search for 2 n. Where content changes between two calls, what was given is not given again.
class RepeatedSearch final : public Pages {
 public:
  /// Answers the query with the k nearest.
  using Search = std::function<Neighbors(std::size_t k, const SearchControl& control)>;

  /// `size` is how many items there are, asked at every search.
  RepeatedSearch(Search search, std::function<std::size_t()> size)
      : search_(std::move(search)), size_(std::move(size)) {}

  void next(std::size_t count, Page& page, const SearchControl& control) override;

 private:
  bool find_more(std::size_t count, const SearchControl& control);

  Search search_;
  std::function<std::size_t()> size_;
  std::unordered_set<Id> given_;
  Page found_;                // ascending, of which the first were given
  std::size_t position_ = 0;  // in found_
  bool all_ = false;          // found_ holds all there was
};

/// RepeatedSearch of one query by anything with an Index's search(); copies `searched`, which are handles, and the query.
template <class Searched, class Options>
std::unique_ptr<Pages> search_repeatedly(const Searched& searched, std::span<const float> query,
                                         const Options& options, const Filter& filter) {
  auto search = [searched, query = std::vector<float>(query.begin(), query.end()), options, filter](
                    std::size_t k, const SearchControl& control) {
    SearchControl filtered = control;
    filtered.filter = filter;
    return searched.search(MatrixView<const float>(query.data(), 1, query.size()), k, options, filtered);
  };
  return std::make_unique<RepeatedSearch>(std::move(search), [searched] { return searched.size(); });
}

}  // namespace vicinal
