#include "filter.hpp"

#include <cstdint>

#include "threads.hpp"

namespace nb = nanobind;

namespace vicinal::python {

PythonFilter::PythonFilter(nb::handle given, std::size_t size, bool own_ids) {
  if (given.is_none()) return;
  const nb::object rule = nb::module_::import_("vicinal._filters").attr("filter_rule")(given, size, own_ids);
  if (PyCallable_Check(rule.ptr()) != 0) {
    callable_ = rule;
    return;
  }
  // An array of uint64 words (mask) or of ascending int64 ids; the buffer keeps it alive.
  if (PyObject_GetBuffer(rule.ptr(), &buffer_, PyBUF_CONTIG_RO | PyBUF_FORMAT) != 0) throw nb::python_error();
  held_ = true;
  is_mask_ = *buffer_.format == 'L' || *buffer_.format == 'Q';
}

PythonFilter::~PythonFilter() {
  if (held_) PyBuffer_Release(&buffer_);
}

Filter PythonFilter::filter() {
  if (callable_.is_valid()) return Filter::predicate([this](Id id) { return ask(id); });
  if (!held_) return {};
  const auto count = static_cast<std::size_t>(buffer_.len) / sizeof(std::uint64_t);
  if (is_mask_) return Filter::bitmap({static_cast<const std::uint64_t*>(buffer_.buf), count});
  return Filter::id_set({static_cast<const Id*>(buffer_.buf), count});
}

// A filter must not throw in the middle of a search: what the callable raises is kept, and everything fails from then on.
bool PythonFilter::ask(Id id) {
  if (failed_.stop_requested()) return false;
  const nb::gil_scoped_acquire acquired;
  const InlineScope scope;
  try {
    const nb::object answer = callable_(id);
    const int truth = PyObject_IsTrue(answer.ptr());
    if (truth < 0) throw nb::python_error();
    return truth != 0;
  } catch (...) {
    const std::lock_guard lock(mutex_);
    if (raised_ == nullptr) raised_ = std::current_exception();
    failed_.request_stop();
    return false;
  }
}

}  // namespace vicinal::python
