#pragma once

#include <nanobind/ndarray.h>

#include <cstddef>
#include <initializer_list>
#include <memory>
#include <utility>

namespace vicinal::python {

/// A NumPy array of elements of type T that owns `values` (an Array or a vector), row-major in `shape`, without a copy. Call with the GIL held.
template <class T, class Values>
nanobind::object owning_array(Values values, std::initializer_list<std::size_t> shape) {
  auto kept = std::make_unique<Values>(std::move(values));
  auto* const data = reinterpret_cast<T*>(kept->data());
  const nanobind::capsule owner(kept.release(),
                                [](void* held) noexcept { delete static_cast<Values*>(held); });
  return nanobind::cast(nanobind::ndarray<nanobind::numpy, T>(data, shape.size(), shape.begin(), owner),
                        nanobind::rv_policy::reference);
}

}  // namespace vicinal::python
