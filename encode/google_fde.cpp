#include "vicinal/encode/google_fde.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <new>
#include <stdexcept>

#include "vicinal/core/error.hpp"
#include "vicinal/core/vector_batch.hpp"
#include "vicinal/encode/eigen_order.hpp"
#include "vicinal/encode/libstdcxx_random.hpp"

namespace vicinal {
namespace {

using FourSides __attribute__((vector_size(16))) = std::uint32_t;

constexpr std::size_t largest_count = std::numeric_limits<std::int32_t>::max();
constexpr std::size_t most_bits = 30;
constexpr std::size_t largest_table = std::size_t{1} << 38U;  // 1 TiB of floats

FourTokens load(const float* from) {
  FourTokens result;
  std::memcpy(&result, from, sizeof(result));
  return result;
}

void require_range(const char* name, std::size_t value, std::size_t least, std::size_t most) {
  if (value >= least && value <= most) return;
  throw InvalidArgument(fmt::format("{} is {}, expected {} to {}", name, value, least, most));
}

void require_valid(const GoogleFdeOptions& o) {
  require_range("dim", o.dim, 1, largest_count);
  require_range("repetitions", o.repetitions, 1, largest_count);
  require_range("simhash_bits", o.simhash_bits, 0, most_bits);
  require_range("final_dim", o.final_dim, 0, largest_count);
  std::size_t bucket_dim = o.dim;
  switch (o.projection) {
    case GoogleFdeProjection::identity:
      if (o.projection_dim == 0 || o.projection_dim == o.dim) break;
      throw InvalidArgument(fmt::format("projection_dim is {} without a projection, expected 0 or dim, {}",
                                        o.projection_dim, o.dim));
    case GoogleFdeProjection::ams_sketch:
      require_range("projection_dim", o.projection_dim, 1, largest_count);
      bucket_dim = o.projection_dim;
      break;
    default:
      throw InvalidArgument(fmt::format("projection is {}, expected 0 (identity) or 1 (ams_sketch)",
                                        static_cast<unsigned>(o.projection)));
  }
  // Each division is exact enough: a * b <= n is a <= n / b for whole numbers.
  const std::size_t most_buckets = largest_count / bucket_dim;
  if (o.repetitions > most_buckets >> o.simhash_bits) {
    throw InvalidArgument(
        fmt::format("{} repetitions of 2^{} buckets of {} values are more than {} values, the most that the "
                    "encoder can count",
                    o.repetitions, o.simhash_bits, bucket_dim, largest_count));
  }
  // Of planes, or of the sketches where there are no planes. Below 2^62, since bits are fewer than buckets.
  const std::size_t table = o.repetitions * std::max<std::size_t>(o.simhash_bits, 1) * o.dim;
  if (table > largest_table) {
    throw InvalidArgument(fmt::format(
        "{} repetitions of {} planes in {} dimensions need a table of {} values, expected {} at most",
        o.repetitions, o.simhash_bits, o.dim, table, largest_table));
  }
}

// The bucket of a token: the number whose Gray code is the token's sides of the planes, so that neighbours in number differ
// by one plane.
std::uint32_t bucket_of(std::uint32_t sides) {
  for (std::uint32_t shift = 1; shift < 32; shift *= 2) sides ^= sides >> shift;
  return sides;
}
std::uint32_t sides_of(std::uint32_t bucket) { return bucket ^ (bucket >> 1U); }

// A column of a matrix that is multiplied by tokens, as sum_terms wants it.
struct DenseColumn {
  const float* tokens;  // coordinate x 4
  const float* values;
  std::size_t at = 0;

  template <class F>
  void visit(std::size_t end, F f) {
    for (; at < end; ++at) f(at, load(tokens + 4 * at) * values[at]);
  }
};

}  // namespace

// The same of a matrix that is mostly zeros.
struct GoogleFde::Terms {
  const float* tokens;
  std::span<const Term> terms;

  template <class F>
  void visit(std::size_t end, F f) {
    while (!terms.empty() && terms.front().coordinate < end) {
      f(terms.front().coordinate,
        load(tokens + 4 * std::size_t{terms.front().coordinate}) * terms.front().sign);
      terms = terms.subspan(1);
    }
  }
};

struct GoogleFde::Scratch {
  MatrixView<const float> tokens;
  std::size_t groups = 0;            // of four tokens, the last one filled up with zeros
  std::vector<float> packed;         // group x coordinate x 4
  std::vector<std::uint32_t> sides;  // repetition x token in groups: the bits, the first plane's the highest
  std::vector<float> projected;      // token x bucket_dim, of one repetition
  std::vector<float> sizes;          // tokens in a bucket
  std::vector<std::uint64_t> nearest;  // for each combination of sides: 2^32 x distance + token

