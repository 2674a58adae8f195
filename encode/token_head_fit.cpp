// How a TokenHead learns.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "vicinal/core/error.hpp"
#include "vicinal/core/random.hpp"
#include "vicinal/core/sums.hpp"
#include "vicinal/encode/token_head.hpp"
#include "vicinal/encode/token_head_tables.hpp"
#include "vicinal/quant/cholesky.hpp"
#include "vicinal/quant/codec.hpp"
#include "vicinal/quant/mean.hpp"
#include "vicinal/quant/rotation.hpp"

namespace vicinal {
namespace {

constexpr std::uint64_t documents_stream = 0x746F'6B65'6E73;   // "tokens"
constexpr std::uint64_t queries_stream = 0x7175'6572'6965'73;  // "queries"
constexpr std::uint64_t rotation_stream = 0x6178'6573;         // "axes"
constexpr std::uint64_t mixtures_stream = 0x6D69'7865'64;      // "mixed"
constexpr std::size_t held_out_share = 8;                      // of samples there is one token held out
constexpr std::size_t most_held_out = 1024;
constexpr std::size_t most_judged = 128;  // documents
constexpr std::size_t threshold_samples = 1024;
// Between 1 and 2 it hardly matters, and the ranking of what is found first is best here.
constexpr double threshold_deviations = 1.6;

// One row drawn from each of `count` equal runs of rows.
std::vector<std::size_t> drawn_rows(std::size_t rows, std::size_t count, std::uint64_t seed,
                                    std::uint64_t stream) {
  RandomStream random(seed, stream);
  std::vector<std::size_t> drawn;
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t begin = i * rows / count;
    drawn.push_back(begin + random.next_below((i + 1) * rows / count - begin));
  }
  return drawn;
}

// The token less the mean, scaled to length 1; the token itself, so scaled, where it is the mean up to rounding; zero where it is zero.
void centred_sample(std::span<const float> token, std::span<const float> mean, std::span<float> out) {
  std::vector<float> less(token.size());
  for (std::size_t j = 0; j < token.size(); ++j) less[j] = token[j] - mean[j];
  const bool same = inner_product(less, less) <= 1e-10 * inner_product(token, token);
  normalise(same ? token : std::span<const float>(less), out);
}

// Rows of a matrix under construction.
class Rows {
 public:
  Rows(std::size_t count, std::size_t dim) : values_(count * dim), dim_(dim) {}
  [[nodiscard]] std::span<float> operator[](std::size_t i) { return values_.span().subspan(i * dim_, dim_); }
  [[nodiscard]] MatrixView<const float> view() const { return {values_.data(), values_.size() / dim_, dim_}; }
  [[nodiscard]] Array<float> take() { return std::move(values_); }

