#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "vicinal/index/flat.hpp"
#include "vicinal/index/row_partition.hpp"
#include "vicinal/index/spec.hpp"

namespace vicinal {

/// How many of `rows` rows each tier holds: shares are rounded where one tier ends and the next begins, the last has the rest. A tier may
/// be empty.
std::vector<std::size_t> tier_sizes(std::span<const TierOptions> tiers, std::size_t rows);

/// Throws InvalidArgument unless there is a popularity for each row, finite and not negative.
void require_popularity(std::span<const float> popularity, std::size_t rows);

/// The rows of each tier, ascending: the most popular in the first, of equally popular ones those of smaller number first. Throws
/// InvalidArgument as require_popularity() does.
std::vector<Array<std::uint32_t>> tier_rows(std::span<const TierOptions> tiers, std::size_t rows,
                                            std::span<const float> popularity);

/// Rows in tiers, each with a codec of its own: what is asked for most is kept best. Every query is compared with every row; the answers
/// of the tiers are merged by (distance, row), since all estimate the same metric. Immutable; copies share everything.
class Tiered {
 public:
  static constexpr std::string_view kind = "tiers";
  using Params = Flat::Params;
  struct Tier {
    Array<std::uint32_t> rows;  ///< ascending: codes of slot s are of row rows[s]
    CodeStore codes;            ///< an empty one without rows
  };

  Tiered() = default;
  /// Throws InvalidArgument unless the tiers' rows are 0, 1, ..., each once, and their codes agree in number, dimension and metric.
  explicit Tiered(std::vector<Tier> tiers);

  [[nodiscard]] std::size_t size() const { return partition_.size(); }
  [[nodiscard]] std::size_t dim() const { return size() == 0 ? 0 : any_codec().input_dim(); }
  [[nodiscard]] Metric metric() const { return size() == 0 ? Metric::l2 : any_codec().metric(); }
  [[nodiscard]] std::size_t memory_bytes() const;
  [[nodiscard]] std::size_t tiers() const { return partition_.parts(); }
  [[nodiscard]] std::span<const std::uint32_t> rows(std::size_t tier) const { return partition_.rows(tier); }
  [[nodiscard]] const CodeStore& codes(std::size_t tier) const { return flats_[tier].codes(); }
  /// The vector that a row's codes stand for, dim() values.
  void decode(std::uint32_t row, std::span<float> out) const;

  /// A budget of distances is spent on the first tiers first.
  void search(const VectorBatch& queries, NeighborsView out, const Params& params,
              const SearchControl& control) const;

  /// Sections "<prefix>/<tier>/rows" and those of the codes; none of an empty tier.
  void save(ContainerWriter& writer, const std::string& prefix) const;
  /// Of tiers that hold sizes[t] rows. Throws CorruptFile.
  static Tiered load(const Container& file, const std::string& prefix, std::span<const std::size_t> sizes);

 private:
  [[nodiscard]] const Codec& any_codec() const;

  RowPartition partition_;
  std::vector<Flat> flats_;  // one a tier, empty where the tier is
};
static_assert(Retriever<Tiered>);

/// Tiers as `spec` has them, over `base`. What codecs learn, they learn from all rows. Throws InvalidArgument, Cancelled.
Tiered build_tiered(const Spec& spec, Metric metric, MatrixView<const float> base,
                    std::span<const float> popularity, const BuildControl& control = {});
/// The options of a tier's codec.
CodecOptions tier_codec(const Spec& spec, std::size_t tier);

}  // namespace vicinal
