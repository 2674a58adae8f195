#pragma once

#include <nanobind/nanobind.h>

namespace vicinal::python {

void bind_live_index(nanobind::module_& module);

}  // namespace vicinal::python
