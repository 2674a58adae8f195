#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>
#include <vector>

#include "vicinal/core/vector_file.hpp"

namespace vicinal::tools {

/// Checks of the files a command will write, made before hours of work and not after them. Empty paths are skipped.
/// Throws IoError when the folder of one is missing or not writable or it names a folder, UsageError when two are the same
/// file or one is also an input.
void require_writable(const std::vector<std::filesystem::path>& outputs,
                      const std::vector<std::filesystem::path>& inputs);

/// Throws UsageError unless `path` is empty or ends with one of the extensions (with their dots).
void require_extension(const std::filesystem::path& path, const std::vector<std::string_view>& extensions);
/// Extensions that write_ids and write_vectors know.
const std::vector<std::string_view>& id_extensions();
const std::vector<std::string_view>& vector_extensions();

/// Reads vectors and refuses values that are not finite; errors name the path.
FloatMatrix read_finite_vectors(const std::filesystem::path& path);

/// Reads where items of several vectors begin in a file of `rows` rows, from `path`: one more than there are items, ascending from 0 to `rows`.
/// Nothing for an empty path. Errors name the path.
std::vector<std::uint64_t> read_offsets(const std::filesystem::path& path, std::size_t rows);

/// Reads one id a row, for `rows` rows: a column, or a single row of that many. Errors name the path.
IdMatrix read_row_ids(const std::filesystem::path& path, std::size_t rows);

}  // namespace vicinal::tools
