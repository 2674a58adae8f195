#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "vicinal/core/neighbors.hpp"
#include "vicinal/encode/token_store.hpp"

/// What a LiveTokenStore is made of. Not installed.
namespace vicinal {

/// What one change, or several that were merged, said about some ids: their documents, or that they are removed. Immutable.
struct TokenSegment {
  TokenStore documents;
  std::vector<Id> ids;        ///< ascending, one a document
  std::vector<bool> removed;  ///< by document, which then has no vectors; empty: none is

  static constexpr std::uint32_t nowhere = TokenStore::no_document;

  [[nodiscard]] bool removes(std::size_t place) const { return !removed.empty() && removed[place]; }
  /// What it costs to copy.
  [[nodiscard]] std::size_t weight() const { return documents.tokens() + ids.size(); }
  [[nodiscard]] std::size_t memory_bytes() const {
    return documents.memory_bytes() + ids.size() * sizeof(Id) + removed.size() / 8;
  }
  /// nowhere when the segment says nothing about `id`.
  [[nodiscard]] std::uint32_t place_of(Id id) const;
};

using TokenSegments = std::vector<std::shared_ptr<const TokenSegment>>;

/// By segment, the places of documents about whose ids no later segment says anything, ascending; with or without those that are only a removal.
std::vector<std::vector<std::uint32_t>> valid_places(
    std::span<const std::shared_ptr<const TokenSegment>> segments, bool with_removals);

/// One segment that says what all of them say; without what only removes something, for segments that nothing came before.
std::shared_ptr<const TokenSegment> merge_segments(
    const Codec& codec, std::span<const std::shared_ptr<const TokenSegment>> segments, bool with_removals,
    const BuildControl& control);

}  // namespace vicinal
