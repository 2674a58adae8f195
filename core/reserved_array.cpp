#include "vicinal/core/reserved_array.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <new>

#include "vicinal/core/array.hpp"

namespace vicinal {
namespace {

constexpr std::size_t huge_page = std::size_t{2} << 20;
constexpr std::size_t small_page = 65536;  // of 4, 16 or 64 KiB

std::size_t round_up(std::size_t bytes, std::size_t multiple) {
  return (bytes + multiple - 1) / multiple * multiple;
}

}  // namespace

ReservedMemory::ReservedMemory(std::size_t bytes) {
  reserved_ = round_up(bytes + readable_past_end, huge_page);
  const std::size_t with_slack = reserved_ + huge_page;
  if (with_slack < bytes) throw std::bad_alloc();
  // Without access it counts against no limit of memory, only of addresses.
  void* const address =
      ::mmap(nullptr, with_slack, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (address == MAP_FAILED) {
    reserved_ = 0;
    throw std::bad_alloc();
  }
  auto* const begin = static_cast<std::byte*>(address);
  const std::size_t before = (huge_page - reinterpret_cast<std::uintptr_t>(begin) % huge_page) % huge_page;
  if (before != 0) ::munmap(begin, before);
  begin_ = begin + before;
  if (before != huge_page) ::munmap(begin_ + reserved_, huge_page - before);
}

ReservedMemory::~ReservedMemory() {
  if (begin_ != nullptr) ::munmap(begin_, reserved_);
}

void ReservedMemory::commit(std::size_t bytes) {
  if (bytes <= committed_) return;
  if (bytes > reserved_ - readable_past_end) throw std::bad_alloc();
  // An eighth more than asked for, so that growing by one costs a constant in the mean.
  const std::size_t wanted = std::min(bytes + bytes / 8, reserved_ - readable_past_end);
  const std::size_t unit = wanted >= huge_page ? huge_page : small_page;
  const std::size_t end = std::min(reserved_, round_up(wanted + readable_past_end, unit));
  if (::mprotect(begin_, end, PROT_READ | PROT_WRITE) != 0) throw std::bad_alloc();
  // Advice only: where huge pages are turned off, small ones serve.
  if (unit == huge_page) ::madvise(begin_, end, MADV_HUGEPAGE);
  __atomic_store_n(&committed_, end - readable_past_end, __ATOMIC_RELAXED);
}

}  // namespace vicinal
