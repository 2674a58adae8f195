#pragma once

#include "vicinal/index/retriever.hpp"
#include "vicinal/quant/code_store.hpp"

namespace vicinal {

struct FlatOptions {
  friend bool operator==(const FlatOptions&, const FlatOptions&) = default;
};

/// Every query against every vector: exact on the stored codes (with f32: exact). Batches of queries over f32 rows go through
/// blocked matrix products that pick candidates, which are then scored by the kernels, so results carry the kernels' numeric
/// contract whatever the batch. O(queries x size x dim).
class Flat {
 public:
  static constexpr std::string_view kind = "flat";
  struct Params {
    static Params from_effort(std::size_t /*effort*/) { return {}; }
    void validate() const {}
    friend bool operator==(const Params&, const Params&) = default;
  };

  Flat() = default;
  explicit Flat(const CodeStore& codes);

  [[nodiscard]] std::size_t size() const { return codes_.size(); }
  [[nodiscard]] std::size_t dim() const { return codes_.codec().input_dim(); }
  [[nodiscard]] Metric metric() const { return codes_.codec().metric(); }
  [[nodiscard]] std::size_t memory_bytes() const { return codes_.memory_bytes() + norms_.bytes(); }
  [[nodiscard]] const CodeStore& codes() const { return codes_; }
  void search(const VectorBatch& queries, NeighborsView out, const Params& params,
              const SearchControl& control) const;

 private:
  SearchStats scan(const VectorBatch& queries, std::size_t first_query, std::size_t count,
                   const NeighborsView& out, const SearchControl& control) const;

  CodeStore codes_;
  Array<float> norms_;  // |x|^2 of f32 rows, which matrix products need
};
static_assert(Retriever<Flat>);

}  // namespace vicinal
