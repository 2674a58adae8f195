#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "vicinal/core/array.hpp"
#include "vicinal/core/container.hpp"

/// The bytes of a `.vcn` file, shared by its writer and its reader. Not installed.
namespace vicinal::container_format {

// docs/format.md describes these structures byte by byte; they are stored as they lie in memory.
static_assert(std::endian::native == std::endian::little,
              "the format is little-endian and is used without conversion");

inline constexpr std::uint64_t alignment = 64;
inline constexpr std::array<char, 8> file_magic = {'V', 'I', 'C', 'I', 'N', 'A', 'L', '\x1a'};
inline constexpr std::array<char, 8> trailer_magic = {'V', 'C', 'N', 'E', 'N', 'D', '\x1a', '\n'};
inline constexpr std::uint32_t endianness_mark = 0x01020304;
inline constexpr std::uint16_t major_version = 1;
inline constexpr std::uint16_t minor_version = 0;
inline constexpr std::size_t most_name_bytes = 47;

struct Superblock {
  std::array<char, 8> magic;
  std::uint32_t endianness;
  std::uint16_t major;
  std::uint16_t minor;
  std::uint64_t compatible_features;
  std::uint64_t readonly_features;
  std::uint64_t incompatible_features;
  std::array<std::uint8_t, 16> uuid;
  std::uint64_t file_length;
  std::uint64_t directory_offset;
  std::uint32_t section_count;
  std::uint32_t reserved;
  std::uint64_t directory_checksum;
  std::array<std::byte, 32> reserved_end;
  std::uint64_t checksum;  // of the bytes before
};
static_assert(sizeof(Superblock) == 128 && offsetof(Superblock, checksum) == 120);

struct Entry {
  std::array<char, most_name_bytes + 1> name;  // zero padded
  std::uint8_t type;
  std::array<std::byte, 3> reserved;
  std::uint32_t version;
  std::uint64_t offset;
  std::uint64_t length;
  std::uint64_t checksum;
  std::array<std::byte, 16> reserved_end;
};
static_assert(sizeof(Entry) == 96 && offsetof(Entry, checksum) == 72);

struct Trailer {
  std::array<char, 8> magic;
  std::uint64_t file_length;
  std::uint64_t directory_checksum;
  std::uint64_t superblock_checksum;
  std::array<std::byte, 24> reserved;
  std::uint64_t checksum;  // of the bytes before
};
static_assert(sizeof(Trailer) == 64 && offsetof(Trailer, checksum) == 56);
static_assert(sizeof(Trailer) >= readable_past_end, "a mapped section may be read past its end");

template <class T>
std::span<const std::byte> bytes_of(const T& value) {
  return std::as_bytes(std::span(&value, 1));
}

/// XXH3-64.
std::uint64_t hash(std::span<const std::byte> bytes);

/// The hash of what a superblock or trailer holds before its checksum.
template <class Block>
std::uint64_t hash_of_block(const Block& block) {
  return hash(bytes_of(block).first(offsetof(Block, checksum)));
}

/// Bytes from the end of `length` bytes to the next multiple of 64.
constexpr std::uint64_t padding_after(std::uint64_t length) {
  return (alignment - length % alignment) % alignment;
}

/// The zeros that follow `length` bytes.
std::span<const std::byte> zero_padding(std::uint64_t length);

bool all_zero(std::span<const std::byte> bytes);

/// The hash of a section and its zero padding, without a copy of the section.
std::uint64_t hash_padded(std::span<const std::byte> bytes);

/// XXH3-128 in its canonical (big-endian) form.
std::array<std::uint8_t, 16> uuid_of(std::span<const std::byte> directory);

/// Of `count` entries with their padding; no overflow below 2^32 entries.
constexpr std::uint64_t directory_bytes(std::uint64_t count) {
  const std::uint64_t bytes = count * sizeof(Entry);
  return bytes + padding_after(bytes);
}

bool valid_name(std::string_view name);

/// The bytes of one element; none for a number that is no ElementType.
std::optional<std::size_t> size_of_type(std::uint8_t type);

/// "f32" and so on.
std::string_view name_of_type(ElementType type);

}  // namespace vicinal::container_format
