#include "vicinal/encode/token_segment.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

namespace vicinal {

std::uint32_t TokenSegment::place_of(Id id) const {
  if (ids.empty() || id < ids.front() || id > ids.back()) return nowhere;
  // Ids are different, so the place is no farther than this; without gaps it is this.
  const auto guess = static_cast<std::uint64_t>(id) - static_cast<std::uint64_t>(ids.front());
  if (guess < ids.size() && ids[guess] == id) return static_cast<std::uint32_t>(guess);
  const auto end = ids.begin() + static_cast<std::ptrdiff_t>(std::min<std::uint64_t>(guess, ids.size()));
  const auto found = std::lower_bound(ids.begin(), end, id);
  return found != end && *found == id ? static_cast<std::uint32_t>(found - ids.begin()) : nowhere;
}

std::vector<std::vector<std::uint32_t>> valid_places(
    std::span<const std::shared_ptr<const TokenSegment>> segments, bool with_removals) {
  std::vector<std::vector<std::uint32_t>> places(segments.size());
  std::vector<Id> later, all;  // ids about which a later segment says something, ascending
  for (std::size_t s = segments.size(); s-- > 0;) {
    const TokenSegment& segment = *segments[s];
    auto from = later.begin();
    for (std::uint32_t place = 0; place < segment.ids.size(); ++place) {
      while (from != later.end() && *from < segment.ids[place]) ++from;
      if (from != later.end() && *from == segment.ids[place]) continue;
      if (with_removals || !segment.removes(place)) places[s].push_back(place);
    }
    if (s == 0) break;
    all.clear();
    std::ranges::set_union(later, segment.ids, std::back_inserter(all));
    std::swap(later, all);
  }
  return places;
}

std::shared_ptr<const TokenSegment> merge_segments(
    const Codec& codec, std::span<const std::shared_ptr<const TokenSegment>> segments, bool with_removals,
    const BuildControl& control) {
  struct Entry {
    Id id;
    std::uint32_t segment, place;
  };
  std::vector<Entry> entries;
  const std::vector<std::vector<std::uint32_t>> places = valid_places(segments, with_removals);
  for (std::uint32_t s = 0; s < segments.size(); ++s) {
    for (const std::uint32_t place : places[s]) entries.push_back({segments[s]->ids[place], s, place});
  }
  std::ranges::sort(entries, {}, &Entry::id);
  TokenSegment merged;
  std::vector<TokenStore::Place> documents;
  documents.reserve(entries.size());
  merged.ids.reserve(entries.size());
  for (const auto& [id, s, place] : entries) {
    const bool removes = segments[s]->removes(place);
    merged.ids.push_back(id);
    documents.push_back({removes ? nullptr : &segments[s]->documents, place});
    if (removes && merged.removed.empty()) merged.removed.resize(entries.size());
    if (removes) merged.removed[documents.size() - 1] = true;
  }
  merged.documents = TokenStore::gather(codec, documents, control);
  return std::make_shared<const TokenSegment>(std::move(merged));
}

}  // namespace vicinal
