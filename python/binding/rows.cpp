#include "rows.hpp"

#include <string_view>

namespace nb = nanobind;

namespace vicinal::python {
namespace {

constexpr Py_ssize_t element = sizeof(float);

// NumPy writes "f" for float32 in native order.
bool is_float32(const Py_buffer& buffer) {
  return buffer.itemsize == element && buffer.format != nullptr && std::string_view(buffer.format) == "f";
}

}  // namespace

// False leaves nothing held.
bool BorrowedRows::borrow(PyObject* object, bool allow_vector) {
  if (PyObject_CheckBuffer(object) == 0) return false;
  if (PyObject_GetBuffer(object, &buffer_, PyBUF_STRIDED_RO | PyBUF_FORMAT) != 0) {
    PyErr_Clear();
    return false;
  }
  const bool vector = buffer_.ndim == 1 && allow_vector;
  const int last = buffer_.ndim - 1;
  bool fits = is_float32(buffer_) && (vector || buffer_.ndim == 2) &&
              (buffer_.shape[last] <= 1 || buffer_.strides[last] == element) &&
              reinterpret_cast<std::uintptr_t>(buffer_.buf) % alignof(float) == 0;
  std::size_t rows = 1;
  std::size_t stride = 0;
  if (fits) {
    const auto cols = static_cast<std::size_t>(buffer_.shape[last]);
    stride = cols;
    if (!vector) {
      rows = static_cast<std::size_t>(buffer_.shape[0]);
      if (rows > 1) {
        const Py_ssize_t bytes = buffer_.strides[0];
        fits = bytes >= buffer_.shape[1] * element && bytes % element == 0;
        stride = static_cast<std::size_t>(bytes / element);
      }
    }
    if (fits) view_ = {static_cast<const float*>(buffer_.buf), rows, cols, stride};
  }
  if (!fits) {
    PyBuffer_Release(&buffer_);
    return false;
  }
  held_ = true;
  one_dimensional_ = vector;
  return true;
}

BorrowedRows::BorrowedRows(nb::handle object, const char* what, bool allow_vector) {
  if (borrow(object.ptr(), allow_vector)) return;
  const nb::object converted =
      nb::module_::import_("vicinal._arrays").attr("float_rows")(object, what, allow_vector);
  // The buffer keeps the converted array alive.
  if (!borrow(converted.ptr(), allow_vector)) throw nb::type_error("float_rows() returned no float32 rows");
}

BorrowedItems::BorrowedItems(nb::handle object, const char* what, bool allow_vector) {
  // An ordinary batch is never a tuple of two matrices of different shapes.
  nb::object parts = nb::none();
  if (PyTuple_Check(object.ptr()) != 0 && PyTuple_GET_SIZE(object.ptr()) == 2)
    parts = nb::module_::import_("vicinal._arrays").attr("rows_and_offsets")(object, what);
  if (parts.is_none()) {
    rows_.emplace(object, what, allow_vector);
    return;
  }
  rows_.emplace(parts[0], what, false);
  const nb::object offsets = parts[1];
  if (PyObject_GetBuffer(offsets.ptr(), &buffer_, PyBUF_C_CONTIGUOUS) != 0) throw nb::python_error();
  held_ = true;
  offsets_ = {static_cast<const std::uint64_t*>(buffer_.buf),
              static_cast<std::size_t>(buffer_.len) / sizeof(std::uint64_t)};
}

BorrowedItems::~BorrowedItems() {
  if (held_) PyBuffer_Release(&buffer_);
}

BorrowedRows::~BorrowedRows() {
  if (held_) PyBuffer_Release(&buffer_);
}

}  // namespace vicinal::python
