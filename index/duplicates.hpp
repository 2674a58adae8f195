#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "vicinal/core/array.hpp"
#include "vicinal/core/container.hpp"
#include "vicinal/core/control.hpp"
#include "vicinal/core/matrix_view.hpp"
#include "vicinal/quant/code_store.hpp"

namespace vicinal {

/// Which rows are the same as others. Rows that are the same are a class; its first row stands for it, and classes are numbered in the
/// order of their first rows. What is kept grows with the rows that are not first of a class, the duplicates: without them it is
/// nothing. Immutable; copies share; safe to read from many threads.
class DuplicateClasses {
 public:
  DuplicateClasses() = default;  ///< no rows
  /// first_of_row[r] is the first row that is the same as row r, which is r itself where there is none before. Throws InvalidArgument
  /// when it is not that of any classes.
  explicit DuplicateClasses(std::span<const std::uint32_t> first_of_row);

  [[nodiscard]] std::size_t rows() const { return rows_; }
  [[nodiscard]] std::size_t classes() const { return rows_ - duplicates(); }
  [[nodiscard]] std::size_t duplicates() const { return further_.size(); }
  [[nodiscard]] std::size_t memory_bytes() const {
    return repeated_.bytes() + offsets_.bytes() + further_.bytes() + by_row_.size() * sizeof(Duplicate);
  }

  [[nodiscard]] std::uint32_t class_of(std::uint32_t row) const;  ///< O(log duplicates)
  [[nodiscard]] std::uint32_t first_row(std::uint32_t class_number) const;
  /// The rows of a class after its first, ascending.
  [[nodiscard]] std::span<const std::uint32_t> further_rows(std::uint32_t class_number) const;

  /// Sections "<prefix>/classes", "/offsets" and "/rows"; nothing without duplicates.
  void save(ContainerWriter& writer, const std::string& prefix) const;
  /// Of `rows` rows; without the sections there are no duplicates. Throws CorruptFile unless they are what save() writes.
  static DuplicateClasses load(const Container& file, const std::string& prefix, std::uint64_t rows);

 private:
  struct Duplicate {
    std::uint32_t row;
    std::uint32_t class_number;
  };
  void index_by_row();

  std::size_t rows_ = 0;
  Array<std::uint32_t> repeated_;  // classes of several rows, ascending
  Array<std::uint64_t> offsets_;   // of each of them, in further_; one more than those
  Array<std::uint32_t> further_;   // their rows after the first
  std::vector<Duplicate> by_row_;  // the same, ascending by row
};

/// Rows of equal values (0 and -0 are equal): hashed, and compared where hashes agree. Runs on control.executor; the result does not
/// depend on the number of threads. O(rows x dim). Throws Cancelled.
DuplicateClasses equal_rows(MatrixView<const float> rows, const BuildControl& control = {});
/// Records of equal codes, and of integers scales that agree to 8 bits: what an index cannot tell apart, or hardly.
DuplicateClasses equal_codes(const CodeStore& codes, const BuildControl& control = {});
/// The first row of each class.
Array<float> distinct_rows(MatrixView<const float> rows, const DuplicateClasses& classes);

}  // namespace vicinal
