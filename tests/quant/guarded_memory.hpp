#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstring>
#include <new>
#include <span>

/// Memory that ends where a page begins that may not be read: a read beyond the end stops the process.
class GuardedMemory {
 public:
  explicit GuardedMemory(std::size_t bytes) : page_(static_cast<std::size_t>(::sysconf(_SC_PAGESIZE))) {
    usable_ = (bytes + page_ - 1) / page_ * page_;
    void* const address =
        ::mmap(nullptr, usable_ + page_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (address == MAP_FAILED) throw std::bad_alloc();
    begin_ = static_cast<std::byte*>(address);
    if (::mprotect(begin_ + usable_, page_, PROT_NONE) != 0) throw std::bad_alloc();
  }
  ~GuardedMemory() { ::munmap(begin_, usable_ + page_); }
  GuardedMemory(const GuardedMemory&) = delete;
  GuardedMemory& operator=(const GuardedMemory&) = delete;

  /// The last `bytes` bytes before the guard.
  [[nodiscard]] std::byte* last(std::size_t bytes) const { return begin_ + usable_ - bytes; }
  /// A copy of `values` that ends at the guard.
  template <class T>
  [[nodiscard]] T* place(std::span<const T> values) const {
    if (!values.empty()) std::memcpy(last(values.size_bytes()), values.data(), values.size_bytes());
    return reinterpret_cast<T*>(last(values.size_bytes()));
  }

 private:
  std::size_t page_;
  std::size_t usable_ = 0;
  std::byte* begin_ = nullptr;
};
