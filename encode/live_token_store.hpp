#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "vicinal/core/neighbors.hpp"
#include "vicinal/encode/token_store.hpp"

namespace vicinal {

struct TokenSegment;

/// The documents of a LiveTokenStore at one moment. Immutable, and lasts as long as one wants it; copies share; safe to read from many threads.
class TokenSnapshot {
 public:
  TokenSnapshot() = default;

  [[nodiscard]] std::size_t size() const { return content_ == nullptr ? 0 : content_->size; }  ///< documents
  [[nodiscard]] std::size_t tokens() const {
    return content_ == nullptr ? 0 : content_->tokens;
  }                                                 ///< their vectors
  [[nodiscard]] std::size_t stored_tokens() const;  ///< with those of documents that were replaced or removed
  [[nodiscard]] std::size_t segments() const { return content_ == nullptr ? 0 : content_->segments.size(); }
  [[nodiscard]] std::size_t memory_bytes() const;
  [[nodiscard]] std::size_t dim() const { return content_ == nullptr ? 0 : content_->codec.dim(); }
  [[nodiscard]] std::size_t bytes_per_vector() const;
  [[nodiscard]] bool contains(Id id) const { return find(id).has_value(); }
  [[nodiscard]] std::vector<Id> ids() const;  ///< ascending

  /// As TokenStore::prepare_query().
  void prepare_query(MatrixView<const float> query, MaxSimQuery& prepared) const;
  /// out[i] = distance to the document of ids[i], the same bits as of a TokenStore; no_distance where there is none, or none with vectors. The
  /// order of ids does not matter. Returns how many vectors were read.
  std::size_t score(MaxSimQuery& query, std::span<const Id> ids, float* out) const;

  /// What there is of one segment: the documents of `places`, ascending, of which ids[place] is the id. Valid as long as the snapshot is.
  struct Part {
    const TokenStore* documents = nullptr;
    std::span<const Id> ids;
    std::vector<std::uint32_t> places;
  };
  /// All documents, for those who want to score them all. O(size()).
  [[nodiscard]] std::vector<Part> parts() const;

  /// All documents in ascending order of id, as they are coded. Throws Cancelled.
  [[nodiscard]] TokenStore freeze(const BuildControl& control = {}) const;

 private:
  friend class LiveTokenStore;
  struct Content {
    Codec codec;
    std::vector<std::shared_ptr<const TokenSegment>> segments;
    std::size_t size = 0;
    std::size_t tokens = 0;
  };
  struct Found {
    std::uint32_t segment, place;
  };
  explicit TokenSnapshot(Content content) : content_(std::make_shared<const Content>(std::move(content))) {}
  [[nodiscard]] std::optional<Found> find(Id id) const;

  std::shared_ptr<const Content> content_;
};

/// Documents of several vectors each, by id, that are added, replaced and removed while others score them by MaxSim: a TokenStore that changes.
///
/// Every change is a segment of its own, and later segments outweigh earlier ones; one that is at most twice as heavy as what comes after it
/// is merged with that (a log-structured merge: O'Neil et al., "The log-structured merge-tree", 1996). So there are O(log tokens) segments,
/// every vector is copied O(log tokens) times, and neither is coded anew. Where more than half of all vectors are of documents that are
/// gone, all segments are merged.
///
/// Any number of threads read, each from a snapshot, which takes a lock only to be copied; changes wait for each other. The content is a
/// function of the changes, not of the number of threads.
class LiveTokenStore {
 public:
  /// What changes together. Ids are not negative; none is twice in `ids`, nor in `ids` and `removed`.
  struct Change {
    VectorBatch documents =
        {};  ///< added, or put in place of what has their id; one without vectors is never found
    std::span<const Id> ids = {};      ///< one a document
    std::span<const Id> removed = {};  ///< unknown ones are no error
    bool must_be_new = false;          ///< refuse ids that are there already
  };
  /// A change that nothing is left to refuse. commit() makes it.
  class Prepared {
   public:
    [[nodiscard]] std::size_t gone() const {
      return gone_;
    }  ///< documents that it takes away; replaced ones do not count

   private:
    friend class LiveTokenStore;
    TokenSnapshot next_;
    std::size_t gone_ = 0;
    std::uint64_t copied_ = 0;
  };

  LiveTokenStore() = default;
  /// An empty one. Whatever is added is coded by `codec`, whose training is over. Throws InvalidArgument for metric l2.
  explicit LiveTokenStore(const Codec& codec);
  /// Goes on from a store, whose memory it shares: document i has id ids[i]; they ascend. None: numbers. Throws InvalidArgument.
  explicit LiveTokenStore(const TokenStore& documents, std::span<const Id> ids = {});

  [[nodiscard]] TokenSnapshot snapshot() const;
  [[nodiscard]] std::size_t size() const { return snapshot().size(); }
  /// Vectors that merging copied, ever.
  [[nodiscard]] std::uint64_t copied() const { return copied_; }

  /// Makes a change, on control.executor, and returns how many documents it took away. Throws InvalidArgument (shapes, ids, non-finite values
  /// named by document, vector and column, more than 2^32 - 2 vectors, what the codec refuses), Cancelled, std::bad_alloc; nothing is
  /// changed then.
  std::size_t apply(const Change& change, const BuildControl& control = {});
  /// The same in two steps, for those who have something to do in between. No other change may come between them.
  [[nodiscard]] Prepared prepare(const Change& change, const BuildControl& control = {}) const;
  void commit(Prepared&& prepared) noexcept;
  /// Back to what there was, for a change that failed elsewhere.
  void restore(TokenSnapshot before) noexcept;

  /// Lets go of documents that are gone: one segment is left.
  void compact(const BuildControl& control = {});

 private:
  std::mutex writer_;
  mutable std::mutex reading_;  // of now_
  TokenSnapshot now_;
  std::uint64_t copied_ = 0;
};

}  // namespace vicinal
