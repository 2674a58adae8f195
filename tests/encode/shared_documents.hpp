#pragma once

#include <cstdlib>
#include <filesystem>
#include <optional>
#include <vector>

#include "vicinal/core/vector_file.hpp"

namespace vicinal {

/// Token vectors of real documents, if they are there: lotte-dev-colbert in the folder data/ of $VICINAL_SHARED or of shared/ beside the
/// sources.
struct SharedDocuments {
  FloatMatrix tokens;
  std::vector<std::uint64_t> offsets;
};

inline std::optional<SharedDocuments> shared_documents() {
  const char* const set = std::getenv("VICINAL_SHARED");
  const std::filesystem::path root = set != nullptr ? set : VICINAL_SOURCE_DIR "/../shared";
  const std::filesystem::path folder = root / "data" / "lotte-dev-colbert";
  if (!std::filesystem::exists(folder / "doc_tokens.npy")) return std::nullopt;
  SharedDocuments found{read_vectors(folder / "doc_tokens.npy"), {}};
  const IdMatrix offsets = read_ids(folder / "doc_offsets.npy");
  for (const Id offset : offsets.values.span()) found.offsets.push_back(static_cast<std::uint64_t>(offset));
  return found;
}

}  // namespace vicinal
