#include "vicinal/index/duplicates.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <numeric>
#include <utility>

#include <xxhash.h>

#include "vicinal/core/error.hpp"
#include "vicinal/core/function_ref.hpp"
#include "vicinal/quant/float16.hpp"

namespace vicinal {
namespace {

template <class T>
Array<T> array_of(const std::vector<T>& values) {
  Array<T> array(values.size());
  std::ranges::copy(values, array.data());
  return array;
}

// Classes of the rows that are the `same`, which have the same hash. hash() gets bytes of scratch memory that it may use.
DuplicateClasses classes_of(std::size_t rows,
                            FunctionRef<std::uint64_t(std::size_t, std::vector<std::byte>&)> hash,
                            FunctionRef<bool(std::size_t, std::size_t)> same, const BuildControl& control) {
  constexpr std::size_t rows_per_task = 1024;
  std::vector<std::pair<std::uint64_t, std::uint32_t>> keys(rows);
  control.executor.for_each((rows + rows_per_task - 1) / rows_per_task, [&](std::size_t task, std::size_t) {
    std::vector<std::byte> scratch;
    const std::size_t end = std::min(rows, (task + 1) * rows_per_task);
    for (std::size_t row = task * rows_per_task; row < end; ++row)
      keys[row] = {hash(row, scratch), static_cast<std::uint32_t>(row)};
  });
  control.throw_if_stopped();
  std::ranges::sort(keys);
  std::vector<std::uint32_t> first_of_row(rows);
  std::vector<std::uint32_t> firsts;  // of one hash: more than one only where hashes collide
  for (std::size_t begin = 0, end = 0; begin < rows; begin = end) {
    firsts.clear();
    for (end = begin; end < rows && keys[end].first == keys[begin].first; ++end) {
      const std::uint32_t row = keys[end].second;
      const auto found = std::ranges::find_if(firsts, [&](std::uint32_t first) { return same(first, row); });
      const bool is_first = found == firsts.end();
      first_of_row[row] = is_first ? row : *found;
      if (is_first) firsts.push_back(row);
    }
  }
  return DuplicateClasses(first_of_row);
}

}  // namespace

DuplicateClasses::DuplicateClasses(std::span<const std::uint32_t> first_of_row) : rows_(first_of_row.size()) {
  std::vector<std::uint32_t> class_of_first(rows_);
  std::vector<std::pair<std::uint32_t, std::uint32_t>> pairs;  // class and row of every duplicate
  std::uint32_t classes = 0;
  for (std::uint32_t row = 0; row < rows_; ++row) {
    const std::uint32_t first = first_of_row[row];
    if (first > row || first_of_row[first] != first)
      throw InvalidArgument(
          fmt::format("row {} is said to be the same as row {}, not a first one", row, first));
    if (first == row) {
      class_of_first[row] = classes++;
    } else {
      pairs.emplace_back(class_of_first[first], row);
    }
  }
  if (pairs.empty()) return;
  std::ranges::sort(pairs);
  std::vector<std::uint32_t> repeated;
  std::vector<std::uint64_t> offsets;
  further_ = Array<std::uint32_t>(pairs.size());
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    if (repeated.empty() || repeated.back() != pairs[i].first) {
      repeated.push_back(pairs[i].first);
      offsets.push_back(i);
    }
    further_[i] = pairs[i].second;
  }
  offsets.push_back(pairs.size());
  repeated_ = array_of(repeated);
  offsets_ = array_of(offsets);
  index_by_row();
}

void DuplicateClasses::index_by_row() {
  by_row_.reserve(further_.size());
  const std::span<const std::uint32_t> further = std::as_const(further_).span();
  for (std::size_t i = 0; i < repeated_.size(); ++i) {
    for (std::uint64_t j = offsets_[i]; j < offsets_[i + 1]; ++j)
      by_row_.push_back({further[j], std::as_const(repeated_)[i]});
  }
  std::ranges::sort(by_row_, {}, &Duplicate::row);
}

std::uint32_t DuplicateClasses::class_of(std::uint32_t row) const {
  const auto found = std::ranges::lower_bound(by_row_, row, {}, &Duplicate::row);
  if (found != by_row_.end() && found->row == row) return found->class_number;
  // Classes are numbered as first rows come: all rows before this one but the duplicates.
  return row - static_cast<std::uint32_t>(found - by_row_.begin());
}

