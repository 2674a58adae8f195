#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace vicinal {

/// Tells a writer when nobody can be looking any more at what it took out of reach (epoch-based reclamation: Fraser, "Practical
/// lock-freedom", 2004). Readers pin the epoch they begin in and never wait; the writer, one thread at a time, moves to the next epoch once nobody
/// is left in the one before.
class Epochs {
 public:
  /// While it lives, nothing that was in reach when it was made is reused.
  class Pin {
   public:
    explicit Pin(std::atomic<std::uint64_t>& readers) : readers_(&readers) {}
    ~Pin() { readers_->fetch_sub(1, std::memory_order_release); }
    Pin(const Pin&) = delete;
    Pin& operator=(const Pin&) = delete;
    Pin(Pin&&) = delete;
    Pin& operator=(Pin&&) = delete;

   private:
    std::atomic<std::uint64_t>* readers_;
  };

  [[nodiscard]] Pin pin() const;
  [[nodiscard]] std::uint64_t now() const { return epoch_.load(std::memory_order_seq_cst); }
  /// Begins the next epoch if nobody is left in the one before this.
  bool try_advance();
  /// Whether what went out of reach in `epoch` can be reused.
  [[nodiscard]] bool has_passed(std::uint64_t epoch) const { return now() >= epoch + 2; }

 private:
  // Threads count themselves in different cache lines.
  static constexpr std::size_t stripes = 16;
  struct alignas(64) Stripe {
    std::atomic<std::uint64_t> readers = 0;
  };
  // Of even and odd epochs: there are readers of two at most.
  mutable std::array<std::array<Stripe, stripes>, 2> readers_{};
  std::atomic<std::uint64_t> epoch_ = 2;
};

}  // namespace vicinal
