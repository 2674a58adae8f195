#include "vicinal/core/metric.hpp"

#include <string>

#include "vicinal/core/error.hpp"

namespace vicinal {

std::string_view to_string(Metric metric) {
  switch (metric) {
    case Metric::l2: return "l2";
    case Metric::ip: return "ip";
    case Metric::cosine: return "cosine";
  }
  return "unknown";
}

Metric parse_metric(std::string_view text) {
  for (const Metric metric : {Metric::l2, Metric::ip, Metric::cosine}) {
    if (text == to_string(metric)) return metric;
  }
  throw InvalidArgument("unknown metric '" + std::string(text) + "'; expected l2, ip or cosine");
}

}  // namespace vicinal
