#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "vicinal/index/query_mapped.hpp"
#include "vicinal/index/row_partition.hpp"
#include "vicinal/index/spec.hpp"
#include "vicinal/quant/code_store.hpp"

namespace vicinal {

/// Rows in clusters, each with a projection and codes of its own, which fit the few dimensions in which near rows differ better than one
/// projection of all rows (MagSVD: Zhang et al., "Experimental Analysis of Large-scale Learnable Vector Storage Compression", VLDB 2024).
/// A query is mapped for every cluster and compared with every row; the answers are merged by (distance, row), since all estimate the
/// same metric. Immutable; copies share everything.
class Clustered {
 public:
  static constexpr std::string_view kind = "clusters";
  using Params = Flat::Params;
  struct Cluster {
    Array<std::uint32_t> rows;  ///< ascending, at least one: codes of slot s are of row rows[s]
    Projection projection;
    CodeStore codes;  ///< of projected rows
  };

  Clustered() = default;
  /// Throws InvalidArgument unless the clusters' rows are 0, 1, ..., each once, and codes fit rows and projection, and projections each
  /// other.
  explicit Clustered(std::vector<Cluster> clusters);

  [[nodiscard]] std::size_t size() const { return partition_.size(); }
  [[nodiscard]] std::size_t dim() const { return parts_.empty() ? 0 : parts_.front().dim(); }
  [[nodiscard]] Metric metric() const { return parts_.empty() ? Metric::l2 : parts_.front().metric(); }
  [[nodiscard]] std::size_t memory_bytes() const;
  [[nodiscard]] std::size_t clusters() const { return parts_.size(); }
  [[nodiscard]] std::span<const std::uint32_t> rows(std::size_t cluster) const {
    return partition_.rows(cluster);
  }
  [[nodiscard]] const Projection& projection(std::size_t cluster) const {
    return parts_[cluster].projection();
  }
  [[nodiscard]] const CodeStore& codes(std::size_t cluster) const {
    return parts_[cluster].inner().get_if<Flat>()->codes();
  }
  /// The vector that a row's codes stand for, dim() values.
  void decode(std::uint32_t row, std::span<float> out) const;

  /// A budget of distances is spent on the first clusters first.
  void search(const VectorBatch& queries, NeighborsView out, const Params& params,
              const SearchControl& control) const;

  /// Sections "<prefix>/<cluster>/rows", "/projection/..." and "/flat/...".
  void save(ContainerWriter& writer, const std::string& prefix) const;
  /// Throws CorruptFile, also when there are more than `most` clusters.
  static Clustered load(const Container& file, const std::string& prefix, std::size_t most);

 private:
  RowPartition partition_;
  std::vector<QueryMapped> parts_;  // over a Flat each
};
static_assert(Retriever<Clustered>);

/// Clusters as `spec` has them, over `base`, without those that no row is in. Throws InvalidArgument, Cancelled.
Clustered build_clustered(const Spec& spec, Metric metric, MatrixView<const float> base,
                          const BuildControl& control = {});

}  // namespace vicinal
