#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "vicinal/index/spec.hpp"

namespace vicinal {
namespace {

using ::testing::HasSubstr;

TEST(SpecExplain, NamesEveryStageAndItsBytes) {
  const std::string text = explain(parse_spec("i8 | hnsw(m=16) | rerank(f16, 4x)"), 100);
  EXPECT_THAT(
      text,
      HasSubstr("i8: one byte a dimension and a scale per vector; 112 bytes a vector"));  // 104 + two floats
  EXPECT_THAT(text, HasSubstr("m=16: 32 links a vector"));
  EXPECT_THAT(text, HasSubstr("efc=200"));
  EXPECT_THAT(text, HasSubstr("f16: 16-bit floats (IEEE binary16); 200 bytes a vector"));
  EXPECT_THAT(text, HasSubstr("4 x k candidates"));
  EXPECT_THAT(text, HasSubstr("of 100 dimensions (400 as f32)"));
  EXPECT_THAT(explain(parse_spec("flat"), 3), HasSubstr("12 bytes a vector"));
}

TEST(SpecExplain, ResolvesTheSizeOfAProductQuantiser) {
  const std::string text = explain(parse_spec("pca(50) | opq(d/4, bits=4) | flat"), 100);
  EXPECT_THAT(text,
              HasSubstr("opq: half a byte a sub-space, which names the nearest of 16 centroids; 7 bytes a "
                        "vector"));
  EXPECT_THAT(text, HasSubstr("m=13: sub-spaces of 3 or 4 dimensions, after a learnt rotation"));
  EXPECT_THAT(text, HasSubstr("13200 bytes an index for centroids and rotation"));  // 4 (50 x 16 + 50 x 50)
  const std::string plain = explain(parse_spec("pq(25) | hnsw"), 100);
  EXPECT_THAT(plain,
              HasSubstr("pq: one byte a sub-space, which names the nearest of 256 centroids; 25 bytes"));
  EXPECT_THAT(plain, HasSubstr("m=25: sub-spaces of 4 dimensions\n"));
  EXPECT_THAT(plain, HasSubstr("102400 bytes an index for centroids\n"));
  EXPECT_THROW((void)explain(parse_spec("pca(50) | pq(51)"), 100), InvalidArgument);
}

TEST(SpecExplain, AveragesTiers) {
  const std::string text = explain(parse_spec("tiers(f16=0.1, i8=0.4, i4)"), 100);
  EXPECT_THAT(text, HasSubstr("f16: a share of 0.1, 16-bit floats (IEEE binary16); 200 bytes a vector"));
  EXPECT_THAT(text, HasSubstr("i4: the rest, "));
  EXPECT_THAT(text,
              HasSubstr("100.8 bytes a vector on average"));  // 20 + 0.4 x 112 + 0.5 x 64 + a row number
}

TEST(SpecExplain, CountsBothLevels) {
  const std::string text = explain(parse_spec("b1+i4 | hnsw(m=16)"), 128);
  EXPECT_THAT(text, HasSubstr("+i4: what the codes above lack, added to them; half a byte a dimension and a "
                              "scale per vector; 76 bytes a vector"));  // 64, two floats and a slot
  EXPECT_THAT(text, HasSubstr("10 x k candidates"));
}

TEST(SpecExplain, CountsTheDimensionsThatAProjectionKeeps) {
  const std::string text = explain(parse_spec("pca(64) | i8 | flat | rerank(f16)"), 100);
  EXPECT_THAT(text, HasSubstr("pca: the directions in which the base varies most; 64 of 100 dimensions"));
  EXPECT_THAT(text, HasSubstr("whiten=off"));
  EXPECT_THAT(text, HasSubstr("26800 bytes an index for its matrix"));  // 4 (100 + 64 x 100) + 8 x 100
  EXPECT_THAT(text, HasSubstr("i8: one byte a dimension and a scale per vector; 72 bytes a vector"));
  EXPECT_THAT(text, HasSubstr("f16: 16-bit floats (IEEE binary16); 200 bytes a vector"));
  EXPECT_THAT(text, HasSubstr("total   about 272 bytes a vector of 100 dimensions"));
  EXPECT_THROW((void)explain(parse_spec("pca(64) | i8"), 63), InvalidArgument);
}

TEST(SpecExplain, CountsTheMatricesOfClusters) {
  const std::string text = explain(parse_spec("pca(64, clusters=3) | i8 | flat"), 100);
  EXPECT_THAT(text, HasSubstr("clusters=3: rows in groups of near ones"));
  EXPECT_THAT(text, HasSubstr("80400 bytes an index for its matrices"));  // 3 (4 (100 + 64 x 100) + 8 x 100)
  EXPECT_THAT(text, HasSubstr("total   about 76 bytes a vector of 100 dimensions"));  // 72 and a row number
  EXPECT_THAT(explain(parse_spec("pca(50, clusters=3) | pq(25)"), 100),
              HasSubstr("153600 bytes an index for centroids\n"));  // 3 x 50 x 256 x 4
}

}  // namespace
}  // namespace vicinal
