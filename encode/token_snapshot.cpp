#include <algorithm>
#include <utility>

#include "vicinal/core/error.hpp"
#include "vicinal/encode/live_token_store.hpp"
#include "vicinal/encode/token_segment.hpp"

namespace vicinal {

std::size_t TokenSnapshot::stored_tokens() const {
  std::size_t tokens = 0;
  for (std::size_t s = 0; s < segments(); ++s) tokens += content_->segments[s]->documents.tokens();
  return tokens;
}

std::size_t TokenSnapshot::memory_bytes() const {
  std::size_t bytes = 0;
  for (std::size_t s = 0; s < segments(); ++s) bytes += content_->segments[s]->memory_bytes();
  return bytes;
}

std::size_t TokenSnapshot::bytes_per_vector() const {
  const Codec& codec = content_->codec;
  return codec.stride() + codec.factor_count() * sizeof(float);
}

std::optional<TokenSnapshot::Found> TokenSnapshot::find(Id id) const {
  for (std::size_t s = segments(); s-- > 0;) {
    const TokenSegment& segment = *content_->segments[s];
    const std::uint32_t place = segment.place_of(id);
    if (place == TokenSegment::nowhere) continue;
    if (segment.removes(place)) return std::nullopt;
    return Found{static_cast<std::uint32_t>(s), place};
  }
  return std::nullopt;
}

std::vector<Id> TokenSnapshot::ids() const {
  std::vector<Id> ids;
  ids.reserve(size());
  for (const Part& part : parts()) {
    for (const std::uint32_t place : part.places) ids.push_back(part.ids[place]);
  }
  std::ranges::sort(ids);
  return ids;
}

void TokenSnapshot::prepare_query(MatrixView<const float> query, MaxSimQuery& prepared) const {
  if (content_ == nullptr) throw InvalidArgument("the store of documents is empty");
  // Any store of the codec makes the same of it.
  if (segments() != 0) return content_->segments.front()->documents.prepare_query(query, prepared);
  TokenStore::encode(content_->codec, {}, {}).prepare_query(query, prepared);
}

std::size_t TokenSnapshot::score(MaxSimQuery& query, std::span<const Id> ids, float* out) const {
  struct Asked {
    Found found;
    std::uint32_t number;
  };
  std::vector<Asked> asked;
  asked.reserve(ids.size());
  for (std::size_t i = 0; i < ids.size(); ++i) {
    out[i] = no_distance;
    if (const std::optional<Found> found = find(ids[i]))
      asked.push_back({*found, static_cast<std::uint32_t>(i)});
  }
  std::ranges::sort(asked, {}, [](const Asked& a) { return std::pair(a.found.segment, a.found.place); });
  std::vector<std::uint32_t> places;
  std::vector<float> distances(asked.size());
  std::size_t tokens = 0;
  for (std::size_t begin = 0; begin < asked.size();) {
    const std::uint32_t s = asked[begin].found.segment;
    const TokenStore& documents = content_->segments[s]->documents;
    places.clear();
    std::size_t end = begin;
    for (; end < asked.size() && asked[end].found.segment == s; ++end) {
      places.push_back(asked[end].found.place);
      tokens += documents.tokens(places.back());
    }
    documents.score(query, places, distances.data());
    for (std::size_t i = begin; i < end; ++i) out[asked[i].number] = distances[i - begin];
    begin = end;
  }
  return tokens;
}

std::vector<TokenSnapshot::Part> TokenSnapshot::parts() const {
  std::vector<Part> parts;
  if (content_ == nullptr) return parts;
  std::vector<std::vector<std::uint32_t>> places = valid_places(content_->segments, false);
  for (std::size_t s = 0; s < segments(); ++s) {
    const TokenSegment& segment = *content_->segments[s];
    if (!places[s].empty()) parts.push_back({&segment.documents, segment.ids, std::move(places[s])});
  }
  return parts;
}

TokenStore TokenSnapshot::freeze(const BuildControl& control) const {
  if (content_ == nullptr) return {};
  return merge_segments(content_->codec, content_->segments, false, control)->documents;
}

}  // namespace vicinal
