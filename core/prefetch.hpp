#pragma once

#include <atomic>
#include <cstddef>

namespace vicinal {

/// Asks for the cache lines of [address, address + bytes), to be kept in all cache levels.
/// The fence does no work at run time. Without it GCC 12 treats the loop as having no effect and keeps only its first
/// prefetch (Intel's SVS measured -24 % queries/s); tests/meta/prefetch_codegen.sh looks at the object code.
[[gnu::always_inline]] inline void prefetch(const void* address, std::size_t bytes) {
  const char* line = static_cast<const char*>(address);
  for (std::size_t offset = 0; offset < bytes; offset += 64) {
    __builtin_prefetch(line + offset, 0, 3);
    std::atomic_signal_fence(std::memory_order_seq_cst);
  }
}

}  // namespace vicinal
