// Files that were saved once and are kept for ever: every later version opens them, answers as then, and, since data, spec and seed
// decide the bytes, still writes the same ones on whatever machine. A change of the format adds files and keeps these.
//
// VICINAL_WRITE_GOLDEN=1 writes those that do not exist yet.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cstdint>
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
  // Where the format has better codes or says more by now, or its searches find more with as much effort, which calibration tells: a hash of what the
  // file's own codes answered. Such a file is read as ever.
  std::uint64_t answers_then = 0;
};

void PrintTo(const Golden& golden, std::ostream* out) { *out << golden.name; }  // NOLINT: GoogleTest's name

constexpr Golden files[] = {
    {"1-flat", "flat", Metric::l2, false},
    {"1-f16-rerank", "f16 | flat | rerank(f32, 2x)", Metric::cosine, true},
    {"1-hnsw", "bf16 | hnsw(m=4, efc=20)", Metric::ip, false},
    {"1-i8-hnsw-rerank", "i8 | hnsw(m=6, efc=40) | rerank(f16, 3x)", Metric::cosine, true,
     0x506B5997F9D0BE21},
    {"1-i8-plain", "i8(rotate=off, centre=off) | flat", Metric::ip, false, 0xADB95157E5D71C6A},
    {"1-i4-hnsw-rerank", "i4 | hnsw(m=4, efc=20) | rerank(e3m4, 3x)", Metric::l2, false, 0x18133857BE47BEEC},
    {"1-e4m3", "e4m3(norm=off) | flat", Metric::ip, true, 0x9D69BE67E8538CD2},
    {"1-e5m2-hnsw", "e5m2 | hnsw(m=4, efc=20)", Metric::l2, false},
    {"2-e4m3", "e4m3 | flat", Metric::ip, false},
    {"2-e4m3-plain", "e4m3(norm=off) | flat", Metric::ip, true},
    {"1-e3m4-hnsw", "e3m4 | hnsw(m=4, efc=20)", Metric::cosine, true},
    {"2-i8-hnsw-rerank", "i8 | hnsw(m=6, efc=40) | rerank(f16, 3x)", Metric::cosine, true,
     0x506B5997F9D0BE21},
    {"2-i4-ip", "i4 | flat", Metric::ip, false, 0xB7D1C423444D9A78},
    {"3-i8-hnsw-rerank", "i8 | hnsw(m=6, efc=40) | rerank(f16, 3x)", Metric::cosine, true},
    {"2-i8-plain", "i8(rotate=off, centre=off) | flat", Metric::ip, false},
    {"2-i4-hnsw-rerank", "i4 | hnsw(m=4, efc=20) | rerank(e3m4, 3x)", Metric::l2, false},
    {"3-i4-ip", "i4 | flat", Metric::ip, false},
    {"2-pca-i8-hnsw-rerank", "pca(9) | i8 | hnsw(m=4, efc=20) | rerank(f16, 3x)", Metric::ip, true},
    {"1-pca-i4-l2", "pca(11) | i4 | flat", Metric::l2, false},
    {"2-truncate-i4", "truncate(7) | i4 | flat", Metric::cosine, false},
    {"1-b1-hnsw-rerank", "b1 | hnsw(m=4, efc=20) | rerank(e4m3, 5x)", Metric::ip, true, 0x9D69BE67E8538CD2},
    {"2-b1-hnsw-rerank", "b1 | hnsw(m=4, efc=20) | rerank(e4m3, 5x)", Metric::ip, true},
    {"1-b1-l2", "b1 | flat", Metric::l2, false, 0x2DAE05E1ACC40322},
    {"2-b1-l2", "b1 | flat", Metric::l2, false},
    {"1-b2-hnsw-rerank", "b2 | hnsw(m=4, efc=20) | rerank(f16, 5x)", Metric::ip, true, 0x7B5D23F201BBECA7},
    {"2-b2-hnsw-rerank", "b2 | hnsw(m=4, efc=20) | rerank(f16, 5x)", Metric::ip, true},
    {"1-b2-l2", "b2 | flat", Metric::l2, false, 0xC8D8FDB2E9CB40BD},
    {"2-b2-l2", "b2 | flat", Metric::l2, false},
    {"1-pca-i8-hnsw-rerank", "pca(9) | i8 | hnsw(m=4, efc=20) | rerank(f16, 3x)", Metric::ip, true,
     0xE706C450D5FD2E5E},
    {"1-pca-whiten", "pca(5, whiten=on) | f32 | flat", Metric::l2, false},
    {"1-qpca-f16", "qpca(8) | f16 | flat", Metric::cosine, false},
    {"1-truncate-i4", "truncate(7) | i4 | flat", Metric::cosine, false, 0x5AD8B442EE1C36F3},
    {"1-pq", "pq(d/3) | flat", Metric::ip, true},
    {"1-pq4-hnsw-rerank", "pq(9, bits=4) | hnsw(m=4, efc=20) | rerank(f16, 5x)", Metric::l2, false},
    {"1-opq4", "opq(d/2, bits=4) | flat", Metric::l2, false},
    {"1-opq-hnsw-rerank", "opq(6) | hnsw(m=4, efc=20) | rerank(e4m3, 4x)", Metric::cosine, true,
     0xFC3B6D1682E83D25},
    {"2-opq-hnsw-rerank", "opq(6) | hnsw(m=4, efc=20) | rerank(e4m3, 4x)", Metric::cosine, true},
    {"1-b1-residual-i8-hnsw", "b1 | hnsw(m=4, efc=20) | rerank(+i8, 10x)", Metric::ip, true},
    {"1-i4-residual-i4-l2", "i4 | flat | rerank(+i4, 3x)", Metric::l2, false},
    {"1-fused-i8", "i8 | hnsw(m=8, efc=20, layout=fused)", Metric::ip, true, 0x0CBF72E7C6F6C6D8},
    {"2-fused-i8", "i8 | hnsw(m=8, efc=20, layout=fused)", Metric::ip, true, 0x0CBF72E7C6F6C6D8},
    {"3-fused-i8", "i8 | hnsw(m=8, efc=20, layout=fused)", Metric::ip, true},
    {"1-fused-pca-i4-l2", "pca(9) | i4 | hnsw(m=8, efc=20, alpha=1.5, layout=fused)", Metric::l2, false,
     0x75B919C8A343666C},
    {"2-fused-pca-i4-l2", "pca(9) | i4 | hnsw(m=8, efc=20, alpha=1.5, layout=fused)", Metric::l2, false,
     0x75B919C8A343666C},
    {"3-fused-pca-i4-l2", "pca(9) | i4 | hnsw(m=8, efc=20, alpha=1.5, layout=fused)", Metric::l2, false},
    {"1-dedup-i8-hnsw", "dedup | i8 | hnsw(m=4, efc=20)", Metric::ip, true},
    {"1-dedup-codes-b1", "dedup(codes) | b1 | flat | rerank(f16, 10x)", Metric::l2, false,
     0x2E081365EF0F7A83},
    {"2-dedup-codes-b1", "dedup(codes) | b1 | flat | rerank(f16, 10x)", Metric::l2, false},
    {"1-tiers", "tiers(f16=0.1, i8=0.3, i4) | flat", Metric::ip, true},
    {"1-clusters-i4", "pca(9, clusters=5) | i4 | flat", Metric::ip, true},
    {"1-clusters-f16-l2", "pca(6, clusters=3) | f16 | flat | rerank(f32, 3x)", Metric::l2, false},
    {"1-i4-rerank-i8", "i4 | hnsw(m=4, efc=20) | rerank(i8, 3x)", Metric::cosine, true},
    {"1-maxsim-i8", "maxsim(i8)", Metric::ip, true},
    {"1-maxsim-b1", "maxsim(b1)", Metric::cosine, false},
    {"1-scan-i4-i8", "scan(i4, carve=0.6) | maxsim(i8, 3x)", Metric::ip, true},
    {"1-pool-scan-b1-f16", "pool(kmeans, 2x, protect=1) | scan(b1) | maxsim(f16, 4x)", Metric::cosine, false},
    {"1-head-i8-hnsw", "head(dim=20, samples=40, ridge=0.1) | i8 | hnsw(m=4, efc=20) | maxsim(i8, 3x)",
     Metric::cosine, true},
    {"1-muvera-i8-hnsw-i4",
     "muvera(reps=5, bits=2, dim=3, partition=planes) | i8 | hnsw(m=4, efc=20) | maxsim(i4, 3x)", Metric::ip,
     false, 0x356B7E5CC5940E2C},
    {"2-muvera-i8-hnsw-i4", "muvera(reps=25, bits=2, dim=3) | i8 | hnsw(m=4, efc=20) | maxsim(i4, 3x)",
     Metric::ip, false},
    {"1-muvera-paper-f16", "muvera(paper, reps=2, bits=3, dim=4) | f32 | flat | maxsim(f16, 2x)",
     Metric::cosine, true, 0x886E2C2FF8A11715},
    {"2-muvera-paper-f16", "muvera(paper, reps=2, bits=3, dim=4) | f32 | flat | maxsim(f16, 2x)",
     Metric::cosine, true},
    {"1-muvera-final-f32",
     "muvera(reps=7, bits=4, projection=identity, partition=planes, final=50) | pca(20) | i4 | flat | "
     "rerank(f16, 2x) | "
     "maxsim(f32, 2x)",
     Metric::ip, false, 0xAC8D4B4E71DC2D6B},
    {"2-muvera-final-f32",
     "muvera(reps=7, bits=4, projection=identity, partition=planes, final=50) | pca(20) | i4 | flat | "
     "rerank(f16, 2x) | "
     "maxsim(f32, 2x)",
     Metric::ip, false},
};

