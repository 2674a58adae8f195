#include "vicinal/quant/two_level_store.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <utility>

#include "vicinal/core/error.hpp"
#include "vicinal/core/sums.hpp"
#include "vicinal/quant/codec_parts.hpp"

namespace vicinal {
namespace {

float squared_norm(std::span<const float> values) {
  return static_cast<float>(inner_product(values, values));
}

// Second levels of one vector after the other.
class ResidualEncoder {
 public:
  ResidualEncoder(const CodeStore& first, const Codec& second)
      : first_(first),
        second_(second),
        residual_(first.dim()),
        approximation_(first.dim()),
        scratch_(first.dim()) {}

  void encode(std::span<const float> vector, std::size_t slot, std::byte* record, float* factors) {
    const std::span<float> residual = residual_.span();
    if (first_.codec().metric() == Metric::cosine) {
      normalise(vector, residual);
    } else {
      std::ranges::copy(vector, residual.begin());
    }
    first_.decode(slot, approximation_.span());
    for (std::size_t j = 0; j < residual.size(); ++j) residual[j] -= approximation_[j];
    second_.encode(residual, record, factors, scratch_.span());
    if (first_.codec().metric() != Metric::l2) return;
    // |sum|^2 about the first level's mean, which queries are centred at.
    second_.decode(record, factors, residual);
    const std::span<const float> mean = first_.codec().mean();
    for (std::size_t j = 0; j < residual.size(); ++j)
      residual[j] += approximation_[j] - (mean.empty() ? 0.0F : mean[j]);
    factors[1] = squared_norm(residual);
  }

