// A TokenHead as sections of a `.vcn` file: docs/format.md. And its fingerprint.
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <type_traits>
#include <utility>

#include "vicinal/core/error.hpp"
#include "vicinal/core/random.hpp"
#include "vicinal/encode/token_head.hpp"
#include "vicinal/encode/token_head_tables.hpp"
#include "vicinal/quant/cholesky.hpp"

namespace vicinal {
namespace {

struct HeadHeader {
  std::uint64_t token_dim;
  std::uint64_t dim;
  std::uint64_t samples;  // as the options have it
  std::uint64_t ridge;    // bits of a double
  std::uint64_t seed;
  std::uint64_t scale_tokens;
  std::uint64_t sample_count;  // what there are
  std::uint64_t health;        // bits of a double
  std::uint32_t threshold;     // bits of a float
  std::uint32_t reserved;
};
static_assert(sizeof(HeadHeader) == 72 && std::has_unique_object_representations_v<HeadHeader>);

HeadHeader header_of(const TokenHeadOptions& options, std::size_t token_dim, std::size_t sample_count,
                     double health, float threshold) {
  return {token_dim,
          options.dim,
          options.samples,
          std::bit_cast<std::uint64_t>(options.ridge),
          options.seed,
          options.scale_tokens ? 1U : 0U,
          sample_count,
          std::bit_cast<std::uint64_t>(health),
          std::bit_cast<std::uint32_t>(threshold),
          0};
}

// Components of vectors of length 1, up to rounding.
bool unit_values(std::span<const float> values) {
  return std::ranges::all_of(values, [](float v) { return std::abs(v) <= 1.001F; });
}

}  // namespace

std::uint64_t head_fingerprint(const TokenHeadTables& tables) {
  const HeadHeader header =
      header_of(tables.options, tables.token_dim, tables.sample_count(), 0, tables.threshold);
  std::uint64_t hash = 0;
  const auto mix = [&](std::uint64_t word) { hash = RandomStream(hash, word).at(0); };
  std::uint64_t words[sizeof(header) / sizeof(std::uint64_t)];
  std::memcpy(words, &header, sizeof(header));
  for (const std::uint64_t word : words) mix(word);
  for (const Array<float>* values : {&tables.samples, &tables.directions}) {
    for (std::size_t i = 0; i < values->size(); i += 2) {
      const std::uint64_t low = std::bit_cast<std::uint32_t>((*values)[i]);
      const std::uint64_t high = i + 1 < values->size() ? std::bit_cast<std::uint32_t>((*values)[i + 1]) : 0;
      mix(low | high << 32);
    }
  }
  return hash;
}

void TokenHead::save(ContainerWriter& writer, const std::string& prefix) const {
  const TokenHeadTables& t = *tables_;
  const HeadHeader header = header_of(t.options, t.token_dim, t.sample_count(), t.health, t.threshold);
  writer.add_owned(prefix + "/options", std::string(reinterpret_cast<const char*>(&header), sizeof(header)));
  writer.add(prefix + "/samples", t.samples.span());
  writer.add(prefix + "/directions", t.directions.span());
  writer.add(prefix + "/factor", t.factor.span());
}

TokenHead TokenHead::load(const Container& file, const std::string& prefix, const TokenHeadOptions& expected,
                          std::size_t token_dim) {
  const auto corrupt = [&](const char* section, const std::string& reason) {
    return CorruptFile(fmt::format("section {}/{}: {}", prefix, section, reason));
  };
  try {
    require_head_options(expected, token_dim);
  } catch (const InvalidArgument& error) {
    throw corrupt("options", error.what());
  }
  const std::string_view bytes = file.metadata(prefix + "/options");
  HeadHeader header{};
  if (bytes.size() != sizeof(header)) throw corrupt("options", "wrong length");
  std::memcpy(&header, bytes.data(), sizeof(header));
  const auto health = std::bit_cast<double>(header.health);
  const auto threshold = std::bit_cast<float>(header.threshold);
  const HeadHeader own = header_of(expected, token_dim, header.sample_count, health, threshold);
  if (std::memcmp(&header, &own, sizeof(header)) != 0)
    throw corrupt("options", "another head than the index says");
  if (header.sample_count == 0 || header.sample_count > expected.samples)
    throw corrupt("options",
                  fmt::format("{} samples, expected 1 to {}", header.sample_count, expected.samples));
  if (!std::isfinite(health) || health > 1) throw corrupt("options", "the health is no share of a variance");
  if (!(threshold >= 0 && threshold <= 2)) throw corrupt("options", "the threshold is out of range");

  auto tables = std::make_shared<TokenHeadTables>();
  tables->options = expected;
  tables->token_dim = token_dim;
  tables->health = health;
  tables->threshold = threshold;
  tables->samples = file.array<float>(prefix + "/samples", header.sample_count * token_dim);
  tables->directions = file.array<float>(prefix + "/directions", expected.dim * token_dim);
  tables->factor = file.array<double>(prefix + "/factor", cholesky_size(expected.dim));
  if (!unit_values(std::as_const(tables->samples).span()))
    throw corrupt("samples", "holds a value that no vector of length 1 has");
  if (!unit_values(std::as_const(tables->directions).span()))
    throw corrupt("directions", "holds a value that no vector of length 1 has");
  const double* row = std::as_const(tables->factor).data();
  for (std::size_t k = 0; k < expected.dim; row += expected.dim - k, ++k) {
    for (std::size_t j = 0; j < expected.dim - k; ++j) {
      if (!std::isfinite(row[j])) throw corrupt("factor", "holds a value that is not finite");
    }
    if (!(row[0] > 0)) throw corrupt("factor", "has a diagonal that is not above 0");
  }
  tables->prepare();
  return TokenHead(std::move(tables));
}

}  // namespace vicinal
