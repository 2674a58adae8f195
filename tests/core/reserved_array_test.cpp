#include "vicinal/core/reserved_array.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <new>

namespace vicinal {
namespace {

TEST(ReservedArray, GrowsWithoutMovingAndBeginsZeroed) {
  ReservedArray<std::uint32_t> array(std::size_t{1} << 24, 3);
  const std::uint32_t* const data = array.data();
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(data) % 64, 0U);
  std::size_t rows = 0;
  for (const std::size_t next : {1U, 2U, 100U, 5'000U, 1'000'000U}) {
    array.commit_rows(next);
    EXPECT_EQ(array.data(), data);
    for (; rows < next; ++rows) {
      ASSERT_EQ(array.row(rows)[2], 0U);
      array.row(rows)[2] = static_cast<std::uint32_t>(rows);
    }
  }
  for (std::size_t row = 0; row < rows; ++row) ASSERT_EQ(array.row(row)[2], row);
}

TEST(ReservedArray, TakesMemoryForWhatIsCommittedOnly) {
  ReservedArray<float> array(std::size_t{1} << 30, 4);
  EXPECT_EQ(array.bytes(), 0U);
  array.commit_rows(10);
  EXPECT_LE(array.bytes(), 128U << 10);
  const std::size_t before = array.bytes();
  array.commit_rows(5);
  EXPECT_EQ(array.bytes(), before);
}

TEST(ReservedArray, RefusesMoreThanWasReserved) {
  ReservedArray<std::uint8_t> array(1000, 1);
  EXPECT_THROW(array.commit_rows(std::size_t{1} << 30), std::bad_alloc);
  array.commit_rows(1000);
  array[999] = 7;
  EXPECT_EQ(array[999], 7);
}

}  // namespace
}  // namespace vicinal
