#pragma once

#include <nanobind/nanobind.h>

namespace vicinal::python {

void bind_explore(nanobind::module_& module);

}  // namespace vicinal::python
