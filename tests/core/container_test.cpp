#include "vicinal/core/container.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <string>
#include <vector>

#include "temporary_folder.hpp"

namespace vicinal {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::ThrowsMessage;

struct Point {
  float x, y, z;
};

class ContainerFile : public testing::TestWithParam<OpenMode> {
 protected:
  ContainerFile() : path_(folder_ / "index.vcn") {}

  void write_sample() {
    ContainerWriter writer;
    writer.add_owned("meta", "ten bytes.");
    writer.add<std::uint32_t>("graph/links.0", links_, 3);
    writer.add<float>("vectors", vectors_);
    writer.add<std::uint64_t>("empty", {});
    writer.add("points", ElementType::bytes, std::as_bytes(std::span(points_)));
    writer.write(path_);
  }

  TemporaryFolder folder_;
  std::filesystem::path path_;
  std::vector<std::uint32_t> links_ = {1, 2, 3, 4, 5};
  std::vector<float> vectors_ = std::vector<float>(16, 1.5F);
  std::vector<Point> points_ = {{1, 2, 3}, {4, 5, 6}};
};
INSTANTIATE_TEST_SUITE_P(Modes, ContainerFile, testing::Values(OpenMode::load, OpenMode::map),
                         [](const auto& test) { return test.param == OpenMode::load ? "load" : "map"; });

TEST_P(ContainerFile, GivesBackWhatWasWritten) {
  write_sample();
  const Container container = Container::open(path_, GetParam());
  EXPECT_NO_THROW(container.verify_checksums());
  EXPECT_EQ(container.file_bytes(), std::filesystem::file_size(path_));
  ASSERT_EQ(container.sections().size(), 5U);
  EXPECT_EQ(container.sections()[1].name, "graph/links.0");
  EXPECT_EQ(container.info("graph/links.0").version, 3U);
  EXPECT_EQ(container.info("graph/links.0").type, ElementType::u32);
  EXPECT_EQ(container.info("graph/links.0").length, 20U);
  EXPECT_TRUE(container.contains("vectors"));
  EXPECT_FALSE(container.contains("vector"));
  EXPECT_EQ(container.metadata("meta"), "ten bytes.");
  const auto links = container.array<std::uint32_t>("graph/links.0", 5, 3);
  EXPECT_TRUE(std::equal(links.span().begin(), links.span().end(), links_.begin(), links_.end()));
  const auto vectors = container.array<float>("vectors", 16);
  EXPECT_TRUE(std::equal(vectors.span().begin(), vectors.span().end(), vectors_.begin(), vectors_.end()));
  EXPECT_TRUE(container.array<std::uint64_t>("empty", 0).empty());
  EXPECT_EQ(container.array<Point>("points", 2)[1].y, 5);
  for (const SectionInfo& section : container.sections()) EXPECT_EQ(section.offset % 64, 0U);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(links.data()) % 64, 0U);
}

TEST_P(ContainerFile, SectionsMayBeReadPastTheirEnd) {
  write_sample();
  const Container container = Container::open(path_, GetParam());
  const auto points = container.array<Point>("points", 2);
  const auto* const end = reinterpret_cast<const unsigned char*>(points.data() + 2);
  // Up to the multiple of 64 it is padding, which is zero.
  EXPECT_EQ(std::accumulate(end, end + 40, 0U), 0U);
  volatile unsigned sum = std::accumulate(end, end + readable_past_end, 0U);
  (void)sum;
}

TEST_P(ContainerFile, ArraysOutliveTheContainerAndTheFile) {
  write_sample();
  Array<std::uint32_t> links;
  {
    const Container container = Container::open(path_, GetParam());
    links = container.array<std::uint32_t>("graph/links.0", 5, 3);
  }
  std::filesystem::remove(path_);
  EXPECT_EQ(links[4], 5U);
}

