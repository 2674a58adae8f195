#include "vicinal/core/array.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <new>
#include <utility>

#include "vicinal/core/error.hpp"

namespace vicinal {
namespace {

class AllocatePages : public testing::TestWithParam<std::size_t> {};

TEST_P(AllocatePages, IsAlignedZeroedAndReadablePastItsEnd) {
  const std::size_t bytes = GetParam();
  const auto memory = allocate_pages(bytes);
  const std::size_t alignment = bytes >= (std::size_t{2} << 20) ? std::size_t{2} << 20 : 64;
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(memory.get()) % alignment, 0U);
  // Under a sanitizer this is also the proof that the bytes past the end are there.
  const auto is_zero = [](std::byte b) { return b == std::byte{0}; };
  EXPECT_TRUE(std::all_of(memory.get(), memory.get() + bytes + readable_past_end, is_zero));
  std::fill_n(memory.get(), bytes, std::byte{0xAB});
}

INSTANTIATE_TEST_SUITE_P(Sizes, AllocatePages,
                         testing::Values(0, 1, 63, 64, 65, 4096, (2 << 20) - 1, 2 << 20, (2 << 20) + 1,
                                         (4 << 20) - 64, 4 << 20));

TEST(AllocatePages, IsZeroAgainAfterDirtyMemoryWasReleased) {
  for (const std::size_t bytes : {std::size_t{1000}, std::size_t{3} << 20}) {
    for (int round = 0; round < 4; ++round) {
      const auto memory = allocate_pages(bytes);
      ASSERT_EQ(std::count(memory.get(), memory.get() + bytes, std::byte{0}),
                static_cast<std::ptrdiff_t>(bytes));
      std::fill_n(memory.get(), bytes, std::byte{0xFF});
    }
  }
}

TEST(AllocatePages, ThrowsWhenThereIsNoSuchMemory) {
  EXPECT_THROW(allocate_pages(std::numeric_limits<std::size_t>::max()), std::bad_alloc);
  EXPECT_THROW(allocate_pages(std::numeric_limits<std::size_t>::max() - readable_past_end), std::bad_alloc);
  EXPECT_THROW(allocate_pages(std::size_t{1} << 62), std::bad_alloc);
}

TEST(Array, CopiesShareTheElements) {
  Array<float> values(3);
  Array<float> copy = values;
  values[1] = 5;
  EXPECT_EQ(copy[1], 5);
  EXPECT_EQ(copy.size(), 3U);
  EXPECT_EQ(copy.bytes(), 12U);
  values = {};
  EXPECT_TRUE(values.empty());
  EXPECT_EQ(copy[1], 5);
}

TEST(Array, BorrowedElementsKeepTheirOwnerAlive) {
  auto owner = allocate_pages(64);
  const std::weak_ptr<std::byte> watch = owner;
  Array<std::uint32_t> values(owner, reinterpret_cast<std::uint32_t*>(owner.get()) + 2, 4);
  owner.reset();
  EXPECT_FALSE(watch.expired());
  EXPECT_EQ(values.span().size(), 4U);
  values = {};
  EXPECT_TRUE(watch.expired());
}

TEST(Array, RefusesASizeWhoseBytesOverflow) {
  EXPECT_THROW(Array<double>(std::numeric_limits<std::size_t>::max() / 4), InvalidArgument);
}

TEST(CheckedProduct, NamesBothFactorsOnOverflow) {
  EXPECT_EQ(checked_product(std::size_t{1} << 32, (std::size_t{1} << 32) - 1, "x"), 0xFFFFFFFF00000000U);
  EXPECT_EQ(checked_product(0, std::numeric_limits<std::size_t>::max(), "x"), 0U);
  EXPECT_THAT([] { checked_product(std::size_t{1} << 32, std::size_t{1} << 32, "codes"); },
              testing::ThrowsMessage<InvalidArgument>("codes: 4294967296 x 4294967296 overflows"));
}

}  // namespace
}  // namespace vicinal