 private:
  Array<float> values_;
  std::size_t dim_;
};

struct Drawn {
  Rows samples;
  Rows held_out;
  std::size_t from_documents;  // samples, the first
};

Drawn draw(const TokenHeadOptions& options, const VectorBatch& documents, const VectorBatch& queries,
           ExecutorRef executor) {
  const std::size_t dim = documents.dim();
  const std::size_t asked = std::min(queries.rows.rows(), options.samples / 2);
  const std::size_t wanted = options.samples - asked;
  const std::size_t drawn =
      std::min(documents.rows.rows(), wanted + std::min(wanted / held_out_share, most_held_out));
  const std::size_t held = std::min(drawn / (held_out_share + 1), most_held_out);
  const std::size_t kept = drawn - held;  // at most `wanted`
  std::vector<bool> is_held(drawn, false);
  for (std::size_t i = 0; i < held; ++i) is_held[(2 * i + 1) * drawn / (2 * held)] = true;
  Drawn found{Rows(kept + asked, dim), Rows(held, dim), kept};
  const Array<float> mean = options.scale_tokens ? mean_of_unit_rows(documents.rows, executor)
                                                 : mean_of_rows(documents.rows, executor);
  const std::vector<std::size_t> rows =
      drawn_rows(documents.rows.rows(), drawn, options.seed, documents_stream);
  std::vector<float> token(dim);
  std::size_t sample = 0;
  std::size_t other = 0;
  for (std::size_t i = 0; i < drawn; ++i) {
    const std::span<const float> row = documents.rows[rows[i]];
    if (options.scale_tokens) {
      normalise(row, token);
    } else {
      std::ranges::copy(row, token.begin());
    }
    centred_sample(token, mean.span(), is_held[i] ? found.held_out[other++] : found.samples[sample++]);
  }
  const std::vector<std::size_t> of_queries =
      drawn_rows(queries.rows.rows(), asked, options.seed, queries_stream);
  for (std::size_t i = 0; i < asked; ++i) normalise(queries.rows[of_queries[i]], found.samples[kept + i]);
  return found;
}

// Nothing for |x|, axes of a rotation, then samples of the documents spread over all, and where those do not suffice, mixtures of two.
Array<float> make_directions(const TokenHeadOptions& options, const MatrixView<const float>& samples) {
  const std::size_t dim = samples.cols();
  Rows directions(options.dim, dim);
  const std::size_t linear = TokenHeadTables::linear_features(options.dim, dim);
  const Rotation rotation(dim, RandomStream(options.seed, rotation_stream).at(0));
  for (std::size_t f = 1; f < linear; ++f) {
    directions[f][f - 1] = 1.0F;
    rotation.apply_inverse(directions[f]);
  }
  const std::size_t landmarks = options.dim - linear;
  const std::size_t plain = std::min(landmarks, samples.rows());
  RandomStream random(options.seed, mixtures_stream);
  std::vector<float> mixed(dim);
  for (std::size_t i = 0; i < landmarks; ++i) {
    const std::span<float> to = directions[linear + i];
    if (i < plain) {
      std::ranges::copy(samples[i * samples.rows() / plain], to.begin());
      continue;
    }
    const std::span<const float> a = samples[random.next_below(samples.rows())];
    const std::span<const float> b = samples[random.next_below(samples.rows())];
    const auto share = static_cast<float>(2 * random.next_unit() - 1);
    for (std::size_t j = 0; j < dim; ++j) mixed[j] = a[j] + share * b[j];
    normalise(mixed, to);
  }
  return directions.take();
}

// The quadratic mean of the samples' products with the directions that have a threshold.
float find_threshold(const TokenHeadTables& t) {
  const std::size_t linear = TokenHeadTables::linear_features(t.options.dim, t.token_dim);
  const std::size_t count = std::min(t.sample_count(), threshold_samples);
  const std::size_t width = panel_count(t.options.dim) * panel_tokens;
  Array<float> left(panel_count(count) * panel_tokens * t.token_dim);
  Array<float> right(width * t.token_dim);
  Array<float> products(panel_count(count) * panel_tokens * width);
  const PoolingKernels& kernels = pooling_kernels();
  const MatrixView<const float> spread(t.samples.data(), count, t.token_dim,
                                       t.sample_count() / count * t.token_dim);
  kernels.pack(spread.data(), spread.stride(), count, t.token_dim, 1.0F, left.data());
  kernels.pack(t.directions.data(), t.token_dim, t.options.dim, t.token_dim, 1.0F, right.data());
  kernels.products(left.data(), count, right.data(), t.options.dim, t.token_dim, products.data(), width);
  double squares = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const std::span<const float> row(products.data() + i * width + linear, t.options.dim - linear);
    squares += inner_product(row, row);
  }
  const auto terms = static_cast<double>(count * (t.options.dim - linear));
  return static_cast<float>(threshold_deviations * std::sqrt(squares / terms));
}

// The features' products over the samples, plus ridge, factorised.
Array<double> factorise(const TokenHeadTables& t, const TokenHeadTables::Fit& fit,
                        const BuildControl& control) {
  const std::size_t dim = t.options.dim;
  const std::size_t panels = t.width / panel_tokens;
  const std::size_t samples = t.sample_count();
  Array<double> moments(checked_product(dim, dim, "moments of features"));
  control.executor.for_each(panels, [&](std::size_t left, std::size_t) {
    alignas(64) float tile[panel_tokens * panel_tokens];
    for (std::size_t right = left; right < panels && !control.stop.stop_requested(); ++right) {
      double sums[panel_tokens * panel_tokens] = {};
      for (std::size_t s = 0; s < samples; s += head_block) {
        pooling_kernels().products(t.fit_features(fit, s / head_block, left), panel_tokens,
                                   t.fit_features(fit, s / head_block, right), panel_tokens,
                                   std::min(head_block, samples - s), tile, panel_tokens);
        for (std::size_t i = 0; i < std::size(tile); ++i) sums[i] += static_cast<double>(tile[i]);
      }
      for (std::size_t i = left * panel_tokens; i < std::min(dim, (left + 1) * panel_tokens); ++i) {
        for (std::size_t j = right * panel_tokens; j < std::min(dim, (right + 1) * panel_tokens); ++j)
          moments[i * dim + j] = sums[i % panel_tokens * panel_tokens + j % panel_tokens];
      }
    }
  });
  control.throw_if_stopped();
  double trace = 0;
  for (std::size_t i = 0; i < dim; ++i) trace += moments[i * dim + i];
  for (std::size_t i = 0; i < dim; ++i)
    moments[i * dim + i] += t.options.ridge * (trace / static_cast<double>(dim));
  return cholesky(std::move(moments), dim, control);
}

