#include "vicinal/encode/fde.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <utility>
#include <vector>

#include "vicinal/core/error.hpp"
#include "vicinal/core/random.hpp"
#include "vicinal/encode/fde_kernels.hpp"
#include "vicinal/encode/scratch.hpp"
#include "vicinal/quant/codec.hpp"
#include "vicinal/quant/mean.hpp"
#include "vicinal/quant/rotation.hpp"

namespace vicinal {
namespace {

constexpr std::uint64_t rotation_stream = 0x706C'616E'6573;  // "planes"
constexpr std::uint64_t signs_stream = 0x736B'6574'6368;     // "sketch"
constexpr std::uint64_t places_stream = 0x706C'6163'6573;    // "places"
constexpr std::size_t most_dim = 65'536;
constexpr std::size_t most_reps = 65'536;
constexpr std::size_t items_a_task = 16;

std::size_t padded(std::size_t count) { return (count + fde_lanes - 1) / fde_lanes * fde_lanes; }

void require(bool good, const std::string& what) {
  if (!good) throw InvalidArgument(what);
}

std::size_t polytope_directions(const FdeOptions& options) { return std::size_t{1} << (options.bits - 1); }

void require_options(const FdeOptions& options, std::size_t token_dim) {
  require(token_dim >= 1 && token_dim <= most_dim,
          fmt::format("tokens have dimension {}, expected 1 to {}", token_dim, most_dim));
  require(options.reps >= 1 && options.reps <= most_reps,
          fmt::format("an encoding has {} repetitions, expected 1 to {}", options.reps, most_reps));
  require(options.bits <= FdeEncoder::most_bits,
          fmt::format("an encoding has 2^{} buckets a repetition, expected at most 2^{}", options.bits,
                      FdeEncoder::most_bits));
  require(options.projection == FdeProjection::identity || (options.dim >= 1 && options.dim <= token_dim),
          fmt::format("a bucket of an encoding has {} values, expected 1 to the tokens' {}", options.dim,
                      token_dim));
  if (options.partition_for(token_dim) == FdePartition::planes || options.bits == 0) return;
  require(polytope_directions(options) <= token_dim,
          fmt::format("{} buckets of a cross-polytope need tokens of dimension {}, they have {}",
                      2 * polytope_directions(options), polytope_directions(options), token_dim));
  require(options.empty == FdeEmpty::zero, "a cross-polytope's empty buckets are zero, expected no other");
}

// Coordinates of which the partition of each repetition is a function. A cross-polytope's lie in one rotation.
std::size_t rotations_for(const FdeOptions& options, std::size_t token_dim) {
  if (options.bits == 0) return 1;
  if (options.partition_for(token_dim) == FdePartition::planes)
    return std::max<std::size_t>(1, (options.reps * options.bits + token_dim - 1) / token_dim);
  const std::size_t together = token_dim / polytope_directions(options);
  return (options.reps + together - 1) / together;
}

}  // namespace

FdeOptions FdeOptions::paper(std::size_t reps, std::size_t bits, std::size_t dim) {
  FdeOptions options;
  options.reps = reps;
  options.bits = bits;
  options.dim = dim;
  options.projection = FdeProjection::dense;
  options.per_bucket = false;
  options.bucket = FdeBucket::mean;
  options.empty = FdeEmpty::nearest;
  options.centre = false;
  return options;
}

FdePartition FdeOptions::partition_for(std::size_t token_dim) const {
  constexpr std::size_t most_polytope_bits = 4;
  if (partition) return *partition;
  const bool possible = bits >= 1 && bits <= most_polytope_bits && empty == FdeEmpty::zero &&
                        polytope_directions(*this) <= token_dim;
  return possible ? FdePartition::cross_polytope : FdePartition::planes;
}

struct FdeEncoder::Tables {
  FdeOptions options;
  std::size_t token_dim = 0;
  std::size_t width = 0;    // values of a token in the loops, padded with zeros
  std::size_t buckets = 1;  // a repetition
  std::size_t size = 0;     // values of a bucket after the projection
  std::size_t out_dim = 0;
  std::vector<float> mean;          // empty, or token_dim values
  std::vector<float> rotated_mean;  // width values
  // The first is what tokens are kept in. Planes are coordinates after each; corners after the first, the first and the second, ...
  std::vector<Rotation> rotations;
  // Of every bucket, or every repetition: chunks x size of them for a sketch, size x width for a dense projection.
  Array<float> signs;
  std::size_t signs_stride = 0;
  std::vector<std::uint32_t> places;  // with a final dimension, of every bucket

  Tables(const FdeOptions& given, std::size_t dim, std::span<const float> documents_mean);

