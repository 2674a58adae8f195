#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <variant>

#include "vicinal/core/neighbors.hpp"

namespace vicinal {

/// Which items a search may return. Owns nothing: bitmap words, id lists and callables must outlive the search.
/// What is returned is checked against the filter again on the way out, so a filter never leaks.
class Filter {
 public:
  /// Item `id` passes when bit `id` is set: word id / 64, bit id % 64. Ids beyond the last word fail.
  struct Bitmap {
    std::span<const std::uint64_t> words;
  };
  /// Item `id` passes when it is in the list; ids ascending without repeats (checked: InvalidArgument).
  struct IdSet {
    std::span<const Id> ids;
  };
  /// Called from the searching threads, possibly at the same time; must not throw.
  using Predicate = std::function<bool(Id)>;

  Filter() = default;  ///< Everything passes.
  // Not inline: GCC 12 warns of uninitialised members where it inlines the copy of a variant that can hold a std::function.
  Filter(const Filter& other);
  Filter(Filter&& other) noexcept;
  Filter& operator=(const Filter& other);
  Filter& operator=(Filter&& other) noexcept;
  ~Filter();

  static Filter bitmap(std::span<const std::uint64_t> words) { return Filter(Bitmap{words}); }
  static Filter id_set(std::span<const Id> ascending_ids);
  static Filter predicate(Predicate predicate) { return Filter(std::move(predicate)); }

  [[nodiscard]] bool passes_all() const { return std::holds_alternative<std::monostate>(rule_); }
  [[nodiscard]] bool operator()(Id id) const;
  /// The list of an id-set filter, nullptr for the other kinds.
  [[nodiscard]] const IdSet* as_id_set() const { return std::get_if<IdSet>(&rule_); }
  [[nodiscard]] const Bitmap* as_bitmap() const { return std::get_if<Bitmap>(&rule_); }

 private:
  using Rule = std::variant<std::monostate, Bitmap, IdSet, Predicate>;
  explicit Filter(Rule rule) : rule_(std::move(rule)) {}
  Rule rule_;
};

}  // namespace vicinal