std::uint32_t DuplicateClasses::first_row(std::uint32_t class_number) const {
  // The duplicates before it are those before which there are at most so many first rows.
  std::size_t low = 0;
  std::size_t high = by_row_.size();
  while (low < high) {
    const std::size_t middle = low + (high - low) / 2;
    if (by_row_[middle].row - middle <= class_number) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return class_number + static_cast<std::uint32_t>(low);
}

std::span<const std::uint32_t> DuplicateClasses::further_rows(std::uint32_t class_number) const {
  const std::span<const std::uint32_t> repeated = repeated_.span();
  const auto found = std::ranges::lower_bound(repeated, class_number);
  if (found == repeated.end() || *found != class_number) return {};
  const auto i = static_cast<std::size_t>(found - repeated.begin());
  return further_.span().subspan(offsets_[i], offsets_[i + 1] - offsets_[i]);
}

void DuplicateClasses::save(ContainerWriter& writer, const std::string& prefix) const {
  if (duplicates() == 0) return;
  writer.add(prefix + "/classes", repeated_.span());
  writer.add(prefix + "/offsets", offsets_.span());
  writer.add(prefix + "/rows", further_.span());
}

DuplicateClasses DuplicateClasses::load(const Container& file, const std::string& prefix,
                                        std::uint64_t rows) {
  DuplicateClasses classes;
  classes.rows_ = rows;
  if (!file.contains(prefix + "/classes") && !file.contains(prefix + "/offsets") &&
      !file.contains(prefix + "/rows"))
    return classes;
  const auto fail = [&](std::string_view section, std::string_view reason) {
    throw CorruptFile(fmt::format("section {}/{}: {}", prefix, section, reason));
  };
  const auto elements = [&](const char* section, std::size_t width) {
    return file.info(fmt::format("{}/{}", prefix, section)).length / width;
  };
  classes.repeated_ =
      file.array<std::uint32_t>(prefix + "/classes", elements("classes", sizeof(std::uint32_t)));
  classes.further_ = file.array<std::uint32_t>(prefix + "/rows", elements("rows", sizeof(std::uint32_t)));
  classes.offsets_ = file.array<std::uint64_t>(prefix + "/offsets", classes.repeated_.size() + 1);
  const std::span<const std::uint32_t> repeated = std::as_const(classes.repeated_).span();
  const std::span<const std::uint32_t> further = std::as_const(classes.further_).span();
  const std::span<const std::uint64_t> offsets = std::as_const(classes.offsets_).span();
  if (further.empty() || further.size() >= rows) fail("rows", "holds none or too many rows");
  if (repeated.empty() || std::ranges::adjacent_find(repeated, std::greater_equal<>()) != repeated.end() ||
      repeated.back() >= classes.classes())
    fail("classes", "holds numbers that do not ascend, or of no class");
  if (offsets.front() != 0 || offsets.back() != further.size() ||
      std::ranges::adjacent_find(offsets, std::greater_equal<>()) != offsets.end())
    fail("offsets", "does not ascend from 0 to the number of rows");
  classes.index_by_row();
  const auto same_row = [](const Duplicate& a, const Duplicate& b) { return a.row == b.row; };
  if (classes.by_row_.back().row >= rows ||
      std::ranges::adjacent_find(classes.by_row_, same_row) != classes.by_row_.end())
    fail("rows", "holds a row twice, or one that is not there");
  for (const std::uint32_t number : repeated) {
    const std::span<const std::uint32_t> members = classes.further_rows(number);
    if (members.front() <= classes.first_row(number) ||
        std::ranges::adjacent_find(members, std::greater_equal<>()) != members.end())
      fail("rows", "holds rows of a class that do not ascend");
  }
  return classes;
}

DuplicateClasses equal_rows(MatrixView<const float> rows, const BuildControl& control) {
  const auto hash = [&](std::size_t row, std::vector<std::byte>& scratch) -> std::uint64_t {
    scratch.resize(rows.cols() * sizeof(float));
    for (std::size_t j = 0; j < rows.cols(); ++j) {
      const float value = rows[row][j] == 0.0F ? 0.0F : rows[row][j];  // -0 is equal to 0.
      std::memcpy(scratch.data() + j * sizeof(float), &value, sizeof(value));
    }
    return XXH3_64bits(scratch.data(), scratch.size());
  };
  const auto same = [&](std::size_t a, std::size_t b) { return std::ranges::equal(rows[a], rows[b]); };
  return classes_of(rows.rows(), hash, same, control);
}

DuplicateClasses equal_codes(const CodeStore& codes, const BuildControl& control) {
  const std::size_t stride = codes.codec().stride();
  const auto scale = [&](std::size_t slot) -> std::uint16_t {
    return codes.codec().has_factors() ? f32_to_bf16(codes.factors()[2 * slot]) : 0;
  };
  const auto hash = [&](std::size_t slot, std::vector<std::byte>&) -> std::uint64_t {
    return XXH3_64bits_withSeed(codes.record(slot), stride, scale(slot));
  };
  const auto same = [&](std::size_t a, std::size_t b) {
    return scale(a) == scale(b) && std::memcmp(codes.record(a), codes.record(b), stride) == 0;
  };
  return classes_of(codes.size(), hash, same, control);
}

Array<float> distinct_rows(MatrixView<const float> rows, const DuplicateClasses& classes) {
  Array<float> distinct(checked_product(classes.classes(), rows.cols(), "distinct rows"));
  for (std::uint32_t number = 0; number < classes.classes(); ++number)
    std::ranges::copy(rows[classes.first_row(number)], distinct.data() + number * rows.cols());
  return distinct;
}

}  // namespace vicinal
