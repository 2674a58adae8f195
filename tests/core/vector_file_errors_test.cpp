#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <limits>
#include <string>
#include <vector>

#include "vicinal/core/error.hpp"
#include "vicinal/core/random.hpp"
#include "vicinal/core/vector_file.hpp"
#include "temporary_folder.hpp"
#include "vector_file_bytes.hpp"

namespace vicinal {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::ThrowsMessage;

class VectorFileErrors : public testing::Test {
 protected:
  // Every message names the path.
  void expect_refused(const std::string& name, const FileBytes& file, const std::string& message) {
    write_bytes(folder_ / name, file.bytes());
    EXPECT_THAT(
        [&] { read_vectors(folder_ / name); },
        ThrowsMessage<InvalidArgument>(AllOf(HasSubstr((folder_ / name).string()), HasSubstr(message))));
  }
  void expect_ids_refused(const std::string& name, const FileBytes& file, const std::string& message) {
    write_bytes(folder_ / name, file.bytes());
    EXPECT_THAT(
        [&] { read_ids(folder_ / name); },
        ThrowsMessage<InvalidArgument>(AllOf(HasSubstr((folder_ / name).string()), HasSubstr(message))));
  }
  void expect_dictionary_refused(const std::string& dictionary, const std::string& message) {
    SCOPED_TRACE(dictionary);
    expect_refused("a.npy", FileBytes().npy(dictionary).put_all<float>({1, 2}), message);
  }
  TemporaryFolder folder_;
};

TEST_F(VectorFileErrors, TheSystemsReasonIsGiven) {
  EXPECT_THAT([&] { read_vectors(folder_ / "absent.npy"); },
              ThrowsMessage<IoError>(AllOf(HasSubstr("absent.npy"), HasSubstr("No such file or directory"))));
  std::filesystem::create_directory(folder_ / "folder.npy");
  EXPECT_THAT([&] { read_vectors(folder_ / "folder.npy"); },
              ThrowsMessage<IoError>(HasSubstr("is a directory")));
  ASSERT_EQ(::mkfifo((folder_ / "pipe.npy").c_str(), 0600), 0);
  EXPECT_THAT([&] { read_ids(folder_ / "pipe.npy"); },
              ThrowsMessage<IoError>(HasSubstr("not a regular file")));
  const float value = 1;
  EXPECT_THROW(write_vectors(folder_ / "absent" / "a.npy", {&value, 1, 1}), IoError);
}

TEST_F(VectorFileErrors, TheExtensionDecides) {
  expect_refused("a.csv", {}, "'.csv'");
  expect_refused("a", {}, ".npy, .fvecs, .bvecs, .fbin, .u8bin or .i8bin");
  expect_refused("a.ivecs", {}, "'.ivecs'");
  expect_refused("a.ibin", {}, "'.ibin'");
  expect_ids_refused("a.fvecs", {}, ".npy, .ivecs or .ibin");
  expect_ids_refused("a.u8bin", {}, "'.u8bin'");
  const float value = 1;
  const Id id = 1;
  EXPECT_THROW(write_vectors(folder_ / "b.bvecs", {&value, 1, 1}), InvalidArgument);
  EXPECT_THROW(write_vectors(folder_ / "b.ibin", {&value, 1, 1}), InvalidArgument);
  EXPECT_THROW(write_ids(folder_ / "b.fbin", {&id, 1, 1}), InvalidArgument);
  EXPECT_FALSE(std::filesystem::exists(folder_ / "b.bvecs"));
}

TEST_F(VectorFileErrors, NpyTypesAreNamed) {
  const auto npy = [](const std::string& descr) {
    return FileBytes().npy(npy_dictionary(descr, "(1, 2)")).put(1.0).put(2.0);
  };
  expect_refused("a.npy", npy("<f8"), "dtype '<f8', use f32, f16, u8 or i8");
  expect_refused("a.npy", npy("<i8"), "dtype '<i8', use f32, f16, u8 or i8");
  expect_refused("a.npy", npy(">f4"), "dtype '>f4' (big-endian)");
  expect_refused("a.npy", npy("|O"), "dtype '|O'");
  expect_refused("a.npy", npy("|b1"), "dtype '|b1'");
  expect_refused("a.npy", npy(""), "dtype ''");
  expect_ids_refused("a.npy", npy("<f4"), "dtype '<f4', use i32, i64 or u64");
  expect_ids_refused("a.npy", npy(">i8"), "big-endian");
  expect_dictionary_refused("{'descr': [('x', '<f4')], 'fortran_order': False, 'shape': (1, 2), }",
                            "structured");
}

TEST_F(VectorFileErrors, NpyShapesAreNamed) {
  expect_dictionary_refused(npy_dictionary("<f4", "(2,)"), "shape (2,), expected (rows, columns)");
  expect_dictionary_refused(npy_dictionary("<f4", "(1, 2, 1)"), "shape (1, 2, 1), expected (rows, columns)");
  expect_dictionary_refused(npy_dictionary("<f4", "()"), "shape (), expected (rows, columns)");
  expect_ids_refused("a.npy", FileBytes().npy(npy_dictionary("<i8", "()")).put(1LL), "shape ()");
  expect_dictionary_refused("{'descr': '<f4', 'fortran_order': True, 'shape': (1, 2), }", "Fortran order");
}

TEST_F(VectorFileErrors, NpySizesMustAgreeWithTheFile) {
  expect_dictionary_refused(npy_dictionary("<f4", "(1, 3)"),
                            "need a file of 140 bytes, this one has 136 (truncated?)");
  expect_dictionary_refused(npy_dictionary("<f4", "(1, 1)"),
                            "need a file of 132 bytes, this one has 136 (something follows");
  expect_dictionary_refused(npy_dictionary("<f4", "(0, 2)"), "something follows");
  // Sizes whose product wraps around to what is there.
  expect_dictionary_refused(npy_dictionary("<f4", "(4611686018427387905, 2)"), "more than 2^64");
  expect_dictionary_refused(npy_dictionary("<f4", "(9223372036854775809, 2)"), "more than 2^64");
  expect_dictionary_refused(npy_dictionary("<f4", "(2, 9223372036854775809)"), "columns, expected 1 to");
  expect_dictionary_refused(npy_dictionary("<f4", "(0, 4294967296)"), "columns, expected 1 to");
  expect_dictionary_refused(npy_dictionary("<f4", "(18446744073709551616, 2)"), "a size below 2^64");
  expect_refused("a.npy", FileBytes().npy(npy_dictionary("<f4", "(1152921504606846976, 0)")), "0 columns");
}

TEST_F(VectorFileErrors, NpyHeadersAreParsedStrictly) {
  expect_dictionary_refused("", "expected '{'");
  expect_dictionary_refused("{", "expected a string");
  expect_dictionary_refused("{}", "lacks one of");
  expect_dictionary_refused("{'descr': '<f4', 'shape': (1, 2), }", "lacks one of");
  expect_dictionary_refused("{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2), 'extra': 1}",
                            "key 'extra'");
  expect_dictionary_refused("{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (1, 2)}",
                            "key 'descr'");
  expect_dictionary_refused("{'descr': '<f4', 'fortran_order': Maybe, 'shape': (1, 2)}", "True or False");
  expect_dictionary_refused("{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 2)}", "a size");
  expect_dictionary_refused("{'descr': '<f4', 'fortran_order': False, 'shape': (1 2)}", "','");
  expect_dictionary_refused("{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2)} x", "nothing more");
  expect_dictionary_refused("{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2", "','");
  expect_dictionary_refused("{'descr': '" + std::string(100, 'x') + "', ", "at most 64 characters");
  expect_dictionary_refused("{'descr': '<f4\x1b[2J', ", "plain characters");
}

TEST_F(VectorFileErrors, NpyStartsAreChecked) {
  expect_refused("a.npy", {}, "not a NumPy file");
  expect_refused("a.npy", FileBytes().text("{'descr': '<f4'}"), "not a NumPy file");
  expect_refused("a.npy", FileBytes().text("\x93NUMPX\x01").put<std::uint8_t>(0).put<std::uint16_t>(0),
                 "not a NumPy file");
  expect_refused("a.npy", FileBytes().npy(npy_dictionary("<f4", "(0, 2)"), 4),
                 "version 4.0, expected 1.0, 2.0 or 3.0");
  expect_refused("a.npy", FileBytes().text("\x93NUMPY\x01").put<std::uint8_t>(0).put<std::uint16_t>(60000),
                 "takes 60000 bytes");
  expect_refused("a.npy", FileBytes().text("\x93NUMPY\x02").put<std::uint8_t>(0).put(0xFFFFFFFFU),
                 "takes 4294967295 bytes");
  expect_refused("a.npy", FileBytes().text("\x93NUMPY\x02").put<std::uint8_t>(0).put<std::uint16_t>(0),
                 "truncated");
  expect_refused(
      "a.npy",
      FileBytes().text("\x93NUMPY\x02").put<std::uint8_t>(0).put(70000U).text(std::string(70000, ' ')),
      "at most 65536");
}

TEST_F(VectorFileErrors, EveryTruncationIsRefused) {
  const FileBytes npy = FileBytes().npy(npy_dictionary("<f4", "(2, 3)")).put_all<float>({1, 2, 3, 4, 5, 6});
  const FileBytes vecs = FileBytes().put(2).put_all<float>({1, 2});
  const FileBytes bin = FileBytes().put(2U).put(2U).put_all<float>({1, 2, 3, 4});
  const auto expect_all_refused = [&](const std::string& name, const FileBytes& file, std::size_t shortest) {
    for (std::size_t length = shortest; length < file.bytes().size(); ++length) {
      write_bytes(folder_ / name, std::span(file.bytes()).first(length));
      EXPECT_THROW(read_vectors(folder_ / name), InvalidArgument) << name << " cut to " << length;
    }
  };
  expect_all_refused("a.npy", npy, 0);
  expect_all_refused("a.fvecs", vecs, 1);  // Empty is a file without rows.
  expect_all_refused("a.fbin", bin, 0);
}

TEST_F(VectorFileErrors, VecsRowsMustHaveOneDimension) {
  expect_refused("a.fvecs", FileBytes().put(2).put(1.0F).put(2.0F).put(3).put(3.0F).put(4.0F),
                 "row 1 has dimension 3, row 0 has 2");
  expect_refused("a.fvecs", FileBytes().put(2).put(1.0F).put(2.0F).put(1).put(3.0F), "not a multiple");
  expect_refused("a.fvecs", FileBytes().put(0).put(0), "dimension 0");
  expect_refused("a.fvecs", FileBytes().put(-1).put(1.0F), "dimension -1");
  expect_refused("a.bvecs", FileBytes().put(std::numeric_limits<std::int32_t>::max()).put(1),
                 "not a multiple");
}

TEST_F(VectorFileErrors, BinSizesMustAgreeWithTheFile) {
  expect_refused("a.fbin", FileBytes().put(0xFFFFFFFFU).put(0x7FFFFFFFU), "truncated?");
  expect_refused("a.fbin", FileBytes().put(0xFFFFFFFFU).put(0xFFFFFFFFU), "columns, expected 1 to");
  expect_refused("a.fbin", FileBytes().put(5U).put(0U), "5 rows of 0 columns");
  expect_refused("a.u8bin", FileBytes().put(1U).put(2U).put<std::uint8_t>(1),
                 "1 x 2 values of type u8 need a file of 10 bytes");
  expect_refused("a.u8bin", FileBytes().put(1U).put(2U).put(1U), "something follows");
}

TEST_F(VectorFileErrors, IdsMustFit) {
  expect_ids_refused("a.npy", FileBytes().npy(npy_dictionary("<u8", "(2,)")).put(1ULL).put(1ULL << 63),
                     "id 9223372036854775808 is too large");
  const std::vector<Id> ids = {1, 2, 1LL << 31, 4};
  for (const char* name : {"b.ivecs", "b.ibin"}) {
    EXPECT_THAT(
        [&] {
          write_ids(folder_ / name, {ids.data(), 2, 2});
        },
        ThrowsMessage<InvalidArgument>(HasSubstr("id 2147483648 in row 1 does not fit in 32 bits")));
    EXPECT_FALSE(std::filesystem::exists(folder_ / name));
  }
}

TEST_F(VectorFileErrors, RowsWithoutColumnsAreNotWritten) {
  const float value = 1;
  EXPECT_THROW(write_vectors(folder_ / "a.npy", {&value, 3, 0}), InvalidArgument);
  EXPECT_EQ(folder_.entries(), 0U);
}

TEST_F(VectorFileErrors, DamagedFilesNeverDoMoreThanThrow) {
  FileBytes npy;
  npy.npy(npy_dictionary("<f4", "(4, 3)")).put_all(std::vector<float>(12, 1.0F));
  RandomStream random(1, 0);
  std::size_t refused = 0;
  for (int round = 0; round < 3000; ++round) {
    std::vector<char> bytes = npy.bytes();
    for (std::uint64_t change = 0; change <= random.next_below(3); ++change) {
      bytes[random.next_below(128)] = static_cast<char>(random.next_below(256));
    }
    write_bytes(folder_ / "a.npy", bytes);
    try {
      const FloatMatrix read = read_vectors(folder_ / "a.npy");
      ASSERT_EQ(read.values.size(), read.rows * read.cols);
      ASSERT_LE(read.values.bytes(), 4 * bytes.size());
    } catch (const InvalidArgument&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, 1000U);
}

}  // namespace
}  // namespace vicinal
