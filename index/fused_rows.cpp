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
#include "vicinal/quant/float16.hpp"

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

// Every `step`-th of some factors.
bool all_finite(const std::uint16_t* factors, std::size_t count, std::size_t step) {
  for (std::size_t i = 0; i < count; ++i) {
    if (!std::isfinite(bf16_to_f32(factors[i * step]))) return false;
  }
  return true;
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
    auto* const factors = reinterpret_cast<std::uint16_t*>(row + rows_.factors_offset());
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
  void write_factors(std::size_t slot, std::size_t neighbour, std::uint16_t* factors) const {
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
    factors[0] = f32_to_bf16(constant);
    factors[rows_.degree_] = f32_to_bf16(weight);
    if (rows_.factor_arrays_ == 3) factors[2 * rows_.degree_] = f32_to_bf16(side);
    if (!all_finite(factors, rows_.factor_arrays_, rows_.degree_)) {
      throw InvalidArgument(fmt::format("rows {} and {} of the graph differ by more than fused rows can hold",
                                        slot, neighbour));
    }
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
      row_bytes_(padded(ids_offset() + degree * sizeof(std::uint32_t), 64)),
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

void FusedRows::score(std::uint32_t slot, float distance, const FusedQuery& query, float bound, float* out,
                      std::uint16_t* near) const noexcept {
  const std::byte* const own = row(slot);
  const auto* const factors = reinterpret_cast<const std::uint16_t*>(own + factors_offset());
  bit_block_kernels().score(query.lookup, own, words_, factors, distance, degree_, bound, out, near);
  if (factor_arrays_ == 2) return;
  const std::uint16_t* const sides = factors + 2 * degree_;
  for (std::size_t first = 0; first < degree_; first += block_records) {
    std::uint32_t within = 0;
    for (std::size_t i = 0; i < block_records; ++i) {
      out[first + i] += query.side_weight * bf16_to_f32(sides[first + i]);
      within |= (out[first + i] <= bound ? 1U : 0U) << i;
    }
    near[first / block_records] = static_cast<std::uint16_t>(within);
  }
}

void FusedRows::save(ContainerWriter& writer, const std::string& prefix) const {
  writer.add(prefix + "/bf16_rows", ElementType::u8, rows_.span());
  writer.add(prefix + "/centre", centre_.span().first(dim_));
}

bool FusedRows::take_first_form(const std::byte* rows, std::size_t row_bytes, bool by_neighbour) {
  rows_ = Array<std::byte>(size_ * row_bytes_);
  const std::size_t values = factor_arrays_ * degree_;
  for (std::size_t slot = 0; slot < size_; ++slot) {
    const std::byte* const from = rows + slot * row_bytes;
    std::byte* const to = rows_.data() + slot * row_bytes_;
    for (std::size_t i = 0; i < factors_offset(); ++i) {
      const std::size_t in_word = i % block_word_bytes;
      to[by_neighbour ? i - in_word + in_word % 4 * block_records + in_word / 4 : i] = from[i];
    }
    const auto* const factors = reinterpret_cast<const float*>(from + factors_offset());
    auto* const narrow = reinterpret_cast<std::uint16_t*>(to + factors_offset());
    for (std::size_t i = 0; i < values; ++i) {
      narrow[i] = f32_to_bf16(factors[i]);
      if (!std::isfinite(bf16_to_f32(narrow[i]))) return false;
    }
    std::memcpy(to + ids_offset(), factors + values, degree_ * sizeof(std::uint32_t));
  }
  return true;
}

bool FusedRows::is_finite(std::size_t slot) const {
  return all_finite(reinterpret_cast<const std::uint16_t*>(row(slot) + factors_offset()),
                    factor_arrays_ * degree_, 1);
}

FusedRows FusedRows::load(const Container& file, const std::string& prefix, const CodeStore& codes,
                          std::size_t degree) {
  FusedRows rows(codes, degree);
  const auto refuse = [&](const std::string& section, const std::string& reason) {
    return CorruptFile(fmt::format("section {}{}: {}", prefix, section, reason));
  };
  const auto has = [&](const char* section) { return file.contains(prefix + section); };
  // Of files of before, factors are narrowed.
  const bool first_form = has("/rows") || has("/blocks");
  const std::string section = has("/rows") ? "/rows" : has("/blocks") ? "/blocks" : "/bf16_rows";
  const std::size_t wide = rows.factors_offset() + (rows.factor_arrays_ + 1) * degree * sizeof(float);
  const std::size_t row_bytes = first_form ? padded(wide, 64) : rows.row_bytes_;
  if (rows.size_ > file.file_bytes() / row_bytes) throw refuse(section, "is beyond what the file can hold");
  const auto bytes = file.array<std::uint8_t>(prefix + section, rows.size_ * row_bytes).as<std::byte>();
  if (!first_form) {
    rows.rows_ = bytes;
  } else if (!rows.take_first_form(bytes.data(), row_bytes, has("/rows"))) {
    throw refuse(section, "a factor is not finite, or beyond bfloat16");
  }
  for (std::size_t slot = 0; slot < rows.size_; ++slot) {
    if (!rows.is_finite(slot)) throw refuse(section, fmt::format("a factor of node {} is not finite", slot));
  }
  const Array<float> centre = file.array<float>(prefix + "/centre", rows.dim_);
  rows.centre_ = Array<float>(padded(rows.dim_, 32));
  std::ranges::copy(centre.span(), rows.centre_.data());
  if (!std::ranges::all_of(centre.span(), [](float value) { return std::isfinite(value); }))
    throw refuse("/centre", "a value is not finite");
  return rows;
}

}  // namespace vicinal