 private:
  const CodeStore& first_;
  const Codec& second_;
  Array<float> residual_;
  Array<float> approximation_;
  Array<float> scratch_;
};

}  // namespace

CodecOptions TwoLevelStore::second_codec(const CodecOptions& first, CodecKind second) {
  if (!is_integer(first.kind)) {
    throw InvalidArgument(
        fmt::format("a second level needs a first one of i8, i4, b2 or b1, got {}", to_string(first.kind)));
  }
  if (second != CodecKind::i8 && second != CodecKind::i4)
    throw InvalidArgument(fmt::format("a second level is of i8 or i4, got {}", to_string(second)));
  return {.kind = second, .rotate = first.rotate, .centre = false, .seed = first.seed};
}

TwoLevelStore::TwoLevelStore(CodeStore first, CodeStore second)
    : first_(std::move(first)), second_(std::move(second)) {
  const Codec& a = first_.codec();
  const Codec& b = second_.codec();
  if (b.options() != second_codec(a.options(), b.kind()) || b.metric() != second_metric(a.metric()))
    throw InvalidArgument("the second level's codec is not one for residuals of the first level");
  if (a.input_dim() != b.dim() || first_.size() != second_.size()) {
    throw InvalidArgument(fmt::format("the second level has {} vectors of dimension {}, the first {} of {}",
                                      second_.size(), b.dim(), first_.size(), a.dim()));
  }
}

TwoLevelStore TwoLevelStore::build(CodeStore first, CodecKind second, MatrixView<const float> documents,
                                   std::span<const std::uint32_t> row_of_slot, const BuildControl& control) {
  constexpr std::size_t rows_per_task = 256;
  const CodecOptions options = second_codec(first.codec().options(), second);
  const std::size_t size = row_of_slot.empty() ? documents.rows() : row_of_slot.size();
  if (size != first.size() || documents.cols() != first.dim()) {
    throw InvalidArgument(fmt::format("documents are {} x {}, the first level has {} codes of dimension {}",
                                      size, documents.cols(), first.size(), first.dim()));
  }
  if (std::ranges::any_of(row_of_slot, [&](std::uint32_t row) { return row >= documents.rows(); }))
    throw InvalidArgument("the order of the slots names a row beyond the documents");
  const Codec codec = Codec::restore(options, second_metric(first.codec().metric()), first.dim(), {});
  Array<std::byte> records(checked_product(size, codec.stride(), "codes"));
  Array<float> factors(checked_product(size, 2, "factors"));
  control.executor.for_each((size + rows_per_task - 1) / rows_per_task, [&](std::size_t task, std::size_t) {
    ResidualEncoder encoder(first, codec);
    const std::size_t end = std::min(size, (task + 1) * rows_per_task);
    for (std::size_t slot = task * rows_per_task; slot < end; ++slot) {
      const std::size_t row = row_of_slot.empty() ? slot : row_of_slot[slot];
      encoder.encode(documents[row], slot, records.data() + slot * codec.stride(), factors.data() + 2 * slot);
    }
  });
  control.throw_if_stopped();
  CodeStore codes = CodeStore::of_codes(codec, std::move(records), std::move(factors));
  return {std::move(first), std::move(codes)};
}

void TwoLevelStore::prepare_level(const TwoLevelQuery& query, const Codec& codec,
                                  TwoLevelQuery::Level& level) const {
  const std::size_t dim = first_.dim();
  const std::span<const float> values = query.centred_.scratch_.span().first(dim);
  for (PreparedQuery* part : {&level.rounded, &level.rest}) {
    if (part->values_.size() != padded(dim, 128)) part->values_ = Array<std::byte>(padded(dim, 128));
    std::memset(part->values_.data(), 0, part->values_.size());  // Of a query of before.
    part->l2_ = query.centred_.l2_;
    part->constant_ = 0.0F;
    part->offset_weight_ = 0.0F;
  }
  const float most = codec.kind() == CodecKind::b1 ? largest_bit_query : largest_code;
  const float largest = largest_magnitude(values);
  const float scale = largest / most;
  const float inverse = scale > std::numeric_limits<float>::min() ? most / largest : 0.0F;
  const float finer = 2.0F * most;  // Of a half at most is what rounding took.
  auto* rounded = reinterpret_cast<std::int8_t*>(level.rounded.values_.data());
  auto* rest = reinterpret_cast<std::int8_t*>(level.rest.values_.data());
  std::int32_t rounded_sum = 0;
  std::int32_t rest_sum = 0;
  for (std::size_t j = 0; j < dim; ++j) {
    const float steps = values[j] * inverse;
    const float whole = round_to_integer(steps);
    const auto code = static_cast<std::int32_t>(whole);
    const auto fine = static_cast<std::int32_t>(round_to_integer((steps - whole) * finer));
    rounded[j] = static_cast<std::int8_t>(code);
    rest[j] = static_cast<std::int8_t>(fine);
    rounded_sum += code;
    rest_sum += fine;
  }
  const std::int32_t zero = zero_code(codec.kind(), codec.layout());
  level.rounded.shift_ = zero * rounded_sum;
  level.rest.shift_ = zero * rest_sum;
  level.rounded.weight_ = query.centred_.l2_ ? -2.0F * scale : -scale;
  if (codec.kind() == CodecKind::i4 && codec.layout() == 0) level.rounded.weight_ *= 0.5F;
  level.rest.weight_ = level.rounded.weight_ / finer;
  codec.arrange_query(rounded);
  codec.arrange_query(rest);
}

void TwoLevelStore::prepare_query(std::span<const float> vector, TwoLevelQuery& query) const {
  first_.codec().prepare_query(vector, query.centred_);
  prepare_level(query, first_.codec(), query.first_);
  prepare_level(query, second_.codec(), query.second_);
  query.constant_ = query.centred_.l2_ ? squared_norm(query.centred_.scratch_.span().first(first_.dim()))
                                       : query.centred_.constant_;
}

void TwoLevelStore::score(const TwoLevelQuery& query, const std::uint32_t* slots, std::size_t count,
                          float* out) const noexcept {
  constexpr std::size_t block = 32;
  const bool l2 = query.centred_.l2_;
  const bool rabitq = is_rabitq(first_.codec().kind());
  // Inner products of the parts of the query with the codes of the levels.
  std::array<float, block> coarse{};
  std::array<float, block> coarse_rest{};
  std::array<float, block> fine{};
  std::array<float, block> fine_rest{};
  for (std::size_t begin = 0; begin < count; begin += block, slots += block, out += block) {
    const std::size_t records = std::min(block, count - begin);
    first_.score(query.first_.rounded, slots, records, coarse.data());
    first_.score(query.first_.rest, slots, records, coarse_rest.data());
    second_.score(query.second_.rounded, slots, records, fine.data());
    second_.score(query.second_.rest, slots, records, fine_rest.data());
    for (std::size_t i = 0; i < records; ++i) {
      const float* factors = first_.factors() + 2 * std::size_t{slots[i]};
      float product = coarse[i] + coarse_rest[i];
      // Estimates of RaBitQ are without bias by a scale that is larger than that of the closest multiple of the code, which
      // residuals were taken from.
      if (rabitq && factors[0] > 0)
        product *= first_.codec().closest_scale(first_.record(slots[i]), factors) / factors[0];
      product += fine[i] + fine_rest[i];
      const float offset =
          l2 ? second_.factors()[2 * std::size_t{slots[i]} + 1] : query.centred_.offset_weight_ * factors[1];
      const float distance = (query.constant_ + offset) + product;
      // Not a number only where a damaged file has absurd factors.
      out[i] = std::isnan(distance) ? std::numeric_limits<float>::infinity() : distance;
    }
  }
}

void TwoLevelStore::decode(std::size_t slot, std::span<float> out) const {
  Array<float> residual(out.size());
  first_.decode(slot, out);
  second_.decode(slot, residual.span());
  for (std::size_t j = 0; j < out.size(); ++j) out[j] += residual[j];
}

}  // namespace vicinal
