#include "vicinal/index/clustered.hpp"

#include <fmt/format.h>

#include <utility>

#include "vicinal/core/error.hpp"
#include "vicinal/index/coded_rows.hpp"
#include "vicinal/quant/row_clusters.hpp"

namespace vicinal {
namespace {

// The rows of each cluster, ascending, without the empty ones.
std::vector<Array<std::uint32_t>> rows_of_clusters(std::span<const std::uint32_t> cluster_of_row,
                                                   std::size_t clusters) {
  std::vector<std::vector<std::uint32_t>> rows(clusters);
  for (std::uint32_t row = 0; row < cluster_of_row.size(); ++row) rows[cluster_of_row[row]].push_back(row);
  std::vector<Array<std::uint32_t>> result;
  for (const std::vector<std::uint32_t>& own : rows) {
    if (own.empty()) continue;
    result.emplace_back(own.size());
    std::ranges::copy(own, result.back().data());
  }
  return result;
}

}  // namespace

Clustered::Clustered(std::vector<Cluster> clusters) {
  std::vector<Array<std::uint32_t>> rows;
  for (Cluster& cluster : clusters) {
    if (cluster.rows.empty() || cluster.codes.size() != cluster.rows.size()) {
      throw InvalidArgument(
          fmt::format("a cluster of {} rows has codes of {}", cluster.rows.size(), cluster.codes.size()));
    }
    rows.push_back(std::move(cluster.rows));
    parts_.emplace_back(Flat(cluster.codes), std::move(cluster.projection));
    if (parts_.back().dim() != dim() || parts_.back().metric() != metric())
      throw InvalidArgument("the clusters' projections are of different dimensions or metrics");
  }
  partition_ = RowPartition(std::move(rows));
}

std::size_t Clustered::memory_bytes() const {
  std::size_t bytes = partition_.memory_bytes();
  for (const QueryMapped& part : parts_) bytes += part.memory_bytes();
  return bytes;
}

void Clustered::decode(std::uint32_t row, std::span<float> out) const {
  const auto [cluster, slot] = partition_.find(row);
  // Of the dimensions that are coded: a side value is no part of the vector.
  std::vector<float> projected(projection(cluster).out_dim());
  codes(cluster).decode(slot, projected);
  projection(cluster).reconstruct(projected, out);
}

void Clustered::search(const VectorBatch& queries, NeighborsView out, const Params& /*params*/,
                       const SearchControl& control) const {
  const auto search_cluster = [&](std::size_t cluster, NeighborsView found, const SearchControl& of_cluster) {
    parts_[cluster].search(queries, found, {}, of_cluster);
  };
  const SearchStats work = partition_.search(search_cluster, out, control);
  if (control.stats == nullptr) return;
  control.stats->add_work(work);
  control.stats->strategy = fmt::format("clusters({}) > {}", clusters(), work.strategy);
}

void Clustered::save(ContainerWriter& writer, const std::string& prefix) const {
  for (std::size_t c = 0; c < clusters(); ++c) {
    const std::string name = fmt::format("{}/{}", prefix, c);
    writer.add(name + "/rows", rows(c));
    projection(c).save(writer, name + "/projection");
    codes(c).save(writer, name + "/flat");
  }
}

Clustered Clustered::load(const Container& file, const std::string& prefix, std::size_t most) {
  std::vector<Cluster> clusters;
  for (;;) {
    const std::string name = fmt::format("{}/{}", prefix, clusters.size());
    if (!file.contains(name + "/rows")) break;
    if (clusters.size() == most)
      throw CorruptFile(fmt::format("sections {}/: there are more than {} clusters", prefix, most));
    CodeStore codes = CodeStore::load(file, name + "/flat");
    Array<std::uint32_t> rows = file.array<std::uint32_t>(name + "/rows", codes.size());
    clusters.push_back({std::move(rows), Projection::load(file, name + "/projection"), std::move(codes)});
  }
  try {
    return Clustered(std::move(clusters));
  } catch (const InvalidArgument& error) {
    throw CorruptFile(fmt::format("sections {}/: {}", prefix, error.what()));
  }
}

Clustered build_clustered(const Spec& spec, Metric metric, MatrixView<const float> base,
                          const BuildControl& control) {
  const std::vector<std::uint32_t> cluster_of_row =
      cluster_rows(base, metric == Metric::cosine, spec.clusters, spec.codec.seed, control);
  std::vector<Clustered::Cluster> clusters;
  for (Array<std::uint32_t>& rows : rows_of_clusters(cluster_of_row, spec.clusters)) {
    const Array<float> own = copy_rows(base, std::as_const(rows).span(), control);
    CodedRows coded = coded_rows(spec, metric, {own.data(), rows.size(), base.cols()}, {}, control);
    CodeStore codes = coded.encode(control);
    clusters.push_back({std::move(rows), std::move(*coded.projection), std::move(codes)});
  }
  return Clustered(std::move(clusters));
}

}  // namespace vicinal
