#include "vicinal/encode/token_head.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "vicinal/core/error.hpp"
#include "vicinal/core/sums.hpp"
#include "vicinal/encode/maxsim_lanes.hpp"
#include "vicinal/encode/scratch.hpp"
#include "vicinal/encode/token_head_tables.hpp"
#include "vicinal/quant/cholesky.hpp"
#include "vicinal/quant/codec.hpp"
#include "vicinal/quant/codec_parts.hpp"
#include "vicinal/quant/covariance.hpp"

namespace vicinal {
namespace {

constexpr std::size_t chunk_tokens = 512;  // of a document: its groups stay in the second-level cache
constexpr std::size_t queries_a_task = 16;
static_assert(panel_tokens == lane_tokens, "panels of tokens are the kernels' groups too");

std::size_t panels_of(std::size_t count) { return panel_count(count) * panel_tokens; }

void require(bool good, const std::string& what) {
  if (!good) throw InvalidArgument(what);
}

void require_rows(std::size_t items, MatrixView<float> out, std::size_t dim) {
  require(out.rows() == items, fmt::format("{} items to encode, the result has {} rows", items, out.rows()));
  require(out.cols() == dim, fmt::format("an encoding has {} values, the place for it {}", dim, out.cols()));
}

// The tokens themselves, or a copy scaled to length 1.
MatrixView<const float> scaled_tokens(MatrixView<const float> tokens, bool scale, Array<float>& scratch) {
  if (!scale) return tokens;
  reserve_scratch(scratch, tokens.rows() * tokens.cols());
  const MatrixView<float> copy(scratch.data(), tokens.rows(), tokens.cols());
  for (std::size_t i = 0; i < tokens.rows(); ++i) normalise(tokens[i], copy[i]);
  return copy;
}

float length_of(std::span<const float> token) {
  return static_cast<float>(std::sqrt(inner_product(token, token)));
}

}  // namespace

void require_head_options(const TokenHeadOptions& options, std::size_t token_dim) {
  constexpr std::size_t most_token_dim = 65'536;
  require(token_dim >= 1 && token_dim <= most_token_dim,
          fmt::format("tokens have dimension {}, expected 1 to {}", token_dim, most_token_dim));
  require(options.dim >= TokenHead::least_dim && options.dim <= TokenHead::most_dim,
          fmt::format("a learned head has {} values, expected {} to {}", options.dim, TokenHead::least_dim,
                      TokenHead::most_dim));
  require(options.samples >= 1 && options.samples <= TokenHead::most_samples,
          fmt::format("a learned head is fitted to {} samples, expected 1 to {}", options.samples,
                      TokenHead::most_samples));
  require(options.ridge >= 1e-6 && options.ridge <= 1e6,
          fmt::format("a learned head has a ridge of {}, expected 1e-6 to 1e6", options.ridge));
  const std::size_t largest = std::max(options.samples * std::max(options.dim, token_dim),
                                       options.dim * std::max(options.dim, token_dim));
  require(
      largest <= TokenHead::most_table,
      fmt::format("a learned head of {} values for tokens of dimension {}, fitted to {} samples, would need "
                  "a table of {} values, expected at most {}",
                  options.dim, token_dim, options.samples, largest, TokenHead::most_table));
}

void require_head_tokens(const VectorBatch& batch, std::size_t token_dim, const char* what) {
  require(batch.dim() == token_dim,
          fmt::format("{} have dimension {}, the learned head {}", what, batch.dim(), token_dim));
  validate_batch(batch, token_dim, what);
  for (std::size_t row = 0; row < batch.rows.rows(); ++row) {
    if (largest_magnitude(batch.rows[row]) <= largest_trained_value) continue;
    const auto at =
        std::ranges::find_if(batch.rows[row], [](float v) { return std::abs(v) > largest_trained_value; });
    throw InvalidArgument(fmt::format("{} row {} column {} is {}, a learned head takes magnitudes up to 2^54",
                                      what, row, at - batch.rows[row].begin(), *at));
  }
}

SampleLanes::SampleLanes(MatrixView<const float> samples) : size_(samples.rows()), dim_(samples.cols()) {
  const std::size_t blocks = (size_ + block - 1) / block;
  values_ = Array<float>(checked_product(blocks * block, dim_, "samples of a learned head"));
  for (std::size_t s = 0; s < size_; ++s) {
    float* const to = values_.data() + s / block * block * dim_ + s % block;
    for (std::size_t j = 0; j < dim_; ++j) to[j * block] = samples[s][j];
  }
  terms_.resize(block);
}

void SampleLanes::largest_products(MatrixView<const float> tokens, bool scale_tokens, Scratch& scratch,
                                   float* out, std::size_t out_stride) const {
  reserve_scratch(scratch.least, 2 * block);
  for (std::size_t first = 0; first < tokens.rows(); first += chunk_tokens) {
    const MatrixView<const float> chunk = scaled_tokens(
        tokens.rows_from(first, std::min(chunk_tokens, tokens.rows() - first)), scale_tokens, scratch.scaled);
    const std::size_t count = chunk.rows();
    reserve_scratch(scratch.groups, panels_of(count) * dim_);
    pooling_kernels().pack(chunk.data(), chunk.stride(), count, dim_, 1.0F, scratch.groups.data());
    const LaneTokens lanes{reinterpret_cast<const std::byte*>(scratch.groups.data()), nullptr, count};
    for (std::size_t s = 0; s < size_; s += block) {
      const LaneQueries asked{.count = std::min(block, size_ - s),
                              .stride = block,
                              .steps = dim_,
                              .floats = values_.data() + s * dim_,
                              .terms = terms_.data()};
      float* const least = scratch.least.data();
      lane_kernels().f32(asked, lanes, 0, count, least);  // 0 less the products
      float* to = out + s * out_stride;
      for (std::size_t i = 0; i < asked.count; ++i, to += out_stride)
        *to = first == 0 ? -least[i] : std::max(*to, -least[i]);
    }
  }
}

std::size_t TokenHeadTables::linear_features(std::size_t dim, std::size_t token_dim) {
  return 1 + std::min(token_dim, dim / 2);
}

void TokenHeadTables::prepare() {
  width = panels_of(options.dim);
  panels = Array<float>(width * token_dim);
  pooling_kernels().pack(directions.data(), token_dim, options.dim, token_dim, 1.0F, panels.data());
  constexpr float none = -std::numeric_limits<float>::infinity();
  slope.assign(width, 0.0F);
  floor.assign(width, 0.0F);
  for (std::size_t f = 0; f < options.dim; ++f) {
    const bool linear = f < linear_features(options.dim, token_dim);
    slope[f] = f == 0 ? 1.0F : linear ? 0.0F : -threshold;
    floor[f] = linear ? none : 0.0F;
  }
  fingerprint = head_fingerprint(*this);
}

TokenHeadTables::Fit TokenHeadTables::make_fit(const BuildControl& control) const {
  Fit made{SampleLanes(sample_rows()), {}};
  const std::size_t count = sample_count();
  const std::size_t blocks = (count + head_block - 1) / head_block;
  made.features = Array<float>(checked_product(blocks * head_block, width, "features of samples"));
  control.executor.for_each(blocks, [&](std::size_t block, std::size_t) {
    if (control.stop.stop_requested()) return;
    const std::size_t first = block * head_block;
    const MatrixView<const float> rows = sample_rows().rows_from(first, std::min(head_block, count - first));
    Array<float> packed(panels_of(rows.rows()) * token_dim);
    pooling_kernels().pack(rows.data(), rows.stride(), rows.rows(), token_dim, 1.0F, packed.data());
    std::vector<float> lengths;
    for (std::size_t i = 0; i < rows.rows(); ++i) lengths.push_back(length_of(rows[i]));
    for (std::size_t panel = 0; panel < width / panel_tokens; ++panel) {
      const std::size_t feature = panel * panel_tokens;
      auto* const out = const_cast<float*>(fit_features(made, block, panel));
      pooling_kernels().products(packed.data(), rows.rows(), panels.data() + feature * token_dim,
                                 panel_tokens, token_dim, out, panel_tokens);
      for (std::size_t i = 0; i < rows.rows(); ++i) {
        for (std::size_t f = 0; f < panel_tokens; ++f) {
          float& value = out[i * panel_tokens + f];
          value = std::max(floor[feature + f], value + slope[feature + f] * lengths[i]);
        }
      }
    }
  });
  control.throw_if_stopped();
  return made;
}

const TokenHeadTables::Fit& TokenHeadTables::fit(const BuildControl& control) const {
  std::call_once(fit_once, [&] { made_fit = make_fit(control); });
  return made_fit;
}

void add_features(const TokenHeadTables& t, MatrixView<const float> all, TokenHeadScratch& scratch,
                  std::span<float> out) {
  reserve_scratch(scratch.panel, panel_tokens * t.token_dim);
  reserve_scratch(scratch.products, panel_tokens * t.width);
  for (std::size_t first = 0; first < all.rows(); first += panel_tokens) {
    const MatrixView<const float> tokens =
        scaled_tokens(all.rows_from(first, std::min(panel_tokens, all.rows() - first)),
                      t.options.scale_tokens, scratch.scaled);
    pooling_kernels().pack(tokens.data(), tokens.stride(), tokens.rows(), t.token_dim, 1.0F,
                           scratch.panel.data());
    pooling_kernels().products(scratch.panel.data(), tokens.rows(), t.panels.data(), t.width, t.token_dim,
                               scratch.products.data(), t.width);
    for (std::size_t i = 0; i < tokens.rows(); ++i) {
      const float length = length_of(tokens[i]);
      const float* const row = scratch.products.data() + i * t.width;
      const float* const slope = t.slope.data();
      const float* const floor = t.floor.data();
      for (std::size_t f = 0; f < out.size(); ++f) out[f] += std::max(floor[f], row[f] + slope[f] * length);
    }
  }
}

void encode_head_documents(const TokenHeadTables& t, const TokenHeadTables::Fit& fit,
                           const VectorBatch& documents, std::size_t first, MatrixView<float> out,
                           TokenHeadScratch& scratch, const BuildControl& control) {
  const std::size_t count = out.rows();
  const std::size_t samples = fit.lanes.size();
  const std::size_t dim = t.options.dim;
  // Panels of documents: the product with sample s of document i of a panel is at [s][i].
  reserve_scratch(scratch.products, panels_of(count) * samples);
  std::fill_n(scratch.products.data(), panels_of(count) * samples, 0.0F);
  for (std::size_t i = 0; i < count; ++i) {
    if (control.stop.stop_requested()) return;
    const MatrixView<const float> tokens = documents.item(first + i);
    if (tokens.empty()) continue;
    float* const to = scratch.products.data() + i / panel_tokens * panel_tokens * samples + i % panel_tokens;
    fit.lanes.largest_products(tokens, t.options.scale_tokens, scratch.lanes, to, panel_tokens);
  }
  reserve_scratch(scratch.sides, dim * count);
  alignas(64) float tile[panel_tokens * panel_tokens];
  for (std::size_t panel = 0; panel < t.width / panel_tokens; ++panel) {
    double sums[head_group * panel_tokens] = {};
    for (std::size_t s = 0; s < samples; s += head_block) {
      const float* const features = t.fit_features(fit, s / head_block, panel);
      for (std::size_t d = 0; d < count; d += panel_tokens) {
        const std::size_t rows = std::min(panel_tokens, count - d);
        pooling_kernels().products(scratch.products.data() + d * samples + s * panel_tokens, rows, features,
                                   panel_tokens, std::min(head_block, samples - s), tile, panel_tokens);
        for (std::size_t i = 0; i < rows * panel_tokens; ++i)
          sums[d * panel_tokens + i] += static_cast<double>(tile[i]);
      }
    }
    const std::size_t feature = panel * panel_tokens;
    for (std::size_t f = 0; f < std::min(panel_tokens, dim - feature); ++f) {
      for (std::size_t i = 0; i < count; ++i)
        scratch.sides[(feature + f) * count + i] = sums[i * panel_tokens + f];
    }
  }
  cholesky_solve(t.factor, dim, scratch.sides.data(), count);
  for (std::size_t i = 0; i < count; ++i) {
    for (std::size_t f = 0; f < dim; ++f) out[i][f] = static_cast<float>(scratch.sides[f * count + i]);
  }
}

const TokenHeadOptions& TokenHead::options() const { return tables_->options; }
std::size_t TokenHead::token_dim() const { return tables_->token_dim; }
std::size_t TokenHead::out_dim() const { return tables_->options.dim; }
double TokenHead::health() const { return tables_->health; }
std::uint64_t TokenHead::fingerprint() const { return tables_->fingerprint; }
std::size_t TokenHead::memory_bytes() const {
  const TokenHeadTables& t = *tables_;
  const std::size_t blocks = (t.sample_count() + head_block - 1) / head_block;
  return 2 * t.samples.bytes() + t.directions.bytes() + t.factor.bytes() + t.panels.bytes() +
         blocks * head_block * t.width * sizeof(float);
}

void TokenHead::encode_query(MatrixView<const float> tokens, std::span<float> out) const {
  const std::uint64_t offsets[] = {0, tokens.rows()};
  encode_queries({tokens, offsets}, {out.data(), 1, out.size()});
}

void TokenHead::encode_document(MatrixView<const float> tokens, std::span<float> out) const {
  const std::uint64_t offsets[] = {0, tokens.rows()};
  encode_documents({tokens, offsets}, {out.data(), 1, out.size()});
}

void TokenHead::encode_queries(const VectorBatch& queries, MatrixView<float> out,
                               ExecutorRef executor) const {
  require_head_tokens(queries, token_dim(), "queries");
  require_rows(queries.size(), out, out_dim());
  std::vector<TokenHeadScratch> scratch(executor.concurrency());
  const std::size_t tasks = (queries.size() + queries_a_task - 1) / queries_a_task;
  executor.for_each(tasks, [&](std::size_t task, std::size_t worker) {
    const std::size_t end = std::min(queries.size(), (task + 1) * queries_a_task);
    for (std::size_t i = task * queries_a_task; i < end; ++i) {
      std::ranges::fill(out[i], 0.0F);
      add_features(*tables_, queries.item(i), scratch[worker], out[i]);
    }
  });
}

void TokenHead::encode_documents(const VectorBatch& documents, MatrixView<float> out,
                                 const BuildControl& control) const {
  require_head_tokens(documents, token_dim(), "documents");
  require_rows(documents.size(), out, out_dim());
  if (documents.size() == 0) return;
  // Made without the executor: a thread that waits in it may take up another task, which would wait here for itself.
  const TokenHeadTables::Fit& fit = tables_->fit({});
  std::vector<TokenHeadScratch> scratch(control.executor.concurrency());
  control.executor.for_each((documents.size() + head_group - 1) / head_group,
                            [&](std::size_t task, std::size_t worker) {
                              const std::size_t first = task * head_group;
                              const std::size_t count = std::min(head_group, documents.size() - first);
                              encode_head_documents(*tables_, fit, documents, first,
                                                    out.rows_from(first, count), scratch[worker], control);
                            });
  control.throw_if_stopped();
}

}  // namespace vicinal
