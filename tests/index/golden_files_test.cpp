// Files that were saved once and are kept for ever: every later version opens them, answers as then, and, since data, spec and seed
// decide the bytes, still writes the same ones on whatever machine. A change of the format adds files and keeps these.
//
// VICINAL_WRITE_GOLDEN=1 writes those that do not exist yet.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "vicinal/index/index.hpp"
#include "../core/temporary_folder.hpp"
#include "sample_data.hpp"

namespace vicinal {
namespace {

struct Golden {
  const char* name;
  const char* spec;
  Metric metric;
  bool own_ids;
  bool codes_of_old =
      false;  // The format has better codes by now; the file is read as ever, and its rerank rows answer.
};

void PrintTo(const Golden& golden, std::ostream* out) { *out << golden.name; }  // NOLINT: GoogleTest's name

constexpr Golden files[] = {
    {"1-flat", "flat", Metric::l2, false},
    {"1-f16-rerank", "f16 | flat | rerank(f32, 2x)", Metric::cosine, true},
    {"1-hnsw", "bf16 | hnsw(m=4, efc=20)", Metric::ip, false},
    {"1-i8-hnsw-rerank", "i8 | hnsw(m=6, efc=40) | rerank(f16, 3x)", Metric::cosine, true, true},
    {"1-i8-plain", "i8(rotate=off, centre=off) | flat", Metric::ip, false},
    {"1-i4-hnsw-rerank", "i4 | hnsw(m=4, efc=20) | rerank(e3m4, 3x)", Metric::l2, false},
    {"1-e4m3", "e4m3 | flat", Metric::ip, true},
    {"1-e5m2-hnsw", "e5m2 | hnsw(m=4, efc=20)", Metric::l2, false},
    {"2-i8-hnsw-rerank", "i8 | hnsw(m=6, efc=40) | rerank(f16, 3x)", Metric::cosine, true},
    {"2-i4-ip", "i4 | flat", Metric::ip, false},
    {"1-b1-hnsw-rerank", "b1 | hnsw(m=4, efc=20) | rerank(e4m3, 5x)", Metric::ip, true},
    {"1-b1-l2", "b1 | flat", Metric::l2, false},
    {"1-b2-hnsw-rerank", "b2 | hnsw(m=4, efc=20) | rerank(f16, 5x)", Metric::ip, true},
    {"1-b2-l2", "b2 | flat", Metric::l2, false},
    {"1-pca-i8-hnsw-rerank", "pca(9) | i8 | hnsw(m=4, efc=20) | rerank(f16, 3x)", Metric::ip, true},
    {"1-pca-whiten", "pca(5, whiten=on) | f32 | flat", Metric::l2, false},
    {"1-qpca-f16", "qpca(8) | f16 | flat", Metric::cosine, false},
    {"1-truncate-i4", "truncate(7) | i4 | flat", Metric::cosine, false},
};

// Whole thousandths from the library's own generator: nothing here depends on a mathematics library, whose last bits differ.
Rows exact_rows(std::size_t count, std::size_t dim, std::uint64_t stream) {
  RandomStream random(20, stream);
  Rows rows{count, dim, std::vector<float>(count * dim)};
  for (float& value : rows.values)
    value = static_cast<float>(static_cast<int>(random.next_below(2001)) - 1000) / 1000.0F;
  return rows;
}

class GoldenFile : public testing::TestWithParam<Golden> {
 protected:
  static constexpr std::size_t count = 60, dim = 17;

  [[nodiscard]] static std::filesystem::path path() {
    return std::filesystem::path(VICINAL_GOLDEN_FOLDER) / (std::string(GetParam().name) + ".vcn");
  }
  [[nodiscard]] static Index build() {
    const Rows base = exact_rows(count, dim, 1);
    std::vector<Id> ids(count);
    for (std::size_t i = 0; i < count; ++i) ids[i] = static_cast<Id>((i * 37 + 5) % 1009) * 1'000'003;
    IndexOptions options;
    options.seed = 9;
    if (GetParam().own_ids) options.ids = ids;
    const Rows queries = exact_rows(30, dim, 3);
    if (std::string(GetParam().spec).starts_with("qpca")) options.calibration_queries = queries.view();
    return Index::build(base.view(), GetParam().spec, GetParam().metric, options);
  }
};

TEST_P(GoldenFile, IsOpenedAndAnswersAsThen) {
  if (std::getenv("VICINAL_WRITE_GOLDEN") != nullptr && !std::filesystem::exists(path()))
    build().save(path());
  const Rows queries = exact_rows(10, dim, 2);
  for (const OpenMode mode : {OpenMode::load, OpenMode::map}) {
    const Index then = Index::open(path(), mode);
    const Index now = build();
    EXPECT_EQ(to_string(then.spec()), to_string(now.spec()));
    if (!GetParam().codes_of_old) {
      EXPECT_EQ(then.calibration(), now.calibration());
    }
    const Neighbors old_answers = then.search(queries.view(), 7);
    const Neighbors answers = now.search(queries.view(), 7);
    for (std::size_t q = 0; q < queries.count; ++q) {
      for (std::size_t i = 0; i < 7; ++i) {
        EXPECT_EQ(old_answers.ids()[q][i], answers.ids()[q][i]);
        EXPECT_EQ(old_answers.distances()[q][i], answers.distances()[q][i]);
      }
    }
  }
}

TEST_P(GoldenFile, IsStillWrittenByteForByte) {
  if (GetParam().codes_of_old) GTEST_SKIP() << "saved before the codes changed";
  const TemporaryFolder folder;
  build().save(folder / "now.vcn");
  EXPECT_TRUE(read_bytes(folder / "now.vcn") == read_bytes(path()))
      << "the same data, spec and seed give another file than before";
}

INSTANTIATE_TEST_SUITE_P(All, GoldenFile, testing::ValuesIn(files),
                         [](const testing::TestParamInfo<Golden>& golden) {
                           std::string name(golden.param.name);
                           for (char& c : name) c = c == '-' ? '_' : c;
                           return name;
                         });

}  // namespace
}  // namespace vicinal
