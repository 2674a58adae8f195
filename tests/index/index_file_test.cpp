#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <numeric>

#include "vicinal/core/executor.hpp"
#include "vicinal/index/index.hpp"
#include "../core/temporary_folder.hpp"
#include "sample_data.hpp"

namespace vicinal {
namespace {

using ::testing::HasSubstr;

constexpr const char* specs[] = {"flat",
                                 "bf16 | flat | rerank(f32, 2x)",
                                 "e4m3 | flat | rerank(e3m4, 2x)",
                                 "pq(d/3) | flat | rerank(f16, 4x)",
                                 "opq(5, bits=4) | hnsw(m=6, efc=30) | rerank(f16, 9x)",
                                 "e4m3(norm=off) | flat",
                                 "e3m4(norm=off) | hnsw(m=6, efc=40)",
                                 "e5m2 | hnsw(m=6, efc=40)",
                                 "i4 | hnsw(m=6, efc=40) | rerank(e4m3, 3x)",
                                 "i4(rotate=off) | flat",
                                 "i8 | flat",
                                 "f16 | hnsw",
                                 "i8 | hnsw(m=6, efc=40) | rerank(f16, 3x)",
                                 "i8(rotate=off, centre=off) | hnsw"};

// Ids that do not ascend with the rows.
std::vector<Id> ids_for(std::size_t rows) {
  std::vector<Id> ids(rows);
  for (std::size_t i = 0; i < rows; ++i) ids[i] = static_cast<Id>((i * 37 + 5) % 1009) * 1'000'000'007;
  return ids;
}

class IndexFile : public ::testing::Test {
 protected:
  Rows base_ = make_rows(300, 10, 51);
  Rows queries_ = make_rows(20, 10, 51, 1);
  TemporaryFolder folder_;

