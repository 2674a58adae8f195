#include <algorithm>
#include <cstring>

#include "vicinal/core/atomic_file.hpp"
#include "vicinal/core/container.hpp"
#include "vicinal/core/container_format.hpp"

namespace vicinal {

using namespace container_format;

std::size_t element_size(ElementType type) {
  const auto size = size_of_type(static_cast<std::uint8_t>(type));
  if (!size) throw InvalidArgument("unknown element type " + std::to_string(static_cast<int>(type)));
  return *size;
}

void ContainerWriter::add(std::string_view name, ElementType type, std::span<const std::byte> bytes,
                          std::uint32_t version) {
  const std::string text(name);
  if (!valid_name(name)) {
    throw InvalidArgument("section names have 1 to " + std::to_string(most_name_bytes) +
                          " characters of a-z, 0-9, '.', '_', '/' and '-'; got '" + text + "'");
  }
  if (std::any_of(sections_.begin(), sections_.end(),
                  [&](const Section& section) { return section.info.name == name; })) {
    throw InvalidArgument("section '" + text + "' was added twice");
  }
  if (version == 0) throw InvalidArgument("section '" + text + "' has version 0; versions begin with 1");
  if (bytes.size() % element_size(type) != 0) {
    throw InvalidArgument("section '" + text + "' has " + std::to_string(bytes.size()) +
                          " bytes, not a multiple of " + std::to_string(element_size(type)) +
                          ", the size of " + std::string(name_of_type(type)));
  }
  sections_.push_back({{text, type, version, 0, bytes.size(), 0}, bytes, nullptr});
}

void ContainerWriter::add_owned(std::string_view name, std::string bytes, std::uint32_t version) {
  auto owned = std::make_shared<const std::string>(std::move(bytes));
  add(name, ElementType::bytes, std::as_bytes(std::span(*owned)), version);
  sections_.back().owned = std::move(owned);
}

void ContainerWriter::write(const std::filesystem::path& path) const {
  std::vector<std::byte> directory(directory_bytes(sections_.size()));
  std::uint64_t offset = sizeof(Superblock) + directory.size();
  for (std::size_t i = 0; i < sections_.size(); ++i) {
    const auto& [info, bytes, owned] = sections_[i];
    Entry entry{};
    std::copy(info.name.begin(), info.name.end(), entry.name.begin());
    entry.type = static_cast<std::uint8_t>(info.type);
    entry.version = info.version;
    entry.offset = offset;
    entry.length = bytes.size();
    entry.checksum = hash_padded(bytes);
    std::memcpy(directory.data() + i * sizeof(Entry), &entry, sizeof(Entry));
    offset += bytes.size() + padding_after(bytes.size());
  }

  Superblock superblock{};
  superblock.magic = file_magic;
  superblock.endianness = endianness_mark;
  superblock.major = major_version;
  superblock.minor = minor_version;
  superblock.uuid = uuid_of(directory);
  superblock.file_length = offset + sizeof(Trailer);
  superblock.directory_offset = sizeof(Superblock);
  superblock.section_count = static_cast<std::uint32_t>(sections_.size());
  superblock.directory_checksum = hash(directory);
  superblock.checksum = hash_of_block(superblock);

  Trailer trailer{};
  trailer.magic = trailer_magic;
  trailer.file_length = superblock.file_length;
  trailer.directory_checksum = superblock.directory_checksum;
  trailer.superblock_checksum = superblock.checksum;
  trailer.checksum = hash_of_block(trailer);

  AtomicFile file(path);
  file.write(bytes_of(superblock));
  file.write(directory);
  for (const Section& section : sections_) {
    file.write(section.bytes);
    file.write(zero_padding(section.bytes.size()));
  }
  file.write(bytes_of(trailer));
  file.commit();
}

}  // namespace vicinal
