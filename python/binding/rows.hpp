#pragma once

#include <Python.h>
#include <nanobind/nanobind.h>

#include <optional>
#include <span>

#include "vicinal/core/matrix_view.hpp"
#include "vicinal/core/vector_batch.hpp"

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

/// Items of one vector each, given as rows, or of several, given as a tuple (rows, offsets): item i is rows[offsets[i] : offsets[i + 1]].
/// Borrowed as BorrowedRows says; offsets are copied unless they are uint64 or int64 side by side.
class BorrowedItems {
 public:
  BorrowedItems(nanobind::handle object, const char* what, bool allow_vector);
  ~BorrowedItems();
  BorrowedItems(const BorrowedItems&) = delete;
  BorrowedItems& operator=(const BorrowedItems&) = delete;

  [[nodiscard]] VectorBatch batch() const { return {rows_->view(), offsets_}; }
  [[nodiscard]] bool one_dimensional() const { return rows_->one_dimensional(); }

 private:
  std::optional<BorrowedRows> rows_;
  Py_buffer buffer_{};
  bool held_ = false;
  std::span<const std::uint64_t> offsets_;
};

}  // namespace vicinal::python
