#pragma once

#include <cstddef>
#include <vector>

#include "vicinal/index/any_retriever.hpp"
#include "vicinal/index/duplicates.hpp"

namespace vicinal {

/// Rows of which many are the same, over a retriever of one row a class: what that finds is returned as all rows of its class, at its
/// distance, in order of (distance, row). A class passes a filter when one of its rows does, and only rows that pass are returned.
/// Copies share everything.
class Deduplicated {
 public:
  static constexpr std::string_view kind = "dedup";
  struct Params {
    SearchOptions inner;

    static Params from_effort(std::size_t effort) { return {{effort, {}}}; }
    void validate() const {}  ///< the inner retriever validates its own
    friend bool operator==(const Params& a, const Params& b) { return a.inner.effort == b.inner.effort; }
  };

  Deduplicated() = default;
  /// The inner retriever's ids are class numbers. Throws InvalidArgument unless it has one item a class.
  Deduplicated(AnyRetriever inner, DuplicateClasses classes);

  [[nodiscard]] std::size_t size() const { return classes_.rows(); }  ///< rows, not classes
  [[nodiscard]] std::size_t dim() const { return inner_.dim(); }
  [[nodiscard]] Metric metric() const { return inner_.metric(); }
  [[nodiscard]] std::size_t memory_bytes() const { return inner_.memory_bytes() + classes_.memory_bytes(); }
  [[nodiscard]] const AnyRetriever& inner() const { return inner_; }
  [[nodiscard]] const DuplicateClasses& classes() const { return classes_; }

  void search(const VectorBatch& queries, NeighborsView out, const Params& params,
              const SearchControl& control) const;

 private:
  struct ClassFilter;
  void write_rows(const Neighbors& found, std::size_t from, NeighborsView out, std::size_t to,
                  const Filter& filter, std::vector<Id>& group) const;

  AnyRetriever inner_;
  DuplicateClasses classes_;
};
static_assert(Retriever<Deduplicated>);

}  // namespace vicinal
