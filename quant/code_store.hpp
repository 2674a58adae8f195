#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "vicinal/core/container.hpp"
#include "vicinal/quant/codec.hpp"

namespace vicinal {

/// Encoded vectors and the codec that made them: record r belongs to slot r. Immutable once built; copies share the memory;
/// safe to read from many threads.
class CodeStore {
 public:
  CodeStore() = default;

  /// Encodes rows order[0], order[1], ... of `documents` (empty order: as they come) into slots 0, 1, ... Runs on
  /// control.executor; the bytes do not depend on the number of threads. O(rows x dim log dim).
  static CodeStore build(const Codec& codec, MatrixView<const float> documents,
                         std::span<const std::uint32_t> order, const BuildControl& control = {});

  /// Of codes that `codec` or something that knows its format made: stride() bytes a record, and factor_count() factors.
  /// Throws InvalidArgument when their sizes do not fit together.
  static CodeStore of_codes(const Codec& codec, Array<std::byte> records, Array<float> factors);

  /// Records [first, first + count) of a store.
  struct Run {
    const CodeStore* store = nullptr;
    std::size_t first = 0;
    std::size_t count = 0;
  };
  /// The records of runs one after the other, copied and not coded anew, as they come from build(). Throws InvalidArgument where a store has
  /// records of another size than `codec` makes. Runs on control.executor.
  static CodeStore gather(const Codec& codec, std::span<const Run> runs, const BuildControl& control = {});

  /// The same vectors with their records in blocks (Codec::has_blocks(), else as they are): for scans, which score_range() does. They have no
  /// record() then, and to score them in another order takes longer.
  [[nodiscard]] CodeStore in_blocks() const;
  [[nodiscard]] bool has_blocks() const { return blocks_; }

  /// The same vectors with their records in lanes (Codec::has_lanes(), else as they are): for loops that read whole groups, the last one
  /// included. They have no record() then, and are not scored by this class. Runs on control.executor.
  [[nodiscard]] CodeStore in_lanes(const BuildControl& control = {}) const;
  [[nodiscard]] bool has_lanes() const { return lanes_; }

  [[nodiscard]] const Codec& codec() const { return codec_; }
  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] std::size_t dim() const { return codec_.dim(); }
  [[nodiscard]] const std::byte* records() const { return records_.data(); }
  [[nodiscard]] const std::byte* record(std::size_t slot) const {
    return records_.data() + slot * codec_.stride();
  }
  [[nodiscard]] const float* factors() const { return factors_.data(); }
  /// Bytes read to score one record.
  [[nodiscard]] std::size_t bytes_per_vector() const {
    return codec_.stride() + codec_.factor_count() * sizeof(float);
  }
  [[nodiscard]] std::size_t memory_bytes() const {
    return records_.bytes() + factors_.bytes() + codec_.memory_bytes();
  }

  void decode(std::size_t slot, std::span<float> out) const;
  void score(const PreparedQuery& query, const std::uint32_t* slots, std::size_t count,
             float* out) const noexcept;
  /// Several queries, made ready by prepare_query() and prepare_scan(), against slots first, first + 1, ..., where `first` is a multiple of 16:
  /// out[q * out_stride + i] is the distance of slot first + i.
  void score_range(std::span<const PreparedQuery> queries, std::size_t first, std::size_t count, float* out,
                   std::size_t out_stride) const noexcept;

  /// Sections "<prefix>/codec", "/codes", "/factors", "/mean", "/product", "/centroids", "/directions", those that the codec has.
  void save(ContainerWriter& writer, const std::string& prefix) const;
  /// Validates everything read: sizes, kinds, and that floats are finite. Throws CorruptFile.
  /// Records in lanes are refused unless `lanes_allowed`, since most of what reads records would not understand them.
  static CodeStore load(const Container& file, const std::string& prefix, bool lanes_allowed = false);

 private:
  [[nodiscard]] const std::byte* lane_group(std::size_t slot) const {
    return records_.data() + slot / Codec::block_size * codec_.lane_group_bytes();
  }
  [[nodiscard]] const std::byte* block(std::size_t slot) const {
    return records_.data() + slot / Codec::block_size * codec_.block_bytes();
  }

  Codec codec_;
  std::size_t size_ = 0;
  bool blocks_ = false;
  bool lanes_ = false;
  Array<std::byte> records_;  // or blocks of them, or groups of lanes
  Array<float> factors_;
};

}  // namespace vicinal
