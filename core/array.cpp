#include "vicinal/core/array.hpp"

#include <sys/mman.h>

#include <cstring>
#include <limits>
#include <new>
#include <string>

#include "vicinal/core/error.hpp"

namespace vicinal {
namespace {

constexpr std::size_t huge_page = std::size_t{2} << 20;
constexpr std::size_t cache_line = 64;

std::size_t round_up(std::size_t bytes, std::size_t multiple) {
  return (bytes + multiple - 1) / multiple * multiple;
}

// Anonymous memory at a multiple of 2 MiB. mmap aligns to small pages only, so ask for one huge page more and give back what
// lies before and after.
std::shared_ptr<std::byte> map_huge_pages(std::size_t bytes) {
  const std::size_t reserved = bytes + huge_page;
  void* const address = ::mmap(nullptr, reserved, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (address == MAP_FAILED) throw std::bad_alloc();
  auto* const begin = static_cast<std::byte*>(address);
  const std::size_t before = (huge_page - reinterpret_cast<std::uintptr_t>(begin) % huge_page) % huge_page;
  if (before != 0) ::munmap(begin, before);
  std::byte* const aligned = begin + before;
  ::munmap(aligned + bytes, huge_page - before);
  // Advice only: where huge pages are turned off, small ones serve.
  ::madvise(aligned, bytes, MADV_HUGEPAGE);
  return {aligned, [bytes](std::byte* pages) { ::munmap(pages, bytes); }};
}

std::shared_ptr<std::byte> allocate_zeroed(std::size_t bytes) {
  auto* const memory = static_cast<std::byte*>(::operator new (bytes, std::align_val_t{cache_line}));
  std::memset(memory, 0, bytes);
  return {memory, [](std::byte* begin) { ::operator delete (begin, std::align_val_t{cache_line}); }};
}

}  // namespace

std::shared_ptr<std::byte> allocate_pages(std::size_t bytes) {
  // Leaves room for the bytes past the end, for rounding and for alignment.
  if (bytes > std::numeric_limits<std::size_t>::max() - 4 * huge_page) throw std::bad_alloc();
  constexpr std::size_t largest_small_page = 65536;  // of the kernels in use: 4, 16 or 64 KiB
  if (bytes >= huge_page) return map_huge_pages(round_up(bytes + readable_past_end, largest_small_page));
  return allocate_zeroed(round_up(bytes + readable_past_end, cache_line));
}

std::size_t checked_product(std::size_t a, std::size_t b, const char* what) {
  std::size_t product = 0;
  if (__builtin_mul_overflow(a, b, &product)) {
    throw InvalidArgument(std::string(what) + ": " + std::to_string(a) + " x " + std::to_string(b) +
                          " overflows");
  }
  return product;
}

}  // namespace vicinal
