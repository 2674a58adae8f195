// What a codec is before it codes anything: kinds, training, normalisation, identity.
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "vicinal/core/error.hpp"
#include "vicinal/quant/codec_parts.hpp"
#include "vicinal/quant/mean.hpp"
#include "vicinal/quant/product_quantiser.hpp"

namespace vicinal {
namespace {

constexpr std::size_t rows_a_task = 4096;

// The largest magnitude among the documents, of length 1 for cosine.
float largest_value(MatrixView<const float> documents, Metric metric, const BuildControl& control) {
  const std::size_t blocks = (documents.rows() + rows_a_task - 1) / rows_a_task;
  std::vector<float> largest(blocks, 0.0F);
  control.executor.for_each(blocks, [&](std::size_t block, std::size_t) {
    std::vector<float> unit(documents.cols());
    const std::size_t end = std::min(documents.rows(), (block + 1) * rows_a_task);
    for (std::size_t row = block * rows_a_task; row < end; ++row) {
      std::span<const float> vector = documents[row];
      if (metric == Metric::cosine) {
        normalise(vector, unit);
        vector = unit;
      }
      largest[block] = std::max(largest[block], largest_magnitude(vector));
    }
  });
  return largest.empty() ? 0.0F : *std::max_element(largest.begin(), largest.end());
}

// The smallest e for which `largest` / 2^e is at most the largest value of the format.
int exponent_for(CodecKind kind, float largest) {
  if (largest == 0) return 0;
  const double most = with_format(kind, [](auto format) {
    return static_cast<double>(f8_to_f32<format()>(Float8Traits<format()>::largest_code));
  });
  int exponent = 0;
  const double fraction = std::frexp(static_cast<double>(largest) / most, &exponent);  // in [0.5, 1)
  if (fraction == 0.5) --exponent;
  return std::clamp(exponent, Codec::least_exponent, Codec::most_exponent);
}

}  // namespace

std::string_view to_string(CodecKind kind) {
  switch (kind) {
    case CodecKind::f32: return "f32";
    case CodecKind::f16: return "f16";
    case CodecKind::bf16: return "bf16";
    case CodecKind::i8: return "i8";
    case CodecKind::e4m3: return "e4m3";
    case CodecKind::e5m2: return "e5m2";
    case CodecKind::e3m4: return "e3m4";
    case CodecKind::i4: return "i4";
    case CodecKind::b1: return "b1";
    case CodecKind::b2: return "b2";
    case CodecKind::pq8: return "pq8";
    case CodecKind::pq4: return "pq4";
  }
  return "unknown";
}

void normalise(std::span<const float> vector, std::span<float> out) {
  // The kernels want the query padded and aligned, so the squares are summed here, in the kernels' own order.
  float lanes[32] = {};
  const std::size_t whole = vector.size() / 32 * 32;
  for (std::size_t j = 0; j < whole; j += 32) {
    for (std::size_t lane = 0; lane < 32; ++lane) lanes[lane] += vector[j + lane] * vector[j + lane];
  }
  for (std::size_t j = whole; j < vector.size(); ++j) lanes[j - whole] += vector[j] * vector[j];
  for (std::size_t width = 16; width > 0; width /= 2) {
    for (std::size_t j = 0; j < width; ++j) lanes[j] += lanes[j + width];
  }
  // Far from the ends of the range, where squares lose bits or overflow.
  if (lanes[0] >= 0x1.0p-80F && std::isfinite(lanes[0])) {
    const float inverse = 1.0F / std::sqrt(lanes[0]);
    for (std::size_t j = 0; j < vector.size(); ++j) out[j] = vector[j] * inverse;
    return;
  }
  // Scaled by the largest value first.
  const float largest = largest_magnitude(vector);
  if (largest == 0) {
    std::fill(out.begin(), out.end(), 0.0F);
    return;
  }
  double sum = 0;
  for (const float v : vector) {
    const double scaled = static_cast<double>(v) / static_cast<double>(largest);
    sum += scaled * scaled;
  }
  const double length = std::sqrt(sum) * static_cast<double>(largest);
  for (std::size_t j = 0; j < vector.size(); ++j)
    out[j] = static_cast<float>(static_cast<double>(vector[j]) / length);
}

Codec::Codec(const CodecOptions& options, Metric metric, std::size_t dim, int layout)
    : options_(options), metric_(metric), dim_(dim), kernels_(&kernels()) {
  if (dim == 0) throw InvalidArgument("vectors have 0 dimensions, expected at least 1");
  if (options.side_value && (!is_integer(options.kind) || metric == Metric::cosine)) {
    throw InvalidArgument("codec " + std::string(to_string(options.kind)) + " with metric " +
                          std::string(to_string(metric)) +
                          " takes no side value, expected integers and l2 or ip");
  }
  if (has_layouts(options.kind)) layout_ = layout;
  switch (options.kind) {
    case CodecKind::f32: stride_ = dim * sizeof(float); break;
    case CodecKind::f16:
    case CodecKind::bf16: stride_ = dim * sizeof(std::uint16_t); break;
    case CodecKind::i8: stride_ = padded(dim, layout == 0 ? 64 : 8); break;
    case CodecKind::i4:
      stride_ = dim / 128 * 64 + (dim % 128 == 0 ? 0 : nibble_line_bytes(dim % 128, layout));
      break;
    case CodecKind::b1: stride_ = padded(dim, 64) / 8; break;
    case CodecKind::b2: stride_ = padded(dim, 64) / 4; break;
    case CodecKind::e4m3:
    case CodecKind::e5m2:
    case CodecKind::e3m4: stride_ = dim; break;
    case CodecKind::pq8:
    case CodecKind::pq4: {
      const ProductShape shape = product_shape(options, dim);
      options_.product = {shape.parts, 0};
      options_.centre = false;
      stride_ = shape.stride();
      break;
    }
  }
  if (!is_integer(options.kind)) return;
  if (dim > max_byte_dim) {
    throw InvalidArgument(std::string(to_string(options.kind)) + " codes hold at most " +
                          std::to_string(max_byte_dim) + " dimensions, got " + std::to_string(dim));
  }
  if (options.rotate) rotation_ = std::make_shared<const Rotation>(dim, options.seed);
}

Codec Codec::train(const CodecOptions& options, Metric metric, MatrixView<const float> documents,
                   const BuildControl& control) {
  const std::size_t sides = options.side_value ? 1 : 0;
  Codec codec(options, metric, std::max(documents.cols(), sides) - sides);
  if (is_integer(options.kind) && options.centre && !options.side_value) {
    codec.set_mean(documents.empty()          ? Array<float>(codec.dim_)
                   : metric == Metric::cosine ? mean_of_unit_rows(documents, control.executor)
                                              : mean_of_rows(documents, control.executor),
                   true);
  }
  if (is_product(options.kind)) {
    codec.product_ = std::make_shared<const ProductQuantiser>(
        ProductQuantiser::train(product_shape(options, documents.cols()), metric == Metric::cosine, documents,
                                options.seed, control));
  }
  if (is_float8(options.kind))
    codec.exponent_ = exponent_for(options.kind, largest_value(documents, metric, control));
  return codec;
}

Codec Codec::restore(const CodecOptions& options, Metric metric, std::size_t dim, std::span<const float> mean,
                     int exponent, bool split_queries, int layout) {
  Codec codec(options, metric, dim, layout);
  if (is_product(options.kind)) throw InvalidArgument("a product codec is restored from its quantiser");
  const std::size_t expected = is_integer(options.kind) && options.centre && !options.side_value ? dim : 0;
  if (mean.size() != expected) {
    throw InvalidArgument("codec mean has " + std::to_string(mean.size()) + " values, expected " +
                          std::to_string(expected));
  }
  if (layout < 0 || layout > newest_layout) {
    throw InvalidArgument("codec layout is " + std::to_string(layout) + ", expected 0 to " +
                          std::to_string(newest_layout));
  }
  if (exponent < least_exponent || exponent > most_exponent || (exponent != 0 && !is_float8(options.kind))) {
    throw InvalidArgument("codec " + std::string(to_string(options.kind)) + " has exponent " +
                          std::to_string(exponent) + ", expected " +
                          (is_float8(options.kind)
                               ? std::to_string(least_exponent) + " to " + std::to_string(most_exponent)
                               : "0"));
  }
  codec.exponent_ = exponent;
  Array<float> copy(mean.size());
  std::copy(mean.begin(), mean.end(), copy.data());
  codec.set_mean(std::move(copy), split_queries);
  return codec;
}

void Codec::set_mean(Array<float> mean, bool split_queries) {
  mean_ = std::move(mean);
  split_queries_ = split_queries && !mean_.empty() && metric_ != Metric::l2;
  double sum = 0;
  for (const float v : mean_.span()) sum += static_cast<double>(v) * static_cast<double>(v);
  mean_norm_ = static_cast<float>(sum);
}

std::uint64_t Codec::fingerprint() const {
  // FNV-1a over everything that gives a record its meaning.
  std::uint64_t hash = 0xCBF2'9CE4'8422'2325;
  const auto mix = [&](std::uint64_t value) {
    for (int byte = 0; byte < 8; ++byte) {
      hash = (hash ^ (value >> (8 * byte) & 0xFF)) * 0x0000'0100'0000'01B3;
    }
  };
  mix(static_cast<std::uint64_t>(kind()));
  mix(static_cast<std::uint64_t>(metric_));
  mix(dim_);
  if (is_float8(kind())) {
    mix(static_cast<std::uint64_t>(std::int64_t{exponent_}));
    if (factor_count() == 1) mix(1);
  }
  if (is_integer(kind())) {
    mix(options_.rotate ? 1 : 0);
    mix(options_.rotate ? options_.seed : 0);
    mix(split_queries_ ? 1 : 0);
    mix(static_cast<std::uint64_t>(layout_) + (options_.side_value ? 2 : 0));
    for (const float v : mean_.span()) mix(std::bit_cast<std::uint32_t>(v));
  }
  if (product_) {
    mix(product_->shape().parts);
    for (const float v : product_->centroids()) mix(std::bit_cast<std::uint32_t>(v));
    for (const float v : product_->directions()) mix(std::bit_cast<std::uint32_t>(v));
  }
  return hash;
}

}  // namespace vicinal
