#include "vicinal/index/fused_rows.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "vicinal/core/error.hpp"
#include "vicinal/core/metric.hpp"
#include "vicinal/quant/codec_parts.hpp"

namespace vicinal {
namespace {

constexpr std::size_t slots_per_task = 64;
constexpr std::uint64_t rotation_salt = 0x66757365;  // so that differences of rotated codes are rotated anew

// Both padded and aligned, as kernels want it.
float dot(const Array<float>& a, const Array<float>& b, std::size_t dim) {
  float result = 0;
  kernels().dot_f32(a.data(), dim, {reinterpret_cast<const std::byte*>(b.data()), 0, nullptr}, 1, &result);
  return result;
}

// The mean of what some records stand for.
std::vector<float> mean_of(const CodeStore& codes) {
  constexpr std::size_t most = 16'384;
  const std::size_t count = std::min(codes.size(), most);
  std::vector<double> sums(codes.dim());
  std::vector<float> vector(codes.dim());
  for (std::size_t i = 0; i < count; ++i) {
    codes.decode(i * codes.size() / count, vector);
    for (std::size_t j = 0; j < sums.size(); ++j) sums[j] += static_cast<double>(vector[j]);
  }
  for (std::size_t j = 0; j < sums.size(); ++j)
    vector[j] = static_cast<float>(sums[j] / static_cast<double>(count));
  return vector;
}

}  // namespace

// What one worker needs to write rows.
class FusedRows::Encoder {
 public:
  Encoder(const FusedRows& rows, const CodeStore& codes)
      : rows_(rows),
        codes_(codes),
        own_(padded(rows.dim_, 32)),
        difference_(own_.size()),
        signs_(own_.size()) {}

  void write(std::size_t slot, const std::uint32_t* links, std::size_t count, std::byte* row) {
    decode(slot, own_);
    auto* const factors = reinterpret_cast<float*>(row + rows_.factors_offset());
    auto* const ids = reinterpret_cast<std::uint32_t*>(row + rows_.ids_offset());
    for (std::size_t i = 0; i < rows_.degree_; ++i) {
      ids[i] = i < count ? links[i] : Graph::no_slot;
      if (i >= count) continue;
      decode(links[i], difference_);
      for (std::size_t j = 0; j < rows_.dim_; ++j) difference_[j] -= own_[j];
      write_code(row + i / block_records * rows_.words_ * block_word_bytes + i % block_records);
      write_factors(slot, links[i], factors + i);
    }
  }

 private:
  void decode(std::size_t slot, Array<float>& out) {
    const std::span<float> values(out.data(), rows_.dim_);
    codes_.decode(slot, values);
    rows_.rotation_.apply(values);
    for (std::size_t j = 0; j < rows_.dim_; ++j) values[j] -= rows_.centre_[j];
  }

  void write_code(std::byte* code) {
    for (std::size_t j = 0; j < rows_.dim_; ++j) {
      const bool set = difference_[j] >= 0;
      signs_[j] = set ? 1.0F : -1.0F;
      code[j / 32 * block_word_bytes + j % 32 / 8 * block_records] |= std::byte{set}
                                                                      << static_cast<int>(j % 8);
    }
  }

  // With r the difference and s its signs, <v, r> is estimated as <v, s> |r|^2 / <r, s>: for v = query - node, of which <query, s> is
  // looked up and <node, s> is known.
  void write_factors(std::size_t slot, std::size_t neighbour, float* factors) const {
    const std::size_t dim = rows_.dim_;
    const float squares = dot(difference_, difference_, dim);
    const float magnitudes = dot(difference_, signs_, dim);
    const float scale = magnitudes > std::numeric_limits<float>::min() ? squares / magnitudes : 0.0F;
    const float own = scale * dot(own_, signs_, dim);
    const bool l2 = rows_.metric_ == Metric::l2;
    float constant =
        l2 ? squares + 2.0F * own : own - dot(own_, difference_, dim) - dot(rows_.centre_, difference_, dim);
    const float side = side_value(neighbour) - side_value(slot);
    if (l2) constant += side;
    const float weight = l2 ? -2.0F * scale : -scale;
    if (!std::isfinite(constant) || !std::isfinite(weight)) {
      throw InvalidArgument(fmt::format("rows {} and {} of the graph differ by more than fused rows can hold",
                                        slot, neighbour));
    }
    factors[0] = constant;
    factors[rows_.degree_] = weight;
    if (rows_.factor_arrays_ == 3) factors[2 * rows_.degree_] = side;
  }

