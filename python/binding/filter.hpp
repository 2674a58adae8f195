#pragma once

#include <nanobind/nanobind.h>

#include <cstddef>
#include <exception>
#include <mutex>
#include <optional>
#include <stop_token>

#include "vicinal/core/filter.hpp"

namespace vicinal::python {

/// A filter given in Python (None, mask, ids, callable), brought into the library's form by vicinal._filters. Keeps what it borrows
/// alive. Made and destroyed with the GIL held; the filter itself may be asked from any thread without it.
class PythonFilter {
 public:
  /// `size` items, with ids of their own or numbered.
  PythonFilter(nanobind::handle given, std::size_t size, bool own_ids);
  ~PythonFilter();
  PythonFilter(const PythonFilter&) = delete;
  PythonFilter& operator=(const PythonFilter&) = delete;

  [[nodiscard]] Filter filter();
  /// It calls into Python, so that the GIL must be free while it is asked.
  [[nodiscard]] bool calls_python() const { return callable_.is_valid(); }
  /// Requested once the callable has raised: nothing passes from then on.
  [[nodiscard]] const std::stop_source& failed() const { return failed_; }
  /// Throws what the callable raised.
  void rethrow() const {
    if (raised_ != nullptr) std::rethrow_exception(raised_);
  }

 private:
  bool ask(Id id);

  Py_buffer buffer_{};
  bool held_ = false;
  bool is_mask_ = false;
  nanobind::object callable_;
  std::stop_source failed_;
  std::mutex mutex_;
  std::exception_ptr raised_;
};

}  // namespace vicinal::python
