#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "vicinal/core/metric.hpp"
#include "vicinal/index/live_hnsw.hpp"

/// What a LiveIndex writes into its log (docs/format.md). Not installed.
namespace vicinal {

/// The first record of a log without a file before it.
struct CreateRecord {
  std::uint64_t dim = 0;
  std::uint64_t seed = 0;
  Metric metric = Metric::l2;
  std::string spec;
};

/// The parts of a record; what they point to belongs to the change and to this.
class RecordParts {
 public:
  explicit RecordParts(const CreateRecord& create);
  RecordParts(const LiveChange& change, std::size_t dim);  ///< with offsets: of documents of several vectors
  [[nodiscard]] std::span<const std::span<const std::byte>> parts() const { return parts_; }

 private:
  std::array<std::uint64_t, 4> header_{};
  std::string text_;
  std::vector<float> rows_;  // side by side, where they are not
  std::vector<std::span<const std::byte>> parts_;
};

/// Throws CorruptFile unless `record` is one of them. A change of documents of several vectors has offsets, even where it only removes. It must be aligned for floats and ids, and outlive a change, whose spans point into it.
std::variant<CreateRecord, LiveChange> parse_record(std::span<const std::byte> record, std::size_t dim);

}  // namespace vicinal