  [[nodiscard]] bool in_turn() const {
    return options.bits > 0 && options.partition == FdePartition::cross_polytope;
  }
  [[nodiscard]] std::size_t chunks() const { return (token_dim + size - 1) / size; }
  [[nodiscard]] const float* signs_of(std::size_t rep, std::size_t bucket) const {
    return signs.data() + (options.per_bucket ? rep * buckets + bucket : rep) * signs_stride;
  }
};

FdeEncoder::Tables::Tables(const FdeOptions& given, std::size_t dim, std::span<const float> documents_mean)
    : options(given), token_dim(dim), mean(documents_mean.begin(), documents_mean.end()) {
  require_options(options, token_dim);
  options.partition = options.partition_for(token_dim);
  const bool identity = options.projection == FdeProjection::identity;
  buckets = std::size_t{1} << options.bits;
  size = identity ? token_dim : options.dim;
  // A sketch reads whole chunks, which may end beyond the token.
  width = padded(std::max(token_dim, chunks() * size));
  const std::size_t blocks = checked_product(options.reps, buckets, "buckets of an encoding");
  out_dim =
      options.final_dim != 0 ? options.final_dim : checked_product(blocks, size, "values of an encoding");
  require(out_dim <= most_table,
          fmt::format("encodings would have {} values, expected at most {}", out_dim, most_table));
  const bool dense = options.projection == FdeProjection::dense;
  signs_stride = dense ? size * width : chunks() * size;
  const std::size_t tables = options.per_bucket ? blocks : options.reps;
  require(
      checked_product(tables, signs_stride, "signs of an encoding") <= most_table,
      fmt::format(
          "an encoding of {} repetitions of {} buckets of {} values would need {} signs, expected at most {}",
          options.reps, buckets, size, tables * signs_stride, most_table));
  signs = Array<float>(tables * signs_stride);
  RandomStream random(options.seed, signs_stream);
  std::uint64_t word = 0;
  for (std::size_t i = 0; i < signs.size(); ++i) {
    if (i % 64 == 0) word = random.next();
    signs[i] = (word >> i % 64 & 1) != 0 ? 1.0F : -1.0F;
  }
  const std::size_t turns = rotations_for(options, token_dim);
  for (std::size_t r = 0; r < turns; ++r)
    rotations.emplace_back(token_dim, RandomStream(options.seed, rotation_stream).at(r),
                           in_turn() && r > 0 ? 1 : 2);
  rotated_mean.assign(width, 0.0F);
  std::ranges::copy(mean, rotated_mean.begin());
  rotations.front().apply(std::span(rotated_mean).first(token_dim));
  if (options.final_dim == 0) return;
  RandomStream place(options.seed, places_stream);
  for (std::size_t i = 0; i < blocks; ++i)
    places.push_back(static_cast<std::uint32_t>(place.next_below(options.final_dim)));
}

struct FdeEncoder::Scratch {
  Array<float> tokens;  // rotated
  Array<float> other;   // one token in another rotation
  Array<float> sums;    // of the buckets of a repetition
  Array<float> wrapped;
  std::vector<std::uint8_t> bits;
  std::vector<std::uint32_t> corners;  // of every repetition and token
  std::vector<std::uint32_t> turn_corners;
  std::vector<std::uint32_t> bucket;
  std::vector<std::uint32_t> counts;
};

FdeEncoder FdeEncoder::train(const FdeOptions& options, const VectorBatch& documents,
                             const BuildControl& control) {
  require_options(options, documents.dim());
  if (!options.centre) return restore(options, documents.dim(), {});
  require(documents.rows.rows() > 0,
          "there are no tokens whose mean could be subtracted, expected at least 1");
  const Array<float> mean = options.scale_tokens ? mean_of_unit_rows(documents.rows, control.executor)
                                                 : mean_of_rows(documents.rows, control.executor);
  control.throw_if_stopped();
  return restore(options, documents.dim(), std::as_const(mean).span());
}

FdeEncoder FdeEncoder::restore(const FdeOptions& options, std::size_t token_dim,
                               std::span<const float> mean) {
  const std::size_t expected = options.centre ? token_dim : 0;
  require(mean.size() == expected,
          fmt::format("the mean token has {} values, expected {}", mean.size(), expected));
  FdeEncoder encoder;
  encoder.tables_ = std::make_shared<const Tables>(options, token_dim, mean);
  return encoder;
}

const FdeOptions& FdeEncoder::options() const { return tables_->options; }
std::size_t FdeEncoder::token_dim() const { return tables_->token_dim; }
std::size_t FdeEncoder::out_dim() const { return tables_->out_dim; }
std::span<const float> FdeEncoder::mean() const { return tables_->mean; }
std::size_t FdeEncoder::memory_bytes() const {
  return tables_->signs.bytes() + tables_->places.size() * sizeof(std::uint32_t) +
         tables_->rotations.size() * 2 * token_dim() * sizeof(float);
}

void FdeEncoder::encode(MatrixView<const float> tokens, std::span<float> out, bool document,
                        Scratch& scratch) const {
  const Tables& t = *tables_;
  require(tokens.cols() == t.token_dim,
          fmt::format("tokens have dimension {}, the encoder {}", tokens.cols(), t.token_dim));
  require(out.size() == t.out_dim,
          fmt::format("an encoding has {} values, the place for it {}", t.out_dim, out.size()));
  const FdeKernels& loops = fde_kernels();
  const std::size_t count = tokens.rows();
  const std::size_t planes_width = padded(t.token_dim);
  const std::size_t bytes = planes_width / 8;
  const std::size_t turns = t.rotations.size();
  std::ranges::fill(out, 0.0F);
  if (count == 0) return;
  reserve_scratch(scratch.tokens, count * t.width + fde_lanes);
  reserve_scratch(scratch.other, planes_width + fde_lanes);
  reserve_scratch(scratch.sums, t.buckets * t.width);
  reserve_scratch(scratch.wrapped, padded(t.size));
  const bool planes = !t.in_turn();
  if (planes) {
    scratch.bits.assign(count * turns * bytes + sizeof(std::uint64_t), 0);
  } else {
    scratch.corners.resize(count * t.options.reps);
    scratch.turn_corners.resize(t.token_dim + fde_lanes);
  }
  scratch.bucket.resize(count);
  scratch.counts.resize(t.buckets);

  const auto look_at = [&](const float* rotated, std::size_t i, std::size_t turn) {
    if (planes) {
      loops.positive_bits(rotated, planes_width, scratch.bits.data() + (i * turns + turn) * bytes);
      return;
    }
    const std::size_t together = t.token_dim / polytope_directions(t.options);
    const std::size_t first = turn * together;
    loops.corners(rotated, together, polytope_directions(t.options), scratch.turn_corners.data());
    for (std::size_t rep = first; rep < std::min(t.options.reps, first + together); ++rep)
      scratch.corners[rep * count + i] = scratch.turn_corners[rep - first];
  };
  for (std::size_t i = 0; i < count; ++i) {
    float* const token = scratch.tokens.data() + i * t.width;
    if (t.options.scale_tokens) {
      normalise(tokens[i], {token, t.token_dim});
    } else {
      std::ranges::copy(tokens[i], token);
    }
    std::fill(token + t.token_dim, token + t.width, 0.0F);
    for (std::size_t r = 1; planes && r < turns; ++r) {
      std::copy(token, token + planes_width, scratch.other.data());
      t.rotations[r].apply(scratch.other.span().first(t.token_dim));
      look_at(scratch.other.data(), i, r);
    }
    t.rotations.front().apply({token, t.token_dim});
    look_at(token, i, 0);
    if (!planes) std::copy(token, token + planes_width, scratch.other.data());
    for (std::size_t r = 1; !planes && r < turns; ++r) {
      t.rotations[r].apply(scratch.other.span().first(t.token_dim));
      look_at(scratch.other.data(), i, r);
    }
    if (document && t.options.centre) {
      for (std::size_t j = 0; j < t.token_dim; ++j) token[j] -= t.rotated_mean[j];
    }
  }

  const auto plane_bit = [&](std::size_t token, std::size_t plane) -> std::uint32_t {
    const std::size_t turn = plane / t.token_dim;
    const std::size_t place = plane % t.token_dim;
    return scratch.bits[(token * turns + turn) * bytes + place / 8] >> place % 8 & 1U;
  };
  const auto find_buckets = [&](std::size_t rep) {
    if (!planes) {
      std::copy_n(scratch.corners.data() + rep * count, count, scratch.bucket.data());
      return;
    }
    const std::size_t first = rep * t.options.bits;
    // Planes that lie in one rotation and so in eight bytes are cut out at once.
    const std::size_t place = first % t.token_dim;
    const bool together = place + t.options.bits <= t.token_dim;
    for (std::size_t i = 0; i < count; ++i) {
      std::uint32_t bucket = 0;
      if (together) {
        std::uint64_t word = 0;
        std::memcpy(&word, scratch.bits.data() + (i * turns + first / t.token_dim) * bytes + place / 8,
                    sizeof(word));
        bucket = static_cast<std::uint32_t>(word >> place % 8) & static_cast<std::uint32_t>(t.buckets - 1);
      } else {
        for (std::size_t b = 0; b < t.options.bits; ++b) bucket |= plane_bit(i, first + b) << b;
      }
      scratch.bucket[i] = bucket;
    }
  };
  const auto nearest_token = [&](std::size_t bucket) {
    std::size_t best = 0;
    int fewest = 64;
    for (std::size_t i = 0; i < count; ++i) {
      const int apart = std::popcount(scratch.bucket[i] ^ static_cast<std::uint32_t>(bucket));
      if (apart < fewest) {
        fewest = apart;
        best = i;
      }
    }
    return scratch.tokens.data() + best * t.width;
  };
  const auto put = [&](std::size_t rep, std::size_t bucket, const float* values, float scale) {
    const std::size_t block = rep * t.buckets + bucket;
    const bool whole = t.options.final_dim == 0;
    float* target = whole ? out.data() + block * t.size : scratch.wrapped.data();
    if (!whole) std::fill_n(target, t.size, 0.0F);
    const float* const signs = t.signs_of(rep, bucket);
    if (t.options.projection == FdeProjection::dense) {
      const float factor = scale / std::sqrt(static_cast<float>(t.size));
      for (std::size_t j = 0; j < t.size; ++j) {
        float sum[fde_lanes] = {};
        const float* const row = signs + j * t.width;
        for (std::size_t i = 0; i < t.width; i += fde_lanes) {
          for (std::size_t l = 0; l < fde_lanes; ++l) sum[l] += row[i + l] * values[i + l];
        }
        for (std::size_t half = fde_lanes / 2; half > 0; half /= 2) {
          for (std::size_t l = 0; l < half; ++l) sum[l] += sum[l + half];
        }
        target[j] += factor * sum[0];
      }
    } else {
      loops.add_sketch(values, signs, t.chunks(), t.size, scale, target);
    }
    if (whole) return;
    std::size_t to = t.places[block];
    for (std::size_t j = 0; j < t.size; ++j, ++to) {
      if (to == t.out_dim) to = 0;
      out[to] += target[j];
    }
  };

  for (std::size_t rep = 0; rep < t.options.reps; ++rep) {
    find_buckets(rep);
    std::ranges::fill(scratch.counts, 0U);
    for (std::size_t i = 0; i < count; ++i) ++scratch.counts[scratch.bucket[i]];
    std::fill_n(scratch.sums.data(), t.buckets * t.width, 0.0F);
    loops.add_rows(scratch.tokens.data(), scratch.bucket.data(), count, t.width, scratch.sums.data());
    for (std::size_t bucket = 0; bucket < t.buckets; ++bucket) {
      const float* values = scratch.sums.data() + bucket * t.width;
      if (scratch.counts[bucket] == 0) {
        if (!document || t.options.empty == FdeEmpty::zero) continue;
        values = nearest_token(bucket);
      }
      float scale = 1.0F;
      if (document && t.options.bucket == FdeBucket::unit) {
        const float squares = loops.squares(values, t.width);
        if (!(squares > 0)) continue;
        scale = 1.0F / std::sqrt(squares);
      } else if (document && scratch.counts[bucket] > 0) {
        scale = 1.0F / static_cast<float>(scratch.counts[bucket]);
      }
      put(rep, bucket, values, scale);
    }
  }
}

void FdeEncoder::encode_query(MatrixView<const float> tokens, std::span<float> out) const {
  Scratch scratch;
  encode(tokens, out, false, scratch);
}

void FdeEncoder::encode_document(MatrixView<const float> tokens, std::span<float> out) const {
  Scratch scratch;
  encode(tokens, out, true, scratch);
}

void FdeEncoder::encode_queries(const VectorBatch& queries, MatrixView<float> out, ExecutorRef executor,
                                std::stop_token stop) const {
  BuildControl control;
  control.executor = executor;
  control.stop = std::move(stop);
  encode_items(queries, out, false, control);
}

void FdeEncoder::encode_documents(const VectorBatch& documents, MatrixView<float> out,
                                  const BuildControl& control) const {
  encode_items(documents, out, true, control);
}

void FdeEncoder::encode_items(const VectorBatch& items, MatrixView<float> out, bool document,
                              const BuildControl& control) const {
  require(out.rows() == items.size(),
          fmt::format("{} items to encode, the result has {} rows", items.size(), out.rows()));
  std::vector<Scratch> scratch(control.executor.concurrency());
  const std::size_t tasks = (items.size() + items_a_task - 1) / items_a_task;
  control.executor.for_each(tasks, [&](std::size_t task, std::size_t worker) {
    const std::size_t end = std::min(items.size(), (task + 1) * items_a_task);
    for (std::size_t i = task * items_a_task; i < end && !control.stop.stop_requested(); ++i)
      encode(items.item(i), out[i], document, scratch[worker]);
  });
  control.throw_if_stopped();
}

}  // namespace vicinal
