#include "vicinal/core/container_format.hpp"

#include <xxhash.h>

#include <algorithm>
#include <memory>
#include <new>

namespace vicinal::container_format {

std::uint64_t hash(std::span<const std::byte> bytes) { return XXH3_64bits(bytes.data(), bytes.size()); }

std::span<const std::byte> zero_padding(std::uint64_t length) {
  static constexpr std::array<std::byte, alignment> zeros{};
  return std::span(zeros).first(padding_after(length));
}

bool all_zero(std::span<const std::byte> bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{0}; });
}

std::uint64_t hash_padded(std::span<const std::byte> bytes) {
  const auto padding = zero_padding(bytes.size());
  if (padding.empty()) return hash(bytes);
  const std::unique_ptr<XXH3_state_t, XXH_errorcode (*)(XXH3_state_t*)> state(XXH3_createState(),
                                                                              XXH3_freeState);
  if (state == nullptr) throw std::bad_alloc();
  XXH3_64bits_reset(state.get());
  XXH3_64bits_update(state.get(), bytes.data(), bytes.size());
  XXH3_64bits_update(state.get(), padding.data(), padding.size());
  return XXH3_64bits_digest(state.get());
}

std::array<std::uint8_t, 16> uuid_of(std::span<const std::byte> directory) {
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, XXH3_128bits(directory.data(), directory.size()));
  return std::bit_cast<std::array<std::uint8_t, 16>>(canonical.digest);
}

bool valid_name(std::string_view name) {
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '/' || c == '-';
  };
  return !name.empty() && name.size() <= most_name_bytes && std::all_of(name.begin(), name.end(), allowed);
}

std::optional<std::size_t> size_of_type(std::uint8_t type) {
  constexpr std::array<std::size_t, 11> sizes = {1, 1, 1, 2, 2, 2, 4, 4, 8, 8, 8};
  return type < sizes.size() ? std::optional(sizes[type]) : std::nullopt;
}

std::string_view name_of_type(ElementType type) {
  constexpr std::array<std::string_view, 11> names = {"bytes", "u8",  "i8",  "u16", "f16", "bf16",
                                                      "u32",   "f32", "u64", "i64", "f64"};
  return names.at(static_cast<std::size_t>(type));
}

}  // namespace vicinal::container_format
