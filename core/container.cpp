#include "vicinal/core/container.hpp"

#include <algorithm>
#include <cstring>
#include <map>
#include <optional>

#include "vicinal/core/container_format.hpp"
#include "vicinal/core/input_file.hpp"

namespace vicinal {

using namespace container_format;

namespace {

constexpr std::uint64_t known_incompatible_features = 0;
constexpr std::uint64_t most_metadata_bytes = std::uint64_t{1} << 20;

template <class T>
std::span<std::byte> writable_bytes_of(T& value) {
  return std::as_writable_bytes(std::span(&value, 1));
}

[[noreturn]] void corrupt(const std::string& path, const std::string& what) {
  throw CorruptFile(path + ": " + what);
}

Superblock read_superblock(const InputFile& file) {
  const std::string& path = file.path();
  Superblock block{};
  if (file.size() == 0) corrupt(path, "the file is empty, expected a Vicinal container");
  const auto start = writable_bytes_of(block).first(std::min<std::uint64_t>(file.size(), sizeof(Superblock)));
  file.read(0, start);
  if (block.magic != file_magic) corrupt(path, "not a Vicinal container (it does not begin with VICINAL)");
  if (file.size() < sizeof(Superblock) + sizeof(Trailer)) {
    corrupt(path, "truncated: " + std::to_string(file.size()) + " bytes, a container has at least " +
                      std::to_string(sizeof(Superblock) + sizeof(Trailer)));
  }
  if (block.checksum != hash_of_block(block))
    corrupt(path, "the superblock's checksum does not match its bytes");
  if (block.endianness != endianness_mark) throw Unsupported(path + ": the container is not little-endian");
  if (block.major > major_version) {
    throw Unsupported(path + ": the container has format version " + std::to_string(block.major) + "." +
                      std::to_string(block.minor) + ", this library reads versions up to " +
                      std::to_string(major_version) + "." + std::to_string(minor_version));
  }
  if (block.major == 0) corrupt(path, "format version 0 does not exist");
  if (const std::uint64_t unknown = block.incompatible_features & ~known_incompatible_features;
      unknown != 0) {
    throw Unsupported(path + ": the container needs features this library lacks (incompatible feature bits " +
                      std::to_string(unknown) + ")");
  }
  if (block.reserved != 0 || !all_zero(block.reserved_end))
    corrupt(path, "reserved bytes of the superblock are not zero");
  if (block.file_length != file.size()) {
    corrupt(path, std::string(file.size() < block.file_length ? "truncated" : "something follows the end") +
                      ": the superblock says " + std::to_string(block.file_length) + " bytes, the file has " +
                      std::to_string(file.size()));
  }
  if (block.directory_offset != sizeof(Superblock)) {
    corrupt(path, "the directory is at byte " + std::to_string(block.directory_offset) + ", expected " +
                      std::to_string(sizeof(Superblock)));
  }
  const std::uint64_t room = file.size() - sizeof(Superblock) - sizeof(Trailer);
  if (directory_bytes(block.section_count) > room) {  // A count of 32 bits: the product cannot overflow.
    corrupt(path, std::to_string(block.section_count) + " sections do not fit in " +
                      std::to_string(file.size()) + " bytes");
  }
  return block;
}

void check_trailer(const InputFile& file, const Superblock& superblock) {
  Trailer trailer{};
  file.read(file.size() - sizeof(Trailer), writable_bytes_of(trailer));
  if (trailer.magic != trailer_magic || trailer.checksum != hash_of_block(trailer) ||
      !all_zero(trailer.reserved)) {
    corrupt(file.path(), "the trailer is missing or altered (an incomplete copy?)");
  }
  if (trailer.file_length != superblock.file_length ||
      trailer.directory_checksum != superblock.directory_checksum ||
      trailer.superblock_checksum != superblock.checksum) {
    corrupt(file.path(), "the trailer belongs to another superblock");
  }
}

// Checks an entry that must begin at `expected_offset`; what lies before `limit` is room for sections.
SectionInfo check_entry(const Entry& entry, std::uint64_t expected_offset, std::uint64_t limit,
                        const std::string& where) {
  const auto name_end = std::find(entry.name.begin(), entry.name.end(), '\0');
  const std::string name(entry.name.begin(), name_end);
  // The rest of the name is zero; at least one byte is, as names have at most 47.
  if (!valid_name(name) || !all_zero(bytes_of(entry.name).subspan(name.size())))
    corrupt(where, "invalid section name");
  const std::string section = where + " '" + name + "'";
  const std::optional<std::size_t> element_bytes = size_of_type(entry.type);
  if (!element_bytes) corrupt(section, "unknown element type " + std::to_string(entry.type));
  if (entry.version == 0) corrupt(section, "section version 0 does not exist");
  if (!all_zero(entry.reserved) || !all_zero(entry.reserved_end))
    corrupt(section, "reserved bytes are not zero");
  if (entry.offset != expected_offset) {
    corrupt(section, "begins at byte " + std::to_string(entry.offset) + ", expected " +
                         std::to_string(expected_offset));
  }
  const std::uint64_t room = limit - expected_offset;
  if (entry.length > room || padding_after(entry.length) > room - entry.length) {
    corrupt(section,
            "takes " + std::to_string(entry.length) + " bytes, " + std::to_string(room) + " are left");
  }
  if (entry.length % *element_bytes != 0) {
    corrupt(section, "takes " + std::to_string(entry.length) + " bytes, not a multiple of its element size " +
                         std::to_string(*element_bytes));
  }
  return {name,          static_cast<ElementType>(entry.type), entry.version, entry.offset, entry.length,
          entry.checksum};
}

std::vector<SectionInfo> read_directory(const InputFile& file, const Superblock& superblock) {
  std::vector<std::byte> directory(directory_bytes(superblock.section_count));
  file.read(superblock.directory_offset, directory);
  if (hash(directory) != superblock.directory_checksum) {
    corrupt(file.path(), "the section directory's checksum does not match its bytes");
  }
  if (uuid_of(directory) != superblock.uuid)
    corrupt(file.path(), "the uuid is not that of the section directory");
  const std::uint64_t entry_bytes = superblock.section_count * sizeof(Entry);
  if (!all_zero(std::span(directory).subspan(entry_bytes)))
    corrupt(file.path(), "the directory's padding is not zero");

  const std::uint64_t limit = file.size() - sizeof(Trailer);
  std::uint64_t offset = superblock.directory_offset + directory.size();
  std::vector<SectionInfo> sections;
  sections.reserve(superblock.section_count);
  for (std::size_t i = 0; i < superblock.section_count; ++i) {
    Entry entry{};
    std::memcpy(&entry, directory.data() + i * sizeof(Entry), sizeof(Entry));
    sections.push_back(check_entry(entry, offset, limit, file.path() + ": section " + std::to_string(i)));
    offset += entry.length + padding_after(entry.length);
  }
  if (offset != limit) {
    corrupt(file.path(),
            "the sections end at byte " + std::to_string(offset) + ", expected " + std::to_string(limit));
  }
  return sections;
}

// `padded` is the section and its padding.
void check_section(const SectionInfo& info, std::span<const std::byte> padded, const std::string& path) {
  if (hash(padded) != info.checksum)
    corrupt(path, "section " + info.name + ": its checksum does not match its bytes");
  if (!all_zero(padded.subspan(info.length)))
    corrupt(path, "section " + info.name + ": its padding is not zero");
}

}  // namespace

struct Container::State {
  std::string path;
  OpenMode mode{};
  std::uint64_t file_bytes = 0;
  std::array<std::uint8_t, 16> uuid{};
  std::vector<SectionInfo> sections;
  std::vector<SectionBytes> bytes;  // of each section, without the padding that follows in memory
  std::map<std::string_view, std::size_t> places;

