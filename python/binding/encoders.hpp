#pragma once

#include <nanobind/nanobind.h>

namespace vicinal::python {

void bind_fde_encoder(nanobind::module_& module);
void bind_google_fde(nanobind::module_& module);
void bind_token_head(nanobind::module_& module);

}  // namespace vicinal::python
