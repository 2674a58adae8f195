#pragma once

#include <nanobind/nanobind.h>

namespace vicinal::python {

/// pool_tokens, pool_document and carve_query.
void bind_token_tools(nanobind::module_& module);

}  // namespace vicinal::python