TEST_P(ContainerFile, RefusesTheWrongRequest) {
  write_sample();
  const Container container = Container::open(path_, GetParam());
  EXPECT_THAT([&] { (void)container.info("absent"); },
              ThrowsMessage<CorruptFile>(HasSubstr("section absent is missing")));
  EXPECT_THAT([&] { (void)container.array<float>("absent", 1); },
              ThrowsMessage<CorruptFile>(HasSubstr("missing")));
  EXPECT_THAT(
      [&] { (void)container.array<float>("graph/links.0", 5, 3); },
      ThrowsMessage<CorruptFile>(AllOf(HasSubstr(path_.string()), HasSubstr("holds u32, expected f32"))));
  EXPECT_THAT([&] { (void)container.array<std::uint32_t>("graph/links.0", 5, 2); },
              ThrowsMessage<CorruptFile>(HasSubstr("has version 3, this library reads versions up to 2")));
  EXPECT_THAT([&] { (void)container.array<std::uint32_t>("graph/links.0", 4, 3); },
              ThrowsMessage<CorruptFile>(HasSubstr("holds 20 bytes, expected 4 elements of 4 bytes")));
  EXPECT_THROW((void)container.array<std::uint32_t>("graph/links.0", (1ULL << 62) + 5, 3), CorruptFile);
  EXPECT_THAT([&] { (void)container.metadata("vectors"); },
              ThrowsMessage<CorruptFile>(HasSubstr("holds f32, expected bytes")));
}

TEST_P(ContainerFile, MetadataIsBounded) {
  ContainerWriter writer;
  writer.add_owned("most", std::string(1 << 20, 'm'));
  writer.add_owned("more", std::string((1 << 20) + 1, 'm'));
  writer.write(path_);
  const Container container = Container::open(path_, GetParam());
  EXPECT_EQ(container.metadata("most").size(), 1U << 20);
  EXPECT_THAT([&] { (void)container.metadata("more"); },
              ThrowsMessage<CorruptFile>(HasSubstr("at most 1048576")));
}

TEST_P(ContainerFile, MayHoldNothing) {
  ContainerWriter().write(path_);
  EXPECT_TRUE(Container::open(path_, GetParam()).sections().empty());
}

TEST_P(ContainerFile, HoldsLargeSections) {
  std::vector<std::uint64_t> numbers(700001);
  std::iota(numbers.begin(), numbers.end(), 5);
  ContainerWriter writer;
  writer.add<std::uint64_t>("a", numbers);
  writer.add<std::uint64_t>("b", numbers);
  writer.write(path_);
  const Container container = Container::open(path_, GetParam());
  container.verify_checksums();
  const auto read = container.array<std::uint64_t>("b", numbers.size());
  EXPECT_TRUE(std::equal(numbers.begin(), numbers.end(), read.span().begin(), read.span().end()));
}

RC_GTEST_PROP(Container, AnySectionsSurvive,
              (const std::map<std::uint16_t, std::string>& contents, bool mapped)) {
  const TemporaryFolder folder;
  ContainerWriter writer;
  for (const auto& [number, bytes] : contents) writer.add_owned("s" + std::to_string(number), bytes);
  writer.write(folder / "a");
  const Container container = Container::open(folder / "a", mapped ? OpenMode::map : OpenMode::load);
  container.verify_checksums();
  RC_ASSERT(container.sections().size() == contents.size());
  for (const auto& [number, bytes] : contents)
    RC_ASSERT(container.metadata("s" + std::to_string(number)) == bytes);
}

TEST_P(ContainerFile, IsAFunctionOfItsContent) {
  write_sample();
  const auto first = read_bytes(path_);
  const auto uuid = Container::open(path_, GetParam()).uuid();
  write_sample();
  EXPECT_EQ(read_bytes(path_), first);
  vectors_[7] = 1.25F;
  write_sample();
  EXPECT_NE(Container::open(path_, GetParam()).uuid(), uuid);
}

TEST_P(ContainerFile, OpensOnlyFiles) {
  const auto open = [&](const std::filesystem::path& path) { (void)Container::open(path, GetParam()); };
  EXPECT_THAT([&] { open(folder_ / "absent"); }, ThrowsMessage<IoError>(HasSubstr("No such file")));
  EXPECT_THAT([&] { open(folder_.path()); }, ThrowsMessage<IoError>(HasSubstr("is a directory")));
  ASSERT_EQ(::mkfifo((folder_ / "pipe").c_str(), 0600), 0);
  EXPECT_THAT([&] { open(folder_ / "pipe"); }, ThrowsMessage<IoError>(HasSubstr("not a regular file")));
  write_bytes(path_, {});
  EXPECT_THAT([&] { open(path_); }, ThrowsMessage<CorruptFile>(HasSubstr("is empty")));
  write_bytes(path_, std::string(5000, 'x'));
  EXPECT_THAT([&] { open(path_); }, ThrowsMessage<CorruptFile>(HasSubstr("not a Vicinal container")));
  write_bytes(path_, std::string("VICINAL\x1a"));
  EXPECT_THAT([&] { open(path_); }, ThrowsMessage<CorruptFile>(HasSubstr("truncated: 8 bytes")));
}