  // Another section added to, left out of or replaced in a saved index.
  void rewrite(
      const std::string& from, const std::string& to,
      const std::function<void(ContainerWriter&, const SectionInfo&, std::span<const std::byte>)>& copy,
      const std::function<void(ContainerWriter&)>& add = {}) const {
    const std::vector<char> bytes = read_bytes(folder_ / from);
    const Container file = Container::open(folder_ / from, OpenMode::load);
    ContainerWriter writer;
    for (const SectionInfo& section : file.sections()) {
      copy(writer, section, std::as_bytes(std::span(bytes)).subspan(section.offset, section.length));
    }
    if (add) add(writer);
    writer.write(folder_ / to);
  }
  static void copy_section(ContainerWriter& writer, const SectionInfo& section,
                           std::span<const std::byte> bytes) {
    writer.add(section.name, section.type, bytes, section.version);
  }
  [[nodiscard]] std::string why_not(const std::string& name) const {
    try {
      (void)Index::open(folder_ / name);
    } catch (const CorruptFile& error) {
      return error.what();
    }
    return "opened";
  }
};

TEST_F(IndexFile, BothModesGiveBackTheIndex) {
  const std::vector<Id> ids = ids_for(300);
  for (const char* spec : specs) {
    for (const Metric metric : {Metric::l2, Metric::ip, Metric::cosine}) {
      for (const bool own_ids : {false, true}) {
        IndexOptions options;
        options.seed = 123;
        options.calibrate = metric == Metric::l2;
        if (own_ids) options.ids = ids;
        const Index built = Index::build(base_.view(), spec, metric, options);
        built.save(folder_ / "index.vcn");
        for (const OpenMode mode : {OpenMode::load, OpenMode::map}) {
          const Index opened = Index::open(folder_ / "index.vcn", mode);
          EXPECT_EQ(opened.spec(), built.spec());
          EXPECT_EQ(opened.metric(), metric);
          EXPECT_EQ(opened.size(), 300U);
          EXPECT_EQ(opened.dim(), 10U);
          EXPECT_EQ(opened.seed(), 123U);
          EXPECT_EQ(opened.calibration(), built.calibration());
          EXPECT_TRUE(std::ranges::equal(opened.ids(), built.ids()));
          EXPECT_TRUE(same_results(opened.search(queries_.view(), 10), built.search(queries_.view(), 10)))
              << spec;
          SearchControl control;
          control.filter = Filter::predicate([](Id id) { return id % 3 == 0; });
          EXPECT_TRUE(same_results(opened.search(queries_.view(), 10, {25, {}}, control),
                                   built.search(queries_.view(), 10, {25, {}}, control)));
        }
      }
    }
  }
}

TEST_F(IndexFile, SavingWhatWasOpenedGivesTheSameFile) {
  for (const char* spec : specs) {
    Index::build(base_.view(), spec, Metric::cosine).save(folder_ / "a.vcn");
    for (const OpenMode mode : {OpenMode::load, OpenMode::map}) {
      Index::open(folder_ / "a.vcn", mode).save(folder_ / "b.vcn");
      EXPECT_EQ(read_bytes(folder_ / "a.vcn"), read_bytes(folder_ / "b.vcn")) << spec;
    }
  }
}

TEST_F(IndexFile, IsTheSameForAnyNumberOfThreads) {
  for (const char* spec : specs) {
    std::vector<char> first;
    for (const std::size_t threads : {1U, 2U, 4U}) {
      ThreadPool pool(threads);
      BuildControl control;
      control.executor = pool;
      Index::build(base_.view(), spec, Metric::l2, {}, control).save(folder_ / "index.vcn");
      const std::vector<char> bytes = read_bytes(folder_ / "index.vcn");
      if (first.empty()) first = bytes;
      EXPECT_EQ(bytes, first) << spec << " with " << threads << " threads";
    }
  }
}

TEST_F(IndexFile, IsTheSameForAnyOrderOfRowsWithIds) {
  std::vector<std::size_t> order(300);
  std::iota(order.begin(), order.end(), std::size_t{0});
  RandomStream random(5, 5);
  for (std::size_t i = 299; i > 0; --i) std::swap(order[i], order[random.next_below(i + 1)]);
  const std::vector<Id> ids = ids_for(300);
  std::vector<Id> shuffled_ids(300);
  Rows shuffled = base_;
  for (std::size_t i = 0; i < 300; ++i) {
    shuffled_ids[i] = ids[order[i]];
    std::ranges::copy(base_[order[i]], shuffled.values.begin() + static_cast<std::ptrdiff_t>(10 * i));
  }
  for (const char* spec : specs) {
    IndexOptions options;
    options.ids = ids;
    Index::build(base_.view(), spec, Metric::cosine, options).save(folder_ / "a.vcn");
    options.ids = shuffled_ids;
    Index::build(shuffled.view(), spec, Metric::cosine, options).save(folder_ / "b.vcn");
    EXPECT_EQ(read_bytes(folder_ / "a.vcn"), read_bytes(folder_ / "b.vcn")) << spec;
  }
}

TEST_F(IndexFile, ReplacesAFileAsAWhole) {
  Index::build(base_.view(), "hnsw", Metric::l2).save(folder_ / "index.vcn");
  const Index mapped = Index::open(folder_ / "index.vcn", OpenMode::map);
  const Neighbors before = mapped.search(queries_.view(), 10);
  Index::build(queries_.view(), "flat", Metric::l2).save(folder_ / "index.vcn");
  EXPECT_TRUE(same_results(mapped.search(queries_.view(), 10), before)) << "the mapped file lives on";
  EXPECT_EQ(Index::open(folder_ / "index.vcn").size(), 20U);
  EXPECT_EQ(folder_.entries(), 1U) << "no temporary file is left";
}

TEST_F(IndexFile, NamesWhatCannotBeOpened) {
  EXPECT_THROW((void)Index::open(folder_ / "absent.vcn"), IoError);
  EXPECT_THROW((void)Index::open(folder_.path()), IoError);
  write_bytes(folder_ / "text.vcn", std::string("this is no index"));
  EXPECT_THROW((void)Index::open(folder_ / "text.vcn"), CorruptFile);
  ContainerWriter writer;
  writer.add_owned("other", "something");
  writer.write(folder_ / "other.vcn");
  EXPECT_THAT(why_not("other.vcn"), HasSubstr("index/meta"));
}

TEST_F(IndexFile, RefusesSectionsThatDoNotBelong) {
  Index::build(base_.view(), "i8 | hnsw", Metric::l2).save(folder_ / "a.vcn");
  rewrite("a.vcn", "same.vcn", copy_section);
  EXPECT_EQ(read_bytes(folder_ / "a.vcn"), read_bytes(folder_ / "same.vcn"));
  for (const char* name : {"extra", "index/ids", "index/more", "rows/codes", "flat/codes", "hnswx/codes"}) {
    rewrite("a.vcn", "more.vcn", copy_section, [&](ContainerWriter& writer) { writer.add_owned(name, "x"); });
    EXPECT_THAT(why_not("more.vcn"),
                HasSubstr("does not belong to an index of spec i8 | hnsw(m=32, efc=200)"))
        << name;
  }
}

TEST_F(IndexFile, RefusesAMissingSection) {
  for (const char* spec : specs) {
    Index::build(base_.view(), spec, Metric::l2).save(folder_ / "a.vcn");
    const Container container = Container::open(folder_ / "a.vcn", OpenMode::load);
    for (const SectionInfo& missing : container.sections()) {
      rewrite("a.vcn", "less.vcn",
              [&](ContainerWriter& writer, const SectionInfo& section, std::span<const std::byte> bytes) {
                if (section.name != missing.name) copy_section(writer, section, bytes);
              });
      EXPECT_THAT(why_not("less.vcn"), HasSubstr("section " + missing.name.substr(0, missing.name.find('/'))))
          << spec;
    }
  }
}

// Parts of two indexes that differ in one thing: each part is sound, the whole is not.
TEST_F(IndexFile, RefusesPartsOfDifferentIndexes) {
  const auto save = [&](const std::string& name, const Rows& base, const char* spec, Metric metric,
                        std::uint64_t seed) {
    IndexOptions options;
    options.seed = seed;
    Index::build(base.view(), spec, metric, options).save(folder_ / name);
  };
  const char* spec = "i8 | hnsw(m=6, efc=40) | rerank(f16, 3x)";
  save("a.vcn", base_, spec, Metric::l2, 1);
  save("fewer.vcn", make_rows(299, 10, 51), spec, Metric::l2, 1);
  save("narrow.vcn", make_rows(300, 9, 51), spec, Metric::l2, 1);
  save("metric.vcn", base_, spec, Metric::ip, 1);
  save("seed.vcn", base_, spec, Metric::l2, 2);
  save("options.vcn", base_, "i8 | hnsw(m=6, efc=41) | rerank(f16, 3x)", Metric::l2, 1);
  save("codec.vcn", base_, "i8(rotate=off) | hnsw(m=6, efc=40) | rerank(f16, 3x)", Metric::l2, 1);
  save("rows.vcn", base_, "i8 | hnsw(m=6, efc=40) | rerank(bf16, 3x)", Metric::l2, 1);
  for (const char* other :
       {"fewer.vcn", "narrow.vcn", "metric.vcn", "seed.vcn", "options.vcn", "codec.vcn", "rows.vcn"}) {
    const Container donor = Container::open(folder_ / other, OpenMode::load);
    rewrite("a.vcn", "mixed.vcn",
            [&](ContainerWriter& writer, const SectionInfo& section, std::span<const std::byte> bytes) {
              if (section.name == "index/meta") {
                writer.add_owned(section.name, std::string(donor.metadata(section.name)));
              } else {
                copy_section(writer, section, bytes);
              }
            });
    EXPECT_NE(why_not("mixed.vcn"), "opened") << other;
  }
}

TEST_F(IndexFile, RefusesMetadataThatASaveDoesNotWrite) {
  Index::build(base_.view(), "f16 | hnsw", Metric::l2).save(folder_ / "a.vcn");
  const std::string meta(Container::open(folder_ / "a.vcn", OpenMode::load).metadata("index/meta"));
  const auto with_meta = [&](std::string changed) {
    rewrite("a.vcn", "changed.vcn",
            [&](ContainerWriter& writer, const SectionInfo& section, std::span<const std::byte> bytes) {
              if (section.name == "index/meta") {
                writer.add_owned(section.name, std::move(changed));
              } else {
                copy_section(writer, section, bytes);
              }
            });
    return why_not("changed.vcn");
  };
  EXPECT_EQ(with_meta(meta), "opened");
  EXPECT_THAT(with_meta(meta + '\0'), HasSubstr("1 bytes too many"));
  EXPECT_THAT(with_meta(""), HasSubstr("section index/meta"));
  for (std::size_t length = 1; length < meta.size(); ++length) {
    EXPECT_THAT(with_meta(meta.substr(0, length)), HasSubstr("section index/meta")) << length;
  }
  // A string that claims to be longer than the section must not be believed.
  std::string long_string = meta;
  long_string[5] = long_string[6] = long_string[7] = long_string[8] = '\x7F';
  EXPECT_THAT(with_meta(long_string), HasSubstr("a string of 2139062143 bytes"));
  std::string swapped = meta;
  swapped[0] = static_cast<char>(swapped[0] ^ 1);  // The byte order of the archive.
  EXPECT_THAT(with_meta(swapped), HasSubstr("does not begin as an archive does"));
  std::string spec = meta;
  spec.replace(meta.find("f16 | hnsw"), 10, "f16 | hnws");
  EXPECT_THAT(with_meta(spec), HasSubstr("the spec does not parse: unknown stage 'hnws'"));
  spec.replace(meta.find("f16 | hnsw"), 10, "f16 |  hns");
  EXPECT_NE(with_meta(spec), "opened");
}

TEST_F(IndexFile, RefusesANewerVersion) {
  Index::build(base_.view(), "flat", Metric::l2).save(folder_ / "a.vcn");
  std::string meta(Container::open(folder_ / "a.vcn", OpenMode::load).metadata("index/meta"));
  meta[1] = 2;
  rewrite("a.vcn", "newer.vcn",
          [&](ContainerWriter& writer, const SectionInfo& section, std::span<const std::byte> bytes) {
            if (section.name == "index/meta") {
              writer.add_owned(section.name, meta);
            } else {
              copy_section(writer, section, bytes);
            }
          });
  EXPECT_THROW((void)Index::open(folder_ / "newer.vcn"), Unsupported);
}

TEST_F(IndexFile, RefusesIdsThatDoNotAscend) {
  const std::vector<Id> ids = ids_for(300);
  IndexOptions options;
  options.ids = ids;
  Index::build(base_.view(), "flat", Metric::l2, options).save(folder_ / "a.vcn");
  const Container container = Container::open(folder_ / "a.vcn", OpenMode::load);
  const Array<Id> saved = container.array<Id>("index/ids", 300);
  const auto with_ids = [&](const std::vector<Id>& changed) {
    rewrite("a.vcn", "changed.vcn",
            [&](ContainerWriter& writer, const SectionInfo& section, std::span<const std::byte> bytes) {
              copy_section(writer, section,
                           section.name == "index/ids" ? std::as_bytes(std::span(changed)) : bytes);
            });
    return why_not("changed.vcn");
  };
  const std::vector<Id> good(saved.data(), saved.data() + 300);
  EXPECT_EQ(with_ids(good), "opened");
  std::vector<Id> repeated = good;
  repeated[7] = repeated[6];
  EXPECT_THAT(with_ids(repeated), HasSubstr("do not ascend"));
  std::vector<Id> negative = good;
  negative[0] = -1;
  EXPECT_THAT(with_ids(negative), HasSubstr("do not ascend"));
  EXPECT_NE(with_ids(std::vector<Id>(good.begin(), good.end() - 1)), "opened");
}

}  // namespace
}  // namespace vicinal
