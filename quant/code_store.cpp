#include "vicinal/quant/code_store.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <vector>

#include "vicinal/core/error.hpp"
#include "vicinal/quant/float16.hpp"
#include "vicinal/quant/float8.hpp"
#include "vicinal/quant/product_quantiser.hpp"

namespace vicinal {
namespace {

constexpr std::size_t rows_per_task = 256;

std::size_t block_count(std::size_t records) { return (records + Codec::block_size - 1) / Codec::block_size; }

// The section "<prefix>/codec". Written field by field, little-endian, so that no padding reaches the file.
struct CodecHeader {
  std::uint64_t size;
  std::uint64_t dim;
  std::uint64_t seed;
  std::uint8_t kind;
  std::uint8_t metric;
  std::uint8_t rotate;
  std::uint8_t centre;
  std::int16_t exponent;  // of float8, else 0
  std::uint8_t
      split_queries;  // of integers with a mean for ip and cosine, 0 in the first files of those, else 0
  std::uint8_t
      layout;  // of i8, i4 and b2, 0 in the first files; with side_value_flag for a side value; norm_flag, of float8; blocks_flag; and lanes_flag
};
constexpr std::uint8_t side_value_flag = 2;
constexpr std::uint8_t norm_flag = 4;
constexpr std::uint8_t blocks_flag = 8;  // of b1 and b2: records lie in blocks, of which the last is whole
constexpr std::uint8_t lanes_flag =
    16;  // of f32, f16, i8 and i4: they lie in lanes, and the last group is whole
static_assert(sizeof(CodecHeader) == 32 && std::has_unique_object_representations_v<CodecHeader>);

[[noreturn]] void throw_corrupt(const std::string& prefix, const std::string& reason) {
  throw CorruptFile("section " + prefix + ": " + reason);
}

template <class Code>
bool all_finite(const std::byte* codes, std::size_t count, std::uint32_t exponent_mask) {
  Code worst = 0;
  for (std::size_t i = 0; i < count; ++i) {
    Code code;
    std::memcpy(&code, codes + i * sizeof(Code), sizeof(Code));
    worst = std::max(worst, static_cast<Code>(code & exponent_mask));
  }
  return worst != exponent_mask;
}

template <Float8Format format>
bool float8_finite(const std::byte* codes, std::size_t count) {
  std::uint8_t largest = 0;
  for (std::size_t i = 0; i < count; ++i)
    largest = std::max(largest, static_cast<std::uint8_t>(std::to_integer<std::uint8_t>(codes[i]) & 0x7FU));
  return largest <= Float8Traits<format>::largest_code;
}

bool records_are_finite(CodecKind kind, const std::byte* records, std::size_t bytes) {
  switch (kind) {
    case CodecKind::f32: return all_finite<std::uint32_t>(records, bytes / 4, 0x7F80'0000U);
    case CodecKind::f16: return all_finite<std::uint16_t>(records, bytes / 2, 0x7C00U);
    case CodecKind::bf16: return all_finite<std::uint16_t>(records, bytes / 2, 0x7F80U);
    case CodecKind::i8:
    case CodecKind::i4:
    case CodecKind::b1:
    case CodecKind::b2:
    case CodecKind::pq8:
    case CodecKind::pq4: return true;
    case CodecKind::e4m3: return float8_finite<Float8Format::e4m3>(records, bytes);
    case CodecKind::e5m2: return float8_finite<Float8Format::e5m2>(records, bytes);
    case CodecKind::e3m4: return float8_finite<Float8Format::e3m4>(records, bytes);
  }
  return false;
}

// Byte codes are 1 to 255 (128 + [-127, 127]), halves of bytes of the first layout 1 to 15; 0 never comes out of an encoder, and of
// bytes it would break the kernels' bound.
bool integers_are_codes(const Codec& codec, const std::byte* records, std::size_t bytes) {
  const CodecKind kind = codec.kind();
  if (is_rabitq(kind) || (kind == CodecKind::i4 && codec.layout() > 0)) return true;
  const auto* codes = reinterpret_cast<const std::uint8_t*>(records);
  int smallest = 255;
  for (std::size_t i = 0; i < bytes; ++i) {
    smallest =
        std::min(smallest, kind == CodecKind::i8 ? int{codes[i]} : std::min(codes[i] & 15, codes[i] >> 4));
  }
  return smallest != 0;
}

Codec load_product(const Container& file, const std::string& prefix, CodecOptions options, Metric metric,
                   std::uint64_t dim) {
  if (options.centre) throw_corrupt(prefix + "/codec", "a product codec with a mean");
  const std::string_view bytes = file.metadata(prefix + "/product");
  std::uint64_t parts = 0;
  if (bytes.size() != sizeof(parts)) throw_corrupt(prefix + "/product", "wrong length");
  std::memcpy(&parts, bytes.data(), sizeof(parts));
  options.product.parts = parts;
  try {
    const ProductShape shape = product_shape(options, dim);
    Array<float> centroids =
        file.array<float>(prefix + "/centroids", checked_product(dim, shape.centroids(), "centroids"));
    Array<float> directions;
    if (shape.rotated)
      directions = file.array<float>(prefix + "/directions", checked_product(dim, dim, "directions"));
    return Codec::restore(options, metric,
                          ProductQuantiser(shape, std::move(centroids), std::move(directions)));
  } catch (const InvalidArgument& error) {
    throw_corrupt(prefix + "/product", error.what());
  }
}

}  // namespace

CodeStore CodeStore::build(const Codec& codec, MatrixView<const float> documents,
                           std::span<const std::uint32_t> order, const BuildControl& control) {
  if (documents.cols() != codec.input_dim()) {
    throw InvalidArgument("documents have " + std::to_string(documents.cols()) +
                          " columns, the codec has dimension " + std::to_string(codec.input_dim()));
  }
  const auto beyond =
      std::find_if(order.begin(), order.end(), [&](std::uint32_t row) { return row >= documents.rows(); });
  if (beyond != order.end()) {
    throw InvalidArgument("the order names row " + std::to_string(*beyond) + " of " +
                          std::to_string(documents.rows()));
  }
  CodeStore store;
  store.codec_ = codec;
  store.size_ = order.empty() ? documents.rows() : order.size();
  store.records_ = Array<std::byte>(checked_product(store.size_, codec.stride(), "codes"));
  const std::size_t factors = codec.factor_count();
  if (factors != 0) store.factors_ = Array<float>(checked_product(store.size_, factors, "factors"));
  const std::size_t tasks = (store.size_ + rows_per_task - 1) / rows_per_task;
  control.executor.for_each(tasks, [&](std::size_t task, std::size_t) {
    const std::size_t first = task * rows_per_task;
    codec.encode_rows(documents, order, first, std::min(store.size_, first + rows_per_task),
                      store.records_.data() + first * codec.stride(),
                      store.factors_.data() + factors * first);
  });
  control.throw_if_stopped();
  return store;
}

CodeStore CodeStore::of_codes(const Codec& codec, Array<std::byte> records, Array<float> factors) {
  CodeStore store;
  store.codec_ = codec;
  store.size_ = records.size() / codec.stride();
  if (records.size() % codec.stride() != 0 || factors.size() != codec.factor_count() * store.size_) {
    throw InvalidArgument(std::to_string(records.size()) + " bytes of codes of " +
                          std::to_string(codec.stride()) + " each do not go with " +
                          std::to_string(factors.size()) + " factors");
  }
  store.records_ = std::move(records);
  store.factors_ = std::move(factors);
  return store;
}

CodeStore CodeStore::in_blocks() const {
  if (blocks_ || !codec_.has_blocks()) return *this;
  CodeStore store = *this;
  store.blocks_ = true;
  store.records_ = Array<std::byte>(block_count(size_) * codec_.block_bytes());
  for (std::size_t slot = 0; slot < size_; ++slot) {
    codec_.put_in_block(record(slot), slot % Codec::block_size,
                        store.records_.data() + slot / Codec::block_size * codec_.block_bytes());
  }
  return store;
}

CodeStore CodeStore::in_lanes(const BuildControl& control) const {
  if (lanes_ || !codec_.has_lanes()) return *this;
  CodeStore store = *this;
  store.lanes_ = true;
  const std::size_t group_bytes = codec_.lane_group_bytes();
  const std::size_t groups = block_count(size_);
  store.records_ = Array<std::byte>(checked_product(groups, group_bytes, "codes"));
  control.executor.for_each(groups, [&](std::size_t group, std::size_t) {
    std::byte* const to = store.records_.data() + group * group_bytes;
    std::fill_n(to, group_bytes, codec_.lane_padding());
    const std::size_t first = group * Codec::block_size;
    for (std::size_t place = 0; place < std::min(Codec::block_size, size_ - first); ++place)
      codec_.put_in_lanes(record(first + place), place, to);
  });
  control.throw_if_stopped();
  return store;
}

void CodeStore::decode(std::size_t slot, std::span<float> out) const {
  const float* const own = factors() + codec_.factor_count() * slot;
  if (!blocks_ && !lanes_) return codec_.decode(record(slot), own, out);
  std::vector<std::byte> record(codec_.stride());
  if (lanes_) {
    codec_.take_from_lanes(lane_group(slot), slot % Codec::block_size, record.data());
  } else {
    codec_.take_from_block(block(slot), slot % Codec::block_size, record.data());
  }
  codec_.decode(record.data(), own, out);
}

void CodeStore::score(const PreparedQuery& query, const std::uint32_t* slots, std::size_t count,
                      float* out) const noexcept {
  if (!blocks_) return codec_.score(query, records(), factors(), slots, count, out);
  if (slots == nullptr) return score_range({&query, 1}, 0, count, out, 0);
  // The blocks that have any of them: all of a block takes as long as one.
  float all[Codec::block_size];
  std::size_t last = size_;
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t number = slots[i] / Codec::block_size;
    if (number != last)
      score_range({&query, 1}, number * Codec::block_size,
                  std::min(Codec::block_size, size_ - number * Codec::block_size), all, 0);
    last = number;
    out[i] = all[slots[i] % Codec::block_size];
  }
}

void CodeStore::score_range(std::span<const PreparedQuery> queries, std::size_t first, std::size_t count,
                            float* out, std::size_t out_stride) const noexcept {
  const float* const own = factors() + codec_.factor_count() * first;
  if (blocks_) {
    codec_.score_blocks(queries, block(first), own, count, out, out_stride);
  } else {
    codec_.score_group(queries, record(first), own, count, out, out_stride);
  }
}

void CodeStore::save(ContainerWriter& writer, const std::string& prefix) const {
  const CodecOptions& options = codec_.options();
  const CodecHeader header{
      size_,
      codec_.dim(),
      options.seed,
      static_cast<std::uint8_t>(options.kind),
      static_cast<std::uint8_t>(codec_.metric()),
      options.rotate,
      options.centre,
      static_cast<std::int16_t>(codec_.exponent()),
      codec_.splits_queries(),
      static_cast<std::uint8_t>(codec_.layout() + (options.side_value ? side_value_flag : 0) +
                                (is_float8(options.kind) && codec_.factor_count() == 1 ? norm_flag : 0) +
                                (blocks_ ? blocks_flag : 0) + (lanes_ ? lanes_flag : 0))};
  writer.add_owned(prefix + "/codec", std::string(reinterpret_cast<const char*>(&header), sizeof(header)));
  writer.add(prefix + "/codes", ElementType::u8, std::as_bytes(records_.span()));
  if (codec_.factor_count() != 0) writer.add(prefix + "/factors", factors_.span());
  if (!codec_.mean().empty()) writer.add(prefix + "/mean", codec_.mean());
  if (const ProductQuantiser* product = codec_.product()) {
    const std::uint64_t parts = product->shape().parts;
    writer.add_owned(prefix + "/product", std::string(reinterpret_cast<const char*>(&parts), sizeof(parts)));
    writer.add(prefix + "/centroids", product->centroids());
    if (product->shape().rotated) writer.add(prefix + "/directions", product->directions());
  }
}

CodeStore CodeStore::load(const Container& file, const std::string& prefix, bool lanes_allowed) {
  const std::string_view bytes = file.metadata(prefix + "/codec");
  CodecHeader header{};
  if (bytes.size() != sizeof(header)) throw_corrupt(prefix + "/codec", "wrong length");
  std::memcpy(&header, bytes.data(), sizeof(header));
  if (to_string(static_cast<CodecKind>(header.kind)) == "unknown")
    throw_corrupt(prefix + "/codec", "unknown codec kind");
  if (header.metric > static_cast<std::uint8_t>(Metric::cosine))
    throw_corrupt(prefix + "/codec", "unknown metric");
  const bool scaled = is_float8(static_cast<CodecKind>(header.kind));
  const bool normed = scaled && header.metric != static_cast<std::uint8_t>(Metric::l2);
  if (scaled ? header.exponent < Codec::least_exponent || header.exponent > Codec::most_exponent
             : header.exponent != 0)
    throw_corrupt(prefix + "/codec", "the exponent is out of range");
  if (header.rotate > 1 || header.centre > 1 || header.split_queries > 1)
    throw_corrupt(prefix + "/codec", "a flag is neither 0 nor 1");
  // Before anything is allocated: a vector takes at least a bit a dimension of the file.
  if (header.dim == 0 || header.size > file.file_bytes() || header.dim > 8 * file.file_bytes()) {
    throw_corrupt(prefix + "/codec", "size or dimension is beyond what the file can hold");
  }
  const CodecOptions options{static_cast<CodecKind>(header.kind),
                             header.rotate == 1,
                             header.centre == 1,
                             header.seed,
                             (header.layout & side_value_flag) != 0,
                             {},
                             !normed || (header.layout & norm_flag) != 0};
  const bool blocks = is_rabitq(options.kind) && (header.layout & blocks_flag) != 0;
  const bool lanes = lanes_allowed && (header.layout & lanes_flag) != 0;
  const int layout = header.layout & ~(int{side_value_flag} | (normed ? int{norm_flag} : 0) |
                                       (blocks ? int{blocks_flag} : 0) | (lanes ? int{lanes_flag} : 0));
  if (layout > (has_layouts(options.kind) ? Codec::newest_layout : 0) ||
      (blocks && layout == 0 && options.kind == CodecKind::b2))
    throw_corrupt(prefix + "/codec", "unknown layout");
  if (options.side_value &&
      (!is_integer(options.kind) || header.metric == static_cast<std::uint8_t>(Metric::cosine)))
    throw_corrupt(prefix + "/codec", "a side value where there cannot be one");
  if (is_integer(options.kind) && header.dim > max_byte_dim)
    throw_corrupt(prefix + "/codec", "too many dimensions for " + std::string(to_string(options.kind)));

  Array<float> mean;
  if (is_integer(options.kind) && options.centre && !options.side_value)
    mean = file.array<float>(prefix + "/mean", header.dim);
  for (const float v : mean.span()) {
    if (!std::isfinite(v)) throw_corrupt(prefix + "/mean", "holds a value that is not finite");
  }
  CodeStore store;
  store.codec_ = is_product(options.kind)
                     ? load_product(file, prefix, options, static_cast<Metric>(header.metric), header.dim)
                     : Codec::restore(options, static_cast<Metric>(header.metric), header.dim, mean.span(),
                                      header.exponent, header.split_queries == 1, layout);
  if (header.split_queries == 1 && !store.codec_.splits_queries())
    throw_corrupt(prefix + "/codec", "queries of this codec cannot be split");
  store.size_ = header.size;
  store.blocks_ = blocks;
  store.lanes_ = lanes;
  if (lanes && !store.codec_.has_lanes()) throw_corrupt(prefix + "/codec", "lanes of a codec without them");
  const bool grouped = blocks || lanes;
  const std::size_t items = grouped ? block_count(header.size) : header.size;
  const std::size_t item_bytes = lanes    ? store.codec_.lane_group_bytes()
                                 : blocks ? store.codec_.block_bytes()
                                          : store.codec_.stride();
  if (items > file.file_bytes() / item_bytes)
    throw_corrupt(prefix + "/codes", "is shorter than size x stride");
  const Array<std::uint8_t> codes = file.array<std::uint8_t>(prefix + "/codes", items * item_bytes);
  store.records_ = codes.as<std::byte>();
  if (!records_are_finite(options.kind, store.records(), store.records_.size())) {
    throw_corrupt(prefix + "/codes", "holds a value that is not finite");
  }
  if (store.codec_.factor_count() == 1) {
    store.factors_ = file.array<float>(prefix + "/factors", header.size);
    for (const float factor : store.factors_.span()) {
      if (!(factor > 0 && factor <= Codec::largest_norm_factor))
        throw_corrupt(prefix + "/factors", "holds a value that is no ratio of lengths");
    }
  }
  if (store.codec_.has_factors()) {
    if (!integers_are_codes(store.codec_, store.records(), store.records_.size()))
      throw_corrupt(prefix + "/codes", "holds a byte that is no code");
    store.factors_ = file.array<float>(prefix + "/factors", 2 * header.size);
    for (std::size_t i = 0; i < store.factors_.size(); ++i) {
      const float factor = store.factors_[i];
      const bool any_sign = i % 2 == 1 && (store.codec_.splits_queries() ||
                                           (options.side_value && store.codec_.metric() == Metric::ip));
      if (!std::isfinite(factor) || (factor < 0 && !any_sign))
        throw_corrupt(prefix + "/factors", "holds a value that is negative or not finite");
    }
  }
  return store;
}

}  // namespace vicinal
