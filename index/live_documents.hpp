#pragma once

#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "vicinal/encode/live_token_store.hpp"
#include "vicinal/index/index.hpp"
#include "vicinal/index/live_hnsw.hpp"
#include "vicinal/index/multi_vector.hpp"

/// The side of a LiveIndex that is of documents of several vectors. Not installed.
namespace vicinal {

/// A MultiVector that changes: the documents' vectors in a LiveTokenStore and, unless every document is scored, their encodings in a LiveHnsw. What
/// encoder and codecs learn, they learn from the first change.
///
/// A search takes the documents as they are at one moment, before it takes candidates, and scores and returns only those. A change is in the
/// documents before it is in the graph. So no document is found that was removed before the search began, none twice, and none
/// half-way. Any number of threads search; changes wait for each other.
class LiveDocuments {
 public:
  LiveDocuments(Spec spec, Metric metric, std::size_t dim);
  /// Goes on from an index over a MultiVector. Shares the vectors, copies the graph. Throws Unsupported.
  explicit LiveDocuments(const Index& index);

  [[nodiscard]] std::size_t size() const { return ready() ? tokens_->size() : 0; }
  [[nodiscard]] std::size_t memory_bytes() const;
  [[nodiscard]] bool contains(Id id) const { return ready() && tokens_->snapshot().contains(id); }
  [[nodiscard]] std::vector<Id> ids() const;
  [[nodiscard]] std::size_t retired() const { return ready() && !scans() ? graph_.retired() : 0; }
  [[nodiscard]] bool scans() const { return !spec_.muvera && !spec_.head; }

  /// As LiveHnsw::apply(), of which it throws the errors too; non-finite values are named by document, vector and column. A document may
  /// have no vector: it counts, and is never found. The first documents must have one. When the graph fails for want of memory, searches may
  /// have seen the change for a moment.
  std::size_t apply(const LiveChange& change, const BuildControl& control,
                    const std::function<void()>& before);
  /// Queries of any number of vectors, validated. Effort as of a MultiVector; 0 is the default. Throws InvalidArgument for a query without vectors.
  void search(const VectorBatch& queries, NeighborsView out, std::size_t effort,
              const SearchControl& control) const;
  /// As LiveHnsw::consolidate().
  bool consolidate(std::size_t nodes, const BuildControl& control);
  /// Lets go of the vectors of documents that are gone.
  void compact(const BuildControl& control);

  struct Frozen {
    MultiVector retriever;
    std::vector<Id> ids;  ///< of its documents, ascending
  };
  /// What there is, immutable. Throws InvalidArgument when there is no vector.
  [[nodiscard]] Frozen freeze(GraphLayout layout, const BuildControl& control) const;

 private:
  [[nodiscard]] bool ready() const { return ready_.load(std::memory_order_acquire); }
  void learn(const VectorBatch& documents, const BuildControl& control);
  void scan(const VectorBatch& queries, NeighborsView out, const SearchControl& control) const;
  void search_candidates(const VectorBatch& queries, NeighborsView out, std::size_t effort,
                         const SearchControl& control) const;

  Spec spec_;
  Metric metric_;
  std::size_t dim_;
  mutable std::mutex changing_;
  // Made with the first change, before it is ready; these stay then.
  DocumentEncoder encoder_;
  std::unique_ptr<LiveTokenStore> tokens_;
  LiveHnsw graph_;
  std::atomic<bool> ready_ = false;
};

}  // namespace vicinal