double measure_health(const TokenHeadTables& t, const TokenHeadTables::Fit& fit, const VectorBatch& documents,
                      const MatrixView<const float>& held_out, const BuildControl& control) {
  std::vector<std::size_t> judged;
  for (std::size_t i = 0; i < documents.size(); ++i) {
    if (!documents.item(i).empty()) judged.push_back(i);
  }
  const std::size_t count = std::min(judged.size(), most_judged);
  for (std::size_t i = 0; i < count; ++i) judged[i] = judged[i * judged.size() / count];
  const std::size_t dim = t.options.dim;
  const std::size_t tokens = held_out.rows();
  // Element [document][token].
  Array<float> exact(count * tokens);
  Array<float> estimates(count * tokens);
  Array<float> features(tokens * dim);
  const SampleLanes lanes(held_out);
  std::vector<TokenHeadScratch> scratch(control.executor.concurrency());
  // The held-out tokens have length 1 already, and to scale them again would change nothing that matters.
  control.executor.for_each(tokens, [&](std::size_t i, std::size_t worker) {
    add_features(t, held_out.rows_from(i, 1), scratch[worker], features.span().subspan(i * dim, dim));
  });
  control.executor.for_each(count, [&](std::size_t d, std::size_t worker) {
    if (control.stop.stop_requested()) return;
    std::vector<float> weights(dim);
    encode_head_documents(t, fit, documents, judged[d], {weights.data(), 1, dim}, scratch[worker], control);
    lanes.largest_products(documents.item(judged[d]), t.options.scale_tokens, scratch[worker].lanes,
                           exact.data() + d * tokens, 1);
    for (std::size_t i = 0; i < tokens; ++i) {
      estimates[d * tokens + i] =
          static_cast<float>(inner_product(weights, std::as_const(features).span().subspan(i * dim, dim)));
    }
  });
  control.throw_if_stopped();
  double varies = 0;
  double errs = 0;
  for (std::size_t i = 0; i < tokens; ++i) {
    const auto error = [&](std::size_t d) {
      return static_cast<double>(exact[d * tokens + i]) - static_cast<double>(estimates[d * tokens + i]);
    };
    double mean = 0;
    double mean_error = 0;
    for (std::size_t d = 0; d < count; ++d) {
      mean += static_cast<double>(exact[d * tokens + i]) / static_cast<double>(count);
      mean_error += error(d) / static_cast<double>(count);
    }
    for (std::size_t d = 0; d < count; ++d) {
      const double away = static_cast<double>(exact[d * tokens + i]) - mean;
      varies += away * away;
      errs += (error(d) - mean_error) * (error(d) - mean_error);
    }
  }
  return varies > 0 ? 1 - errs / varies : 0;
}

}  // namespace

TokenHead TokenHead::train(const TokenHeadOptions& options, const VectorBatch& documents,
                           const VectorBatch& queries, const BuildControl& control) {
  require_head_options(options, documents.dim());
  require_head_tokens(documents, documents.dim(), "documents");
  if (!queries.rows.empty()) require_head_tokens(queries, documents.dim(), "queries");
  if (documents.rows.empty())
    throw InvalidArgument("there are no tokens that a learned head could be fitted to, expected at least 1");
  Drawn drawn = draw(options, documents, queries, control.executor);
  control.throw_if_stopped();
  auto tables = std::make_shared<TokenHeadTables>();
  tables->options = options;
  tables->token_dim = documents.dim();
  tables->directions = make_directions(options, drawn.samples.view().rows_from(0, drawn.from_documents));
  tables->samples = drawn.samples.take();
  if (std::ranges::all_of(std::as_const(tables->samples).span(), [](float v) { return v == 0; })) {
    throw InvalidArgument(
        fmt::format("all {} tokens that a learned head would be fitted to are zero, expected one that is not",
                    tables->sample_count()));
  }
  tables->threshold = find_threshold(*tables);
  tables->prepare();
  const TokenHeadTables::Fit& fit = tables->fit(control);
  tables->factor = factorise(*tables, fit, control);
  tables->health = measure_health(*tables, fit, documents, drawn.held_out.view(), control);
  return TokenHead(std::move(tables));
}

}  // namespace vicinal
