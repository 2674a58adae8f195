#pragma once

#include <cmath>
#include <cstdint>
#include <random>

namespace vicinal {

/// The random numbers that an encoder gets when it is compiled against the libstdc++ of GCC 11 or of those after it that we
/// know (the tests compare): std::mt19937, which the C++ standard specifies to the bit, under distributions that it does not.
/// What those compute is written down here, so that the numbers stay the same under any standard library. Not thread-safe,
/// like any generator.
class LibstdcxxRandom {
 public:
  explicit LibstdcxxRandom(std::uint32_t seed) : engine_(seed) {}

  /// std::normal_distribution<float>(0, 1): Marsaglia's polar method. A pair of numbers comes out at a time and the second
  /// one is kept for the next call. The logarithm is the C library's in binary32: glibc (from 2.28), musl and bionic compute
  /// the same one; another library may round the last place differently.
  float next_normal() {
    if (has_saved_) {
      has_saved_ = false;
      return saved_;
    }
    float x = 0.0F;
    float y = 0.0F;
    float square = 0.0F;
    do {
      x = 2.0F * next_unit_float() - 1.0F;
      y = 2.0F * next_unit_float() - 1.0F;
      square = x * x + y * y;
    } while (square > 1.0F || square == 0.0F);
    const float factor = std::sqrt(-2.0F * std::log(square) / square);
    saved_ = x * factor;
    has_saved_ = true;
    return y * factor;
  }

  /// std::uniform_int_distribution(0, bound - 1), bound > 0: Lemire, "Fast random integer generation in an interval", ACM
  /// TOMACS 29 (2019). Older libraries than GCC 11's divide instead and give other numbers.
  std::uint32_t next_below(std::uint32_t bound) {
    std::uint64_t product = std::uint64_t{next_word()} * bound;
    if (static_cast<std::uint32_t>(product) < bound) {
      const std::uint32_t biased = (0U - bound) % bound;
      while (static_cast<std::uint32_t>(product) < biased) product = std::uint64_t{next_word()} * bound;
    }
    return static_cast<std::uint32_t>(product >> 32U);
  }

  /// std::bernoulli_distribution(0.5): two words, the low one first, make a binary64 that is compared with 1/2. Rounding puts
  /// the highest 512 of the 64-bit numbers below the middle above it, hence not just a look at one bit.
  bool next_bool() {
    const double low = next_word();
    const double high = next_word();
    return low + high * 0x1.0p32 < 0x1.0p63;
  }

 private:
  std::uint32_t next_word() { return static_cast<std::uint32_t>(engine_()); }
  /// std::generate_canonical<float, 24>: a word rounded to 24 bits; what rounds up to 1 becomes the number before it.
  float next_unit_float() {
    const float unit = static_cast<float>(next_word()) * 0x1.0p-32F;
    return unit < 1.0F ? unit : 0x1.FFFFFEp-1F;
  }

  std::mt19937 engine_;
  float saved_ = 0.0F;
  bool has_saved_ = false;
};

}  // namespace vicinal
