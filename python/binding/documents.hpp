#pragma once

#include <fmt/format.h>

#include <string>

#include "vicinal/core/error.hpp"
#include "vicinal/core/vector_batch.hpp"

namespace vicinal::python {

/// An array without offsets is most likely one document, and would be taken for many of one vector.
inline void require_documents(const VectorBatch& batch, const char* for_one) {
  if (!batch.multi_vector())
    throw InvalidArgument(
        fmt::format("documents have no offsets, expected (rows, offsets); of one document: {}", for_one));
}

/// The value that `name` stands for among pairs of a name and a value.
template <class Names>
auto named(const Names& names, const std::string& name, const char* what) {
  std::string known;
  for (const auto& [text, value] : names) {
    if (name == text) return value;
    known += fmt::format("{}{}", known.empty() ? "" : ", ", text);
  }
  throw InvalidArgument(fmt::format("{} is \"{}\", expected one of {}", what, name, known));
}

/// The name of `value`, which has one.
template <class Names, class Value>
const char* name_of(const Names& names, Value value) {
  for (const auto& [text, meant] : names) {
    if (meant == value) return text;
  }
  return "";
}

}  // namespace vicinal::python
