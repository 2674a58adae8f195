#include "vicinal/tools/paths.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <system_error>

#include "vicinal/core/error.hpp"
#include "vicinal/core/vector_batch.hpp"
#include "vicinal/tools/command.hpp"

namespace vicinal::tools {
namespace fs = std::filesystem;
namespace {

// Whether both name one file, which need not exist yet.
bool same_file(const fs::path& a, const fs::path& b) {
  std::error_code error;
  if (fs::equivalent(a, b, error)) return true;
  return fs::weakly_canonical(a, error) == fs::weakly_canonical(b, error);
}

void require_writable(const fs::path& path) {
  std::error_code error;
  const fs::path folder = path.has_parent_path() ? path.parent_path() : fs::path(".");
  if (!fs::is_directory(folder, error))
    throw IoError(fmt::format("cannot write {}: there is no folder {}", path.string(), folder.string()));
  if (fs::is_directory(path, error) || !path.has_filename())
    throw IoError(fmt::format("cannot write {}: it is a folder", path.string()));
  if (access(folder.c_str(), W_OK | X_OK) != 0) throw_io_error("cannot write into", folder.string());
}

}  // namespace

void require_writable(const std::vector<fs::path>& outputs, const std::vector<fs::path>& inputs) {
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    if (outputs[i].empty()) continue;
    for (std::size_t j = 0; j < i; ++j) {
      if (!outputs[j].empty() && same_file(outputs[i], outputs[j])) {
        throw UsageError(fmt::format("{} is named for two outputs", outputs[i].string()));
      }
    }
    for (const auto& input : inputs) {
      if (!input.empty() && same_file(outputs[i], input)) {
        throw UsageError(fmt::format("{} is both an input and an output", outputs[i].string()));
      }
    }
  }
  for (const auto& output : outputs) {
    if (!output.empty()) require_writable(output);
  }
}

void require_extension(const fs::path& path, const std::vector<std::string_view>& extensions) {
  if (path.empty()) return;
  const std::string extension = path.extension().string();
  if (std::find(extensions.begin(), extensions.end(), extension) == extensions.end()) {
    throw UsageError(fmt::format("{} ends with \"{}\", expected one of {}", path.string(), extension,
                                 fmt::join(extensions, " ")));
  }
}

const std::vector<std::string_view>& id_extensions() {
  static const std::vector<std::string_view> extensions{".npy", ".ivecs", ".ibin"};
  return extensions;
}

const std::vector<std::string_view>& vector_extensions() {
  static const std::vector<std::string_view> extensions{".npy", ".fvecs", ".fbin"};
  return extensions;
}

FloatMatrix read_finite_vectors(const fs::path& path) {
  FloatMatrix vectors = read_vectors(path);
  require_finite(vectors.view(), path.c_str());
  return vectors;
}

std::vector<std::uint64_t> read_offsets(const std::filesystem::path& path, std::size_t rows) {
  if (path.empty()) return {};
  const IdMatrix given = read_ids(path);
  if (given.cols != 1 && given.rows != 1)
    throw InvalidArgument(fmt::format("{} has {} rows of {}, expected one offset a row", path.string(),
                                      given.rows, given.cols));
  std::vector<std::uint64_t> offsets;
  for (const Id offset : given.values.span()) {
    const bool ascends =
        offset >= 0 && (offsets.empty() ? offset == 0 : static_cast<std::uint64_t>(offset) >= offsets.back());
    if (!ascends)
      throw InvalidArgument(fmt::format("{}: offset {} is {}, expected offsets that ascend from 0",
                                        path.string(), offsets.size(), offset));
    offsets.push_back(static_cast<std::uint64_t>(offset));
  }
  if (offsets.size() < 2 || offsets.back() != rows)
    throw InvalidArgument(fmt::format(
        "{} has {} offsets that end at {}, expected one more than there are items, ending at {} rows",
        path.string(), offsets.size(), offsets.empty() ? 0 : offsets.back(), rows));
  return offsets;
}

IdMatrix read_row_ids(const fs::path& path, std::size_t rows) {
  IdMatrix ids = read_ids(path);
  if (ids.values.size() != rows || (ids.rows != 1 && ids.cols != 1)) {
    throw InvalidArgument(fmt::format("{} is {} x {}, expected one id for each of {} rows", path.string(),
                                      ids.rows, ids.cols, rows));
  }
  return ids;
}

}  // namespace vicinal::tools
