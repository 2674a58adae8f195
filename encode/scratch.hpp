#pragma once

#include <cstddef>

#include "vicinal/core/array.hpp"

/// Not installed.
namespace vicinal {

/// Makes `array` hold at least `size` elements, whose values are then unspecified.
template <class T>
void reserve_scratch(Array<T>& array, std::size_t size) {
  if (array.size() < size) array = Array<T>(size);
}

}  // namespace vicinal
