#pragma once

#include <nanobind/nanobind.h>

namespace vicinal::python {

/// The library's exceptions as classes of Python's own kinds, with the same words.
void bind_errors(nanobind::module_& module);

}  // namespace vicinal::python
