#pragma once

#include <xxhash.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

/// Makes the checksums of an altered `.vcn` file right again (docs/format.md), as somebody who means harm would, so that what
/// lies behind them is reached. Written from the document, not from the reader's code. Offsets or lengths that leave the file
/// are left alone.
class FileSigner {
 public:
  static void sign(std::vector<char>& file) {
    if (file.size() < superblock_bytes + trailer_bytes) return;
    const auto directory = load<std::uint64_t>(file, 64);
    const std::uint64_t count = load<std::uint32_t>(file, 72);
    const std::uint64_t directory_bytes = padded(count * entry_bytes);
    if (directory != superblock_bytes || directory_bytes > file.size() - superblock_bytes - trailer_bytes)
      return;
    for (std::uint64_t i = 0; i < count; ++i) sign_section(file, directory + i * entry_bytes);

    const std::uint64_t directory_checksum = XXH3_64bits(file.data() + directory, directory_bytes);
    XXH128_canonical_t uuid;
    XXH128_canonicalFromHash(&uuid, XXH3_128bits(file.data() + directory, directory_bytes));
    std::memcpy(file.data() + 40, uuid.digest, sizeof(uuid.digest));
    store(file, 56, std::uint64_t{file.size()});
    store(file, 80, directory_checksum);
    const std::uint64_t superblock_checksum = XXH3_64bits(file.data(), 120);
    store(file, 120, superblock_checksum);

    const std::size_t trailer = file.size() - trailer_bytes;
    store(file, trailer + 8, std::uint64_t{file.size()});
    store(file, trailer + 16, directory_checksum);
    store(file, trailer + 24, superblock_checksum);
    store(file, trailer + 56, std::uint64_t{XXH3_64bits(file.data() + trailer, 56)});
  }

  /// Where the bytes of the sections lie: offset and length of each.
  static std::vector<std::pair<std::size_t, std::size_t>> sections(const std::vector<char>& file) {
    std::vector<std::pair<std::size_t, std::size_t>> found;
    for (std::size_t i = 0; i < load<std::uint32_t>(file, 72); ++i) {
      const std::size_t entry = superblock_bytes + i * entry_bytes;
      found.emplace_back(load<std::uint64_t>(file, entry + 56), load<std::uint64_t>(file, entry + 64));
    }
    return found;
  }

 private:
  static constexpr std::size_t superblock_bytes = 128;
  static constexpr std::size_t entry_bytes = 96;
  static constexpr std::size_t trailer_bytes = 64;

  static std::uint64_t padded(std::uint64_t bytes) { return (bytes + 63) / 64 * 64; }

  template <class T>
  static T load(const std::vector<char>& file, std::size_t at) {
    T value;
    std::memcpy(&value, file.data() + at, sizeof(T));
    return value;
  }
  template <class T>
  static void store(std::vector<char>& file, std::size_t at, T value) {
    std::memcpy(file.data() + at, &value, sizeof(T));
  }
  static void sign_section(std::vector<char>& file, std::size_t entry) {
    const auto offset = load<std::uint64_t>(file, entry + 56);
    const auto length = load<std::uint64_t>(file, entry + 64);
    if (offset > file.size() || length > file.size() || padded(length) > file.size() - offset) return;
    store(file, entry + 72, std::uint64_t{XXH3_64bits(file.data() + offset, padded(length))});
  }
};