TEST(ContainerWriter, RefusesBadSections) {
  ContainerWriter writer;
  const std::array<std::byte, 6> six{};
  writer.add("a", ElementType::u16, six);
  EXPECT_THAT([&] { writer.add("a", ElementType::u8, six); },
              ThrowsMessage<InvalidArgument>(HasSubstr("'a' was added twice")));
  EXPECT_THAT([&] { writer.add_owned("a", ""); }, ThrowsMessage<InvalidArgument>(HasSubstr("twice")));
  for (const std::string& name : {std::string(), std::string("A"), std::string("a b"),
                                  std::string("\xC3\xA4"), std::string("a\0b", 3), std::string(48, 'a')}) {
    EXPECT_THAT([&] { writer.add(name, ElementType::u8, six); },
                ThrowsMessage<InvalidArgument>(HasSubstr("section names have 1 to 47")));
  }
  EXPECT_NO_THROW(writer.add(std::string(47, 'a'), ElementType::u8, six));
  EXPECT_NO_THROW(writer.add("az09._/-", ElementType::u8, six));
  EXPECT_THAT([&] { writer.add("b", ElementType::u32, six); },
              ThrowsMessage<InvalidArgument>(HasSubstr("6 bytes")));
  EXPECT_THAT([&] { writer.add("b", ElementType::u8, six, 0); },
              ThrowsMessage<InvalidArgument>(HasSubstr("version 0")));
  EXPECT_THROW(writer.add("b", static_cast<ElementType>(11), six), InvalidArgument);
}

TEST_P(ContainerFile, StaysWhenItCannotBeReplaced) {
  write_sample();
  const auto before = read_bytes(path_);
  vectors_.assign(100000, 2.0F);
  {
    rlimit old_limit{};
    ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &old_limit), 0);
    rlimit limit = old_limit;
    limit.rlim_cur = 200000;
    auto* const old_handler = ::signal(SIGXFSZ, SIG_IGN);
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &limit), 0);
    EXPECT_THROW(write_sample(), IoError);
    ::setrlimit(RLIMIT_FSIZE, &old_limit);
    ::signal(SIGXFSZ, old_handler);
  }
  EXPECT_EQ(read_bytes(path_), before);
  EXPECT_EQ(folder_.entries(), 1U);
  EXPECT_THROW(ContainerWriter().write(path_ / "inside"), IoError);
  EXPECT_THROW(ContainerWriter().write(folder_.path()), IoError);
  EXPECT_EQ(read_bytes(path_), before);
  write_sample();
  EXPECT_GT(read_bytes(path_).size(), before.size());
}

TEST(ElementSize, IsKnownForEveryType) {
  EXPECT_EQ(element_size(ElementType::bytes), 1U);
  EXPECT_EQ(element_size(ElementType::u8), sizeof(std::uint8_t));
  EXPECT_EQ(element_size(ElementType::i8), sizeof(std::int8_t));
  EXPECT_EQ(element_size(ElementType::u16), sizeof(std::uint16_t));
  EXPECT_EQ(element_size(ElementType::f16), 2U);
  EXPECT_EQ(element_size(ElementType::bf16), 2U);
  EXPECT_EQ(element_size(ElementType::u32), sizeof(std::uint32_t));
  EXPECT_EQ(element_size(ElementType::f32), sizeof(float));
  EXPECT_EQ(element_size(ElementType::u64), sizeof(std::uint64_t));
  EXPECT_EQ(element_size(ElementType::i64), sizeof(std::int64_t));
  EXPECT_EQ(element_size(ElementType::f64), sizeof(double));
}

}  // namespace
}  // namespace vicinal
