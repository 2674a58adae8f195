// Queries, and the distances between them and records.
#include <cmath>
#include <cstring>
#include <limits>

#include "vicinal/core/error.hpp"
#include "vicinal/quant/codec_parts.hpp"
#include "vicinal/quant/float16.hpp"
#include "vicinal/quant/product_quantiser.hpp"

namespace vicinal {
namespace {

float dot(const float* a, std::span<const float> b) {
  float result = 0;
  kernels().dot_f32(a, b.size(), {reinterpret_cast<const std::byte*>(b.data()), 0, nullptr}, 1, &result);
  return result;
}

}  // namespace

// The kernels see a code as its value x 2^(bias - 15): this is what that is multiplied with to be a value of a vector.
int Codec::kernel_exponent() const {
  return with_format(kind(), [&](auto format) { return exponent_ + 15 - Float8Traits<format()>::bias; });
}

// Puts the values of the last line of halves where the kernel meets them: low ones first, high ones from 64 on.
void Codec::arrange_query(std::int8_t* values) const {
  const std::size_t elements = dim_ % 128;
  if (kind() != CodecKind::i4 || layout_ == 0 || elements == 0) return;
  std::int8_t* const line = values + dim_ / 128 * 128;
  const std::size_t low = std::min(elements, nibble_line_bytes(elements, layout_));
  if (low == 64) return;
  std::memmove(line + 64, line + low, elements - low);
  std::memset(line + low, 0, 64 - low);
}

// Quantises a residual as encode_bytes does, to signed bytes, and sets `values_` and `shift_`.
void Codec::set_signed_query(std::span<const float> residual, PreparedQuery& query, float& scale,
                             float& norm) const {
  const float largest = require_byte_range(residual, to_string(kind()), "the query");
  const float most = has_blocks() ? largest_bit_query : largest_code;
  scale = largest / most;
  const float inverse = scale > std::numeric_limits<float>::min() ? most / largest : 0.0F;
  auto* bytes = reinterpret_cast<std::int8_t*>(query.values_.data());
  std::int32_t sum = 0;
  std::int64_t squares = 0;
  for (std::size_t j = 0; j < dim_; ++j) {
    const auto code = static_cast<std::int32_t>(round_to_integer(residual[j] * inverse));
    bytes[j] = static_cast<std::int8_t>(code);
    sum += code;
    squares += code * code;
  }
  query.shift_ = zero_code(kind(), layout_) * sum;
  arrange_query(bytes);
  norm = (scale * scale) * static_cast<float>(squares);
  query.norm_ = std::sqrt(norm);
  query.step_ = scale;
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
  if (is_product(kind())) return prepare_product(vector, query);
  const bool integer = is_integer(kind());
  reserve(query.values_, query.scratch_, integer ? padded(dim_, 128) : padded(dim_, 32) * sizeof(float),
          integer ? dim_ : dim_ * sizeof(float), dim_);
  query.l2_ = metric_ == Metric::l2;
  std::span<float> scratch(query.scratch_.data(), dim_);
  if (metric_ == Metric::cosine) {
    normalise(vector, scratch);
  } else {
    std::copy_n(vector.begin(), dim_, scratch.begin());
  }
  query.weight_ = -1.0F;
  query.constant_ = metric_ == Metric::cosine ? 1.0F : 0.0F;
  query.unit_ = 1.0F;
  query.offset_weight_ = 1.0F;
  query.whole_ = false;
  if (!integer) {
    if (set_whole_query(scratch, query)) return;
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
      const float along_mean = dot(query.scratch_.data(), mean_.span());
      query.constant_ -= along_mean;
      if (split_queries_) {
        const float part = mean_norm_ > 0 ? along_mean / mean_norm_ : 0.0F;
        query.offset_weight_ = std::isfinite(part) ? part : 0.0F;
        for (std::size_t j = 0; j < dim_; ++j) scratch[j] -= query.offset_weight_ * mean_[j];
      }
    }
  }
  if (options_.side_value && metric_ == Metric::ip) query.offset_weight_ = vector[dim_];
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
  if (kind() == CodecKind::i4 && layout_ == 0)
    query.weight_ *= 0.5F;  // The kernel's codes are twice as large.
}