  [[nodiscard]] std::size_t place_of(std::string_view name) const {
    const auto found = places.find(name);
    if (found == places.end()) corrupt(path, "section " + std::string(name) + " is missing");
    return found->second;
  }

  void load(const InputFile& file) {
    for (const SectionInfo& info : sections) {
      const std::size_t padded = info.length + padding_after(info.length);
      std::shared_ptr<std::byte> memory = allocate_pages(padded);
      file.read(info.offset, {memory.get(), padded});
      check_section(info, {memory.get(), padded}, path);
      bytes.push_back({memory, {memory.get(), info.length}});
    }
  }
  void map(const InputFile& file) {
    // No madvise: sections are used in different ways, some scanned, some at random places.
    const std::shared_ptr<std::byte> pages = file.map();
    for (const SectionInfo& info : sections)
      bytes.push_back({pages, {pages.get() + info.offset, info.length}});
  }
};

Container Container::open(const std::filesystem::path& path, OpenMode mode) {
  const InputFile file(path);
  const Superblock superblock = read_superblock(file);
  check_trailer(file, superblock);

  auto state = std::make_shared<State>();
  state->path = file.path();
  state->mode = mode;
  state->file_bytes = file.size();
  state->uuid = superblock.uuid;
  state->sections = read_directory(file, superblock);
  for (std::size_t i = 0; i < state->sections.size(); ++i) {
    const std::string& name = state->sections[i].name;
    if (!state->places.emplace(name, i).second) corrupt(file.path(), "section " + name + " occurs twice");
  }
  state->bytes.reserve(state->sections.size());
  if (mode == OpenMode::load) {
    state->load(file);
  } else {
    state->map(file);
  }
  file.require_unchanged();

  Container container;
  container.state_ = std::move(state);
  return container;
}

std::span<const SectionInfo> Container::sections() const { return state_->sections; }
std::uint64_t Container::file_bytes() const { return state_->file_bytes; }
std::array<std::uint8_t, 16> Container::uuid() const { return state_->uuid; }
bool Container::contains(std::string_view name) const { return state_->places.contains(name); }
const SectionInfo& Container::info(std::string_view name) const {
  return state_->sections[state_->place_of(name)];
}

Container::SectionBytes Container::section(std::string_view name, ElementType type, std::uint32_t max_version,
                                           std::uint64_t expected_size, std::size_t element_size) const {
  const std::size_t place = state_->place_of(name);
  const SectionInfo& info = state_->sections[place];
  const std::string what = "section " + info.name;
  if (info.type != type) {
    corrupt(state_->path, what + " holds " + std::string(name_of_type(info.type)) + ", expected " +
                              std::string(name_of_type(type)));
  }
  if (info.version > max_version) {
    corrupt(state_->path, what + " has version " + std::to_string(info.version) +
                              ", this library reads versions up to " + std::to_string(max_version));
  }
  if (info.length % element_size != 0 || info.length / element_size != expected_size) {
    corrupt(state_->path, what + " holds " + std::to_string(info.length) + " bytes, expected " +
                              std::to_string(expected_size) + " elements of " + std::to_string(element_size) +
                              " bytes");
  }
  return state_->bytes[place];
}

std::string_view Container::metadata(std::string_view name, std::uint32_t max_version) const {
  const std::uint64_t length = info(name).length;
  if (length > most_metadata_bytes) {
    corrupt(state_->path, "section " + std::string(name) + " holds " + std::to_string(length) +
                              " bytes, metadata has at most " + std::to_string(most_metadata_bytes));
  }
  const SectionBytes found = section(name, ElementType::bytes, max_version, length, 1);
  return {reinterpret_cast<const char*>(found.bytes.data()), found.bytes.size()};
}

void Container::verify_checksums() const {
  if (state_->mode == OpenMode::load) return;
  for (std::size_t i = 0; i < state_->sections.size(); ++i) {
    const SectionInfo& info = state_->sections[i];
    check_section(info, {state_->bytes[i].bytes.data(), info.length + padding_after(info.length)},
                  state_->path);
  }
}

}  // namespace vicinal
