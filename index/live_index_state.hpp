#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "vicinal/core/append_log.hpp"
#include "vicinal/index/live_documents.hpp"
#include "vicinal/index/live_index.hpp"
#include "vicinal/index/live_record.hpp"

/// What handles of a LiveIndex share. Not installed.
namespace vicinal {

struct LiveIndex::State {
  Spec spec;
  std::uint64_t seed = 1;
  Metric metric = Metric::l2;
  std::size_t dim = 0;
  std::filesystem::path path;  // empty: in memory

  std::unique_ptr<LiveDocuments> documents;  // of specs with maxsim, in place of the graph

  // The graph is made with the first change, and stays.
  LiveHnsw graph;
  std::atomic<bool> has_graph = false;

  mutable std::mutex changing;
  AppendLog log;
  bool broken = false;  // memory and log may differ
  bool closed = false;
  mutable std::mutex calibration_mutex;
  std::optional<Calibration> calibration;

  void set_graph(LiveHnsw made) {
    graph = std::move(made);
    has_graph.store(true, std::memory_order_release);
  }
  [[nodiscard]] bool ready() const { return has_graph.load(std::memory_order_acquire); }
  // Makes what there is before the first change.
  void begin(const CreateRecord& record);
  void take(const Index& index);
  void make_graph(MatrixView<const float> rows, const BuildControl& control);
  void require_writable() const;
  std::size_t change(const LiveChange& change, const BuildControl& control, bool logged);
  [[nodiscard]] Index freeze(bool calibrate, std::optional<GraphLayout> wanted,
                             const BuildControl& control) const;
};

}  // namespace vicinal
