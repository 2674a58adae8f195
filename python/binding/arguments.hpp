#pragma once

#include <nanobind/nanobind.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>

namespace vicinal::python {

/// A whole number of [least, most]. TypeError for what is no integer; InvalidArgument "<name> is <value>, expected at least ..." (or at
/// most), whatever its size.
std::uint64_t whole_number(nanobind::handle value, const char* name, std::uint64_t least, std::uint64_t most);

/// What str, bytes and os.PathLike name; TypeError for anything else, ValueError for a null byte.
std::filesystem::path path_of(nanobind::handle path);

/// Throws TypeError where `object` skipped its constructor (T.__new__(T)) and so has no content.
void require_content(nanobind::handle object);

}  // namespace vicinal::python
