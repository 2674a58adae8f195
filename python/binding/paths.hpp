#pragma once

#include <nanobind/nanobind.h>

#include <filesystem>

namespace vicinal::python {

/// What str, bytes and os.PathLike name; TypeError for anything else, ValueError for a null byte.
inline std::filesystem::path path_of(nanobind::handle path) {
  PyObject* encoded = nullptr;
  if (PyUnicode_FSConverter(path.ptr(), &encoded) == 0) throw nanobind::python_error();
  const auto bytes = nanobind::steal<nanobind::bytes>(encoded);
  return std::string(bytes.c_str(), bytes.size());
}

}  // namespace vicinal::python
