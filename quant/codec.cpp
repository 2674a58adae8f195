#include "vicinal/quant/codec.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <type_traits>
#include <vector>

#include "vicinal/core/error.hpp"
#include "vicinal/quant/float16.hpp"
#include "vicinal/quant/float8.hpp"

namespace vicinal {
namespace {

constexpr std::int32_t byte_zero = 128;  // the byte that stands for 0
constexpr std::int32_t nibble_zero = 8;  // and the half of a byte
constexpr float largest_code = 127.0F;

std::size_t padded(std::size_t size, std::size_t to) { return (size + to - 1) / to * to; }

// Rounds to nearest, ties to even, for |x| < 2^22: the float adder does it, the same way everywhere, and it vectorises.
float round_to_integer(float x) {
  constexpr float magic = 0x1.8p23F;
  return (x + magic) - magic;
}

// The largest magnitude; infinity or NaN when there is one: as integers, magnitudes are in order and those come last.
float largest_magnitude(std::span<const float> values) {
  std::uint32_t largest = 0;
  for (const float v : values) largest = std::max(largest, std::bit_cast<std::uint32_t>(v) & 0x7FFF'FFFFU);
  return std::bit_cast<float>(largest);
}

// Below this, 65,536 squares and what the kernels make of them stay finite, so that a distance is never NaN.
constexpr float largest_byte_value = 0x1.0p54F;

// The largest magnitude of a residual that is about to become bytes.
float require_byte_range(std::span<const float> residual, std::string_view codec, const char* what) {
  const float largest = largest_magnitude(residual);
  if (largest <= largest_byte_value) return largest;
  throw InvalidArgument(std::string(what) + " has values up to " + std::to_string(largest) +
                        " after centring and rotation, " + std::string(codec) + " holds at most " +
                        std::to_string(largest_byte_value));
}

float dot(const float* a, std::span<const float> b) {
  float result = 0;
  kernels().dot_f32(a, b.size(), {reinterpret_cast<const std::byte*>(b.data()), 0, nullptr}, 1, &result);
  return result;
}

// Rows are summed in blocks of this many, block sums in order: the order, so the bits, never depend on the threads.
constexpr std::size_t mean_block = 4096;

Array<float> mean_of(MatrixView<const float> documents, Metric metric, const BuildControl& control) {
  const std::size_t dim = documents.cols();
  const std::size_t blocks = (documents.rows() + mean_block - 1) / mean_block;
  std::vector<double> sums(blocks * dim, 0.0);
  control.executor.for_each(blocks, [&](std::size_t block, std::size_t) {
    double* sum = sums.data() + block * dim;
    std::vector<float> unit(dim);
    const std::size_t end = std::min(documents.rows(), (block + 1) * mean_block);
    for (std::size_t row = block * mean_block; row < end; ++row) {
      const float* vector = documents.row_data(row);
      if (metric == Metric::cosine) {
        normalise(documents[row], unit);
        vector = unit.data();
      }
      for (std::size_t j = 0; j < dim; ++j) sum[j] += static_cast<double>(vector[j]);
    }
  });
  Array<float> mean(dim);
  for (std::size_t j = 0; j < dim; ++j) {
    double sum = 0;
    for (std::size_t block = 0; block < blocks; ++block) sum += sums[block * dim + j];
    mean[j] = static_cast<float>(sum / static_cast<double>(documents.rows()));
  }
  return mean;
}

// The largest magnitude among the documents, of length 1 for cosine.
float largest_value(MatrixView<const float> documents, Metric metric, const BuildControl& control) {
  const std::size_t blocks = (documents.rows() + mean_block - 1) / mean_block;
  std::vector<float> largest(blocks, 0.0F);
  control.executor.for_each(blocks, [&](std::size_t block, std::size_t) {
    std::vector<float> unit(documents.cols());
    const std::size_t end = std::min(documents.rows(), (block + 1) * mean_block);
    for (std::size_t row = block * mean_block; row < end; ++row) {
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

// Calls `body` with the float8 format of a kind as a constant.
template <class Body>
decltype(auto) with_format(CodecKind kind, Body body) {
  switch (kind) {
    case CodecKind::e5m2: return body(std::integral_constant<Float8Format, Float8Format::e5m2>());
    case CodecKind::e3m4: return body(std::integral_constant<Float8Format, Float8Format::e3m4>());
    default: return body(std::integral_constant<Float8Format, Float8Format::e4m3>());
  }
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
  }
  return "unknown";
}

void normalise(std::span<const float> vector, std::span<float> out) {
  // The kernels want the query padded and aligned, so the squares are summed here, in the kernels' own order.
  float lanes[32] = {};
  for (std::size_t j = 0; j < vector.size(); ++j) lanes[j % 32] += vector[j] * vector[j];
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

Codec::Codec(const CodecOptions& options, Metric metric, std::size_t dim)
    : options_(options), metric_(metric), dim_(dim), kernels_(&kernels()) {
  if (dim == 0) throw InvalidArgument("vectors have 0 dimensions, expected at least 1");
  switch (options.kind) {
    case CodecKind::f32: stride_ = dim * sizeof(float); break;
    case CodecKind::f16:
    case CodecKind::bf16: stride_ = dim * sizeof(std::uint16_t); break;
    case CodecKind::i8: stride_ = padded(dim, 64); break;
    case CodecKind::i4: stride_ = padded(dim, 128) / 2; break;
    case CodecKind::e4m3:
    case CodecKind::e5m2:
    case CodecKind::e3m4: stride_ = dim; break;
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
  Codec codec(options, metric, documents.cols());
  if (is_integer(options.kind) && options.centre) {
    codec.mean_ = documents.empty() ? Array<float>(codec.dim_) : mean_of(documents, metric, control);
  }
  if (is_float8(options.kind))
    codec.exponent_ = exponent_for(options.kind, largest_value(documents, metric, control));
  return codec;
}

Codec Codec::restore(const CodecOptions& options, Metric metric, std::size_t dim, std::span<const float> mean,
                     int exponent) {
  Codec codec(options, metric, dim);
  if (mean.size() != (is_integer(options.kind) && options.centre ? dim : 0)) {
    throw InvalidArgument("codec mean has " + std::to_string(mean.size()) + " values, expected " +
                          std::to_string(dim));
  }
  if (exponent < least_exponent || exponent > most_exponent || (exponent != 0 && !is_float8(options.kind))) {
    throw InvalidArgument("codec " + std::string(to_string(options.kind)) + " has exponent " +
                          std::to_string(exponent) + ", expected " +
                          (is_float8(options.kind)
                               ? std::to_string(least_exponent) + " to " + std::to_string(most_exponent)
                               : "0"));
  }
  codec.exponent_ = exponent;
  codec.mean_ = Array<float>(mean.size());
  std::copy(mean.begin(), mean.end(), codec.mean_.data());
  return codec;
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

// Codes -7 to 7 of x / scale, clipped; how far what they stand for is from x, squared; and the sums of the best scale for them.
struct NibbleFit {
  float error = 0;
  float product = 0;  // of x and codes
  float squares = 0;  // of codes

  NibbleFit(std::span<const float> x, float inverse) {
    // Eight sums side by side: an order of its own, the same everywhere.
    float products[8] = {};
    float code_squares[8] = {};
    for (std::size_t j = 0; j < x.size(); ++j) {
      const float code = nibble(x[j], inverse);
      products[j % 8] += x[j] * code;
      code_squares[j % 8] += code * code;
    }
    for (std::size_t lane = 0; lane < 8; ++lane) {
      product += products[lane];
      squares += code_squares[lane];
    }
    // |x - s c|^2 = |x|^2 - <x, c>^2 / <c, c> at the best scale s = <x, c> / <c, c>; |x|^2 is the same for all.
    error = squares > 0 ? -(product / squares) * product : 0.0F;
  }
  static float nibble(float x, float inverse) {
    return std::clamp(round_to_integer(x * inverse), -7.0F, 7.0F);
  }
};

}  // namespace

// The largest value need not be representable: with 15 steps it pays to clip a few and have finer steps for the many. Of eight
// step widths the best is taken, then the scale that fits its codes best.
void Codec::encode_nibbles(std::span<float> residual, std::byte* record, float* factors) const {
  const float largest = require_byte_range(residual, to_string(kind()), "the vector");
  auto* bytes = reinterpret_cast<std::uint8_t*>(record);
  std::memset(bytes, nibble_zero * 17, stride_);
  factors[0] = 0;
  factors[1] = 0;
  if (largest / 7.0F <= std::numeric_limits<float>::min()) return;
  // Scaled to at most 1, so that no square overflows or vanishes.
  constexpr std::size_t steps = 8;
  float best_inverse = 0;
  float best_error = std::numeric_limits<float>::infinity();
  const float unit = 1.0F / largest;
  for (float& value : residual) value *= unit;
  for (std::size_t step = 0; step < steps; ++step) {
    const float inverse = 7.0F + 1.0F * static_cast<float>(step);
    const NibbleFit fit(residual, inverse);
    if (fit.error < best_error) {
      best_error = fit.error;
      best_inverse = inverse;
    }
  }
  const NibbleFit fit(residual, best_inverse);
  for (std::size_t j = 0; j < dim_; ++j) {
    const auto code = static_cast<std::uint8_t>(
        static_cast<std::int32_t>(NibbleFit::nibble(residual[j], best_inverse)) + nibble_zero);
    std::uint8_t& both = bytes[j / 128 * 64 + j % 64];
    both = j % 128 < 64 ? static_cast<std::uint8_t>((both & 0xF0U) | code)
                        : static_cast<std::uint8_t>((both & 0x0FU) | code << 4U);
  }
  factors[0] = fit.product / fit.squares * largest;
  factors[1] = metric_ == Metric::l2 ? residual_norm(record, factors[0]) : 0.0F;
}

namespace {

// Calls body(j, code) for every element of a record of integers. The kind is looked at once, not per element.
template <class Body>
void for_each_code(CodecKind kind, const std::byte* record, std::size_t dim, Body body) {
  if (kind == CodecKind::i8) {
    for (std::size_t j = 0; j < dim; ++j) body(j, std::to_integer<std::int32_t>(record[j]) - byte_zero);
    return;
  }
  for (std::size_t line = 0; line < dim; line += 128, record += 64) {
    const std::size_t count = std::min<std::size_t>(64, dim - line);
    for (std::size_t j = 0; j < count; ++j)
      body(line + j, (std::to_integer<std::int32_t>(record[j]) & 15) - nibble_zero);
    const std::size_t rest = std::min<std::size_t>(128, dim - line) - count;
    for (std::size_t j = 0; j < rest; ++j)
      body(line + 64 + j, (std::to_integer<std::int32_t>(record[j]) >> 4) - nibble_zero);
  }
}

}  // namespace

void Codec::encode_float8(std::span<const float> source, std::byte* record) const {
  const auto* values = source.data();
  // In double, where no float times a power of two rounds or leaves the range.
  const double factor = std::ldexp(1.0, -exponent_);
  with_format(kind(), [&](auto format) {
    for (std::size_t j = 0; j < dim_; ++j) {
      const auto scaled = static_cast<float>(static_cast<double>(values[j]) * factor);
      record[j] = std::byte{f32_to_f8<format()>(scaled)};
    }
  });
}

// The kernels see a code as its value x 2^(bias - 15): this is what that is multiplied with to be a value of a vector.
int Codec::kernel_exponent() const {
  return with_format(kind(), [&](auto format) { return exponent_ + 15 - Float8Traits<format()>::bias; });
}

void Codec::encode(std::span<const float> vector, std::byte* record, float* factors,
                   std::span<float> scratch) const {
  std::span<const float> source = vector;
  if (metric_ == Metric::cosine) {
    normalise(vector, scratch);
    source = scratch;
  }
  switch (kind()) {
    case CodecKind::f32: std::memcpy(record, source.data(), stride_); return;
    case CodecKind::f16:
    case CodecKind::bf16: {
      for (std::size_t j = 0; j < dim_; ++j) {
        const std::uint16_t code = kind() == CodecKind::f16 ? f32_to_f16(source[j]) : f32_to_bf16(source[j]);
        if ((code & 0x7FFFU) >= (kind() == CodecKind::f16 ? 0x7C00U : 0x7F80U)) {
          throw InvalidArgument("value " + std::to_string(source[j]) + " in column " + std::to_string(j) +
                                " is beyond what " + std::string(to_string(kind())) + " can hold");
        }
        std::memcpy(record + j * sizeof(code), &code, sizeof(code));
      }
      return;
    }
    case CodecKind::e4m3:
    case CodecKind::e5m2:
    case CodecKind::e3m4: encode_float8(source, record); return;
    case CodecKind::i8:
    case CodecKind::i4: {
      if (mean_.empty()) {
        if (source.data() != scratch.data()) std::copy(source.begin(), source.end(), scratch.begin());
      } else {
        for (std::size_t j = 0; j < dim_; ++j) scratch[j] = source[j] - mean_[j];
      }
      if (rotation_) rotation_->apply(scratch);
      if (kind() == CodecKind::i8) {
        encode_bytes(scratch, record, factors);
      } else {
        encode_nibbles(scratch, record, factors);
      }
      return;
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
      const double factor = std::ldexp(1.0, exponent_);
      with_format(kind(), [&](auto format) {
        for (std::size_t j = 0; j < dim_; ++j) {
          const float code = f8_to_f32<format()>(std::to_integer<std::uint8_t>(record[j]));
          out[j] = static_cast<float>(static_cast<double>(code) * factor);
        }
      });
      return;
    }
    case CodecKind::i8:
    case CodecKind::i4: {
      for_each_code(kind(), record, dim_, [&](std::size_t j, std::int32_t code) {
        out[j] = static_cast<float>(code) * factors[0];
      });
      if (rotation_) rotation_->apply_inverse(out);
      if (!mean_.empty()) {
        for (std::size_t j = 0; j < dim_; ++j) out[j] += mean_[j];
      }
      return;
    }
  }
}

float Codec::residual_norm(const std::byte* record, float scale) const noexcept {
  std::int64_t squares = 0;
  for_each_code(kind(), record, dim_, [&](std::size_t, std::int32_t code) { squares += code * code; });
  return (scale * scale) * static_cast<float>(squares);
}

// Quantises a residual as encode_bytes does, to signed bytes, and sets `values_` and `shift_`.
void Codec::set_signed_query(std::span<const float> residual, PreparedQuery& query, float& scale,
                             float& norm) const {
  const float largest = require_byte_range(residual, to_string(kind()), "the query");
  scale = largest / largest_code;
  const float inverse = scale > std::numeric_limits<float>::min() ? largest_code / largest : 0.0F;
  auto* bytes = reinterpret_cast<std::int8_t*>(query.values_.data());
  std::int32_t sum = 0;
  std::int64_t squares = 0;
  for (std::size_t j = 0; j < dim_; ++j) {
    const auto code = static_cast<std::int32_t>(round_to_integer(residual[j] * inverse));
    bytes[j] = static_cast<std::int8_t>(code);
    sum += code;
    squares += code * code;
  }
  query.shift_ = (kind() == CodecKind::i8 ? byte_zero : nibble_zero) * sum;
  norm = (scale * scale) * static_cast<float>(squares);
}

namespace {

// Makes room for `bytes` bytes of which `used` will be written, and zeroes the padding: it may hold values of a longer query.
void reserve(Array<std::byte>& values, Array<float>& scratch, std::size_t bytes, std::size_t used,
             std::size_t dim) {
  if (values.size() != bytes) values = Array<std::byte>(bytes);
  std::memset(values.data() + used, 0, bytes - used);
  if (scratch.size() != padded(dim, 32)) scratch = Array<float>(padded(dim, 32));
  std::fill(scratch.data() + dim, scratch.data() + scratch.size(), 0.0F);
}

}  // namespace

void Codec::prepare_query(std::span<const float> vector, PreparedQuery& query) const {
  const bool integer = is_integer(kind());
  reserve(query.values_, query.scratch_, integer ? padded(dim_, 128) : padded(dim_, 32) * sizeof(float),
          integer ? dim_ : dim_ * sizeof(float), dim_);
  query.l2_ = metric_ == Metric::l2;
  std::span<float> scratch(query.scratch_.data(), dim_);
  if (metric_ == Metric::cosine) {
    normalise(vector, scratch);
  } else {
    std::copy(vector.begin(), vector.end(), scratch.begin());
  }
  query.weight_ = -1.0F;
  query.constant_ = metric_ == Metric::cosine ? 1.0F : 0.0F;
  query.unit_ = 1.0F;
  if (!integer) {
    if (is_float8(kind())) {
      // |q - x|^2 = 4^e |q 2^-e - x 2^-e|^2 and <q, x> = <q 2^e, x 2^-e>, where the kernels have x 2^-e.
      const int e = kernel_exponent();
      const double factor = std::ldexp(1.0, query.l2_ ? -e : e);
      for (float& value : scratch) value = static_cast<float>(static_cast<double>(value) * factor);
      if (query.l2_) query.unit_ = static_cast<float>(std::ldexp(1.0, 2 * e));
    }
    std::memcpy(query.values_.data(), scratch.data(), dim_ * sizeof(float));
    return;
  }
  if (!mean_.empty()) {
    if (metric_ == Metric::l2) {
      for (std::size_t j = 0; j < dim_; ++j) scratch[j] -= mean_[j];
    } else {
      query.constant_ -= dot(query.scratch_.data(), mean_.span());
    }
  }
  if (rotation_) rotation_->apply(scratch);
  float scale = 0;
  float norm = 0;
  set_signed_query(scratch, query, scale, norm);
  if (metric_ == Metric::l2) {
    query.weight_ = -2.0F * scale;
    query.constant_ = norm;
  } else {
    query.weight_ = -scale;
  }
}

void Codec::prepare_record(const std::byte* record, const float* l2_factors, PreparedQuery& query) const {
  const bool integer = is_integer(kind());
  reserve(query.values_, query.scratch_, integer ? padded(dim_, 128) : padded(dim_, 32) * sizeof(float),
          integer ? dim_ : dim_ * sizeof(float), dim_);
  query.l2_ = true;
  query.unit_ = 1.0F;
  if (is_float8(kind())) {
    auto* values = reinterpret_cast<float*>(query.values_.data());
    with_format(kind(), [&](auto format) {
      for (std::size_t j = 0; j < dim_; ++j)
        values[j] = f16_to_f32(f8_to_f16_bits<format()>(std::to_integer<std::uint8_t>(record[j])));
    });
    query.unit_ = static_cast<float>(std::ldexp(1.0, 2 * kernel_exponent()));
    return;
  }
  if (!integer) {
    decode(record, nullptr, {reinterpret_cast<float*>(query.values_.data()), dim_});
    return;
  }
  auto* values = reinterpret_cast<std::int8_t*>(query.values_.data());
  std::int32_t sum = 0;
  for_each_code(kind(), record, dim_, [&](std::size_t j, std::int32_t code) {
    values[j] = static_cast<std::int8_t>(code);
    sum += code;
  });
  query.shift_ = (kind() == CodecKind::i8 ? byte_zero : nibble_zero) * sum;
  query.weight_ = -2.0F * l2_factors[0];
  query.constant_ = l2_factors[1];
}

void Codec::score(const PreparedQuery& query, const std::byte* records, const float* factors,
                  const std::uint32_t* ids, std::size_t count, float* out) const noexcept {
  const Records where{records, stride_, ids};
  if (is_integer(kind())) {
    (kind() == CodecKind::i8 ? kernels_->bytes : kernels_->nibbles)(
        reinterpret_cast<const std::int8_t*>(query.values_.data()), dim_, where, factors, query.shift_,
        query.weight_, query.constant_, count, out);
    return;
  }
  const auto* values = reinterpret_cast<const float*>(query.values_.data());
  const auto run = [&](Kernels::FloatKernel l2, Kernels::FloatKernel dot_product) {
    (query.l2_ ? l2 : dot_product)(values, dim_, where, count, out);
  };
  switch (kind()) {
    case CodecKind::f16: run(kernels_->l2_f16, kernels_->dot_f16); break;
    case CodecKind::bf16: run(kernels_->l2_bf16, kernels_->dot_bf16); break;
    case CodecKind::e4m3: run(kernels_->l2_e4m3, kernels_->dot_e4m3); break;
    case CodecKind::e5m2: run(kernels_->l2_e5m2, kernels_->dot_e5m2); break;
    case CodecKind::e3m4: run(kernels_->l2_e3m4, kernels_->dot_e3m4); break;
    default: run(kernels_->l2_f32, kernels_->dot_f32); break;
  }
  if (query.l2_) {
    if (query.unit_ == 1.0F) return;
    for (std::size_t i = 0; i < count; ++i) out[i] *= query.unit_;
    return;
  }
  for (std::size_t i = 0; i < count; ++i) out[i] = query.constant_ - out[i];
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
  if (is_float8(kind())) mix(static_cast<std::uint64_t>(std::int64_t{exponent_}));
  if (is_integer(kind())) {
    mix(options_.rotate ? 1 : 0);
    mix(options_.rotate ? options_.seed : 0);
    for (const float v : mean_.span()) mix(std::bit_cast<std::uint32_t>(v));
  }
  return hash;
}

}  // namespace vicinal
