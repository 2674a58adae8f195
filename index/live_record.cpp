#include "vicinal/index/live_record.hpp"

#include <cstring>

#include "vicinal/core/error.hpp"

namespace vicinal {
namespace {

// Header: kind, then for a creation dim, seed and metric, for a change dim, items and removed ids.
constexpr std::uint64_t create_kind = 1, change_kind = 2, documents_kind = 3;
constexpr std::size_t header_bytes = 4 * sizeof(std::uint64_t);
constexpr std::size_t longest_spec = 4096;

}  // namespace

RecordParts::RecordParts(const CreateRecord& create)
    : header_{create_kind, create.dim, create.seed, static_cast<std::uint64_t>(create.metric)},
      text_(create.spec) {
  parts_ = {std::as_bytes(std::span(header_)), std::as_bytes(std::span(text_))};
}

RecordParts::RecordParts(const LiveChange& change, std::size_t dim)
    : header_{change.offsets.empty() ? change_kind : documents_kind, dim, change.ids.size(),
              change.removed.size()} {
  std::span<const float> rows(change.rows.data(), change.rows.rows() * dim);
  if (change.rows.stride() != dim && change.rows.rows() != 0) {
    for (std::size_t row = 0; row < change.rows.rows(); ++row)
      rows_.insert(rows_.end(), change.rows[row].begin(), change.rows[row].end());
    rows = rows_;
  }
  parts_ = {std::as_bytes(std::span(header_)), std::as_bytes(change.offsets), std::as_bytes(change.ids),
            std::as_bytes(change.removed), std::as_bytes(rows)};
}

namespace {

void require_length(bool right) {
  if (!right) throw CorruptFile("a record of the log has another length than it says");
}

// What follows the header: offsets, ids, removed ids and vectors. That offsets ascend is asked by whoever makes the change.
LiveChange parse_documents(std::span<const std::byte> rest, std::uint64_t count, std::uint64_t removed,
                           std::size_t dim) {
  const std::uint64_t words = rest.size() / sizeof(Id);
  // In this order, so that nothing overflows.
  require_length(dim != 0 && count < words && removed < words && 1 + 2 * count + removed <= words);
  const auto* const offsets = reinterpret_cast<const std::uint64_t*>(rest.data());
  const auto* const ids = reinterpret_cast<const Id*>(offsets + count + 1);
  const auto* const values = reinterpret_cast<const float*>(ids + count + removed);
  const std::uint64_t bytes = rest.size() - (1 + 2 * count + removed) * sizeof(Id);
  const std::uint64_t rows = offsets[count];
  require_length(rows <= bytes / sizeof(float) / dim && rows * dim * sizeof(float) == bytes);
  LiveChange change;
  change.offsets = {offsets, count + 1};
  change.ids = {ids, count};
  change.removed = {ids + count, removed};
  change.rows = {values, rows, dim};
  return change;
}

}  // namespace

std::variant<CreateRecord, LiveChange> parse_record(std::span<const std::byte> record, std::size_t dim) {
  std::array<std::uint64_t, 4> header{};
  if (record.size() < header_bytes) throw CorruptFile("a record of the log is too short");
  std::memcpy(header.data(), record.data(), header_bytes);
  const std::span<const std::byte> rest = record.subspan(header_bytes);
  if (header[0] == create_kind) {
    if (rest.size() > longest_spec || header[3] > static_cast<std::uint64_t>(Metric::cosine) ||
        header[1] == 0 || header[1] > (std::uint64_t{1} << 31))
      throw CorruptFile("the first record of the log is none that is known");
    CreateRecord create{header[1], header[2], static_cast<Metric>(header[3]), {}};
    create.spec.assign(reinterpret_cast<const char*>(rest.data()), rest.size());
    return create;
  }
  if (header[0] != change_kind && header[0] != documents_kind)
    throw CorruptFile("a record of the log is none that is known");
  if (header[1] != dim) {
    throw CorruptFile("a record of the log has vectors of dimension " + std::to_string(header[1]) +
                      ", expected " + std::to_string(dim));
  }
  const std::uint64_t rows = header[2], removed = header[3];
  if (header[0] == documents_kind) return parse_documents(rest, rows, removed, dim);
  // In this order, so that nothing overflows.
  require_length(rows <= rest.size() / (sizeof(Id) + dim * sizeof(float)) &&
                 removed <= rest.size() / sizeof(Id) &&
                 rows * (sizeof(Id) + dim * sizeof(float)) + removed * sizeof(Id) == rest.size());
  LiveChange change;
  const auto* const ids = reinterpret_cast<const Id*>(rest.data());
  const auto* const values = reinterpret_cast<const float*>(ids + rows + removed);
  change.ids = {ids, rows};
  change.removed = {ids + rows, removed};
  change.rows = {values, rows, dim};
  return change;
}

}  // namespace vicinal
