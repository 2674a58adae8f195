#include "vicinal/core/vector_file.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "vicinal/core/error.hpp"
#include "temporary_folder.hpp"
#include "vector_file_bytes.hpp"

namespace vicinal {
namespace {

using testing::ElementsAre;

std::vector<float> values_of(const FloatMatrix& matrix) {
  return {matrix.values.span().begin(), matrix.values.span().end()};
}
std::vector<Id> values_of(const IdMatrix& matrix) {
  return {matrix.values.span().begin(), matrix.values.span().end()};
}

class VectorFile : public testing::Test {
 protected:
  FloatMatrix vectors(const std::string& name, const FileBytes& file) {
    write_bytes(folder_ / name, file.bytes());
    return read_vectors(folder_ / name);
  }
  IdMatrix ids(const std::string& name, const FileBytes& file) {
    write_bytes(folder_ / name, file.bytes());
    return read_ids(folder_ / name);
  }
  TemporaryFolder folder_;
};

TEST_F(VectorFile, ReadsEveryNpyType) {
  const auto npy = [](const char* descr) {
    FileBytes file;
    file.npy(npy_dictionary(descr, "(2, 3)"));
    return file;
  };
  const FloatMatrix f32 = vectors("a.npy", npy("<f4").put_all<float>({1, 2.5, -3, 4, 5, 6}));
  EXPECT_EQ(f32.rows, 2U);
  EXPECT_EQ(f32.cols, 3U);
  EXPECT_EQ(f32.source_type, "f32");
  EXPECT_THAT(values_of(f32), ElementsAre(1, 2.5, -3, 4, 5, 6));
  EXPECT_EQ(f32.view()[1][0], 4);
  const FloatMatrix f16 =
      vectors("a.npy", npy("<f2").put_all<std::uint16_t>({0x3C00, 0xC000, 0x3800, 0, 0x0001, 0x7BFF}));
  EXPECT_EQ(f16.source_type, "f16");
  EXPECT_THAT(values_of(f16), ElementsAre(1, -2, 0.5, 0, 0x1p-24F, 65504));
  const FloatMatrix u8 = vectors("a.npy", npy("|u1").put_all<std::uint8_t>({0, 1, 127, 128, 254, 255}));
  EXPECT_EQ(u8.source_type, "u8");
  EXPECT_THAT(values_of(u8), ElementsAre(0, 1, 127, 128, 254, 255));
  const FloatMatrix i8 = vectors("a.npy", npy("<i1").put_all<std::int8_t>({0, 1, 127, -128, -2, -1}));
  EXPECT_EQ(i8.source_type, "i8");
  EXPECT_THAT(values_of(i8), ElementsAre(0, 1, 127, -128, -2, -1));
  const IdMatrix i32 = ids("a.npy", npy("<i4").put_all<std::int32_t>({0, -1, 2147483647, 3, 4, 5}));
  EXPECT_EQ(i32.rows, 2U);
  EXPECT_EQ(i32.cols, 3U);
  EXPECT_THAT(values_of(i32), ElementsAre(0, -1, 2147483647, 3, 4, 5));
  const IdMatrix i64 = ids("a.npy", npy("<i8").put_all<std::int64_t>({1LL << 40, -1, 0, 1, 2, 3}));
  EXPECT_THAT(values_of(i64), ElementsAre(1LL << 40, -1, 0, 1, 2, 3));
  const IdMatrix u64 = ids("a.npy", npy("<u8").put_all<std::uint64_t>({0, 1, 2, 3, 4, (1ULL << 63) - 1}));
  EXPECT_THAT(values_of(u64), ElementsAre(0, 1, 2, 3, 4, std::numeric_limits<Id>::max()));
}

TEST_F(VectorFile, ReadsEveryNpyVersionAlignmentAndSpelling) {
  for (const int version : {1, 2, 3}) {
    for (const std::size_t alignment : {1U, 16U, 64U}) {
      FileBytes file;
      file.npy(npy_dictionary("<f4", "(1, 2)"), version, alignment).put_all<float>({1, 2});
      const FloatMatrix read = vectors("a.npy", file);
      EXPECT_THAT(values_of(read), ElementsAre(1, 2)) << version << " " << alignment;
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(read.values.data()) % 64, 0U);
    }
  }
  for (const char* dictionary : {"{\"shape\":(1,2),\"fortran_order\":False,\"descr\":\"<f4\"}",
                                 "{'descr': '<f4', 'fortran_order': False, 'shape': (1L, 2L), }",
                                 "{ 'shape' : ( 1 , 2 , ) , 'descr' : '<f4' , 'fortran_order' : False }"}) {
    FileBytes file;
    file.npy(dictionary).put_all<float>({1, 2});
    EXPECT_THAT(values_of(vectors("a.npy", file)), ElementsAre(1, 2)) << dictionary;
  }
}

TEST_F(VectorFile, ReadsAOneDimensionalNpyAsOneColumnOfIds) {
  FileBytes file;
  file.npy(npy_dictionary("<i8", "(3,)")).put_all<std::int64_t>({7, 8, 9});
  const IdMatrix read = ids("a.npy", file);
  EXPECT_EQ(read.rows, 3U);
  EXPECT_EQ(read.cols, 1U);
  EXPECT_EQ(read.view()[2][0], 9);
}

TEST_F(VectorFile, ReadsVecsFiles) {
  FileBytes f32;
  f32.put(2).put(1.0F).put(2.0F).put(2).put(3.0F).put(-4.0F);
  EXPECT_THAT(values_of(vectors("a.fvecs", f32)), ElementsAre(1, 2, 3, -4));
  FileBytes u8;
  u8.put(3).put_all<std::uint8_t>({1, 2, 255}).put(3).put_all<std::uint8_t>({4, 5, 6});
  const FloatMatrix bytes = vectors("A.BVECS", u8);
  EXPECT_EQ(bytes.rows, 2U);
  EXPECT_EQ(bytes.source_type, "u8");
  EXPECT_THAT(values_of(bytes), ElementsAre(1, 2, 255, 4, 5, 6));
  FileBytes i32;
  i32.put(1).put(5).put(1).put(-1).put(1).put(6);
  const IdMatrix truth = ids("a.ivecs", i32);
  EXPECT_EQ(truth.rows, 3U);
  EXPECT_THAT(values_of(truth), ElementsAre(5, -1, 6));
}

TEST_F(VectorFile, ReadsBinFiles) {
  const auto start = [] { return FileBytes().put(2U).put(2U); };
  EXPECT_THAT(values_of(vectors("a.fbin", start().put_all<float>({1, 2, 3, 4}))), ElementsAre(1, 2, 3, 4));
  EXPECT_THAT(values_of(vectors("a.u8bin", start().put_all<std::uint8_t>({1, 2, 3, 200}))),
              ElementsAre(1, 2, 3, 200));
  EXPECT_THAT(values_of(vectors("a.i8bin", start().put_all<std::int8_t>({1, 2, 3, -100}))),
              ElementsAre(1, 2, 3, -100));
  EXPECT_THAT(values_of(ids("a.ibin", start().put_all<std::int32_t>({1, 2, 3, -1}))),
              ElementsAre(1, 2, 3, -1));
}

TEST_F(VectorFile, ReadsFilesWithoutRows) {
  const FloatMatrix npy = vectors("a.npy", FileBytes().npy(npy_dictionary("<f4", "(0, 5)")));
  EXPECT_EQ(npy.rows, 0U);
  EXPECT_EQ(npy.cols, 5U);
  EXPECT_EQ(vectors("a.fvecs", FileBytes()).rows, 0U);
  EXPECT_EQ(vectors("a.fbin", FileBytes().put(0U).put(7U)).cols, 7U);
  EXPECT_EQ(ids("a.npy", FileBytes().npy(npy_dictionary("<i8", "(0,)"))).rows, 0U);
}

// The meaning of a binary16 code by its definition, in exact arithmetic.
double meaning_of_half(std::uint32_t code) {
  const int exponent = static_cast<int>(code >> 10 & 31);
  const int fraction = static_cast<int>(code & 1023);
  const double sign = code >> 15 != 0 ? -1 : 1;
  if (exponent == 31) return fraction == 0 ? sign * std::numeric_limits<double>::infinity() : std::nan("");
  if (exponent == 0) return sign * std::ldexp(fraction, -24);
  return sign * std::ldexp(1024 + fraction, exponent - 25);
}

TEST_F(VectorFile, ConvertsEveryHalfExactly) {
  FileBytes file;
  file.npy(npy_dictionary("<f2", "(256, 256)"));
  for (std::uint32_t code = 0; code < 65536; ++code) file.put(static_cast<std::uint16_t>(code));
  const FloatMatrix read = vectors("a.npy", file);
  ASSERT_EQ(read.values.size(), 65536U);
  for (std::uint32_t code = 0; code < 65536; ++code) {
    const float value = read.values[code];
    const double meaning = meaning_of_half(code);
    if (std::isnan(meaning)) {
      ASSERT_TRUE(std::isnan(value)) << code;
    } else {
      ASSERT_EQ(static_cast<double>(value), meaning) << code;
    }
    ASSERT_EQ(std::signbit(value), code >> 15 != 0) << code;  // Also of zeros and NaNs.
  }
}

TEST_F(VectorFile, ReadsMoreThanOneChunkOfEveryKind) {
  // 4099 rows of 131 columns: chunks of a mebibyte end within rows, and the last one is short.
  constexpr std::uint32_t rows = 4099;
  constexpr std::uint32_t cols = 131;
  FileBytes u8;
  u8.put(rows).put(cols);
  FileBytes vecs;
  FileBytes halves;
  halves.npy(npy_dictionary("<f2", "(4099, 131)"));
  for (std::uint32_t i = 0; i < rows; ++i) {
    vecs.put(cols);
    for (std::uint32_t j = 0; j < cols; ++j) {
      u8.put(static_cast<std::uint8_t>(i * 7 + j));
      vecs.put(static_cast<float>(i * 7 + j));
      halves.put(static_cast<std::uint16_t>((i * 7 + j) % 31744));
    }
  }
  const FloatMatrix from_u8 = vectors("a.u8bin", u8);
  const FloatMatrix from_vecs = vectors("a.fvecs", vecs);
  const FloatMatrix from_halves = vectors("a.npy", halves);
  for (std::uint32_t i = 0; i < rows; ++i) {
    for (std::uint32_t j = 0; j < cols; ++j) {
      ASSERT_EQ(from_u8.view()[i][j], static_cast<float>((i * 7 + j) % 256));
      ASSERT_EQ(from_vecs.view()[i][j], static_cast<float>(i * 7 + j));
      ASSERT_EQ(from_halves.view()[i][j], static_cast<float>(meaning_of_half((i * 7 + j) % 31744)));
    }
  }
}

TEST_F(VectorFile, MayBeReadPastTheEndLikeOwnMemory) {
  // 64 bytes of header and 4032 of values: the file ends with its page.
  FileBytes file;
  file.npy(npy_dictionary("<f4", "(63, 16)")).put_all(std::vector<float>(63 * 16, 1.0F));
  FileBytes exact;
  exact.npy(npy_dictionary("<f4", "(62, 16)")).put_all(std::vector<float>(62 * 16, 1.0F));
  ASSERT_EQ(exact.bytes().size() % 4096, 0U);
  for (const FileBytes& bytes : {file, exact}) {
    const FloatMatrix read = vectors("a.npy", bytes);
    float sum = 0;
    for (std::size_t i = 0; i < readable_past_end / sizeof(float); ++i)
      sum += *(read.values.data() + read.values.size() + i);
    EXPECT_EQ(sum, 0);
  }
}

TEST_F(VectorFile, WrittenVectorsAreReadBackBitForBit) {
  const float nan_value = std::numeric_limits<float>::quiet_NaN();
  // The stride is larger than the width: what lies between rows must not be written.
  const std::vector<float> values = {
      1, -0.0F, 3e-45F, 99, 99, 5, nan_value, std::numeric_limits<float>::infinity(), 99, 99};
  const MatrixView<const float> rows(values.data(), 2, 3, 5);
  for (const char* name : {"a.npy", "a.fvecs", "a.fbin"}) {
    write_vectors(folder_ / name, rows);
    const FloatMatrix read = read_vectors(folder_ / name);
    ASSERT_EQ(read.rows, 2U);
    ASSERT_EQ(read.cols, 3U);
    for (std::size_t i = 0; i < 2; ++i) {
      for (std::size_t j = 0; j < 3; ++j) {
        EXPECT_EQ(std::bit_cast<std::uint32_t>(read.view()[i][j]), std::bit_cast<std::uint32_t>(rows[i][j]))
            << name;
      }
    }
  }
}

TEST_F(VectorFile, NumPyHeadersAreWrittenAsNumPyWritesThem) {
  const std::vector<float> values = {1, 2};
  write_vectors(folder_ / "a.npy", {values.data(), 1, 2});
  FileBytes expected;
  expected.npy(npy_dictionary("<f4", "(1, 2)")).put_all(values);
  EXPECT_EQ(read_bytes(folder_ / "a.npy"), expected.bytes());
}

RC_GTEST_FIXTURE_PROP(VectorFile, WrittenIdsAreReadBack,
                      (std::vector<std::int32_t> values, std::uint8_t width)) {
  const std::size_t cols = 1 + width % 9;
  const std::size_t rows = values.size() / cols;
  const std::vector<Id> numbers(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(rows * cols));
  for (const char* name : {"a.npy", "a.ivecs", "a.ibin"}) {
    write_ids(folder_ / name, {numbers.data(), rows, cols});
    const IdMatrix read = read_ids(folder_ / name);
    RC_ASSERT(read.rows == rows);
    RC_ASSERT(read.cols == cols || rows == 0);
    RC_ASSERT(values_of(read) == numbers);
  }
  RC_ASSERT(folder_.entries() == 3U);
}

TEST_F(VectorFile, LargeIdsSurviveInNpy) {
  const std::vector<Id> numbers = {std::numeric_limits<Id>::max(), -1, 1LL << 33};
  write_ids(folder_ / "a.npy", {numbers.data(), 3, 1});
  EXPECT_EQ(values_of(read_ids(folder_ / "a.npy")), numbers);
}

}  // namespace
}  // namespace vicinal
