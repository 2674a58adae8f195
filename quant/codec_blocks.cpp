// Records of b1 and b2 in blocks, and the distances of queries to them.
#include <algorithm>

#include "vicinal/quant/codec_parts.hpp"
#include "vicinal/quant/kernels/bit_blocks.hpp"

namespace vicinal {
namespace {

static_assert(Codec::block_size == block_records);

std::size_t words_of(const Codec& codec) { return padded(codec.dim(), 64) / 32; }

// Bits j of a record's planes: the one of a b1, or the upper and the lower one of a b2.
template <class Visit>
void for_each_plane_byte(const Codec& codec, std::size_t place, const Visit& visit) {
  const std::size_t planes = codec.kind() == CodecKind::b1 ? 1 : 2;
  for (std::size_t byte = 0; byte < 4 * words_of(codec); ++byte) {
    for (std::size_t plane = 0; plane < planes; ++plane) {
      visit(byte, plane, (byte / 4 * planes + plane) * block_word_bytes + byte % 4 * block_records + place);
    }
  }
}

// Where element j of a b2 lies, as in Codec.
struct Quarter {
  explicit Quarter(std::size_t j) : byte(j / 64 * 16 + j % 16), shift(static_cast<int>(j % 64 / 16 * 2)) {}
  std::size_t byte;
  int shift;
};

}  // namespace

void Codec::put_in_block(const std::byte* record, std::size_t place, std::byte* block) const {
  for_each_plane_byte(*this, place, [&](std::size_t byte, std::size_t plane, std::size_t at) {
    if (kind() == CodecKind::b1) {
      block[at] = record[byte];
      return;
    }
    for (std::size_t bit = 0; bit < 8; ++bit) {
      const Quarter quarter(8 * byte + bit);
      const std::byte code = record[quarter.byte] >> quarter.shift;
      block[at] |= ((plane == 0 ? code >> 1 : code) & std::byte{1}) << static_cast<int>(bit);
    }
  });
}

void Codec::take_from_block(const std::byte* block, std::size_t place, std::byte* record) const {
  std::fill_n(record, stride_, std::byte{0});
  for_each_plane_byte(*this, place, [&](std::size_t byte, std::size_t plane, std::size_t at) {
    if (kind() == CodecKind::b1) {
      record[byte] = block[at];
      return;
    }
    for (std::size_t bit = 0; bit < 8; ++bit) {
      const Quarter quarter(8 * byte + bit);
      const std::byte set = block[at] >> static_cast<int>(bit) & std::byte{1};
      record[quarter.byte] |= (plane == 0 ? set << 1 : set) << quarter.shift;
    }
  });
}

void Codec::prepare_scan(PreparedQuery& query) const {
  if (!has_blocks()) return;
  const std::size_t words = words_of(*this);
  if (query.tables_.size() != words * block_table_bytes)
    query.tables_ = Array<std::int8_t>(words * block_table_bytes);
  bit_block_kernels().make_tables(reinterpret_cast<const std::int8_t*>(query.values_.data()), words,
                                  query.tables_.data());
}

void Codec::score_blocks(std::span<const PreparedQuery> queries, const std::byte* blocks,
                         const float* factors, std::size_t count, float* out,
                         std::size_t out_stride) const noexcept {
  const std::size_t planes = kind() == CodecKind::b1 ? 1 : 2;
  const auto tables = [](const PreparedQuery& query) { return query.tables_.data(); };
  for_each_group(queries, tables, [&](std::span<const ByteQuery> some, std::size_t first) {
    bit_block_kernels().scan(some, words_of(*this), planes, blocks, factors, count, out + first * out_stride,
                             out_stride);
  });
}

}  // namespace vicinal
