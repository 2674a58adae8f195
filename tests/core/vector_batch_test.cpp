#include "vicinal/core/vector_batch.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "vicinal/core/error.hpp"

namespace vicinal {
namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;
constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float nan_value = std::numeric_limits<float>::quiet_NaN();

TEST(VectorBatch, CountsItems) {
  const std::vector<float> values(12);
  const MatrixView<const float> rows(values.data(), 4, 3);
  const VectorBatch single(rows);
  EXPECT_EQ(single.size(), 4U);
  EXPECT_EQ(single.dim(), 3U);
  EXPECT_FALSE(single.multi_vector());
  const std::vector<std::uint64_t> offsets = {0, 1, 4};
  const VectorBatch multi(rows, offsets);
  EXPECT_EQ(multi.size(), 2U);
  EXPECT_TRUE(multi.multi_vector());
}

TEST(RequireFinite, FindsEveryPlaceInRowsOfEveryLength) {
  for (std::size_t cols = 1; cols <= 70; ++cols) {
    std::vector<float> values(3 * cols, 1.0F);
    for (std::size_t place = 0; place < values.size(); ++place) {
      values[place] = place % 2 == 0 ? nan_value : -infinity;
      const std::string expected = "queries row " + std::to_string(place / cols) + " column " +
                                   std::to_string(place % cols) + (place % 2 == 0 ? " is nan" : " is -inf");
      EXPECT_THAT(
          [&] {
            require_finite({values.data(), 3, cols}, "queries");
          },
          ThrowsMessage<InvalidArgument>(HasSubstr(expected)));
      values[place] = 1.0F;
    }
    EXPECT_NO_THROW(require_finite({values.data(), 3, cols}, "queries"));
  }
}

TEST(RequireFinite, AgreesWithIsfiniteOnEveryExponent) {
  for (std::uint32_t high = 0; high < 1U << 16; ++high) {
    for (const std::uint32_t low : {0U, 1U, 0xFFFFU}) {
      const float value = std::bit_cast<float>(high << 16 | low);
      bool refused = false;
      try {
        require_finite({&value, 1, 1}, "x");
      } catch (const InvalidArgument&) {
        refused = true;
      }
      ASSERT_EQ(refused, !std::isfinite(value)) << std::hex << (high << 16 | low);
    }
  }
}

TEST(RequireFinite, DoesNotLookBetweenRows) {
  std::vector<float> values = {1, 2, nan_value, 3, 4, nan_value};
  EXPECT_NO_THROW(require_finite({values.data(), 2, 2, 3}, "x"));
  EXPECT_THROW(require_finite({values.data(), 2, 3, 3}, "x"), InvalidArgument);
  EXPECT_NO_THROW(require_finite({}, "x"));
}

TEST(ValidateBatch, NamesBothDimensions) {
  const std::vector<float> values(8);
  EXPECT_NO_THROW(validate_batch(MatrixView<const float>(values.data(), 2, 4), 4, "queries"));
  EXPECT_THAT([&] { validate_batch(MatrixView<const float>(values.data(), 2, 4), 2, "queries"); },
              ThrowsMessage<InvalidArgument>("queries have 4 columns, the index has dimension 2"));
  EXPECT_THAT([&] { validate_batch(MatrixView<const float>(values.data(), 8, 1), 2, "queries"); },
              ThrowsMessage<InvalidArgument>("queries have 1 column, the index has dimension 2"));
}

TEST(ValidateBatch, ChecksOffsets) {
  const std::vector<float> values(8);
  const auto validate = [&](std::vector<std::uint64_t> offsets) {
    validate_batch(VectorBatch({values.data(), 4, 2}, offsets), 2, "documents");
  };
  EXPECT_NO_THROW(validate({0, 4}));
  EXPECT_NO_THROW(validate({0, 0, 2, 2, 4, 4}));  // An item may have no vector.
  EXPECT_THAT(
      [&] {
        validate({1, 4});
      },
      ThrowsMessage<InvalidArgument>("documents offsets begin with 1, expected 0"));
  EXPECT_THAT(
      [&] {
        validate({0, 3, 2, 4});
      },
      ThrowsMessage<InvalidArgument>("documents offsets must ascend: offset 2 is 2 after 3"));
  EXPECT_THAT(
      [&] {
        validate({0, 3});
      },
      ThrowsMessage<InvalidArgument>("documents offsets end at row 3, there are 4 rows"));
  EXPECT_THAT(
      [&] {
        validate({0, 5});
      },
      ThrowsMessage<InvalidArgument>("documents offsets end at row 5, there are 4 rows"));
}

TEST(ValidateBatch, RefusesWhatIsNotFinite) {
  const std::vector<float> values = {0, 1, 2, infinity};
  EXPECT_THAT([&] { validate_batch(MatrixView<const float>(values.data(), 2, 2), 2, "vectors"); },
              ThrowsMessage<InvalidArgument>(HasSubstr("vectors row 1 column 1 is inf")));
}

}  // namespace
}  // namespace vicinal
