// Tiers of a spec: tiers(f16=0.05, i8=0.2, i4).
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <string>

#include "vicinal/index/spec_tiers.hpp"

namespace vicinal {
namespace {

constexpr std::array kinds{CodecKind::f32, CodecKind::f16, CodecKind::bf16, CodecKind::i8,   CodecKind::i4,
                           CodecKind::b2,  CodecKind::b1,  CodecKind::e4m3, CodecKind::e5m2, CodecKind::e3m4};

CodecKind kind_of(const Arguments& arguments, const Token& name, const std::vector<TierOptions>& before) {
  const auto found = std::ranges::find(kinds, name.text, [](CodecKind kind) { return to_string(kind); });
  if (found == kinds.end()) {
    arguments.fail(
        name,
        fmt::format("a tier is of f32, f16, bf16, i8, i4, b2, b1, e4m3, e5m2 or e3m4, got '{}'", name.text));
  }
  if (std::ranges::find(before, *found, &TierOptions::kind) != before.end())
    arguments.fail(name, fmt::format("{} has two tiers", name.text));
  return *found;
}

double share_of(const Arguments& arguments, const Token& value) {
  double share = 0;
  const char* const end = value.text.data() + value.text.size();
  const auto [stopped, error] = std::from_chars(value.text.data(), end, share, std::chars_format::fixed);
  if (stopped != end || error != std::errc() || !(share > 0 && share < 1)) {
    arguments.fail(
        value,
        fmt::format("the share of a tier is a number between 0 and 1 such as 0.05, got '{}'", value.text));
  }
  return share;
}

}  // namespace

void parse_tiers(Arguments& arguments, Spec& spec) {
  if (spec.dedup == Deduplication::codes)
    arguments.fail_at_name(
        "tiers code a vector by its popularity, so dedup(codes) has no codes to compare: take dedup");
  if (spec.clusters > 1) {
    arguments.fail_at_name(
        fmt::format("pca with {} clusters has one codec for all rows, got tiers: take pca "
                    "without clusters or one codec",
                    spec.clusters));
  }
  const std::span<const Argument> given = arguments.take_all();
  double sum = 0;
  for (const Argument& argument : given) {
    const bool last = &argument == &given.back();
    const bool rest = argument.key.text.empty();
    if (rest != last) {
      arguments.fail(argument.value,
                     rest ? fmt::format("'{0}' lacks its share, as in {0}=0.1; only the last tier "
                                        "has none, it takes the rest",
                                        argument.value.text)
                          : fmt::format("the last tier takes the rest, it has no share, got {}={}",
                                        argument.key.text, argument.value.text));
    }
    const CodecKind kind = kind_of(arguments, rest ? argument.value : argument.key, spec.tiers);
    const double share = rest ? 0 : share_of(arguments, argument.value);
    sum += share;
    if (sum >= 1)
      arguments.fail(argument.value,
                     fmt::format("the shares before the last tier add up to {}, expected less than 1", sum));
    spec.tiers.push_back({kind, share});
  }
  if (spec.tiers.size() < 2)
    arguments.fail_at_name("tiers lacks its tiers, as in tiers(f16=0.05, i8=0.2, i4)");
}

}  // namespace vicinal