// Whole thousandths from the library's own generator: nothing here depends on a mathematics library, whose last bits differ.
Rows exact_rows(std::size_t count, std::size_t dim, std::uint64_t stream) {
  RandomStream random(20, stream);
  Rows rows{count, dim, std::vector<float>(count * dim)};
  for (float& value : rows.values)
    value = static_cast<float>(static_cast<int>(random.next_below(2001)) - 1000) / 1000.0F;
  return rows;
}

// FNV-1a of ids and the bits of distances.
std::uint64_t hash_of(const Neighbors& answers) {
  std::uint64_t hash = 0xCBF2'9CE4'8422'2325;
  for (std::size_t q = 0; q < answers.size(); ++q) {
    for (std::size_t i = 0; i < answers.k(); ++i) {
      for (const std::uint64_t value :
           {static_cast<std::uint64_t>(answers.ids()[q][i]),
            std::uint64_t{std::bit_cast<std::uint32_t>(answers.distances()[q][i])}})
        hash = (hash ^ value) * 0x0000'0100'0000'01B3;
    }
  }
  return hash;
}

class GoldenFile : public testing::TestWithParam<Golden> {
 protected:
  static constexpr std::size_t count = 60, dim = 17;

  [[nodiscard]] static std::filesystem::path path() {
    return std::filesystem::path(VICINAL_GOLDEN_FOLDER) / (std::string(GetParam().name) + ".vcn");
  }
  [[nodiscard]] static Index build() {
    Rows base = exact_rows(count, dim, 1);
    // Of equal rows, where there is something to find.
    if (std::string(GetParam().spec).starts_with("dedup"))
      std::copy_n(base.values.begin() + 7 * dim, 20 * dim, base.values.begin() + 31 * dim);
    std::vector<Id> ids(count);
    for (std::size_t i = 0; i < count; ++i) ids[i] = static_cast<Id>((i * 37 + 5) % 1009) * 1'000'003;
    IndexOptions options;
    options.seed = 9;
    std::vector<float> popularity(count);
    // Documents of none to six vectors.
    std::vector<std::uint64_t> offsets;
    if (std::string(GetParam().spec).find("maxsim") != std::string::npos) {
      offsets.push_back(0);
      for (std::uint64_t next = 3; offsets.back() < count; next = next * 5 % 7)
        offsets.push_back(std::min<std::uint64_t>(count, offsets.back() + next));
      offsets.insert(offsets.begin() + 4, offsets[4]);
      ids.resize(offsets.size() - 1);
    }
    for (std::size_t i = 0; i < count; ++i) popularity[i] = static_cast<float>(i * 31 % 47);
    if (std::string(GetParam().spec).starts_with("tiers")) options.popularity = popularity;
    if (GetParam().own_ids) options.ids = ids;
    const Rows queries = exact_rows(30, dim, 3);
    if (std::string(GetParam().spec).starts_with("qpca")) options.calibration_queries = queries.view();
    return Index::build({base.view(), offsets}, GetParam().spec, GetParam().metric, options);
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
    const Neighbors old_answers = then.search(queries.view(), 7);
    if (GetParam().answers_then != 0) {
      EXPECT_EQ(hash_of(old_answers), GetParam().answers_then);
      continue;
    }
    EXPECT_EQ(then.calibration(), now.calibration());
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
  if (GetParam().answers_then != 0) GTEST_SKIP() << "saved before codes or calibration changed";
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
