#include "arguments.hpp"

#include <fmt/format.h>
#include <nanobind/stl/string.h>

#include <string>

#include "vicinal/core/error.hpp"

namespace nb = nanobind;

namespace vicinal::python {

std::uint64_t whole_number(nb::handle value, const char* name, std::uint64_t least, std::uint64_t most) {
  const nb::object number = nb::steal(PyNumber_Index(value.ptr()));
  if (!number.is_valid()) {
    PyErr_Clear();
    const auto type = nb::cast<std::string>(value.type().attr("__name__"));
    throw nb::type_error(fmt::format("{} is {}, expected int", name, type).c_str());
  }
  int overflow = 0;
  const long long small = PyLong_AsLongLongAndOverflow(number.ptr(), &overflow);
  const bool negative = overflow < 0 || (overflow == 0 && small < 0);
  std::uint64_t result = static_cast<std::uint64_t>(small);
  bool beyond = false;
  if (overflow > 0) {
    result = PyLong_AsUnsignedLongLong(number.ptr());
    beyond = PyErr_Occurred() != nullptr;
    PyErr_Clear();
  }
  const auto refuse = [&](const char* bound, std::uint64_t limit) {
    const auto text = nb::cast<std::string>(nb::str(number));
    throw InvalidArgument(fmt::format("{} is {}, expected {} {}", name, text, bound, limit));
  };
  if (negative || (!beyond && result < least)) refuse("at least", least);
  if (beyond || result > most) refuse("at most", most);
  return result;
}

std::filesystem::path path_of(nb::handle path) {
  PyObject* encoded = nullptr;
  if (PyUnicode_FSConverter(path.ptr(), &encoded) == 0) throw nb::python_error();
  const auto bytes = nb::steal<nb::bytes>(encoded);
  return std::string(bytes.c_str(), bytes.size());
}

void require_content(nb::handle object) {
  if (nb::inst_ready(object)) return;
  const auto type = nb::cast<std::string>(object.type().attr("__name__"));
  throw nb::type_error(
      fmt::format("this {} has no content: it was not made by its constructor", type).c_str());
}

}  // namespace vicinal::python
