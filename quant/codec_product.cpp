// Where a codec is a product quantiser.
#include <algorithm>
#include <string>
#include <utility>

#include "vicinal/core/error.hpp"
#include "vicinal/quant/codec.hpp"
#include "vicinal/quant/codec_parts.hpp"
#include "vicinal/quant/product_quantiser.hpp"

namespace vicinal {

ProductShape product_shape(const CodecOptions& options, std::size_t dim) {
  const ProductShape shape{dim, options.product.of(dim), options.kind == CodecKind::pq4 ? 4 : 8,
                           options.rotate};
  const std::string name = std::string(shape.rotated ? "opq" : "pq") + "(" + std::to_string(shape.parts) +
                           (shape.bits == 4 ? ", bits=4)" : ")");
  if (shape.parts == 0) throw InvalidArgument(name + " has no sub-spaces, expected at least 1");
  if (shape.parts > dim) {
    throw InvalidArgument(name + " has " + std::to_string(shape.parts) + " sub-spaces, more than the " +
                          std::to_string(dim) + " dimensions of the vectors that it codes");
  }
  if (shape.parts > most_product_parts) {
    throw InvalidArgument(name + " has " + std::to_string(shape.parts) + " sub-spaces, expected at most " +
                          std::to_string(most_product_parts));
  }
  const std::size_t most = shape.rotated ? most_rotated_dim : max_byte_dim;
  if (dim > most) {
    throw InvalidArgument(name + " codes hold at most " + std::to_string(most) + " dimensions, got " +
                          std::to_string(dim));
  }
  return shape;
}

Codec Codec::restore(const CodecOptions& options, Metric metric, ProductQuantiser quantiser) {
  if (!is_product(options.kind)) {
    throw InvalidArgument("a product quantiser does not belong to codec " +
                          std::string(to_string(options.kind)));
  }
  Codec codec(options, metric, quantiser.shape().dim);
  if (product_shape(options, codec.dim_) != quantiser.shape())
    throw InvalidArgument("a product quantiser of another shape than the codec's options say");
  codec.product_ = std::make_shared<const ProductQuantiser>(std::move(quantiser));
  return codec;
}

std::size_t Codec::memory_bytes() const {
  return mean_.bytes() + (product_ ? product_->shape().table_bytes() : 0);
}

void Codec::encode_rotated_rows(MatrixView<const float> documents, std::span<const std::uint32_t> order,
                                std::size_t first, std::size_t end, std::byte* records) const {
  constexpr std::size_t block = 64;  // rows that stay in the second-level cache while all directions pass
  const std::size_t most = std::min(block, end - first);
  Array<float> rows(most * dim_);
  Array<float> rotated(most * dim_);
  for (std::size_t begin = first; begin < end; begin += block) {
    const std::size_t count = std::min(block, end - begin);
    const auto row_of = [&](std::size_t i) { return order.empty() ? begin + i : order[begin + i]; };
    for (std::size_t i = 0; i < count; ++i) {
      const std::span<float> row(rows.data() + i * dim_, dim_);
      if (metric_ == Metric::cosine) {
        normalise(documents[row_of(i)], row);
      } else {
        std::ranges::copy(documents[row_of(i)], row.begin());
      }
    }
    product_->rotate_rows(rows.data(), dim_, count, rotated.data());
    for (std::size_t i = 0; i < count; ++i) {
      try {
        product_->encode_rotated({rotated.data() + i * dim_, dim_}, records + (begin - first + i) * stride_);
      } catch (const InvalidArgument& error) {
        throw InvalidArgument("row " + std::to_string(row_of(i)) + ": " + error.what());
      }
    }
  }
}

void Codec::prepare_product(std::span<const float> vector, PreparedQuery& query) const {
  query.l2_ = metric_ == Metric::l2;
  ProductQuantiser::Tables tables{query.values_, query.scratch_};
  product_->prepare(vector, metric_, tables);
  const float base = metric_ == Metric::cosine ? 1.0F : 0.0F;
  query.weight_ = query.l2_ ? tables.weight : -tables.weight;
  query.constant_ = query.l2_ ? tables.constant : base - tables.constant;
}

void Codec::prepare_product_record(const std::byte* record, PreparedQuery& query) const {
  query.l2_ = true;
  ProductQuantiser::Tables tables{query.values_, query.scratch_};
  product_->prepare_record(record, tables);
  query.weight_ = tables.weight;
  query.constant_ = tables.constant;
}

}  // namespace vicinal