  // What a projection left out.
  [[nodiscard]] float side_value(std::size_t slot) const {
    const Codec& codec = codes_.codec();
    if (!codec.options().side_value) return 0.0F;
    const float* const factors = codes_.factors() + 2 * slot;
    return codec.metric() == Metric::l2 ? factors[1] - codec.residual_norm(codes_.record(slot), factors[0])
                                        : factors[1];
  }

  const FusedRows& rows_;
  const CodeStore& codes_;
  Array<float> own_;
  Array<float> difference_;
  Array<float> signs_;
};

FusedRows::FusedRows(const CodeStore& codes, std::size_t degree)
    : metric_(codes.codec().metric()),
      dim_(codes.dim()),
      words_((dim_ + 31) / 32),
      degree_(degree),
      factor_arrays_(codes.codec().options().side_value && metric_ != Metric::l2 ? 3 : 2),
      row_bytes_(padded(factors_offset() + (factor_arrays_ + 1) * degree * sizeof(float), 64)),
      size_(codes.size()),
      rotation_(dim_, codes.codec().options().seed ^ rotation_salt) {}

FusedRows FusedRows::build(const CodeStore& codes, const Graph::Level& level, const BuildControl& control) {
  FusedRows rows(codes, level.degree);
  rows.centre_ = Array<float>(padded(rows.dim_, 32));
  std::ranges::copy(mean_of(codes), rows.centre_.data());
  rows.rotation_.apply({rows.centre_.data(), rows.dim_});
  rows.rows_ = Array<std::byte>(checked_product(codes.size(), rows.row_bytes_, "rows of neighbours"));
  std::byte* const bytes = rows.rows_.data();
  control.executor.for_each(
      (codes.size() + slots_per_task - 1) / slots_per_task, [&](std::size_t task, std::size_t) {
        if (control.stop.stop_requested()) return;
        Encoder encoder(rows, codes);
        const std::size_t end = std::min(codes.size(), (task + 1) * slots_per_task);
        for (std::size_t slot = task * slots_per_task; slot < end; ++slot) {
          encoder.write(slot, level.list(slot), level.count(slot), bytes + slot * rows.row_bytes_);
        }
      });
  control.throw_if_stopped();
  return rows;
}

Graph::Level FusedRows::level() const {
  constexpr std::size_t word = sizeof(std::uint32_t);
  const Array<std::uint32_t> words = rows_.as<std::uint32_t>();
  const std::size_t first = ids_offset() / word;
  return {size_, degree_, words.slice(first, words.size() - first), row_bytes_ / word};
}

void FusedRows::prepare_query(std::span<const float> vector, FusedQuery& query) const {
  const std::size_t room = words_ * 32;
  if (query.values.size() != room) {
    query.rotated = Array<float>(room);
    query.values = Array<std::int8_t>(room);
    query.tables = Array<std::int8_t>(words_ * block_table_bytes);
  }
  const std::span<float> rotated(query.rotated.data(), dim_);
  if (metric_ == Metric::cosine) {
    normalise(vector.first(dim_), rotated);
  } else {
    std::copy_n(vector.begin(), dim_, rotated.begin());
  }
  rotation_.apply(rotated);
  for (std::size_t j = 0; j < dim_; ++j) rotated[j] -= centre_[j];
  const float largest = largest_magnitude(rotated);
  const float step = largest / largest_bit_query;
  const float inverse = step > std::numeric_limits<float>::min() ? largest_bit_query / largest : 0.0F;
  std::int32_t total = 0;
  for (std::size_t j = 0; j < dim_; ++j) {
    const auto value = static_cast<std::int32_t>(round_to_integer(rotated[j] * inverse));
    query.values[j] = static_cast<std::int8_t>(value);
    total += value;
  }
  std::fill(query.values.data() + dim_, query.values.data() + room, std::int8_t{0});
  bit_block_kernels().make_tables(query.values.data(), words_, query.tables.data());
  query.lookup = {query.tables.data(), total, step};
  query.side_weight = factor_arrays_ == 3 ? vector[dim_] : 0.0F;
}

void FusedRows::score(std::uint32_t slot, float distance, const FusedQuery& query,
                      float* out) const noexcept {
  const std::byte* const own = row(slot);
  const auto* const factors = reinterpret_cast<const float*>(own + factors_offset());
  bit_block_kernels().score(query.lookup, own, words_, factors, distance, degree_, out);
  if (factor_arrays_ == 2) return;
  const float* const sides = factors + 2 * degree_;
  for (std::size_t i = 0; i < degree_; ++i) out[i] += query.side_weight * sides[i];
}

void FusedRows::save(ContainerWriter& writer, const std::string& prefix) const {
  writer.add(prefix + "/blocks", ElementType::u8, rows_.span());
  writer.add(prefix + "/centre", centre_.span().first(dim_));
}

Array<std::byte> FusedRows::by_byte() const {
  Array<std::byte> turned(rows_.size());
  std::ranges::copy(rows_.span(), turned.data());
  for (std::size_t slot = 0; slot < size_; ++slot) {
    for (std::size_t word = 0; word < factors_offset(); word += block_word_bytes) {
      const std::byte* const from = row(static_cast<std::uint32_t>(slot)) + word;
      std::byte* const to = turned.data() + slot * row_bytes_ + word;
      for (std::size_t i = 0; i < block_word_bytes; ++i) to[i % 4 * block_records + i / 4] = from[i];
    }
  }
  return turned;
}

FusedRows FusedRows::load(const Container& file, const std::string& prefix, const CodeStore& codes,
                          std::size_t degree) {
  FusedRows rows(codes, degree);
  const auto refuse = [&](const char* section, const std::string& reason) {
    return CorruptFile(fmt::format("section {}{}: {}", prefix, section, reason));
  };
  if (rows.size_ > file.file_bytes() / rows.row_bytes_)
    throw refuse("/blocks", "is beyond what the file can hold");
  // The first files had the four bytes of a word that are of one neighbour side by side.
  const bool by_neighbour = file.contains(prefix + "/rows");
  const std::string section = prefix + (by_neighbour ? "/rows" : "/blocks");
  rows.rows_ = file.array<std::uint8_t>(section, rows.size_ * rows.row_bytes_).as<std::byte>();
  if (by_neighbour) rows.rows_ = rows.by_byte();
  const Array<float> centre = file.array<float>(prefix + "/centre", rows.dim_);
  rows.centre_ = Array<float>(padded(rows.dim_, 32));
  std::ranges::copy(centre.span(), rows.centre_.data());
  if (!std::ranges::all_of(centre.span(), [](float value) { return std::isfinite(value); }))
    throw refuse("/centre", "a value is not finite");
  for (std::size_t slot = 0; slot < rows.size_; ++slot) {
    const auto* const factors = reinterpret_cast<const float*>(rows.row(slot) + rows.factors_offset());
    if (!std::all_of(factors, factors + rows.factor_arrays_ * degree,
                     [](float value) { return std::isfinite(value); }))
      throw refuse("/blocks", fmt::format("a factor of node {} is not finite", slot));
  }
  return rows;
}

}  // namespace vicinal