  [[nodiscard]] const float* group(std::size_t i) const { return packed.data() + i * 4 * tokens.cols(); }
  [[nodiscard]] const float* values(std::size_t token, std::size_t bucket_dim) const {
    return projected.empty() ? tokens.row_data(token) : projected.data() + token * bucket_dim;
  }
};

GoogleFde::GoogleFde(const GoogleFdeOptions& options) : options_(options) {
  require_valid(options);
  const bool sketched = options.projection == GoogleFdeProjection::ams_sketch;
  bucket_dim_ = sketched ? options.projection_dim : options.dim;
  buckets_ = std::size_t{1} << options.simhash_bits;
  try {
    planes_.reserve(options.repetitions * options.simhash_bits * options.dim);
    if (sketched) {
      sketch_.reserve(options.repetitions * options.dim);
      starts_.reserve(options.repetitions * (bucket_dim_ + 1));
    }
    for (std::size_t repetition = 0; repetition < options.repetitions; ++repetition) {
      const std::uint32_t seed = options.seed + static_cast<std::uint32_t>(repetition);
      if (options.simhash_bits != 0) draw_planes(seed);
      if (sketched) draw_sketch(seed);
    }
    if (options.final_dim != 0) draw_final();
  } catch (const std::bad_alloc&) {
    throw InvalidArgument(
        fmt::format("not enough memory for an encoder of {} repetitions, 2^{} buckets, dim {}, final_dim {}",
                    options.repetitions, options.simhash_bits, options.dim, options.final_dim));
  }
}

void GoogleFde::draw_planes(std::uint32_t seed) {
  LibstdcxxRandom random(seed);
  for (std::size_t i = 0; i < options_.simhash_bits * options_.dim; ++i)
    planes_.push_back(random.next_normal());
}

// From the same numbers as the planes of the repetition, as theirs.
void GoogleFde::draw_sketch(std::uint32_t seed) {
  LibstdcxxRandom random(seed);
  std::vector<std::uint32_t> target(options_.dim);
  std::vector<float> sign(options_.dim);
  std::vector<std::uint32_t> next(bucket_dim_ + 1);
  for (std::size_t i = 0; i < options_.dim; ++i) {
    target[i] = random.next_below(static_cast<std::uint32_t>(bucket_dim_));
    sign[i] = random.next_bool() ? 1.0F : -1.0F;
    ++next[target[i] + 1];
  }
  for (std::size_t value = 0; value < bucket_dim_; ++value) next[value + 1] += next[value];
  starts_.insert(starts_.end(), next.begin(), next.end());
  const std::size_t first = sketch_.size();
  sketch_.resize(first + options_.dim);
  for (std::size_t i = 0; i < options_.dim; ++i)
    sketch_[first + next[target[i]]++] = {static_cast<std::uint32_t>(i), sign[i]};
}

void GoogleFde::draw_final() {
  LibstdcxxRandom random(options_.seed);
  targets_.resize(options_.repetitions * buckets_ * bucket_dim_);
  for (std::uint32_t& target : targets_) {
    target = 2 * random.next_below(static_cast<std::uint32_t>(options_.final_dim));
    if (random.next_bool()) ++target;
  }
}

std::size_t GoogleFde::output_dim() const {
  return options_.final_dim != 0 ? options_.final_dim : options_.repetitions * buckets_ * bucket_dim_;
}

void GoogleFde::encode_query(MatrixView<const float> tokens, std::span<float> out) const {
  encode(tokens, out, Bucket::sum);
}

void GoogleFde::encode_document(MatrixView<const float> tokens, std::span<float> out) const {
  encode(tokens, out, Bucket::average);
}

void GoogleFde::encode(MatrixView<const float> tokens, std::span<float> out, Bucket bucket) const {
  if (!tokens.empty() && tokens.cols() != dim()) {
    throw InvalidArgument(
        fmt::format("tokens have {} columns, the encoder has dimension {}", tokens.cols(), dim()));
  }
  if (out.size() != output_dim())
    throw InvalidArgument(fmt::format("the output has {} values, expected {}", out.size(), output_dim()));
  require_finite(tokens, "tokens");
  if (tokens.empty()) {
    std::fill(out.begin(), out.end(), 0.0F);
    return;
  }

  Scratch scratch;
  scratch.tokens = tokens;
  scratch.groups = (tokens.rows() + 3) / 4;
  scratch.packed.resize(scratch.groups * 4 * dim());
  for (std::size_t token = 0; token < tokens.rows(); ++token) {
    float* to = scratch.packed.data() + token / 4 * 4 * dim() + token % 4;
    for (std::size_t i = 0; i < dim(); ++i) to[4 * i] = tokens.row_data(token)[i];
  }
  scratch.sides.resize(options_.repetitions * scratch.groups * 4);
  if (!starts_.empty()) scratch.projected.resize(scratch.groups * 4 * bucket_dim_);
  if (bucket == Bucket::average) scratch.sizes.resize(buckets_);
  if (bucket == Bucket::average && options_.fill_empty && options_.simhash_bits != 0)
    scratch.nearest.resize(buckets_);
  std::vector<float> unsketched(targets_.size());
  const std::span<float> blocks = targets_.empty() ? out : unsketched;
  std::fill(out.begin(), out.end(), 0.0F);

  find_sides(scratch);
  const std::size_t block = buckets_ * bucket_dim_;
  for (std::size_t repetition = 0; repetition < options_.repetitions; ++repetition) {
    project(repetition, scratch);
    fill_buckets(repetition, bucket, scratch, blocks.subspan(repetition * block, block));
  }
  for (std::size_t i = 0; i < targets_.size(); ++i)
    out[targets_[i] / 2] += (targets_[i] % 2 != 0 ? 1.0F : -1.0F) * blocks[i];
}

void GoogleFde::find_sides(Scratch& scratch) const {
  const std::size_t bits = options_.simhash_bits;
  const ProductOrder order(scratch.tokens.rows(), dim(), bits);
  const std::size_t columns = options_.repetitions * bits;
  // The next bit of four tokens. The lanes of a comparison are 0 and -1.
  const auto append = [&](std::size_t column, std::size_t group, FourTokens sum) {
    std::uint32_t* at = scratch.sides.data() + (column / bits * scratch.groups + group) * 4;
    FourSides sides;
    std::memcpy(&sides, at, sizeof(sides));
    sides = (sides << 1U) - static_cast<FourSides>(sum > FourTokens{});
    std::memcpy(at, &sides, sizeof(sides));
  };
  std::size_t group = 0;
  // Eight tokens by four columns at a time, of whatever repetition: nearly all of the time goes here.
  const bool one_pass = terms_per_pass(dim()) == dim();
  for (; one_pass && bits != 0 && 4 * group + 8 <= scratch.tokens.rows() && columns >= 4 &&
         order.at(4 * group, 0) == SumOrder::ascending;
       group += 2) {
    const float* first = scratch.group(group);
    const float* second = scratch.group(group + 1);
    for (std::size_t column = 0; column < columns;) {
      const std::size_t from = std::min(column, columns - 4);  // the last four overlap the ones before
      const float* plane = planes_.data() + from * dim();
      FourTokens sums[8] = {};
      for (std::size_t i = 0; i < dim(); ++i) {
        const FourTokens a = load(first + 4 * i);
        const FourTokens b = load(second + 4 * i);
        for (std::size_t j = 0; j < 4; ++j) {
          sums[j] += a * plane[j * dim() + i];
          sums[4 + j] += b * plane[j * dim() + i];
        }
      }
      for (; column < from + 4; ++column) {
        append(column, group, sums[column - from]);
        append(column, group + 1, sums[4 + column - from]);
      }
    }
  }
  for (; group < scratch.groups; ++group) {
    for (std::size_t column = 0; column < columns; ++column) {
      const DenseColumn plane{scratch.group(group), planes_.data() + column * dim()};
      append(column, group, sum_terms(order.at(4 * group, column % bits), dim(), plane));
    }
  }
}

void GoogleFde::project(std::size_t repetition, Scratch& scratch) const {
  if (starts_.empty()) return;
  const ProductOrder order(scratch.tokens.rows(), dim(), bucket_dim_);
  const Term* terms = sketch_.data() + repetition * dim();
  const std::uint32_t* starts = starts_.data() + repetition * (bucket_dim_ + 1);
  const auto store = [&](std::size_t group, std::size_t value, FourTokens sum) {
    float* to = scratch.projected.data() + group * 4 * bucket_dim_ + value;
    for (std::size_t lane = 0; lane < 4; ++lane) to[lane * bucket_dim_] = sum[lane];
  };
  std::size_t group = 0;
  const bool one_pass = terms_per_pass(dim()) == dim();
  for (; one_pass && 4 * group + 8 <= scratch.tokens.rows() && order.at(4 * group, 0) == SumOrder::ascending;
       group += 2) {
    const float* first = scratch.group(group);
    const float* second = scratch.group(group + 1);
    for (std::size_t value = 0; value < bucket_dim_; ++value) {
      FourTokens a{};
      FourTokens b{};
      for (std::size_t t = starts[value]; t < starts[value + 1]; ++t) {
        a += load(first + 4 * std::size_t{terms[t].coordinate}) * terms[t].sign;
        b += load(second + 4 * std::size_t{terms[t].coordinate}) * terms[t].sign;
      }
      store(group, value, a);
      store(group + 1, value, b);
    }
  }
  for (; group < scratch.groups; ++group) {
    for (std::size_t value = 0; value < bucket_dim_; ++value) {
      const Terms of_value{scratch.group(group), {terms + starts[value], terms + starts[value + 1]}};
      store(group, value, sum_terms(order.at(4 * group, value), dim(), of_value));
    }
  }
}

void GoogleFde::fill_buckets(std::size_t repetition, Bucket bucket, Scratch& scratch,
                             std::span<float> block) const {
  const std::uint32_t* sides = scratch.sides.data() + repetition * scratch.groups * 4;
  std::fill(scratch.sizes.begin(), scratch.sizes.end(), 0.0F);
  for (std::size_t token = 0; token < scratch.tokens.rows(); ++token) {
    const std::size_t index = bucket_of(sides[token]);
    const float* values = scratch.values(token, bucket_dim_);
    float* to = block.data() + index * bucket_dim_;
    for (std::size_t i = 0; i < bucket_dim_; ++i) to[i] += values[i];
    if (bucket == Bucket::average) scratch.sizes[index] += 1.0F;
  }
  if (bucket == Bucket::average) finish_average(sides, scratch, block);
}

void GoogleFde::finish_average(const std::uint32_t* sides, Scratch& scratch, std::span<float> block) const {
  std::vector<std::uint64_t>& nearest = scratch.nearest;
  if (!nearest.empty()) {
    // For all combinations at once: a step along each axis of the hypercube, where the smaller of two is taken, leaves the
    // nearest token over all axes, among equally near ones the first.
    constexpr std::uint64_t step = std::uint64_t{1} << 32U;
    std::fill(nearest.begin(), nearest.end(), std::numeric_limits<std::uint64_t>::max() / 2);
    for (std::size_t token = scratch.tokens.rows(); token-- > 0;) nearest[sides[token]] = token;
    for (std::size_t axis = 1; axis < buckets_; axis *= 2) {
      for (std::size_t i = 0; i < buckets_; ++i) {
        if ((i & axis) != 0) continue;
        const std::uint64_t low = nearest[i];
        nearest[i] = std::min(low, nearest[i | axis] + step);
        nearest[i | axis] = std::min(nearest[i | axis], low + step);
      }
    }
  }
  for (std::size_t index = 0; index < buckets_; ++index) {
    float* values = block.data() + index * bucket_dim_;
    const float size = scratch.sizes[index];
    if (size != 0) {
      for (std::size_t i = 0; i < bucket_dim_; ++i) values[i] /= size;
    } else if (!nearest.empty()) {
      const std::size_t token = nearest[sides_of(static_cast<std::uint32_t>(index))] & 0xFFFF'FFFFU;
      std::copy_n(scratch.values(token, bucket_dim_), bucket_dim_, values);
    }
  }
}

std::uint64_t GoogleFde::fingerprint() const {
  std::uint64_t hash = 0xCBF2'9CE4'8422'2325;  // FNV-1a over the bytes of each number, the lowest first
  for (const std::uint64_t value :
       {std::uint64_t{0x65'6466'6567'6F6F} /* a tag */, std::uint64_t{options_.dim},
        std::uint64_t{options_.repetitions}, std::uint64_t{options_.simhash_bits},
        std::uint64_t{options_.seed}, static_cast<std::uint64_t>(options_.projection),
        std::uint64_t{bucket_dim_}, std::uint64_t{options_.fill_empty ? 1U : 0U},
        std::uint64_t{options_.final_dim}}) {
    for (unsigned shift = 0; shift < 64; shift += 8) {
      hash ^= value >> shift & 0xFFU;
      hash *= 0x0000'0100'0000'01B3;
    }
  }
  return hash;
}

}  // namespace vicinal
