#pragma once

#include <cstddef>

/// What operator new has handed out, in bytes; counted in programs that link counted_memory.cpp.
namespace counted_memory {
std::size_t in_use();
std::size_t peak();  ///< the most in use since reset_peak()
void reset_peak();
}  // namespace counted_memory
