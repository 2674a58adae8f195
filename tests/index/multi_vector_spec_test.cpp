// The stages pool, muvera, scan and maxsim.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "vicinal/index/spec.hpp"

namespace vicinal {
namespace {

using testing::HasSubstr;

TEST(MultiVectorSpec, CanonicalStrings) {
  const std::pair<const char*, const char*> cases[] = {
      {"maxsim", "maxsim(i8)"},
      {"maxsim(f32)", "maxsim(f32)"},
      {"scan | maxsim", "scan(i4, carve=0.7) | maxsim(i8, 5x)"},
      {"scan(b1, carve=off) | maxsim(f16, 20x)", "scan(b1, carve=off) | maxsim(f16, 20x)"},
      {"scan(carve=1) | maxsim(depth=2.5)", "scan(i4, carve=1) | maxsim(i8, 2.5x)"},
      {"head | i8 | hnsw | maxsim", "head(dim=1024) | i8 | hnsw(m=32, efc=200) | maxsim(i8, 10x)"},
      {"pool | head(dim=64, samples=100, ridge=0.5) | maxsim(f16, 2x)",
       "pool(2x) | head(dim=64, samples=100, ridge=0.5) | f32 | flat | maxsim(f16, 2x)"},
      {"pool | maxsim", "pool(2x) | maxsim(i8)"},
      {"pool(ward, 3x) | scan(i8, carve=0.55) | maxsim", "pool(3x) | scan(i8, carve=0.55) | maxsim(i8, 5x)"},
      {"pool(kmeans, factor=1.5, protect=2, renormalise=off) | muvera(bits=2) | maxsim",
       "pool(kmeans, 1.5x, protect=2, renormalise=off) | muvera(reps=40, bits=2, dim=8) | f32 | flat | "
       "maxsim(i8, 10x)"},
      {"pool(clusters=32) | maxsim", "pool(clusters=32) | maxsim(i8)"},
      {"muvera | i8 | hnsw | maxsim",
       "muvera(reps=40, bits=3, dim=8) | i8 | hnsw(m=32, efc=200) | maxsim(i8, 10x)"},
      {"muvera(reps=20, bits=4, dim=8) | maxsim(i4, 2.5x)",
       "muvera(reps=20, bits=4, dim=8) | f32 | flat | maxsim(i4, 2.5x)"},
      {"muvera(paper) | maxsim",
       "muvera(reps=20, bits=5, dim=16, projection=dense, bucket=mean, empty=nearest, shared=on, centre=off) "
       "| f32 | flat | "
       "maxsim(i8, 10x)"},
      {"muvera(bits=5, partition=cross) | maxsim",
       "muvera(reps=40, bits=5, dim=8, partition=cross) | f32 | flat | maxsim(i8, 10x)"},
      {"muvera(partition=planes) | maxsim",
       "muvera(reps=40, bits=3, dim=8, partition=planes) | f32 | flat | maxsim(i8, 10x)"},
      {"muvera(paper, empty=zero) | maxsim",
       "muvera(reps=20, bits=5, dim=16, projection=dense, bucket=mean, partition=planes, shared=on, "
       "centre=off) "
       "| f32 | flat | maxsim(i8, 10x)"},
      {"muvera(paper, reps=10, shared=off, projection=identity, final=2560) | pca(256) | i8 | hnsw | "
       "rerank(f16) | "
       "maxsim(b1, depth=4)",
       "muvera(reps=10, bits=5, projection=identity, bucket=mean, empty=nearest, centre=off, final=2560) | "
       "pca(256) | i8 | "
       "hnsw(m=32, efc=200) | rerank(f16, 3x) | maxsim(b1, 4x)"},
  };
  for (const auto& [given, canonical] : cases) {
    const Spec spec = parse_spec(given);
    EXPECT_EQ(to_string(spec), canonical);
    EXPECT_EQ(parse_spec(canonical), spec);
  }
}

std::string reason(const char* spec) {
  try {
    parse_spec(spec);
  } catch (const SpecError& error) {
    return error.what();
  }
  return "nothing was refused";
}

TEST(MultiVectorSpec, ErrorsPointAtTheirPlace) {
  EXPECT_EQ(
      reason("i8 | hnsw | maxsim(i8)"),
      "maxsim scores every document where nothing such as muvera, head or scan finds candidates, so no stage "
      "but pool may come before it; got hnsw\n"
      "i8 | hnsw | maxsim(i8)\n"
      "            ^");
  EXPECT_THAT(reason("muvera | i8 | hnsw"),
              HasSubstr("expected it at the end, as in muvera | i8 | hnsw | maxsim(i8)"));
  EXPECT_THAT(reason("scan(i4)"), HasSubstr("expected it at the end, as in scan(i4) | maxsim(i8)"));
  EXPECT_THAT(reason("head | i8 | hnsw"),
              HasSubstr("expected it at the end, as in head | i8 | hnsw | maxsim"));
  EXPECT_THAT(reason("head(dim=8) | maxsim"), HasSubstr("dim must be 16 to 16384, got 8"));
  EXPECT_THAT(reason("head(ridge=0) | maxsim"),
              HasSubstr("ridge is a number from 0.000001 to 1000000 such as 0.01, got '0'"));
  EXPECT_THAT(reason("head(reps=3) | maxsim"), HasSubstr("reps"));
  EXPECT_THAT(reason("muvera | head | maxsim"), HasSubstr("a second encoding: head follows muvera"));
  EXPECT_THAT(reason("pool(2x)"), HasSubstr("expected maxsim at the end, as in pool(2x) | maxsim(i8)"));
  EXPECT_EQ(
      reason("pool | i8 | hnsw"),
      "pool is of documents of several vectors: expected maxsim at the end, as in pool(2x) | maxsim(i8)\n"
      "pool | i8 | hnsw\n"
      "                ^");
  EXPECT_EQ(reason("scan | i8 | maxsim"),
            "scan compares vectors of documents, so maxsim is what follows it; got i8\n"
            "scan | i8 | maxsim\n"
            "       ^");
  EXPECT_THAT(reason("scan | muvera | maxsim"), HasSubstr("a second encoding: muvera follows scan"));
  EXPECT_THAT(reason("muvera | pool | maxsim"), HasSubstr("the pool stage must come before the encoding"));
  EXPECT_THAT(reason("dedup | scan | maxsim"), HasSubstr("scan takes documents of several: leave dedup out"));
  EXPECT_THAT(reason("dedup | pool | maxsim"), HasSubstr("pool takes documents of several: leave dedup out"));
  for (const char* carve : {"0", "1.1", "-0.5", "on", "0.7x"}) {
    EXPECT_THAT(
        reason(("scan(carve=" + std::string(carve) + ") | maxsim").c_str()),
        HasSubstr("carve is a cosine above 0, up to 1, such as 0.7, or off; got '" + std::string(carve)));
  }
  EXPECT_THAT(reason("scan(pq) | maxsim"), HasSubstr("the format of the vectors compared"));
  EXPECT_THAT(reason("scan(3x) | maxsim"), HasSubstr("the format of the vectors compared"));
  EXPECT_THAT(reason("pool(0.5x) | maxsim"), HasSubstr("the factor must be 1x to 1000x, got '0.5x'"));
  EXPECT_THAT(reason("pool(2x, clusters=3) | maxsim"), HasSubstr("so a factor says nothing"));
  EXPECT_THAT(reason("pool(median) | maxsim"), HasSubstr("ward or kmeans"));
  EXPECT_THAT(reason("pool(clusters=0) | maxsim"), HasSubstr("clusters must be 1 to 65536, got 0"));
  EXPECT_THAT(reason("maxsim(i8, 3x)"),
              HasSubstr("maxsim alone scores every document, so it takes no depth"));
  EXPECT_THAT(reason("maxsim(i7)"), HasSubstr("the format of the documents' vectors"));
  EXPECT_THAT(reason("muvera(bits=13) | maxsim"), HasSubstr("bits must be 0 to 12, got 13"));
  EXPECT_THAT(reason("muvera(projection=identity, dim=8) | maxsim"), HasSubstr("so dim says nothing"));
  EXPECT_THAT(reason("muvera(bucket=sum) | maxsim"), HasSubstr("bucket is one of unit, mean, got 'sum'"));
  EXPECT_THAT(reason("muvera(partition=cross, empty=nearest) | maxsim"),
              HasSubstr("leave empty=nearest out"));
  EXPECT_THAT(reason("muvera(partition=corners) | maxsim"),
              HasSubstr("partition is one of planes, cross, got 'corners'"));
  EXPECT_THAT(reason("dedup | muvera | maxsim"), HasSubstr("leave dedup out"));
  EXPECT_THAT(reason("i8 | muvera | maxsim"), HasSubstr("the encoding must come before the codec"));
  EXPECT_THAT(reason("muvera(size=3) | maxsim"), HasSubstr("size"));
  EXPECT_THAT(reason("maxsim | rerank"), HasSubstr("the rerank stage must come before the maxsim stage"));
}

TEST(MultiVectorSpec, Explained) {
  const std::string text =
      explain(parse_spec("muvera(reps=20, bits=4, dim=8) | i8 | hnsw | maxsim(i8, 10x)"), 128);
  EXPECT_THAT(
      text,
      HasSubstr(
          "muvera  one vector of 2560 values for the many of a document: 20 repetitions of 16 buckets\n"));
  EXPECT_THAT(text,
              HasSubstr("codec   i8: one byte a dimension and a scale per vector; 2568 bytes a vector\n"));
  EXPECT_THAT(
      text,
      HasSubstr(
          "maxsim  i8: one byte a dimension and a scale per vector; 136 bytes a vector of a document\n"));
  EXPECT_THAT(text, HasSubstr("depth=10: the vectors of 10 x k documents are compared with the query's\n"));
  EXPECT_THAT(
      explain(parse_spec("head(dim=64) | i8 | flat | maxsim"), 128),
      HasSubstr(
          "head    one vector of 64 values for the many of a document, learned from 8192 of all vectors\n"
          "codec   i8: one byte a dimension and a scale per vector; 72 bytes a vector\n"));
  EXPECT_EQ(explain(parse_spec("pool(2x) | scan(i4, carve=0.7) | maxsim(f16, 5x)"), 128),
            "pool(2x) | scan(i4, carve=0.7) | maxsim(f16, 5x)\n"
            "pool    the vectors of a document in 2 times fewer clusters (Ward's agglomeration), each kept "
            "as its mean\n"
            "scan    i4: half a byte a dimension and a scale per vector; 72 bytes a vector of a document\n"
            "        every document's vectors are compared with the query's\n"
            "        carve=0.7: vectors of a query at least so near to each other are added up to one\n"
            "maxsim  f16: 16-bit floats (IEEE binary16); 256 bytes a vector of a document\n"
            "        depth=5: the vectors of 5 x k documents are compared with the query's\n");
  EXPECT_EQ(explain(parse_spec("maxsim(b1)"), 128),
            "maxsim(b1)\n"
            "maxsim  b1: one bit a dimension and two factors per vector (RaBitQ), distances are estimates; "
            "24 bytes a vector of a "
            "document\n"
            "        every document's vectors are compared with the query's, exact on the codes\n");
}

}  // namespace
}  // namespace vicinal
