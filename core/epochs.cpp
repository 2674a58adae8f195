#include "vicinal/core/epochs.hpp"

#include <functional>
#include <thread>

namespace vicinal {

Epochs::Pin Epochs::pin() const {
  const std::size_t hash = std::hash<std::thread::id>()(std::this_thread::get_id());
  const std::size_t stripe = (hash * 0x9E37'79B9'7F4A'7C15U) >> 60U;
  static_assert(stripes == 16);
  for (;;) {
    const std::uint64_t epoch = epoch_.load(std::memory_order_seq_cst);
    std::atomic<std::uint64_t>& readers = readers_[epoch % 2][stripe].readers;
    readers.fetch_add(1, std::memory_order_seq_cst);
    // Had the writer moved on in between, it would not have seen this reader.
    if (epoch_.load(std::memory_order_seq_cst) == epoch) return Pin(readers);
    readers.fetch_sub(1, std::memory_order_release);
  }
}

bool Epochs::try_advance() {
  const std::uint64_t epoch = epoch_.load(std::memory_order_relaxed);
  for (const Stripe& stripe : readers_[(epoch + 1) % 2]) {
    if (stripe.readers.load(std::memory_order_seq_cst) != 0) return false;
  }
  epoch_.store(epoch + 1, std::memory_order_seq_cst);
  return true;
}

}  // namespace vicinal
