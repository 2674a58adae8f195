// An FdeEncoder as sections of a `.vcn` file: docs/format.md. And its fingerprint.
#include <fmt/format.h>

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <type_traits>
#include <utility>

#include "vicinal/core/error.hpp"
#include "vicinal/core/random.hpp"
#include "vicinal/encode/fde.hpp"

namespace vicinal {
namespace {

struct FdeHeader {
  std::uint64_t token_dim;
  std::uint64_t reps;
  std::uint64_t bits;
  std::uint64_t dim;
  std::uint64_t final_dim;
  std::uint64_t seed;
  std::uint8_t projection;
  std::uint8_t per_bucket;
  std::uint8_t bucket;
  std::uint8_t empty;
  std::uint8_t centre;
  std::uint8_t scale_tokens;
  std::uint8_t partition;
  std::uint8_t reserved[1];
};
static_assert(sizeof(FdeHeader) == 56 && std::has_unique_object_representations_v<FdeHeader>);

// 0 is what files have that were written before there was a choice: planes.
std::uint8_t partition_byte(FdePartition partition) { return partition == FdePartition::planes ? 2 : 1; }

FdeHeader header_of(const FdeOptions& options, std::size_t token_dim) {
  return {token_dim,
          options.reps,
          options.bits,
          options.dim,
          options.final_dim,
          options.seed,
          static_cast<std::uint8_t>(options.projection),
          options.per_bucket,
          static_cast<std::uint8_t>(options.bucket),
          static_cast<std::uint8_t>(options.empty),
          options.centre,
          options.scale_tokens,
          partition_byte(options.partition_for(token_dim)),
          {}};
}

}  // namespace

std::uint64_t FdeEncoder::fingerprint() const {
  const FdeHeader header = header_of(options(), token_dim());
  std::uint64_t words[sizeof(header) / sizeof(std::uint64_t)];
  std::memcpy(words, &header, sizeof(header));
  std::uint64_t hash = 0;
  const auto mix = [&](std::uint64_t word) { hash = RandomStream(hash, word).at(0); };
  for (const std::uint64_t word : words) mix(word);
  for (const float value : mean()) mix(std::bit_cast<std::uint32_t>(value));
  return hash;
}

void FdeEncoder::save(ContainerWriter& writer, const std::string& prefix) const {
  const FdeHeader header = header_of(options(), token_dim());
  writer.add_owned(prefix + "/options", std::string(reinterpret_cast<const char*>(&header), sizeof(header)));
  if (!mean().empty()) writer.add(prefix + "/mean", mean());
}

FdeEncoder FdeEncoder::load(const Container& file, const std::string& prefix, const FdeOptions& expected,
                            std::size_t token_dim) {
  const auto corrupt = [&](const char* section, const std::string& reason) {
    return CorruptFile(fmt::format("section {}/{}: {}", prefix, section, reason));
  };
  const std::string_view bytes = file.metadata(prefix + "/options");
  FdeOptions options = expected;
  const bool before =
      bytes.size() == sizeof(FdeHeader) && bytes[offsetof(FdeHeader, partition)] == 0 && !expected.partition;
  if (before) options.partition = FdePartition::planes;
  FdeHeader header = header_of(options, token_dim);
  if (before) header.partition = 0;
  if (bytes.size() != sizeof(header)) throw corrupt("options", "wrong length");
  if (std::memcmp(bytes.data(), &header, sizeof(header)) != 0)
    throw corrupt("options", "another encoder than the index says");
  Array<float> mean;
  if (options.centre) mean = file.array<float>(prefix + "/mean", token_dim);
  for (const float value : std::as_const(mean).span()) {
    if (!std::isfinite(value)) throw corrupt("mean", "holds a value that is not finite");
  }
  try {
    return restore(options, token_dim, std::as_const(mean).span());
  } catch (const InvalidArgument& error) {
    throw corrupt("options", error.what());
  }
}

}  // namespace vicinal
