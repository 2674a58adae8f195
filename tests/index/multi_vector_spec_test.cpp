// The stages muvera and maxsim.
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
      {"muvera | i8 | hnsw | maxsim",
       "muvera(reps=40, bits=3, dim=8) | i8 | hnsw(m=32, efc=200) | maxsim(i8, 10x)"},
      {"muvera(reps=20, bits=4, dim=8) | maxsim(i4, 2.5x)",
       "muvera(reps=20, bits=4, dim=8) | f32 | flat | maxsim(i4, 2.5x)"},
      {"muvera(paper) | maxsim",
       "muvera(reps=20, bits=5, dim=16, projection=dense, bucket=mean, empty=nearest, shared=on, centre=off) "
       "| f32 | flat | "
       "maxsim(i8, 10x)"},
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
  EXPECT_EQ(reason("i8 | hnsw | maxsim(i8)"),
            "maxsim scores every document where no muvera finds candidates, so no stage may come before it; "
            "got hnsw\n"
            "i8 | hnsw | maxsim(i8)\n"
            "            ^");
  EXPECT_THAT(reason("muvera | i8 | hnsw"),
              HasSubstr("expected it at the end, as in muvera | i8 | hnsw | maxsim(i8)"));
  EXPECT_THAT(reason("maxsim(i8, 3x)"),
              HasSubstr("maxsim alone scores every document, so it takes no depth"));
  EXPECT_THAT(reason("maxsim(i7)"), HasSubstr("the format of the documents' vectors"));
  EXPECT_THAT(reason("muvera(bits=13) | maxsim"), HasSubstr("bits must be 0 to 12, got 13"));
  EXPECT_THAT(reason("muvera(projection=identity, dim=8) | maxsim"), HasSubstr("so dim says nothing"));
  EXPECT_THAT(reason("muvera(bucket=sum) | maxsim"), HasSubstr("bucket is one of unit, mean, got 'sum'"));
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
  EXPECT_EQ(explain(parse_spec("maxsim(b1)"), 128),
            "maxsim(b1)\n"
            "maxsim  b1: one bit a dimension and two factors per vector (RaBitQ), distances are estimates; "
            "24 bytes a vector of a "
            "document\n"
            "        every document's vectors are compared with the query's, exact on the codes\n");
}

}  // namespace
}  // namespace vicinal
