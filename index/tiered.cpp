#include "vicinal/index/tiered.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "vicinal/core/error.hpp"
#include "vicinal/core/sums.hpp"

namespace vicinal {
namespace {

// The scale that fits a vector's codes best makes what they stand for shorter than the vector, i4 by a hundredth, and inner products
// smaller. Among codes of one kind that is the same for all; beside more exact ones it is a handicap. So the scales of i8 and i4
// are made those of RaBitQ, which are without bias: with v the vector less the mean and c its decoded code, scale |v|^2 / <v, c>, and
// for l2 the offset |v|^2.
CodeStore without_bias(const CodeStore& codes, MatrixView<const float> base,
                       std::span<const std::uint32_t> rows, const BuildControl& control) {
  constexpr std::size_t slots_per_task = 256;
  const Codec& codec = codes.codec();
  const std::span<const float> mean = codec.mean();
  Array<std::byte> records(codes.size() * codec.stride());
  std::copy_n(codes.records(), records.size(), records.data());
  Array<float> factors(2 * codes.size());
  std::copy_n(codes.factors(), factors.size(), factors.data());
  control.executor.for_each(
      (rows.size() + slots_per_task - 1) / slots_per_task, [&](std::size_t task, std::size_t) {
        std::vector<float> vector(base.cols());
        std::vector<float> decoded(base.cols());
        const std::size_t end = std::min(rows.size(), (task + 1) * slots_per_task);
        for (std::size_t slot = task * slots_per_task; slot < end; ++slot) {
          if (codec.metric() == Metric::cosine) {
            normalise(base[rows[slot]], vector);
          } else {
            std::ranges::copy(base[rows[slot]], vector.begin());
          }
          codes.decode(slot, decoded);
          for (std::size_t j = 0; j < mean.size(); ++j) {
            vector[j] -= mean[j];
            decoded[j] -= mean[j];
          }
          const double norm = inner_product(vector, vector);
          const double along = inner_product(vector, decoded);
          const auto scale = static_cast<float>(static_cast<double>(factors[2 * slot]) * (norm / along));
          if (!(along > 0) || !std::isfinite(scale)) continue;
          factors[2 * slot] = scale;
          if (codec.metric() == Metric::l2) factors[2 * slot + 1] = static_cast<float>(norm);
        }
      });
  return CodeStore::of_codes(codec, std::move(records), std::move(factors));
}

}  // namespace

std::vector<std::size_t> tier_sizes(std::span<const TierOptions> tiers, std::size_t rows) {
  std::vector<std::size_t> sizes;
  double share = 0;
  std::size_t begin = 0;
  for (std::size_t t = 0; t < tiers.size(); ++t) {
    share += tiers[t].share;
    const double end = std::floor(share * static_cast<double>(rows) + 0.5);
    const std::size_t until =
        t + 1 == tiers.size() ? rows : std::clamp(static_cast<std::size_t>(end), begin, rows);
    sizes.push_back(until - begin);
    begin = until;
  }
  return sizes;
}

void require_popularity(std::span<const float> popularity, std::size_t rows) {
  if (popularity.empty()) {
    throw InvalidArgument(
        "tiers need to know how popular each row is: give a popularity, a number of 0 or more for each row");
  }
  if (popularity.size() != rows)
    throw InvalidArgument(fmt::format("popularity has {} values for {} rows", popularity.size(), rows));
  for (std::size_t row = 0; row < rows; ++row) {
    if (!std::isfinite(popularity[row]) || popularity[row] < 0) {
      throw InvalidArgument(fmt::format(
          "the popularity of row {} is {}, expected a finite number of 0 or more", row, popularity[row]));
    }
  }
}

std::vector<Array<std::uint32_t>> tier_rows(std::span<const TierOptions> tiers, std::size_t rows,
                                            std::span<const float> popularity) {
  require_popularity(popularity, rows);
  std::vector<std::uint32_t> order(rows);
  std::iota(order.begin(), order.end(), 0U);
  std::ranges::sort(order, [&](std::uint32_t a, std::uint32_t b) {
    return popularity[a] != popularity[b] ? popularity[a] > popularity[b] : a < b;
  });
  std::vector<Array<std::uint32_t>> result;
  auto from = order.begin();
  for (const std::size_t size : tier_sizes(tiers, rows)) {
    Array<std::uint32_t> tier(size);
    std::copy_n(from, size, tier.data());
    std::ranges::sort(tier.span());
    result.push_back(std::move(tier));
    from += static_cast<std::ptrdiff_t>(size);
  }
  return result;
}

Tiered::Tiered(std::vector<Tier> tiers) {
  std::vector<Array<std::uint32_t>> rows;
  for (Tier& tier : tiers) {
    if (tier.codes.size() != tier.rows.size()) {
      throw InvalidArgument(
          fmt::format("a tier of {} rows has codes of {}", tier.rows.size(), tier.codes.size()));
    }
    flats_.push_back(tier.rows.empty() ? Flat() : Flat(tier.codes));
    rows.push_back(std::move(tier.rows));
  }
  partition_ = RowPartition(std::move(rows));
  for (const Flat& flat : flats_) {
    if (flat.size() > 0 && (flat.dim() != dim() || flat.metric() != metric()))
      throw InvalidArgument("the tiers' codes are of different dimensions or metrics");
  }
}

const Codec& Tiered::any_codec() const {
  return std::ranges::find_if(flats_, [](const Flat& flat) { return flat.size() > 0; })->codes().codec();
}

std::size_t Tiered::memory_bytes() const {
  std::size_t bytes = partition_.memory_bytes();
  for (const Flat& flat : flats_) bytes += flat.memory_bytes();
  return bytes;
}

void Tiered::decode(std::uint32_t row, std::span<float> out) const {
  const auto [tier, slot] = partition_.find(row);
  codes(tier).decode(slot, out);
}

void Tiered::search(const VectorBatch& queries, NeighborsView out, const Params& /*params*/,
                    const SearchControl& control) const {
  const auto search_tier = [&](std::size_t tier, NeighborsView found, const SearchControl& of_tier) {
    flats_[tier].search(queries, found, {}, of_tier);
  };
  const SearchStats work = partition_.search(search_tier, out, control);
  if (control.stats == nullptr) return;
  control.stats->add_work(work);
  std::string names;
  for (std::size_t t = 0; t < tiers(); ++t) {
    if (rows(t).empty()) continue;
    names +=
        fmt::format("{}{} {}", names.empty() ? "" : ", ", to_string(codes(t).codec().kind()), rows(t).size());
  }
  control.stats->strategy = fmt::format("tiers({}) > {}", names, work.strategy);
}

void Tiered::save(ContainerWriter& writer, const std::string& prefix) const {
  for (std::size_t t = 0; t < tiers(); ++t) {
    if (rows(t).empty()) continue;
    const std::string name = fmt::format("{}/{}", prefix, t);
    writer.add(name + "/rows", rows(t));
    codes(t).save(writer, name);
  }
}

CodecOptions tier_codec(const Spec& spec, std::size_t tier) {
  CodecOptions options;
  options.kind = spec.tiers[tier].kind;
  if (is_integer(options.kind)) options.seed = spec.codec.seed;
  return options;
}

Tiered build_tiered(const Spec& spec, Metric metric, MatrixView<const float> base,
                    std::span<const float> popularity, const BuildControl& control) {
  std::vector<Array<std::uint32_t>> rows = tier_rows(spec.tiers, base.rows(), popularity);
  std::vector<Tiered::Tier> tiers;
  for (std::size_t t = 0; t < rows.size(); ++t) {
    const std::span<const std::uint32_t> of_tier = std::as_const(rows[t]).span();
    CodeStore codes;
    if (!of_tier.empty())
      codes =
          CodeStore::build(Codec::train(tier_codec(spec, t), metric, base, control), base, of_tier, control);
    if (codes.codec().kind() == CodecKind::i8 || codes.codec().kind() == CodecKind::i4)
      codes = without_bias(codes, base, of_tier, control);
    control.throw_if_stopped();
    tiers.push_back({std::move(rows[t]), std::move(codes)});
  }
  return Tiered(std::move(tiers));
}

Tiered Tiered::load(const Container& file, const std::string& prefix, std::span<const std::size_t> sizes) {
  std::vector<Tier> tiers(sizes.size());
  for (std::size_t t = 0; t < sizes.size(); ++t) {
    if (sizes[t] == 0) continue;
    const std::string name = fmt::format("{}/{}", prefix, t);
    tiers[t] = {file.array<std::uint32_t>(name + "/rows", sizes[t]), CodeStore::load(file, name)};
  }
  try {
    return Tiered(std::move(tiers));
  } catch (const InvalidArgument& error) {
    throw CorruptFile(fmt::format("sections {}/: {}", prefix, error.what()));
  }
}

}  // namespace vicinal
