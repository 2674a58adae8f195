#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace vicinal {

/// Where what is asked for is to go.
enum class CacheLevel : std::uint8_t { first, second };

/// Asks for the cache lines of [address, address + bytes), to be kept in all cache levels from the one given on: in the first if they are wanted
/// at once, in the second if much else comes before, for which more can be on the way.
/// The fence does no work at run time. Without it GCC 12 treats the loop as having no effect and keeps only its first
/// prefetch (Intel's SVS measured -24 % queries/s); tests/meta/prefetch_codegen.sh looks at the object code.
template <CacheLevel level = CacheLevel::first>
[[gnu::always_inline]] inline void prefetch(const void* address, std::size_t bytes) {
  const char* line = static_cast<const char*>(address);
  for (std::size_t offset = 0; offset < bytes; offset += 64) {
    __builtin_prefetch(line + offset, 0, level == CacheLevel::first ? 3 : 2);
    std::atomic_signal_fence(std::memory_order_seq_cst);
  }
}

/// For loops over consecutive memory: asks for the lines that the `bytes` from `address` on are followed by at a distance, be they part of an
/// object or not. The prefetchers of processors stop at pages and count on loads that come sooner than those of kernels with much to
/// compute.
[[gnu::always_inline]] inline void prefetch_ahead(const void* address, std::size_t bytes) {
  constexpr std::uintptr_t distance = 4096;
  const std::uintptr_t ahead = reinterpret_cast<std::uintptr_t>(address) + distance;
  // NOLINTNEXTLINE(performance-no-int-to-ptr): pointers end with their objects.
  prefetch(reinterpret_cast<const void*>(ahead), bytes);
}

}  // namespace vicinal
