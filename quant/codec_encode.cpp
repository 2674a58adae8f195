// Vectors to records and back.
#include <array>
#include <cmath>
#include <cstring>
#include <iterator>
#include <limits>
#include <string>

#include "vicinal/core/error.hpp"
#include "vicinal/core/sums.hpp"
#include "vicinal/quant/codec_parts.hpp"
#include "vicinal/quant/float16.hpp"
#include "vicinal/quant/kernels/encode.hpp"
#include "vicinal/quant/product_quantiser.hpp"

namespace vicinal {

namespace {

// Below this, 65,536 squares and what the kernels make of them stay finite, so that a distance is never NaN.
constexpr float largest_byte_value = 0x1.0p54F;

}  // namespace

// The largest magnitude of a residual that is about to become bytes.
float require_byte_range(std::span<const float> residual, std::string_view codec, const char* what) {
  const float largest = largest_magnitude(residual);
  if (largest <= largest_byte_value) return largest;
  throw InvalidArgument(std::string(what) + " has values up to " + std::to_string(largest) +
                        " after centring and rotation, " + std::string(codec) + " holds at most " +
                        std::to_string(largest_byte_value));
}

void Codec::encode_bytes(std::span<const float> residual, std::byte* record, float* factors) const {
  const float largest = require_byte_range(residual, to_string(kind()), "the vector");
  const float scale = largest / largest_code;
  const float inverse = scale > std::numeric_limits<float>::min() ? largest_code / largest : 0.0F;
  auto* bytes = reinterpret_cast<std::uint8_t*>(record);
  for (std::size_t j = 0; j < residual.size(); ++j) {
    bytes[j] = static_cast<std::uint8_t>(static_cast<std::int32_t>(round_to_integer(residual[j] * inverse)) +
                                         byte_zero);
  }
  std::memset(bytes + residual.size(), byte_zero, stride_ - residual.size());
  factors[0] = scale;
  factors[1] = metric_ == Metric::l2 ? residual_norm(record, scale) : 0.0F;
}

namespace {

// The largest value need not be representable: with 16 steps it pays to clip a few and have finer steps for the many.
constexpr std::size_t nibble_scales = 32;
static_assert(nibble_scales % nibble_steps == 0);
float nibble_inverse(std::size_t step) { return 7.5F + 0.25F * static_cast<float>(step); }

}  // namespace

// Of many step widths the best is taken, then the scale that fits its codes best.
void Codec::encode_nibbles(std::span<float> residual, std::byte* record, float* factors) const {
  if (layout_ == 0) throw Unsupported("i4 codes as the first files had them are read, not made");
  const float largest = require_byte_range(residual, to_string(kind()), "the vector");
  auto* bytes = reinterpret_cast<std::uint8_t*>(record);
  std::memset(bytes, 0, stride_);
  factors[0] = 0;
  factors[1] = 0;
  if (largest / 7.0F <= std::numeric_limits<float>::min()) return;
  // Scaled to at most 1, so that no square overflows or vanishes.
  float best_inverse = 0;
  float best_error = std::numeric_limits<float>::infinity();
  const float unit = 1.0F / largest;
  for (float& value : residual) value *= unit;
  NibbleSums best;
  std::array<float, nibble_steps> inverses{};
  std::array<NibbleSums, nibble_steps> sums{};
  for (std::size_t step = 0; step < nibble_scales; step += nibble_steps) {
    for (std::size_t s = 0; s < nibble_steps; ++s) inverses[s] = nibble_inverse(step + s);
    encode_kernels().nibble_sums(residual.data(), residual.size(), inverses.data(), sums.data());
    for (std::size_t s = 0; s < nibble_steps; ++s) {
      // |x - s c|^2 = |x|^2 - <x, c>^2 / <c, c> at the best scale s = <x, c> / <c, c>; |x|^2 is the same for all.
      const float error = -(sums[s].product / sums[s].squares) * sums[s].product;
      if (error < best_error) {
        best_error = error;
        best_inverse = inverses[s];
        best = sums[s];
      }
    }
  }
  for (std::size_t line = 0; line < dim_; line += 128, bytes += 64) {
    const std::size_t elements = std::min<std::size_t>(128, dim_ - line);
    const std::size_t low = std::min(elements, nibble_line_bytes(elements, layout_));
    std::uint8_t halves[128];
    encode_kernels().nibbles(residual.data() + line, elements, best_inverse, halves);
    std::memcpy(bytes, halves, low);
    for (std::size_t j = 0; j < elements - low; ++j)
      bytes[j] = static_cast<std::uint8_t>(halves[low + j] << 4U | bytes[j]);
  }
  factors[0] = best.product / best.squares * largest;
  factors[1] =
      metric_ == Metric::l2 ? (factors[0] * factors[0]) * best.squares : 0.0F;  // As residual_norm() has it.
}

// <mean, r> of a residual r.
float Codec::mean_product(std::span<const float> residual) const {
  return static_cast<float>(inner_product(mean_.span(), residual));
}

void Codec::encode(std::span<const float> vector, std::byte* record, float* factors,
                   std::span<float> scratch) const {
  std::span<const float> source = vector.first(dim_);
  if (metric_ == Metric::cosine) {
    normalise(vector, scratch);
    source = scratch;
  }
  switch (kind()) {
    case CodecKind::f32: std::memcpy(record, source.data(), stride_); return;
    case CodecKind::f16:
    case CodecKind::bf16: encode_half(source, record); return;
    case CodecKind::e4m3:
    case CodecKind::e5m2:
    case CodecKind::e3m4:
      encode_float8(source, record);
      if (factor_count() == 1) factors[0] = norm_factor(source, record);
      return;
    case CodecKind::i8:
    case CodecKind::i4:
    case CodecKind::b1:
    case CodecKind::b2: {
      if (mean_.empty()) {
        if (source.data() != scratch.data()) std::copy(source.begin(), source.end(), scratch.begin());
      } else {
        for (std::size_t j = 0; j < dim_; ++j) scratch[j] = source[j] - mean_[j];
      }
      const float along_mean = split_queries_ ? mean_product(scratch) : 0.0F;
      if (rotation_) rotation_->apply(scratch);
      if (kind() == CodecKind::i8) {
        encode_bytes(scratch, record, factors);
      } else if (kind() == CodecKind::b1) {
        encode_bits(scratch, record, factors);
      } else if (kind() == CodecKind::b2) {
        encode_quarters(scratch, record, factors);
      } else {
        encode_nibbles(scratch, record, factors);
      }
      if (options_.side_value) {
        factors[1] = (metric_ == Metric::l2 ? factors[1] : 0.0F) + vector[dim_];
      } else if (metric_ != Metric::l2) {
        factors[1] = 0.0F - along_mean;  // Never -0.
      }
      return;
    }
    case CodecKind::pq8:
    case CodecKind::pq4: product_->encode(source, record); return;
  }
}

void Codec::encode_rows(MatrixView<const float> documents, std::span<const std::uint32_t> order,
                        std::size_t first, std::size_t end, std::byte* records, float* factors) const {
  if (product_ && product_->shape().rotated)
    return encode_rotated_rows(documents, order, first, end, records);
  Array<float> scratch(dim_);
  float none[2] = {};  // for codecs without factors
  for (std::size_t slot = first; slot < end; ++slot) {
    const std::size_t row = order.empty() ? slot : order[slot];
    try {
      encode(documents[row], records + (slot - first) * stride_,
             factors == nullptr ? none : factors + factor_count() * (slot - first), scratch.span());
    } catch (const InvalidArgument& error) {
      throw InvalidArgument("row " + std::to_string(row) + ": " + error.what());
    }
  }
}

void Codec::decode(const std::byte* record, const float* factors, std::span<float> out) const {
  switch (kind()) {
    case CodecKind::f32: std::memcpy(out.data(), record, stride_); return;
    case CodecKind::f16:
    case CodecKind::bf16:
      for (std::size_t j = 0; j < dim_; ++j) {
        std::uint16_t code = 0;
        std::memcpy(&code, record + j * sizeof(code), sizeof(code));
        out[j] = kind() == CodecKind::f16 ? f16_to_f32(code) : bf16_to_f32(code);
      }
      return;
    case CodecKind::e4m3:
    case CodecKind::e5m2:
    case CodecKind::e3m4: {
      const double factor =
          std::ldexp(factor_count() == 1 ? static_cast<double>(factors[0]) : 1.0, exponent_);
      with_format(kind(), [&](auto format) {
        for (std::size_t j = 0; j < dim_; ++j) {
          const float code = f8_to_f32<format()>(std::to_integer<std::uint8_t>(record[j]));
          out[j] = static_cast<float>(static_cast<double>(code) * factor);
        }
      });
      return;
    }
    case CodecKind::i8:
    case CodecKind::i4:
    case CodecKind::b1:
    case CodecKind::b2: {
      const float scale = is_rabitq(kind()) ? closest_scale(record, factors) : factors[0];
      for_each_code(*this, record,
                    [&](std::size_t j, std::int32_t code) { out[j] = static_cast<float>(code) * scale; });
      if (rotation_) rotation_->apply_inverse(out);
      if (!mean_.empty()) {
        for (std::size_t j = 0; j < dim_; ++j) out[j] += mean_[j];
      }
      return;
    }
    case CodecKind::pq8:
    case CodecKind::pq4: product_->decode(record, out); return;
  }
}

float Codec::residual_norm(const std::byte* record, float scale) const noexcept {
  std::int64_t squares = 0;
  for_each_code(*this, record, [&](std::size_t, std::int32_t code) { squares += code * code; });
  return (scale * scale) * static_cast<float>(squares);
}

}  // namespace vicinal
