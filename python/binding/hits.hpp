#pragma once

#include <nanobind/nanobind.h>

#include "vicinal/core/control.hpp"
#include "vicinal/core/neighbors.hpp"

namespace vicinal::python {

/// What a search found, and what it cost. Python sees the arrays as views that keep this object alive.
struct Hits {
  Neighbors neighbors;
  SearchStats stats;
  bool one_dimensional = false;  ///< the query was one vector: results have one dimension less
};

nanobind::dict stats_dict(const SearchStats& stats);

void bind_hits(nanobind::module_& module);

}  // namespace vicinal::python
