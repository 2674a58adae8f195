#pragma once

#include <Python.h>
#include <nanobind/nanobind.h>

#include "vicinal/core/matrix_view.hpp"

namespace vicinal::python {

/// Rows of float32 borrowed from a Python object, which is kept alive and unmoved as long as this object lives. A float32 array
/// whose rows are contiguous is read where it lies; whatever else is first brought into that form by vicinal._arrays, which says so
/// or refuses. Made and destroyed with the GIL held.
class BorrowedRows {
 public:
  /// `what` names the argument in errors. `allow_vector`: one-dimensional input is a single row.
  BorrowedRows(nanobind::handle object, const char* what, bool allow_vector);
  ~BorrowedRows();
  BorrowedRows(const BorrowedRows&) = delete;
  BorrowedRows& operator=(const BorrowedRows&) = delete;

  [[nodiscard]] MatrixView<const float> view() const { return view_; }
  [[nodiscard]] bool one_dimensional() const { return one_dimensional_; }

 private:
  bool borrow(PyObject* object, bool allow_vector);

  Py_buffer buffer_{};
  bool held_ = false;
  MatrixView<const float> view_;
  bool one_dimensional_ = false;
};

}  // namespace vicinal::python