void Codec::prepare_record(const std::byte* record, const float* l2_factors, PreparedQuery& query) const {
  if (is_product(kind())) return prepare_product_record(record, query);
  const bool integer = is_integer(kind());
  reserve(query.values_, query.scratch_, integer ? padded(dim_, 128) : padded(dim_, 32) * sizeof(float),
          integer ? dim_ : dim_ * sizeof(float), dim_);
  query.l2_ = true;
  query.whole_ = false;
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
  for_each_code(*this, record, [&](std::size_t j, std::int32_t code) {
    values[j] = static_cast<std::int8_t>(code);
    sum += code;
  });
  query.offset_weight_ = 1.0F;
  arrange_query(values);
  query.shift_ = zero_code(kind(), layout_) * sum;
  if (is_rabitq(kind())) {
    const float scale = closest_scale(record, l2_factors);
    query.weight_ = -2.0F * scale;
    query.constant_ = (scale * scale) * static_cast<float>(code_norm(record));
    query.norm_ = std::sqrt(query.constant_);
    query.step_ = 0.0F;  // Codes are exact.
    return;
  }
  query.weight_ = (kind() == CodecKind::i4 && layout_ == 0 ? -1.0F : -2.0F) * l2_factors[0];
  query.constant_ = l2_factors[1];
}

// Halves are counted by their bytes.
std::size_t Codec::kernel_dim() const { return kind() == CodecKind::i4 ? 2 * stride_ : dim_; }

void Codec::score_group(std::span<const PreparedQuery> queries, const std::byte* records,
                        const float* factors, std::size_t count, float* out,
                        std::size_t out_stride) const noexcept {
  const auto group = kind() == CodecKind::i8   ? kernels_->bytes_group
                     : kind() == CodecKind::i4 ? kernels_->nibbles_group
                                               : nullptr;
  if (group == nullptr || queries.size() == 1) {
    for (std::size_t q = 0; q < queries.size(); ++q)
      score(queries[q], records, factors, nullptr, count, out + q * out_stride);
    return;
  }
  const auto values = [](const PreparedQuery& query) {
    return reinterpret_cast<const std::int8_t*>(query.values_.data());
  };
  for_each_group(queries, values, [&](std::span<const ByteQuery> some, std::size_t first) {
    group(some, kernel_dim(), records, stride_, factors, count, out + first * out_stride, out_stride);
  });
}

void Codec::score(const PreparedQuery& query, const std::byte* records, const float* factors,
                  const std::uint32_t* ids, std::size_t count, float* out) const noexcept {
  const Records where{records, stride_, ids};
  if (is_product(kind()))
    return product_->score(query.values_.data(), query.weight_, query.constant_, records, ids, count, out);
  if (is_integer(kind())) {
    const auto kernel = kind() == CodecKind::i8   ? kernels_->bytes
                        : kind() == CodecKind::i4 ? kernels_->nibbles
                        : kind() == CodecKind::b1 ? kernels_->bits
                                                  : kernels_->quarters;
    kernel(reinterpret_cast<const std::int8_t*>(query.values_.data()), kernel_dim(), where, factors,
           query.shift_, query.weight_, query.constant_, query.offset_weight_, count, out);
    return;
  }
  if (query.whole_) {
    const auto kernel = kind() == CodecKind::e4m3 ? kernels_->whole_e4m3 : kernels_->whole_e3m4;
    kernel(reinterpret_cast<const std::int8_t*>(query.values_.data()), dim_, where,
           factor_count() == 1 ? factors : nullptr, query.weight_, query.constant_, count, out);
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
  if (factor_count() == 1) {
    for (std::size_t i = 0; i < count; ++i) out[i] *= factors[ids == nullptr ? i : ids[i]];
  }
  for (std::size_t i = 0; i < count; ++i) out[i] = query.constant_ - out[i];
}

}  // namespace vicinal
