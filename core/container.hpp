#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "vicinal/core/array.hpp"
#include "vicinal/core/error.hpp"

namespace vicinal {

/// The `.vcn` container (docs/format.md): superblock, section directory, raw little-endian sections at multiples of 64 bytes,
/// trailer. Immutable once written. The bytes depend only on the sections: writing the same twice gives the same file.

/// What the element type of a section is; stored, so values never change meaning.
enum class ElementType : std::uint8_t {
  bytes = 0,
  u8 = 1,
  i8 = 2,
  u16 = 3,
  f16 = 4,
  bf16 = 5,
  u32 = 6,
  f32 = 7,
  u64 = 8,
  i64 = 9,
  f64 = 10
};
std::size_t element_size(ElementType type);

template <class T>
inline constexpr ElementType element_type_of = ElementType::bytes;
template <>
inline constexpr ElementType element_type_of<std::uint8_t> = ElementType::u8;
template <>
inline constexpr ElementType element_type_of<std::int8_t> = ElementType::i8;
template <>
inline constexpr ElementType element_type_of<std::uint16_t> = ElementType::u16;
template <>
inline constexpr ElementType element_type_of<std::uint32_t> = ElementType::u32;
template <>
inline constexpr ElementType element_type_of<float> = ElementType::f32;
template <>
inline constexpr ElementType element_type_of<std::uint64_t> = ElementType::u64;
template <>
inline constexpr ElementType element_type_of<std::int64_t> = ElementType::i64;
template <>
inline constexpr ElementType element_type_of<double> = ElementType::f64;

/// One entry of the section directory.
struct SectionInfo {
  std::string name;  ///< at most 47 bytes of [a-z0-9._/-], unique in the file, e.g. "hnsw/adjacency.0"
  ElementType type{};
  std::uint32_t version = 1;   ///< of this section's own layout
  std::uint64_t offset = 0;    ///< bytes from the file's start, a multiple of 64
  std::uint64_t length = 0;    ///< bytes
  std::uint64_t checksum = 0;  ///< XXH3-64 of the bytes and the zero padding up to the next multiple of 64
};

/// Collects sections and writes them in one go. The spans must stay valid until write() returns.
class ContainerWriter {
 public:
  /// Throws InvalidArgument for a bad or repeated name.
  void add(std::string_view name, ElementType type, std::span<const std::byte> bytes,
           std::uint32_t section_version = 1);
  template <class T>
  void add(std::string_view name, std::span<const T> values, std::uint32_t section_version = 1) {
    add(name, element_type_of<std::remove_const_t<T>>, std::as_bytes(values), section_version);
  }
  /// A section whose bytes the writer keeps (small ones: metadata).
  void add_owned(std::string_view name, std::string bytes, std::uint32_t section_version = 1);

  /// Writes a temporary file in the target's folder, syncs it, renames it over `path`, syncs the folder. Throws IoError; then
  /// whatever was at `path` before is still there, whole, and no temporary file is left.
  void write(const std::filesystem::path& path) const;

 private:
  struct Section {
    SectionInfo info;
    std::span<const std::byte> bytes;
    std::shared_ptr<const std::string> owned;
  };
  std::vector<Section> sections_;
};

/// How a container is brought into memory.
enum class OpenMode : std::uint8_t {
  load,  ///< every section is read into memory of its own (huge pages) and its checksum verified
  map,   ///< the file is mapped read-only; checksums of sections are verified only by verify_checksums()
};

/// An opened container: untrusted input whose superblock, directory and trailer were validated (bounds, overlap, order,
/// names, checksums) before the object exists. Memory taken is bounded by the file's size. Cheap to copy.
class Container {
 public:
  /// Throws IoError when the file cannot be read, CorruptFile when it is not a whole, unaltered container, Unsupported when it
  /// needs features this version lacks.
  static Container open(const std::filesystem::path& path, OpenMode mode);

  [[nodiscard]] std::span<const SectionInfo> sections() const;
  [[nodiscard]] std::uint64_t file_bytes() const;
  [[nodiscard]] std::array<std::uint8_t, 16> uuid() const;  ///< a function of the content
  [[nodiscard]] bool contains(std::string_view name) const;
  [[nodiscard]] const SectionInfo& info(
      std::string_view name) const;  ///< CorruptFile "section <name> is missing"

  /// The section as an array of T that keeps the file or the memory alive. Throws CorruptFile when the section is missing,
  /// has another element type or version above `max_version`, or does not hold exactly `expected_size` elements.
  template <class T>
  [[nodiscard]] Array<T> array(std::string_view name, std::uint64_t expected_size,
                               std::uint32_t max_version = 1) const {
    const auto [owner, bytes] = section(name, element_type_of<T>, max_version, expected_size, sizeof(T));
    return Array<T>(owner, reinterpret_cast<T*>(bytes.data()), bytes.size() / sizeof(T));
  }
  /// The bytes of a metadata section (at most 1 MiB, else CorruptFile).
  [[nodiscard]] std::string_view metadata(std::string_view name, std::uint32_t max_version = 1) const;

  /// Compares every section with its checksum; throws CorruptFile naming the first that differs. No-op after OpenMode::load.
  void verify_checksums() const;

 private:
  struct State;
  struct SectionBytes {
    std::shared_ptr<std::byte> owner;
    std::span<std::byte> bytes;
  };
  [[nodiscard]] SectionBytes section(std::string_view name, ElementType type, std::uint32_t max_version,
                                     std::uint64_t expected_size, std::size_t element_size) const;
  std::shared_ptr<const State> state_;
};

}  // namespace vicinal
