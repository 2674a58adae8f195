#include "vicinal/index/build_space.hpp"

namespace vicinal {

BuildSpace::BuildSpace(const CodeStore& codes, std::span<const float> extra)
    : codec_(&codes.codec()), records_(codes.records()), extra_(extra.empty() ? nullptr : extra.data()) {
  const Codec& codec = codes.codec();
  factors_ = codes.factors();
  if (!codec.has_factors() || is_rabitq(codec.kind())) return;
  if (codec.metric() == Metric::l2 && !codec.options().side_value) return;
  own_factors_ = Array<float>(2 * codes.size());
  for (std::size_t slot = 0; slot < codes.size(); ++slot) {
    const float scale = codes.factors()[2 * slot];
    own_factors_[2 * slot] = scale;
    own_factors_[2 * slot + 1] = codec.residual_norm(codes.record(slot), scale);
  }
  factors_ = own_factors_.data();
}

}  // namespace vicinal
