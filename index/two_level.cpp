#include "vicinal/index/two_level.hpp"

#include <fmt/format.h>

#include <utility>

#include "vicinal/index/flat.hpp"
#include "vicinal/index/hnsw.hpp"

namespace vicinal {
namespace {

struct Codes {
  CodeStore store;
  std::span<const std::uint32_t> row_of_slot;  // empty: slot r is row r
};

Codes codes_of(const AnyRetriever& inner) {
  if (const auto* flat = inner.get_if<Flat>()) return {flat->codes(), {}};
  if (const auto* hnsw = inner.get_if<Hnsw>()) return {hnsw->codes(), hnsw->row_of_slot()};
  throw InvalidArgument(
      fmt::format("a second level adds to the codes of flat or hnsw, got {}", inner.kind()));
}

AnyRetriever reranked(AnyRetriever inner, TwoLevelStore levels, std::span<const std::uint32_t> row_of_slot,
                      double depth) {
  Array<std::uint32_t> slots;
  if (!row_of_slot.empty()) slots = slots_of_rows(row_of_slot);
  return Reranked(std::move(inner), std::move(levels), std::move(slots), depth);
}

}  // namespace

Array<std::uint32_t> slots_of_rows(std::span<const std::uint32_t> row_of_slot) {
  Array<std::uint32_t> slot_of_row(row_of_slot.size());
  for (std::uint32_t slot = 0; slot < row_of_slot.size(); ++slot) slot_of_row[row_of_slot[slot]] = slot;
  return slot_of_row;
}

AnyRetriever build_two_level(AnyRetriever inner, const Spec& spec, MatrixView<const float> base,
                             const BuildControl& control) {
  const Codes codes = codes_of(inner);
  TwoLevelStore levels =
      TwoLevelStore::build(codes.store, spec.rerank->rows, base, codes.row_of_slot, control);
  return reranked(std::move(inner), std::move(levels), codes.row_of_slot, spec.rerank->depth);
}

AnyRetriever restore_two_level(AnyRetriever inner, CodeStore second, double depth) {
  const Codes codes = codes_of(inner);
  return reranked(std::move(inner), {codes.store, std::move(second)}, codes.row_of_slot, depth);
}

}  // namespace vicinal
