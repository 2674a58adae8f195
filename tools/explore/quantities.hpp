#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace vicinal::tools {

/// What is held against a floor.
enum class Quality : std::uint8_t { recall, ndcg };
std::string quality_name(Quality quality, std::size_t k);  ///< "recall@10", "nDCG@10"

struct Floor {
  Quality quality = Quality::recall;
  std::size_t k = 0;  ///< 0: not said
  double value = 0;
};

/// "200MiB", "1.5 GiB", "300MB", "4096": binary units with an i, decimal ones without; a number alone is bytes. Throws
/// InvalidArgument (not of this form, 0, beyond 2^60).
std::uint64_t parse_bytes(std::string_view text);
/// "50M", "1.5B", "200k", "62440". Throws InvalidArgument (not of this form, less than 1, beyond 2^40).
std::uint64_t parse_rows(std::string_view text);
/// "recall@10=.95", "recall=0.95", "ndcg@10=.6", or ".95" for recall. Throws InvalidArgument (not of this form, not in (0, 1]).
Floor parse_floor(std::string_view text);

}  // namespace vicinal::tools
