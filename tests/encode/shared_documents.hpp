#pragma once

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>
#include <vector>

#include "vicinal/core/vector_batch.hpp"
#include "vicinal/core/vector_file.hpp"
#include "vicinal/quant/float16.hpp"

namespace vicinal {

/// Token vectors of real documents, if they are there: lotte-dev-colbert in the folder data/ of $VICINAL_SHARED or of shared/ beside the
/// sources.
struct SharedDocuments {
  FloatMatrix tokens;
  std::vector<std::uint64_t> offsets;
};

inline std::filesystem::path shared_folder() {
  const char* const set = std::getenv("VICINAL_SHARED");
  const std::filesystem::path root = set != nullptr ? set : VICINAL_SOURCE_DIR "/../shared";
  return root / "data" / "lotte-dev-colbert";
}

inline std::optional<SharedDocuments> shared_documents() {
  const std::filesystem::path folder = shared_folder();
  if (!std::filesystem::exists(folder / "doc_tokens.npy")) return std::nullopt;
  SharedDocuments found{read_vectors(folder / "doc_tokens.npy"), {}};
  const IdMatrix offsets = read_ids(folder / "doc_offsets.npy");
  for (const Id offset : offsets.values.span()) found.offsets.push_back(static_cast<std::uint64_t>(offset));
  return found;
}

/// Their 50 queries of 32 tokens: an array of halves in three dimensions, which read_vectors() does not take.
struct SharedQueries {
  static constexpr std::size_t count = 50, tokens_each = 32, dim = 128;
  std::vector<float> values;
  std::vector<std::uint64_t> offsets;
  [[nodiscard]] VectorBatch batch() const { return {{values.data(), count * tokens_each, dim}, offsets}; }
};

inline std::optional<SharedQueries> shared_queries() {
  std::ifstream file(shared_folder() / "query_tokens.npy", std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  SharedQueries found;
  const std::size_t halves = SharedQueries::count * SharedQueries::tokens_each * SharedQueries::dim;
  if (bytes.size() < halves * sizeof(std::uint16_t)) return std::nullopt;
  const char* const first = bytes.data() + bytes.size() - halves * sizeof(std::uint16_t);
  for (std::size_t i = 0; i < halves; ++i) {
    std::uint16_t half = 0;
    std::memcpy(&half, first + i * sizeof(half), sizeof(half));
    found.values.push_back(f16_to_f32(half));
  }
  for (std::size_t q = 0; q <= SharedQueries::count; ++q)
    found.offsets.push_back(q * SharedQueries::tokens_each);
  return found;
}

}  // namespace vicinal
