// Damaged and hostile containers. Offsets are those of docs/format.md, written out here a second time.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <xxhash.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "vicinal/core/container.hpp"
#include "vicinal/core/random.hpp"
#include "temporary_folder.hpp"

namespace vicinal {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::ThrowsMessage;

constexpr std::size_t superblock_bytes = 128;
constexpr std::size_t entry_bytes = 96;
constexpr std::size_t trailer_bytes = 64;

// A container's bytes, to be changed and given valid checksums again.
class Image {
 public:
  explicit Image(std::vector<char> bytes) : bytes_(std::move(bytes)) {}

  [[nodiscard]] const std::vector<char>& bytes() const { return bytes_; }
  [[nodiscard]] std::vector<char>& bytes() { return bytes_; }
  template <class T>
  [[nodiscard]] T get(std::size_t offset) const {
    T value{};
    std::memcpy(&value, bytes_.data() + offset, sizeof(T));
    return value;
  }
  template <class T>
  void put(std::size_t offset, T value) {
    std::memcpy(bytes_.data() + offset, &value, sizeof(T));
  }
  static std::size_t entry(std::size_t section) { return superblock_bytes + section * entry_bytes; }
  [[nodiscard]] std::size_t trailer() const { return bytes_.size() - trailer_bytes; }

  // Recomputes what depends on other bytes, section checksums only where a section lies within the file.
  void sign() {
    const std::size_t count =
        std::min<std::size_t>(get<std::uint32_t>(72), (trailer() - superblock_bytes) / entry_bytes);
    for (std::size_t i = 0; i < count; ++i) {
      const auto offset = get<std::uint64_t>(entry(i) + 56);
      const auto length = get<std::uint64_t>(entry(i) + 64);
      if (offset > trailer() || length > trailer() - offset) continue;
      const std::uint64_t padded = std::min<std::uint64_t>((length + 63) / 64 * 64, trailer() - offset);
      put(entry(i) + 72, XXH3_64bits(bytes_.data() + offset, padded));
    }
    const std::size_t directory =
        std::min((count * entry_bytes + 63) / 64 * 64, trailer() - superblock_bytes);
    put(80, XXH3_64bits(bytes_.data() + superblock_bytes, directory));
    XXH128_canonical_t uuid;
    XXH128_canonicalFromHash(&uuid, XXH3_128bits(bytes_.data() + superblock_bytes, directory));
    std::memcpy(bytes_.data() + 40, uuid.digest, 16);
    sign_superblock();
  }
  void sign_superblock() {
    put(120, XXH3_64bits(bytes_.data(), 120));
    put(trailer() + 16, get<std::uint64_t>(80));
    put(trailer() + 24, get<std::uint64_t>(120));
    sign_trailer();
  }
  void sign_trailer() { put(trailer() + 56, XXH3_64bits(bytes_.data() + trailer(), 56)); }

 private:
  std::vector<char> bytes_;
};

class ContainerCorruption : public testing::Test {
 protected:
  ContainerCorruption() : path_(folder_ / "index.vcn"), image_({}) {
    const std::vector<std::uint32_t> links = {1, 2, 3, 4, 5};
    const std::vector<float> vectors(16, 1.5F);
    ContainerWriter writer;
    writer.add_owned("meta", "ten bytes.");
    writer.add<std::uint32_t>("links", links);
    writer.add<float>("vectors", vectors);
    writer.write(path_);
    image_ = Image(read_bytes(path_));
  }

  // Opening in either mode, with everything checked; any exception but the library's own fails the test.
  static bool refused(const std::filesystem::path& path, OpenMode mode) {
    try {
      Container::open(path, mode).verify_checksums();
      return false;
    } catch (const CorruptFile&) {
      return true;
    } catch (const Unsupported&) {
      return true;
    }
  }
  void expect_refused(const std::string& what) {
    EXPECT_TRUE(refused(path_, OpenMode::load)) << what;
    EXPECT_TRUE(refused(path_, OpenMode::map)) << what;
  }
  // Writes a changed image and expects the message from both modes.
  template <class Error = CorruptFile>
  void expect_message(const Image& image, const std::string& message) {
    write_bytes(path_, image.bytes());
    for (const OpenMode mode : {OpenMode::load, OpenMode::map}) {
      EXPECT_THAT([&] { Container::open(path_, mode).verify_checksums(); },
                  ThrowsMessage<Error>(AllOf(HasSubstr(path_.string()), HasSubstr(message))));
    }
  }

