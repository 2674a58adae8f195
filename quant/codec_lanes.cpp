// Records in lanes, sixteen side by side, and what a kernel for them needs of a query.
#include <cstring>

#include "vicinal/core/error.hpp"
#include "vicinal/quant/codec_parts.hpp"

namespace vicinal {
namespace {

// Bytes of a record that lie together, and how many of them.
struct LaneShape {
  std::size_t bytes;
  std::size_t steps;
};

LaneShape shape_of(const Codec& codec) {
  switch (codec.kind()) {
    case CodecKind::f32: return {4, codec.dim()};
    case CodecKind::f16: return {2, codec.dim()};
    case CodecKind::i8: return {4, (codec.dim() + 3) / 4};
    default: return {4, (codec.dim() + 7) / 8};
  }
}

// Where element j of an i4 lies in a record: a byte and the half of it.
struct Half {
  std::size_t byte;
  int shift;
};
Half half_of_record(const Codec& codec, std::size_t j) {
  const std::size_t line = j / 128;
  const std::size_t low =
      std::min<std::size_t>(64, nibble_line_bytes(std::min<std::size_t>(128, codec.dim() - line * 128), 1));
  const std::size_t own = j % 128;
  return own < low ? Half{line * 64 + own, 0} : Half{line * 64 + own - low, 4};
}

}  // namespace

bool Codec::has_lanes() const {
  return kind() == CodecKind::f32 || kind() == CodecKind::f16 ||
         ((kind() == CodecKind::i8 || kind() == CodecKind::i4) && layout_ > 0);
}

std::size_t Codec::lane_steps() const { return shape_of(*this).steps; }

std::size_t Codec::lane_group_bytes() const {
  const LaneShape shape = shape_of(*this);
  return shape.bytes * shape.steps * block_size;
}

void Codec::put_in_lanes(const std::byte* record, std::size_t place, std::byte* group) const {
  const LaneShape shape = shape_of(*this);
  std::byte* const first = group + place * shape.bytes;
  const std::size_t step_bytes = shape.bytes * block_size;
  if (kind() == CodecKind::i4) {
    for (std::size_t j = 0; j < dim_; ++j) {
      const Half from = half_of_record(*this, j);
      const std::byte half = record[from.byte] >> from.shift & std::byte{15};
      first[j / 8 * step_bytes + j % 4] |= half << (j % 8 < 4 ? 0 : 4);
    }
    return;
  }
  const std::size_t bytes = kind() == CodecKind::i8 ? dim_ : shape.bytes * dim_;
  for (std::size_t s = 0; s < shape.steps; ++s) {
    std::memcpy(first + s * step_bytes, record + s * shape.bytes,
                std::min(shape.bytes, bytes - s * shape.bytes));
  }
}

void Codec::take_from_lanes(const std::byte* group, std::size_t place, std::byte* record) const {
  const LaneShape shape = shape_of(*this);
  const std::byte* const first = group + place * shape.bytes;
  const std::size_t step_bytes = shape.bytes * block_size;
  if (kind() == CodecKind::i4) {
    std::memset(record, 0, stride_);
    for (std::size_t j = 0; j < dim_; ++j) {
      const Half to = half_of_record(*this, j);
      const std::byte half = first[j / 8 * step_bytes + j % 4] >> (j % 8 < 4 ? 0 : 4) & std::byte{15};
      record[to.byte] |= half << to.shift;
    }
    return;
  }
  const std::size_t bytes = kind() == CodecKind::i8 ? dim_ : shape.bytes * dim_;
  for (std::size_t s = 0; s < shape.steps; ++s) {
    std::memcpy(record + s * shape.bytes, first + s * step_bytes,
                std::min(shape.bytes, bytes - s * shape.bytes));
  }
}

std::byte Codec::lane_padding() const {
  return kind() == CodecKind::i8 ? static_cast<std::byte>(byte_zero) : std::byte{0};
}

ByteQuery Codec::lane_terms(const PreparedQuery& query) const {
  return {nullptr, query.shift_, query.weight_, query.constant_, query.offset_weight_};
}

std::span<const float> Codec::lane_floats(const PreparedQuery& query) const {
  return {reinterpret_cast<const float*>(query.values_.data()), dim_};
}

void Codec::lane_codes(const PreparedQuery& query, std::span<std::int8_t> codes) const {
  const auto* values = reinterpret_cast<const std::int8_t*>(query.values_.data());
  std::memcpy(codes.data(), values, dim_);
  const std::size_t elements = dim_ % 128;
  if (kind() != CodecKind::i4 || elements == 0) return;
  // Of the last line the high halves are where the other kernels meet them.
  const std::size_t line = dim_ - elements;
  const std::size_t low = std::min(elements, nibble_line_bytes(elements, layout_));
  std::memcpy(codes.data() + line + low, values + line + 64, elements - low);
}

}  // namespace vicinal
