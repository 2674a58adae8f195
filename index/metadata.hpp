#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "vicinal/core/metric.hpp"
#include "vicinal/index/calibration.hpp"

/// The section "index/meta" of a `.vcn` file. Not installed.
namespace vicinal {

struct IndexMetadata {
  std::string spec;  ///< canonical
  Metric metric = Metric::l2;
  std::uint64_t dim = 0;
  std::uint64_t size = 0;
  std::uint64_t seed = 0;
  bool has_ids = false;
  std::optional<Calibration> calibration;

  friend bool operator==(const IndexMetadata&, const IndexMetadata&) = default;
};

/// cereal's portable binary; the bytes depend on the values alone.
std::string encode_metadata(const IndexMetadata& metadata);

/// The inverse. The bytes are untrusted: lengths are compared with what is left before memory is taken, values with their
/// ranges, and only what encode_metadata() writes is accepted. Throws CorruptFile; Unsupported for a newer version.
IndexMetadata decode_metadata(std::string_view bytes);

}  // namespace vicinal
