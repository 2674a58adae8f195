#include "errors.hpp"

#include <cstring>
#include <exception>

#include "vicinal/core/error.hpp"
#include "vicinal/index/spec.hpp"

namespace nb = nanobind;

namespace vicinal::python {
namespace {

struct Classes {
  nb::handle invalid_argument, spec, unsupported, io, corrupt;
};
Classes classes;

nb::handle new_class(nb::module_& module, const char* name, nb::handle base) {
  nb::object made =
      nb::steal(PyErr_NewException((std::string("vicinal._vicinal.") + name).c_str(), base.ptr(), nullptr));
  if (!made.is_valid()) throw nb::python_error();
  module.attr(name) = made;
  return made.release();
}

// Messages may name paths, which need not be UTF-8: they are decoded as file names are.
void raise(nb::handle type, const std::exception& error) {
  const nb::object text = nb::steal(
      PyUnicode_DecodeFSDefaultAndSize(error.what(), static_cast<Py_ssize_t>(std::strlen(error.what()))));
  if (text.is_valid()) PyErr_SetObject(type.ptr(), text.ptr());
}

void translate(const std::exception_ptr& pointer, void* /*payload*/) {
  try {
    std::rethrow_exception(pointer);
  } catch (const SpecError& error) {
    raise(classes.spec, error);
  } catch (const InvalidArgument& error) {
    raise(classes.invalid_argument, error);
  } catch (const Unsupported& error) {
    raise(classes.unsupported, error);
  } catch (const IoError& error) {
    raise(classes.io, error);
  } catch (const CorruptFile& error) {
    raise(classes.corrupt, error);
  }
}

}  // namespace

void bind_errors(nb::module_& module) {
  classes.invalid_argument = new_class(module, "InvalidArgument", PyExc_ValueError);
  classes.spec = new_class(module, "SpecError", classes.invalid_argument);
  classes.unsupported = new_class(module, "Unsupported", PyExc_ValueError);
  classes.io = new_class(module, "IoError", PyExc_OSError);
  classes.corrupt = new_class(module, "CorruptFile", PyExc_OSError);
  nb::register_exception_translator(&translate);
}

}  // namespace vicinal::python
