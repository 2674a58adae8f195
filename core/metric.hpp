#pragma once

#include <cstdint>
#include <string_view>

namespace vicinal {

/// How near two vectors are. Every metric is reported as a distance: smaller is closer.
///   l2       squared Euclidean distance, sum (q_i - x_i)^2
///   ip       minus the inner product, -<q, x> (similarity_score() gives the product back)
///   cosine   1 - <q, x> / (|q| |x|); a zero vector is at distance 1 from everything (8-bit codes: but for their rounding)
/// Stored in files: values never change meaning.
enum class Metric : std::uint8_t { l2 = 0, ip = 1, cosine = 2 };

/// "l2", "ip" or "cosine".
std::string_view to_string(Metric metric);

/// The inverse of to_string; throws InvalidArgument naming what was got and the three names.
Metric parse_metric(std::string_view text);

/// The score a user of the metric expects from a reported distance: the inner product (ip), the cosine (cosine), or the
/// distance itself (l2).
inline float similarity_score(Metric metric, float distance) {
  switch (metric) {
    case Metric::ip: return -distance;
    case Metric::cosine: return 1.0F - distance;
    case Metric::l2: return distance;
  }
  return distance;
}

}  // namespace vicinal