  TemporaryFolder folder_;
  std::filesystem::path path_;
  Image image_;
};

TEST_F(ContainerCorruption, SigningAgreesWithTheWriter) {
  Image signed_again = image_;
  signed_again.sign();
  EXPECT_EQ(signed_again.bytes(), image_.bytes());
}

TEST_F(ContainerCorruption, EveryChangedByteIsRefused) {
  std::fstream file(path_, std::ios::in | std::ios::out | std::ios::binary);
  const auto set_byte = [&](std::size_t place, int value) {
    file.seekp(static_cast<std::streamoff>(place));
    file.put(static_cast<char>(value));
    file.flush();
  };
  for (std::size_t place = 0; place < image_.bytes().size(); ++place) {
    const int original = image_.bytes()[place];
    for (const int change : {0x01, 0x20, 0x80, 0xFF}) {
      set_byte(place, original ^ change);
      expect_refused("byte " + std::to_string(place) + " xor " + std::to_string(change));
    }
    set_byte(place, original);
  }
  EXPECT_FALSE(refused(path_, OpenMode::load));
  EXPECT_FALSE(refused(path_, OpenMode::map));
}

TEST_F(ContainerCorruption, EveryTruncationIsRefused) {
  for (std::size_t length = 0; length < image_.bytes().size(); ++length) {
    write_bytes(path_, std::span(image_.bytes()).first(length));
    expect_refused("cut to " + std::to_string(length));
  }
}

TEST_F(ContainerCorruption, WhateverFollowsTheEndIsRefused) {
  for (const std::size_t more : {1U, 63U, 64U, 128U, 4096U}) {
    for (const char filler : {'\0', 'x'}) {
      std::vector<char> bytes = image_.bytes();
      bytes.resize(bytes.size() + more, filler);
      write_bytes(path_, bytes);
      expect_refused(std::to_string(more) + " bytes more");
    }
  }
  // Two whole containers, one after the other.
  std::vector<char> twice = image_.bytes();
  twice.insert(twice.end(), image_.bytes().begin(), image_.bytes().end());
  write_bytes(path_, twice);
  expect_refused("twice");
}

TEST_F(ContainerCorruption, MappingFindsDamageInSectionsOnlyWhenAsked) {
  Image damaged = image_;
  const auto offset = damaged.get<std::uint64_t>(Image::entry(1) + 56);
  damaged.put<char>(offset, 99);
  write_bytes(path_, damaged.bytes());
  const Container container = Container::open(path_, OpenMode::map);
  EXPECT_THAT([&] { container.verify_checksums(); },
              ThrowsMessage<CorruptFile>(HasSubstr("section links: its checksum")));
  EXPECT_THAT([&] { (void)Container::open(path_, OpenMode::load); },
              ThrowsMessage<CorruptFile>(HasSubstr("section links: its checksum")));
}

TEST_F(ContainerCorruption, NewerVersionsAndFeaturesAreNamed) {
  Image newer = image_;
  newer.put<std::uint16_t>(12, 2);
  newer.put<std::uint16_t>(14, 7);
  newer.sign();
  expect_message<Unsupported>(newer, "format version 2.7, this library reads versions up to 1.0");
  Image features = image_;
  features.put<std::uint64_t>(32, 1ULL << 40);
  features.sign();
  expect_message<Unsupported>(features, "incompatible feature bits 1099511627776");
  Image big_endian = image_;
  big_endian.put<std::uint32_t>(8, 0x04030201);
  big_endian.sign();
  expect_message<Unsupported>(big_endian, "not little-endian");
}

TEST_F(ContainerCorruption, CompatibleAdditionsAreAccepted) {
  Image newer = image_;
  newer.put<std::uint16_t>(14, 9);
  newer.put<std::uint64_t>(16, ~0ULL);
  newer.put<std::uint64_t>(24, ~0ULL);
  newer.sign();
  write_bytes(path_, newer.bytes());
  EXPECT_FALSE(refused(path_, OpenMode::load));
  EXPECT_FALSE(refused(path_, OpenMode::map));
}

// A change that somebody made with the checksums recomputed, and what must be said about it.
struct Mutant {
  const char* name;
  const char* message;
  std::function<void(Image&)> change;
};

const std::vector<Mutant>& mutants() {
  static const std::uint64_t huge = ~0ULL;
  static const std::vector<Mutant> list = {
      {"version_zero", "version 0", [](Image& f) { f.put<std::uint16_t>(12, 0); }},
      {"reserved_word", "reserved bytes of the superblock", [](Image& f) { f.put<std::uint32_t>(76, 1); }},
      {"reserved_end", "reserved bytes of the superblock", [](Image& f) { f.put<char>(119, 1); }},
      {"file_length", "truncated", [](Image& f) { f.put(56, f.get<std::uint64_t>(56) + 64); }},
      {"file_length_short", "something follows the end",
       [](Image& f) { f.put(56, f.get<std::uint64_t>(56) - 64); }},
      {"directory_offset", "the directory is at byte 192", [](Image& f) { f.put<std::uint64_t>(64, 192); }},
      {"directory_offset_huge", "the directory is at byte", [](Image& f) { f.put(64, huge); }},
      {"count_huge", "sections do not fit", [](Image& f) { f.put<std::uint32_t>(72, 0xFFFFFFFF); }},
      {"count_more", "section", [](Image& f) { f.put<std::uint32_t>(72, 4); }},
      {"count_fewer", "begins at byte", [](Image& f) { f.put<std::uint32_t>(72, 2); }},
      {"count_none", "the sections end at byte 128", [](Image& f) { f.put<std::uint32_t>(72, 0); }},
      {"offset_unaligned", "begins at byte",
       [](Image& f) { f.put(f.entry(0) + 56, f.get<std::uint64_t>(f.entry(0) + 56) + 1); }},
      {"offset_gap", "begins at byte",
       [](Image& f) { f.put(f.entry(1) + 56, f.get<std::uint64_t>(f.entry(1) + 56) + 64); }},
      {"offset_overlap", "begins at byte",
       [](Image& f) { f.put(f.entry(1) + 56, f.get<std::uint64_t>(f.entry(0) + 56)); }},
      {"offset_zero", "begins at byte 0", [](Image& f) { f.put<std::uint64_t>(f.entry(0) + 56, 0); }},
      {"offset_huge", "begins at byte", [](Image& f) { f.put(f.entry(2) + 56, huge - 63); }},
      {"length_huge", "bytes, 192 are left", [](Image& f) { f.put(f.entry(0) + 64, huge); }},
      {"length_wraps", "are left", [](Image& f) { f.put(f.entry(2) + 64, huge - 3); }},
      {"length_longer", "are left", [](Image& f) { f.put<std::uint64_t>(f.entry(2) + 64, 68); }},
      {"length_shorter_than_padding", "the sections end at byte",
       [](Image& f) { f.put<std::uint64_t>(f.entry(2) + 64, 0); }},
      {"length_into_trailer", "are left", [](Image& f) { f.put<std::uint64_t>(f.entry(2) + 64, 128); }},
      {"length_not_of_elements", "not a multiple of its element size 4",
       [](Image& f) { f.put<std::uint64_t>(f.entry(1) + 64, 18); }},
      {"type_unknown", "unknown element type 11", [](Image& f) { f.put<std::uint8_t>(f.entry(1) + 48, 11); }},
      {"type_last", "unknown element type 255", [](Image& f) { f.put<std::uint8_t>(f.entry(1) + 48, 255); }},
      {"type_larger", "not a multiple of its element size 8",
       [](Image& f) { f.put<std::uint8_t>(f.entry(1) + 48, 8); }},
      {"section_version", "section version 0", [](Image& f) { f.put<std::uint32_t>(f.entry(1) + 52, 0); }},
      {"entry_reserved", "reserved bytes are not zero", [](Image& f) { f.put<char>(f.entry(1) + 51, 1); }},
      {"entry_reserved_end", "reserved bytes are not zero",
       [](Image& f) { f.put<char>(f.entry(1) + 95, 1); }},
      {"name_empty", "invalid section name", [](Image& f) { f.put<char>(f.entry(1), 0); }},
      {"name_character", "invalid section name", [](Image& f) { f.put<char>(f.entry(1), 'L'); }},
      {"name_after_its_end", "invalid section name", [](Image& f) { f.put<char>(f.entry(1) + 47, 'x'); }},
      {"name_without_end", "invalid section name",
       [](Image& f) { std::fill_n(&f.bytes()[f.entry(1)], 48, 'x'); }},
      {"name_repeated", "section meta occurs twice",
       [](Image& f) { std::memcpy(&f.bytes()[f.entry(1)], "meta\0", 6); }},
      {"directory_padding", "directory's padding", [](Image& f) { f.put<char>(f.entry(3), 1); }},
      {"section_padding", "section meta: its padding",
       [](Image& f) { f.put<char>(f.get<std::uint64_t>(f.entry(0) + 56) + 10, 1); }},
  };
  return list;
}

TEST_F(ContainerCorruption, SignedMutantsAreRefusedForTheRightReason) {
  for (const Mutant& mutant : mutants()) {
    SCOPED_TRACE(mutant.name);
    Image image = image_;
    mutant.change(image);
    image.sign();
    // The length in the trailer follows the superblock's, so that it is not what gives the mutant away.
    image.put(image.trailer() + 8, image.get<std::uint64_t>(56));
    image.sign_trailer();
    expect_message(image, mutant.message);
  }
}

TEST_F(ContainerCorruption, TrailersOfOtherFilesAreRefused) {
  for (const std::size_t field : {8U, 16U, 24U}) {
    Image image = image_;
    image.put(image.trailer() + field, image.get<std::uint64_t>(image.trailer() + field) + 1);
    image.sign_trailer();
    expect_message(image, "the trailer belongs to another superblock");
  }
  Image reserved = image_;
  reserved.put<char>(reserved.trailer() + 40, 1);
  reserved.sign_trailer();
  expect_message(reserved, "trailer is missing or altered");
  Image uuid = image_;
  uuid.put<char>(40, static_cast<char>(uuid.get<char>(40) + 1));
  uuid.sign_superblock();
  expect_message(uuid, "the uuid is not that");
}

TEST_F(ContainerCorruption, RandomSignedMutantsNeverDoMoreThanThrow) {
  RandomStream random(2, 0);
  std::size_t refusals = 0;
  const std::size_t directory_end = superblock_bytes + 3 * entry_bytes;
  for (int round = 0; round < 4000; ++round) {
    Image image = image_;
    for (std::uint64_t change = 0; change <= random.next_below(3); ++change) {
      const auto place = random.next_below(directory_end);
      // Small numbers and single bits go further than random bytes.
      const auto bit = static_cast<char>(1U << random.next_below(8));
      image.put<char>(place,
                      static_cast<char>(random.next_below(2) == 0 ? image.get<char>(place) ^ bit : bit));
    }
    image.sign();
    write_bytes(path_, image.bytes());
    for (const OpenMode mode : {OpenMode::load, OpenMode::map}) {
      try {
        const Container container = Container::open(path_, mode);
        container.verify_checksums();
        // What is accepted can be read: every byte of every section is there.
        for (const SectionInfo& section : container.sections()) {
          ASSERT_LE(section.offset + section.length, image.bytes().size());
          if (section.type == ElementType::bytes) {
            EXPECT_EQ(container.metadata(section.name, ~0U).size(), section.length);
          }
        }
      } catch (const CorruptFile&) {
        ++refusals;
      } catch (const Unsupported&) {
        ++refusals;
      }
    }
  }
  EXPECT_GT(refusals, 4000U);
  EXPECT_LT(refusals, 8000U);  // Some reached the end: feature bits, names, versions of sections.
}

}  // namespace
}  // namespace vicinal
