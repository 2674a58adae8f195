// What a Spec looks like: the canonical string and the explanation in words.
#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cstdint>
#include <iterator>
#include <span>
#include <string>
#include <vector>

#include "vicinal/core/array.hpp"
#include "vicinal/index/spec.hpp"
#include "vicinal/quant/product_shape.hpp"

namespace vicinal {
namespace {

// The shortest decimal that reads back as the same value, never with an exponent.
std::string decimal(double value) {
  std::array<char, 400> text;
  const auto result = std::to_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed);
  return {text.data(), result.ptr};
}

std::string codec_string(const CodecOptions& codec) {
  if (is_product(codec.kind)) {
    const ProductSize& size = codec.product;
    return fmt::format("{}({}{}{})", codec.rotate ? "opq" : "pq", size.divisor != 0 ? "d/" : "",
                       size.divisor != 0 ? size.divisor : size.parts,
                       codec.kind == CodecKind::pq4 ? ", bits=4" : "");
  }
  std::string text(to_string(codec.kind));
  if (is_float8(codec.kind)) return codec.norm ? text : text + "(norm=off)";
  if (!is_integer(codec.kind)) return text;
  std::vector<std::string_view> arguments;
  if (!codec.rotate) arguments.emplace_back("rotate=off");
  if (!codec.centre) arguments.emplace_back("centre=off");
  if (!arguments.empty()) text += fmt::format("({})", fmt::join(arguments, ", "));
  return text;
}

std::string tiers_string(std::span<const TierOptions> tiers) {
  std::vector<std::string> names;
  for (const TierOptions& tier : tiers) {
    names.push_back(tier.share == 0 ? std::string(to_string(tier.kind))
                                    : fmt::format("{}={}", to_string(tier.kind), decimal(tier.share)));
  }
  return fmt::format("tiers({})", fmt::join(names, ", "));
}

std::string_view codec_name(const CodecOptions& codec) {
  if (!is_product(codec.kind)) return to_string(codec.kind);
  return codec.rotate ? "opq" : "pq";
}

std::string_view dedup_string(Deduplication dedup) {
  switch (dedup) {
    case Deduplication::none: return "";
    case Deduplication::rows: return "dedup | ";
    case Deduplication::codes: return "dedup(codes) | ";
  }
  return "";
}

std::string projection_string(const Spec& spec) {
  const ProjectionOptions& projection = spec.projection;
  if (projection.kind == ProjectionKind::none) return {};
  return fmt::format("{}({}{}{}) | ", to_string(projection.kind), projection.dim,
                     projection.whiten ? ", whiten=on" : "",
                     spec.clusters > 1 ? fmt::format(", clusters={}", spec.clusters) : "");
}

std::string index_string(const std::variant<FlatOptions, HnswOptions>& index) {
  if (const auto* hnsw = std::get_if<HnswOptions>(&index)) {
    const bool usual = hnsw->alpha == HnswOptions::default_alpha(hnsw->layout);
    return fmt::format("hnsw(m={}, efc={}{}{})", hnsw->m, hnsw->ef_construction,
                       usual ? "" : fmt::format(", alpha={}", hnsw->alpha),
                       hnsw->layout == GraphLayout::fused ? ", layout=fused" : "");
  }
  return "flat";
}

std::string_view meaning(ProjectionKind kind) {
  switch (kind) {
    case ProjectionKind::none: return "nothing";
    case ProjectionKind::truncate:
      return "the first dimensions of every vector, as Matryoshka embeddings are made for";
    case ProjectionKind::pca: return "the directions in which the base varies most";
    case ProjectionKind::query_pca:
      return "the directions that matter most to inner products with the sample queries (l2: as pca)";
  }
  return "unknown";
}

std::string_view meaning(CodecKind kind) {
  switch (kind) {
    case CodecKind::f32: return "32-bit floats, as given";
    case CodecKind::f16: return "16-bit floats (IEEE binary16)";
    case CodecKind::bf16: return "bfloat16, 16 bits with the range of f32";
    case CodecKind::i8: return "one byte a dimension and a scale per vector";
    case CodecKind::e4m3: return "8-bit floats with 3 bits of mantissa (OCP E4M3), scaled by a power of two";
    case CodecKind::e5m2: return "8-bit floats with 2 bits of mantissa (OCP E5M2), scaled by a power of two";
    case CodecKind::b1:
      return "one bit a dimension and two factors per vector (RaBitQ), distances are estimates";
    case CodecKind::b2:
      return "two bits a dimension and two factors per vector (RaBitQ), distances are estimates";
    case CodecKind::i4: return "half a byte a dimension and a scale per vector";
    case CodecKind::e3m4: return "8-bit floats with 4 bits of mantissa, scaled by a power of two";
    case CodecKind::pq8: return "one byte a sub-space, which names the nearest of 256 centroids";
    case CodecKind::pq4: return "half a byte a sub-space, which names the nearest of 16 centroids";
  }
  return "unknown";
}

// Bytes of a record and its factors.
std::size_t record_bytes(const CodecOptions& codec, std::size_t dim) {
  if (is_product(codec.kind)) return product_shape(codec, dim).stride();
  CodecOptions options = codec;
  options.centre = false;  // The mean is per index, not per vector.
  options.rotate = false;
  const Codec restored = Codec::restore(options, Metric::ip, dim, {});
  return restored.stride() + restored.factor_count() * sizeof(float);
}

// On average, with the row number of each.
double tier_bytes(std::span<const TierOptions> tiers, std::size_t dim) {
  double bytes = sizeof(std::uint32_t);
  double rest = 1;
  for (const TierOptions& tier : tiers) {
    const double share = tier.share == 0 ? rest : tier.share;
    bytes += share * static_cast<double>(record_bytes({.kind = tier.kind}, dim));
    rest -= share;
  }
  return bytes;
}

// Mean, spectrum and a matrix, of qpca two.
std::size_t projection_bytes(const ProjectionOptions& projection, std::size_t dim) {
  const std::size_t matrices = projection.kind == ProjectionKind::query_pca ? 2 : 1;
  return dim * (sizeof(float) * (1 + matrices * projection.dim) + sizeof(double));
}

// Level 0 has 2 m links a node; of the levels above, m links each, a node has 1 / (m - 1) on average. And its row number.
// In the fused layout a link on level 0 has a bit a dimension and two factors beside it.
double graph_bytes(const HnswOptions& hnsw, std::size_t dim) {
  const auto m = static_cast<double>(hnsw.m);
  const double plain = 4.0 * (2.0 * m + m / (m - 1.0) + 1.0);
  if (hnsw.layout == GraphLayout::plain) return plain;
  const std::size_t words = (dim + 31) / 32;
  return plain + 4.0 * 2.0 * m * (static_cast<double>(words) + 2.0);
}

// Lines to follow `text`, about vectors of `dim` values.
std::string explain_vectors(const Spec& spec, std::string text, std::size_t dim) {
  auto out = std::back_inserter(text);
  const ProjectionOptions& projection = spec.projection;
  const std::size_t kept = projection.kind == ProjectionKind::none ? dim : projection.dim;
  if (kept > dim) {
    throw InvalidArgument(
        fmt::format("{} keeps {} dimensions, the vectors have {}", to_string(projection.kind), kept, dim));
  }
  if (spec.dedup != Deduplication::none) {
    fmt::format_to(
        out,
        "dedup   of vectors {} one is kept, with the list of their rows: 12 bytes a duplicate, no codes\n",
        spec.dedup == Deduplication::rows ? "with equal values" : "with equal codes");
  }
  if (projection.kind != ProjectionKind::none) {
    fmt::format_to(out, "project {}: {}; {} of {} dimensions\n", to_string(projection.kind),
                   meaning(projection.kind), kept, dim);
    if (projection.kind == ProjectionKind::pca) {
      fmt::format_to(out, "        whiten={}: {}\n", projection.whiten ? "on" : "off",
                     projection.whiten ? "every direction is scaled to variance 1, which is another metric"
                                       : "distances are estimated as they are");
    }
    if (spec.clusters > 1) {
      fmt::format_to(
          out,
          "        clusters={}: rows in groups of near ones, each with such directions and codes of "
          "its own; {} bytes a vector for its row number\n",
          spec.clusters, sizeof(std::uint32_t));
    }
    if (projection.kind != ProjectionKind::truncate) {
      fmt::format_to(out, "        {} bytes an index for its {}\n",
                     spec.clusters * projection_bytes(projection, dim),
                     spec.clusters > 1 ? "matrices" : "matrix");
    }
  }
  auto total = static_cast<double>(record_bytes(spec.codec, kept));
  if (spec.tiers.empty()) {
    fmt::format_to(out, "codec   {}: {}; {} bytes a vector\n", codec_name(spec.codec),
                   meaning(spec.codec.kind), total);
  } else {
    total = tier_bytes(spec.tiers, kept);
    fmt::format_to(
        out, "codec   tiers: the most popular rows in the first; {:.1f} bytes a vector on average\n", total);
    for (const TierOptions& tier : spec.tiers) {
      fmt::format_to(out, "        {}: {}, {}; {} bytes a vector\n", to_string(tier.kind),
                     tier.share == 0 ? "the rest" : fmt::format("a share of {}", decimal(tier.share)),
                     meaning(tier.kind), record_bytes({.kind = tier.kind}, kept));
    }
  }
  if (spec.clusters > 1) total += sizeof(std::uint32_t);
  if (is_integer(spec.codec.kind)) {
    fmt::format_to(out, "        rotate={}: {}\n", spec.codec.rotate ? "on" : "off",
                   spec.codec.rotate ? "a random rotation spreads every vector evenly over its bytes"
                                     : "dimensions are kept as given");
    fmt::format_to(out, "        centre={}: {}\n", spec.codec.centre ? "on" : "off",
                   spec.codec.centre ? "the mean of the base is subtracted before rounding"
                                     : "nothing is subtracted before rounding");
  }
  if (is_product(spec.codec.kind)) {
    const ProductShape shape = product_shape(spec.codec, kept);
    fmt::format_to(out, "        m={}: sub-spaces of {} dimensions{}\n", shape.parts,
                   kept % shape.parts == 0
                       ? fmt::format("{}", kept / shape.parts)
                       : fmt::format("{} or {}", kept / shape.parts, kept / shape.parts + 1),
                   shape.rotated ? ", after a learnt rotation" : "");
    fmt::format_to(out, "        {} bytes an index for {}\n", spec.clusters * shape.table_bytes(),
                   shape.rotated ? "centroids and rotation" : "centroids");
  }
  if (is_float8(spec.codec.kind)) {
    fmt::format_to(out, "        norm={}: {}\n", spec.codec.norm ? "on" : "off",
                   spec.codec.norm ? "for ip and cosine a factor per vector keeps its length; l2 does without"
                                   : "what the codes stand for has a length of its own");
  }
  if (const auto* hnsw = std::get_if<HnswOptions>(&spec.index)) {
    total += graph_bytes(*hnsw, kept);
    fmt::format_to(out, "index   hnsw: a navigable graph, approximate; about {:.0f} bytes a vector\n",
                   graph_bytes(*hnsw, kept));
    fmt::format_to(out, "        m={}: {} links a vector, {} on the upper levels\n", hnsw->m, 2 * hnsw->m,
                   hnsw->m);
    fmt::format_to(out, "        efc={}: candidates kept while a vector's links are chosen\n",
                   hnsw->ef_construction);
    if (hnsw->layout == GraphLayout::fused) {
      fmt::format_to(out,
                     "        layout=fused: each vector's row has one-bit codes of its neighbours (RaBitQ), "
                     "so that one\n"
                     "        read tells how far all of them are\n");
    }
  } else {
    fmt::format_to(out, "index   flat: every query is compared with every vector, exact on the codes\n");
  }
  if (spec.rerank) {
    const bool residual = spec.rerank->residual;
    const bool graph = std::holds_alternative<HnswOptions>(spec.index);
    // Rows of two levels need the place of each row's codes in the graph.
    const auto rows = static_cast<double>(record_bytes(rerank_codec(spec), dim) +
                                          (residual && graph ? sizeof(std::uint32_t) : 0));
    total += rows;
    fmt::format_to(out, "rerank  {}{}: {}{}; {} bytes a vector\n", residual ? "+" : "",
                   to_string(spec.rerank->rows), residual ? "what the codes above lack, added to them; " : "",
                   meaning(spec.rerank->rows), rows);
    fmt::format_to(out, "        depth={}: {} x k candidates are scored again on these rows\n",
                   decimal(spec.rerank->depth), decimal(spec.rerank->depth));
  }
  fmt::format_to(out, "total   about {:.0f} bytes a vector of {} dimensions ({} as f32)\n", total, dim,
                 sizeof(float) * dim);
  return text;
}

std::string muvera_string(const FdeOptions& muvera) {
  const FdeOptions usual;
  std::vector<std::string> arguments{fmt::format("reps={}", muvera.reps),
                                     fmt::format("bits={}", muvera.bits)};
  const bool identity = muvera.projection == FdeProjection::identity;
  if (!identity) arguments.push_back(fmt::format("dim={}", muvera.dim));
  if (muvera.projection != usual.projection)
    arguments.push_back(fmt::format("projection={}", identity ? "identity" : "dense"));
  if (muvera.bucket != usual.bucket) arguments.emplace_back("bucket=mean");
  if (muvera.empty != usual.empty) arguments.emplace_back("empty=nearest");
  if (muvera.partition)
    arguments.push_back(
        fmt::format("partition={}", *muvera.partition == FdePartition::planes ? "planes" : "cross"));
  if (muvera.per_bucket != usual.per_bucket) arguments.emplace_back("shared=on");
  if (muvera.centre != usual.centre) arguments.emplace_back("centre=off");
  if (muvera.final_dim != 0) arguments.push_back(fmt::format("final={}", muvera.final_dim));
  return fmt::format("muvera({}) | ", fmt::join(arguments, ", "));
}

std::string pool_string(const PoolingOptions& pool) {
  std::vector<std::string> arguments;
  if (pool.method == PoolingMethod::kmeans) arguments.emplace_back("kmeans");
  arguments.push_back(pool.clusters != 0 ? fmt::format("clusters={}", pool.clusters)
                                         : fmt::format("{}x", decimal(pool.factor)));
  if (pool.protect != 0) arguments.push_back(fmt::format("protect={}", pool.protect));
  if (!pool.renormalise) arguments.emplace_back("renormalise=off");
  return fmt::format("pool({}) | ", fmt::join(arguments, ", "));
}

std::string head_string(const TokenHeadOptions& head) {
  std::string text = fmt::format("head(dim={}", head.dim);
  if (head.samples != TokenHeadOptions().samples) text += fmt::format(", samples={}", head.samples);
  if (head.ridge != TokenHeadOptions().ridge) text += fmt::format(", ridge={}", decimal(head.ridge));
  return text + ") | ";
}

std::string scan_string(const ScanOptions& scan) {
  return fmt::format("scan({}, carve={})", to_string(scan.rows),
                     scan.carve == 0 ? "off" : decimal(scan.carve));
}

std::string maxsim_string(const Spec& spec) {
  return fmt::format("maxsim({}{})", to_string(spec.maxsim->rows),
                     takes_effort(spec) ? fmt::format(", {}x", decimal(spec.maxsim->depth)) : "");
}

// Values of an encoding of vectors of `dim` values.
std::size_t encoding_dim(const FdeOptions& muvera, std::size_t dim) {
  if (muvera.final_dim != 0) return muvera.final_dim;
  const std::size_t bucket = muvera.projection == FdeProjection::identity ? dim : muvera.dim;
  return checked_product(checked_product(muvera.reps, std::size_t{1} << muvera.bits, "buckets"), bucket,
                         "encoding");
}

std::string explain_pool(const PoolingOptions& pool) {
  return fmt::format("pool    the vectors of a document in {} clusters ({}), each kept as its mean\n",
                     pool.clusters != 0 ? fmt::format("{}", pool.clusters)
                                        : fmt::format("{} times fewer", decimal(pool.factor)),
                     pool.method == PoolingMethod::ward ? "Ward's agglomeration" : "k-means");
}

std::string explain_scan(const Spec& spec, std::size_t dim) {
  const ScanOptions& scan = *spec.scan;
  std::string text = fmt::format(
      "scan    {}: {}; {} bytes a vector of a document\n"
      "        every document's vectors are compared with the query's\n",
      to_string(scan.rows), meaning(scan.rows), record_bytes(scan_codec(spec), dim));
  if (scan.carve != 0)
    text += fmt::format(
        "        carve={}: vectors of a query at least so near to each other are added up to one\n",
        decimal(scan.carve));
  return text;
}

std::string explain_maxsim(const Spec& spec, std::size_t dim) {
  std::string text =
      fmt::format("maxsim  {}: {}; {} bytes a vector of a document\n", to_string(spec.maxsim->rows),
                  meaning(spec.maxsim->rows), record_bytes(maxsim_codec(spec), dim));
  text +=
      takes_effort(spec)
          ? fmt::format("        depth={0}: the vectors of {0} x k documents are compared with the query's\n",
                        decimal(spec.maxsim->depth))
          : std::string(
                "        every document's vectors are compared with the query's, exact on the codes\n");
  return text;
}

}  // namespace

