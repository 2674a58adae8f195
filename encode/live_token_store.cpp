#include "vicinal/encode/live_token_store.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <numeric>
#include <utility>

#include "vicinal/core/change_ids.hpp"
#include "vicinal/core/error.hpp"
#include "vicinal/encode/token_segment.hpp"

namespace vicinal {
namespace {

constexpr std::size_t most_tokens = std::numeric_limits<std::uint32_t>::max() - std::size_t{1};
// A segment is merged with the ones before it that are no heavier than so many times what comes after them.
constexpr std::size_t merge_factor = 2;

void require_ip(const Codec& codec) {
  if (codec.metric() == Metric::l2)
    throw InvalidArgument("MaxSim is a sum of inner products: the metric is l2, expected ip or cosine");
}

// What a change says, in ascending order of id.
std::shared_ptr<const TokenSegment> segment_of(const Codec& codec, const LiveTokenStore::Change& change,
                                               std::span<const Id> removed, const BuildControl& control) {
  std::vector<std::pair<Id, std::uint32_t>> entries;
  for (std::uint32_t i = 0; i < change.ids.size(); ++i) entries.emplace_back(change.ids[i], i);
  for (const Id id : removed) entries.emplace_back(id, TokenStore::no_document);
  std::ranges::sort(entries);
  TokenSegment segment;
  std::vector<std::uint32_t> order;
  for (const auto& [id, document] : entries) {
    segment.ids.push_back(id);
    order.push_back(document);
    if (!removed.empty()) segment.removed.push_back(document == TokenStore::no_document);
  }
  segment.documents = TokenStore::encode(codec, change.documents, order, control);
  return std::make_shared<const TokenSegment>(std::move(segment));
}

}  // namespace

LiveTokenStore::LiveTokenStore(const Codec& codec) {
  require_ip(codec);
  now_ = TokenSnapshot({codec, {}, 0, 0});
}

LiveTokenStore::LiveTokenStore(const TokenStore& documents, std::span<const Id> ids) {
  require_ip(documents.codes().codec());
  if (!ids.empty() && ids.size() != documents.size())
    throw InvalidArgument(
        fmt::format("{} ids for {} documents, expected one a document", ids.size(), documents.size()));
  TokenSegment segment{documents, {ids.begin(), ids.end()}, {}};
  if (ids.empty()) {
    segment.ids.resize(documents.size());
    std::iota(segment.ids.begin(), segment.ids.end(), Id{0});
  }
  if (std::ranges::adjacent_find(segment.ids, std::greater_equal<>()) != segment.ids.end() ||
      (!segment.ids.empty() && segment.ids.front() < 0))
    throw InvalidArgument("the ids of documents do not ascend from 0 or more");
  now_ = TokenSnapshot({documents.codes().codec(),
                        {std::make_shared<const TokenSegment>(std::move(segment))},
                        documents.size(),
                        documents.tokens()});
}

TokenSnapshot LiveTokenStore::snapshot() const {
  const std::lock_guard lock(reading_);
  return now_;
}

LiveTokenStore::Prepared LiveTokenStore::prepare(const Change& change, const BuildControl& control) const {
  const TokenSnapshot now = snapshot();
  if (now.content_ == nullptr) throw InvalidArgument("the store of documents has no codec");
  TokenSnapshot::Content content = *now.content_;
  if (change.ids.size() != change.documents.size())
    throw InvalidArgument(fmt::format("{} ids for {} documents, expected one a document", change.ids.size(),
                                      change.documents.size()));
  if (!change.ids.empty()) validate_batch(change.documents, content.codec.dim(), "documents");
  require_change_ids(change.ids, change.removed);

  Prepared prepared;
  const auto take_away = [&](const TokenSnapshot::Found& found) {
    --content.size;
    content.tokens -= content.segments[found.segment]->documents.tokens(found.place);
  };
  for (const Id id : change.ids) {
    const auto found = now.find(id);
    if (!found) continue;
    if (change.must_be_new)
      throw InvalidArgument(fmt::format("id {} is in the index already (upsert replaces)", id));
    take_away(*found);
  }
  std::vector<Id> removed(change.removed.begin(), change.removed.end());
  std::ranges::sort(removed);
  removed.erase(std::unique(removed.begin(), removed.end()), removed.end());
  std::erase_if(removed, [&](Id id) {
    const auto found = now.find(id);
    if (found) take_away(*found);
    return !found;
  });
  prepared.gone_ = removed.size();
  prepared.next_ = now;
  if (change.ids.empty() && removed.empty()) return prepared;
  content.size += change.ids.size();
  content.tokens += change.documents.rows.rows();
  if (content.tokens > most_tokens)
    throw InvalidArgument(
        fmt::format("documents would have {} vectors, expected at most {}", content.tokens, most_tokens));

  auto& segments = content.segments;
  segments.push_back(segment_of(content.codec, change, removed, control));
  std::size_t first = segments.size() - 1;
  std::size_t weight = segments.back()->weight();
  while (first > 0 && segments[first - 1]->weight() <= merge_factor * weight)
    weight += segments[--first]->weight();
  std::size_t stored = 0;
  for (const auto& segment : segments) stored += segment->documents.tokens();
  if (stored > 2 * content.tokens) first = 0;
  if (first + 1 < segments.size()) {
    const auto merged =
        merge_segments(content.codec, std::span(segments).subspan(first), first != 0, control);
    segments.resize(first);
    prepared.copied_ = merged->documents.tokens();
    if (!merged->ids.empty()) segments.push_back(merged);
  }
  prepared.next_ = TokenSnapshot(std::move(content));
  return prepared;
}

void LiveTokenStore::commit(Prepared&& prepared) noexcept {
  copied_ += prepared.copied_;
  restore(std::move(prepared.next_));
}

void LiveTokenStore::restore(TokenSnapshot before) noexcept {
  // What it took the place of is let go of after the lock.
  const std::lock_guard lock(reading_);
  std::swap(now_, before);
}

std::size_t LiveTokenStore::apply(const Change& change, const BuildControl& control) {
  const std::lock_guard writing(writer_);
  Prepared prepared = prepare(change, control);
  const std::size_t gone = prepared.gone();
  commit(std::move(prepared));
  return gone;
}

void LiveTokenStore::compact(const BuildControl& control) {
  const std::lock_guard writing(writer_);
  const TokenSnapshot now = snapshot();
  if (now.segments() == 0 || (now.segments() == 1 && now.stored_tokens() == now.tokens())) return;
  TokenSnapshot::Content content = *now.content_;
  const auto merged = merge_segments(content.codec, content.segments, false, control);
  content.segments.clear();
  if (!merged->ids.empty()) content.segments.push_back(merged);
  copied_ += merged->documents.tokens();
  restore(TokenSnapshot(std::move(content)));
}

}  // namespace vicinal
