#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "vicinal/core/error.hpp"
#include "vicinal/quant/code_store.hpp"

namespace vicinal {
namespace {

constexpr std::size_t runs_per_task = 64;

}  // namespace

CodeStore CodeStore::gather(const Codec& codec, std::span<const Run> runs, const BuildControl& control) {
  const std::size_t stride = codec.stride();
  const std::size_t factors = codec.factor_count();
  std::vector<std::size_t> begins;
  begins.reserve(runs.size());
  CodeStore made;
  made.codec_ = codec;
  for (const Run& run : runs) {
    const Codec& own = run.store->codec_;
    if (own.kind() != codec.kind() || own.dim() != codec.dim() || own.stride() != stride ||
        own.factor_count() != factors || own.layout() != codec.layout()) {
      throw InvalidArgument(fmt::format("records of {} of dimension {}, expected {} of {}",
                                        to_string(own.kind()), own.dim(), to_string(codec.kind()),
                                        codec.dim()));
    }
    begins.push_back(made.size_);
    made.size_ += run.count;
  }
  made.records_ = Array<std::byte>(checked_product(made.size_, stride, "codes"));
  if (factors != 0) made.factors_ = Array<float>(checked_product(made.size_, factors, "factors"));
  control.executor.for_each(
      (runs.size() + runs_per_task - 1) / runs_per_task, [&](std::size_t task, std::size_t) {
        const std::size_t end = std::min(runs.size(), (task + 1) * runs_per_task);
        for (std::size_t r = task * runs_per_task; r < end; ++r) {
          const auto& [store, first, count] = runs[r];
          if (count == 0) continue;
          std::byte* const to = made.records_.data() + begins[r] * stride;
          if (store->lanes_ || store->blocks_) {
            // What is beyond the dimensions is not in lanes.
            if (store->lanes_) std::fill_n(to, count * stride, codec.lane_padding());
            for (std::size_t i = 0; i < count; ++i) {
              const std::size_t slot = first + i;
              if (store->lanes_) {
                codec.take_from_lanes(store->lane_group(slot), slot % Codec::block_size, to + i * stride);
              } else {
                codec.take_from_block(store->block(slot), slot % Codec::block_size, to + i * stride);
              }
            }
          } else {
            std::memcpy(to, store->record(first), count * stride);
          }
          if (factors != 0)
            std::memcpy(made.factors_.data() + begins[r] * factors, store->factors() + first * factors,
                        count * factors * sizeof(float));
        }
      });
  control.throw_if_stopped();
  return made;
}

}  // namespace vicinal