std::string to_string(const Spec& spec) {
  const std::string pool = spec.pool ? pool_string(*spec.pool) : std::string();
  if (spec.maxsim && !spec.muvera && !spec.head)
    return pool + (spec.scan ? scan_string(*spec.scan) + " | " : std::string()) + maxsim_string(spec);
  std::string text = pool + (spec.muvera ? muvera_string(*spec.muvera) : std::string()) +
                     (spec.head ? head_string(*spec.head) : std::string()) +
                     std::string(dedup_string(spec.dedup)) + projection_string(spec) +
                     (spec.tiers.empty() ? codec_string(spec.codec) : tiers_string(spec.tiers)) + " | " +
                     index_string(spec.index);
  if (spec.rerank)
    text += fmt::format(" | rerank({}{}, {}x)", spec.rerank->residual ? "+" : "",
                        to_string(spec.rerank->rows), decimal(spec.rerank->depth));
  if (spec.maxsim) text += " | " + maxsim_string(spec);
  return text;
}

std::string explain(const Spec& spec, std::size_t dim) {
  if (!spec.maxsim) return explain_vectors(spec, to_string(spec) + "\n", dim);
  const std::string title = to_string(spec) + "\n" + (spec.pool ? explain_pool(*spec.pool) : std::string());
  if (!spec.muvera && !spec.head)
    return title + (spec.scan ? explain_scan(spec, dim) : std::string()) + explain_maxsim(spec, dim);
  const std::size_t encoded = spec.head ? spec.head->dim : encoding_dim(*spec.muvera, dim);
  std::string text = title;
  if (spec.muvera)
    text += fmt::format(
        "muvera  one vector of {} values for the many of a document: {} repetitions of {} buckets\n", encoded,
        spec.muvera->reps, std::size_t{1} << spec.muvera->bits);
  if (spec.head)
    text += fmt::format(
        "head    one vector of {} values for the many of a document, learned from {} of all vectors\n",
        encoded, spec.head->samples);
  return explain_vectors(encodings_spec(spec), text, encoded) + explain_maxsim(spec, dim);
}

}  // namespace vicinal
