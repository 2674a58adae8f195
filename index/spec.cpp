#include "vicinal/index/spec.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>

#include "vicinal/index/spec_multi_vector.hpp"
#include "vicinal/index/spec_tiers.hpp"
#include "vicinal/index/spec_tokens.hpp"
#include "vicinal/quant/product_shape.hpp"
#include "vicinal/quant/row_clusters.hpp"
#include "vicinal/quant/two_level_store.hpp"

namespace vicinal {
namespace {

// No spec anybody means is longer; the message of an error repeats the whole string.
constexpr std::size_t longest_spec = 4096;

bool is_number(std::string_view text) { return text.front() >= '0' && text.front() <= '9'; }

void parse_dedup(Arguments& arguments, Spec& spec) {
  const bool codes = arguments.find_bare([](std::string_view text) { return text == "codes"; }) != nullptr;
  spec.dedup = codes ? Deduplication::codes : Deduplication::rows;
  arguments.require_all_used("nothing, or codes");
}

// Groups of rows with a projection each.
void set_clusters(const Arguments& arguments, const Token& given, Spec& spec) {
  spec.clusters = arguments.read_count(given, "clusters", 1, most_row_clusters);
  if (spec.clusters == 1) return;
  if (spec.projection.whiten)
    arguments.fail(given,
                   "whitened clusters have a metric each, so their distances cannot be compared: "
                   "expected whiten=off or one cluster");
  if (spec.dedup == Deduplication::codes)
    arguments.fail_at_name(fmt::format(
        "with {} clusters a code says nothing without its cluster, so dedup(codes) has none to compare: take "
        "dedup",
        spec.clusters));
}

template <ProjectionKind kind>
void parse_projection(Arguments& arguments, Spec& spec) {
  constexpr std::size_t most = 65'536;
  const Token* keyed = arguments.find({"dim"});
  const Token* bare = arguments.find_bare(is_number);
  if (keyed != nullptr && bare != nullptr) arguments.fail(*bare, "dim is given twice");
  spec.projection.kind = kind;
  if (kind == ProjectionKind::pca) spec.projection.whiten = arguments.read_switch("whiten", false);
  const Token* clusters = kind == ProjectionKind::pca ? arguments.find({"clusters"}) : nullptr;
  arguments.require_all_used("the dimensions to keep, such as 192");
  const Token* dim = keyed != nullptr ? keyed : bare;
  if (dim == nullptr) {
    arguments.fail_at_name(fmt::format("{0} lacks the dimensions to keep, as in {0}(192)", to_string(kind)));
  }
  spec.projection.dim = arguments.read_count(*dim, "dim", 1, most);
  if (clusters != nullptr) set_clusters(arguments, *clusters, spec);
}

template <CodecKind kind>
void parse_float_codec(Arguments& arguments, Spec& spec) {
  spec.codec.kind = kind;
  arguments.require_all_used();
}

template <CodecKind kind>
void parse_float8_codec(Arguments& arguments, Spec& spec) {
  spec.codec.kind = kind;
  spec.codec.norm = arguments.read_switch("norm", spec.codec.norm);
  arguments.require_all_used();
}

template <CodecKind kind>
void parse_integer_codec(Arguments& arguments, Spec& spec) {
  spec.codec.kind = kind;
  spec.codec.rotate = arguments.read_switch("rotate", spec.codec.rotate);
  spec.codec.centre = arguments.read_switch("centre", spec.codec.centre);
  arguments.require_all_used();
}

// pq(96), pq(d/4), pq(m=d/4, bits=4), and the same for opq.
template <bool rotated>
void parse_product(Arguments& arguments, Spec& spec) {
  constexpr std::size_t most_dim = 65'536;
  const Token* keyed = arguments.find({"m"});
  const Token* bits = arguments.find({"bits"});
  const Token* bare =
      arguments.find_bare([](std::string_view text) { return is_number(text) || text.starts_with("d/"); });
  if (keyed != nullptr && bare != nullptr) arguments.fail(*bare, "m is given twice");
  arguments.require_all_used("the number of sub-spaces, such as 96 or d/4");
  const Token* parts = keyed != nullptr ? keyed : bare;
  if (parts == nullptr) {
    arguments.fail_at_name(
        fmt::format("{0} lacks the number of sub-spaces, as in {0}(96) or {0}(d/4)", rotated ? "opq" : "pq"));
  }
  spec.codec.kind = CodecKind::pq8;
  if (bits != nullptr && bits->text == "4") {
    spec.codec.kind = CodecKind::pq4;
  } else if (bits != nullptr && bits->text != "8") {
    arguments.fail(*bits, fmt::format("bits is 8 or 4, got '{}'", bits->text));
  }
  spec.codec.rotate = rotated;
  spec.codec.centre = false;
  if (!parts->text.starts_with("d/")) {
    spec.codec.product = {arguments.read_count(*parts, "m", 1, most_product_parts), 0};
    return;
  }
  Token divisor = *parts;
  divisor.text.remove_prefix(2);
  divisor.position += 2;
  spec.codec.product = {0, arguments.read_count(divisor, "the divisor", 1, most_dim)};
}

void parse_flat(Arguments& arguments, Spec& spec) {
  spec.index = FlatOptions{};
  arguments.require_all_used();
}

float read_alpha(const Arguments& arguments, const Token& value) {
  float alpha = 0;
  const std::string_view text = value.text;
  const auto [stopped, error] =
      std::from_chars(text.data(), text.data() + text.size(), alpha, std::chars_format::fixed);
  if (error != std::errc() || stopped != text.data() + text.size() || !(alpha >= 1 && alpha <= 2))
    arguments.fail(value, fmt::format("alpha must be a number from 1 to 2 such as 1.2, got '{}'", text));
  return alpha;
}

void parse_hnsw(Arguments& arguments, Spec& spec) {
  if (!spec.tiers.empty())
    arguments.fail_at_name("tiers are searched by flat, a graph over rows of several codecs is not there");
  if (spec.clusters > 1) {
    arguments.fail_at_name(fmt::format(
        "pca with {} clusters is searched by flat, got hnsw: its codes are of {} spaces, over which "
        "there is no graph",
        spec.clusters, spec.clusters));
  }
  HnswOptions options;
  const Token* m = arguments.find({"m"});
  const Token* efc = arguments.find({"efc", "ef_construction"});
  const Token* alpha = arguments.find({"alpha"});
  const Token* layout = arguments.find({"layout"});
  arguments.require_all_used();
  if (layout != nullptr) {
    if (layout->text != "plain" && layout->text != "fused")
      arguments.fail(*layout, fmt::format("layout is plain or fused, got '{}'", layout->text));
    if (layout->text == "fused") {
      options = {
          .m = 16, .layout = GraphLayout::fused, .alpha = HnswOptions::default_alpha(GraphLayout::fused)};
    }
  }
  if (m != nullptr) options.m = arguments.read_count(*m, "m", 4, 128);
  if (options.layout == GraphLayout::fused && options.m % 8 != 0)
    arguments.fail(*m, fmt::format("m must be a multiple of 8 for layout=fused, got {}", options.m));
  if (alpha != nullptr) options.alpha = read_alpha(arguments, *alpha);
  if (efc != nullptr) {
    options.ef_construction = arguments.read_count(*efc, "efc", 1, 4096);
    if (options.ef_construction < options.m) {
      arguments.fail(*efc, fmt::format("efc must be at least m, which is {}, got {}", options.m,
                                       options.ef_construction));
    }
  }
  spec.index = options;
}

// The candidates of one bit a dimension are rougher, so more of them are looked at.
double default_depth(const Spec& spec) {
  const bool rough = spec.codec.kind == CodecKind::b1 ||
                     std::ranges::find(spec.tiers, CodecKind::b1, &TierOptions::kind) != spec.tiers.end();
  return rough ? 10 : 3;
}

// `where` points at what asked for a second level.
void set_second_level(const Tokens& tokens, const Token& where, CodecKind level, Spec& spec) {
  if (!spec.tiers.empty()) tokens.fail(where, "a residual level adds to one codec, got tiers");
  if (!is_integer(spec.codec.kind)) {
    tokens.fail(where, fmt::format("a residual level needs codes of i8, i4, b2 or b1 to add to, got {}",
                                   to_string(spec.codec.kind)));
  }
  if (spec.projection.kind != ProjectionKind::none) {
    tokens.fail(where, fmt::format("a residual level adds to codes of all dimensions, {} keeps {}: take "
                                   "rerank({}) without the +",
                                   to_string(spec.projection.kind), spec.projection.dim, to_string(level)));
  }
  spec.rerank = RerankOptions{level, default_depth(spec), true};
}

constexpr std::array second_levels{CodecKind::i8, CodecKind::i4};

void parse_rerank(Arguments& arguments, Spec& spec) {
  constexpr std::array kinds{CodecKind::f32, CodecKind::f16,  CodecKind::bf16, CodecKind::i8,
                             CodecKind::i4,  CodecKind::e4m3, CodecKind::e5m2, CodecKind::e3m4};
  if (spec.rerank) {
    arguments.fail_at_name(fmt::format("a second rerank stage: {0}+{1} means {0} with rerank(+{1})",
                                       to_string(spec.codec.kind), to_string(spec.rerank->rows)));
  }
  RerankOptions options;
  options.depth = default_depth(spec);
  const Token* keyed = arguments.find({"depth"});
  const Token* bare = arguments.find_bare(is_depth);
  if (keyed != nullptr && bare != nullptr) arguments.fail(*bare, "depth is given twice");
  if (const Token* depth = keyed != nullptr ? keyed : bare; depth != nullptr)
    options.depth = arguments.read_depth(*depth);
  const auto given = [&](std::string_view name) {
    return arguments.find_bare([name](std::string_view text) { return text == name; });
  };
  bool found = false;
  for (const CodecKind kind : kinds) {
    if (found || given(to_string(kind)) == nullptr) continue;
    options.rows = kind;
    found = true;
  }
  for (const CodecKind kind : second_levels) {
    const Token* level = found ? nullptr : given(fmt::format("+{}", to_string(kind)));
    if (level == nullptr) continue;
    set_second_level(arguments.tokens(), *level, kind, spec);
    options.rows = kind;
    options.residual = true;
    found = true;
  }
  arguments.require_all_used(
      "the rows' format, one of f32, f16, bf16, i8, i4, e4m3, e5m2, e3m4, +i8 and +i4, and a depth such as "
      "3x");
  spec.rerank = options;
}

// In the order they must come.
enum class Place : std::uint8_t { dedup, pooling, encoding, projection, codec, index, rerank, maxsim };

std::string_view to_string(Place place) {
  switch (place) {
    case Place::dedup: return "dedup stage";
    case Place::pooling: return "pool stage";
    case Place::encoding: return "encoding";
    case Place::projection: return "projection";
    case Place::codec: return "codec";
    case Place::index: return "index";
    case Place::rerank: return "rerank stage";
    case Place::maxsim: return "maxsim stage";
  }
  return "stage";
}

// A new stage is one line here and one function above.
struct Stage {
  std::string_view name;
  Place place;
  void (*parse)(Arguments&, Spec&);
};

constexpr std::array stages{
    Stage{"dedup", Place::dedup, parse_dedup},
    Stage{"pool", Place::pooling, parse_pool},
    Stage{"muvera", Place::encoding, parse_muvera},
    Stage{"head", Place::encoding, parse_head},
    Stage{"scan", Place::encoding, parse_scan},
    Stage{"truncate", Place::projection, parse_projection<ProjectionKind::truncate>},
    Stage{"pca", Place::projection, parse_projection<ProjectionKind::pca>},
    Stage{"qpca", Place::projection, parse_projection<ProjectionKind::query_pca>},
    Stage{"f32", Place::codec, parse_float_codec<CodecKind::f32>},
    Stage{"f16", Place::codec, parse_float_codec<CodecKind::f16>},
    Stage{"bf16", Place::codec, parse_float_codec<CodecKind::bf16>},
    Stage{"i8", Place::codec, parse_integer_codec<CodecKind::i8>},
    Stage{"i4", Place::codec, parse_integer_codec<CodecKind::i4>},
    Stage{"b1", Place::codec, parse_integer_codec<CodecKind::b1>},
    Stage{"b2", Place::codec, parse_integer_codec<CodecKind::b2>},
    Stage{"e4m3", Place::codec, parse_float8_codec<CodecKind::e4m3>},
    Stage{"e5m2", Place::codec, parse_float8_codec<CodecKind::e5m2>},
    Stage{"e3m4", Place::codec, parse_float8_codec<CodecKind::e3m4>},
    Stage{"pq", Place::codec, parse_product<false>},
    Stage{"opq", Place::codec, parse_product<true>},
    Stage{"tiers", Place::codec, parse_tiers},
    Stage{"flat", Place::index, parse_flat},
    Stage{"hnsw", Place::index, parse_hnsw},
    Stage{"rerank", Place::rerank, parse_rerank},
    Stage{"maxsim", Place::maxsim, parse_maxsim},
};

const Stage& find_stage(const Tokens& tokens, const Token& name) {
  const auto found = std::ranges::find(stages, name.text, &Stage::name);
  if (found != stages.end()) return *found;
  std::array<std::string_view, stages.size()> names;
  std::ranges::transform(stages, names.begin(), &Stage::name);
  tokens.fail(name, fmt::format("unknown stage '{}', expected one of {}{}", name.text, fmt::join(names, ", "),
                                suggestion(name.text, names)));
}

// The name of a codec with a second level, such as i4+i8: cuts the level off and returns it, an empty one when there is none.
Token take_second_level(Call& call) {
  const std::size_t plus = call.name.text.find('+', 1);
  if (plus == std::string_view::npos) return {};
  const Token level{Token::Kind::word, call.name.text.substr(plus + 1), call.name.position + plus + 1};
  call.name.text = call.name.text.substr(0, plus);
  return level;
}

void parse_second_level(const Tokens& tokens, const Token& level, const Stage& stage, const Call& call,
                        Spec& spec) {
  const auto kind =
      std::ranges::find(second_levels, level.text, [](CodecKind known) { return to_string(known); });
  if (stage.place != Place::codec || kind == second_levels.end()) {
    tokens.fail(level,
                fmt::format("after the + comes a second level of codes, i8 or i4, as in i4+i8; got {}+{}",
                            stage.name, level.text));
  }
  if (!call.arguments.empty()) {
    tokens.fail(
        call.arguments.front().value,
        fmt::format("{0}+{1} takes no arguments: write {0}(...) and rerank(+{1})", stage.name, level.text));
  }
  set_second_level(tokens, level, *kind, spec);
}

// Stages come in the order of Place, each place at most once.
void require_place(const Tokens& tokens, const Stage* previous, const Stage& stage, const Token& name) {
  if (previous == nullptr || previous->place < stage.place) return;
  if (previous->place == stage.place) {
    tokens.fail(name, fmt::format("a second {}: {} follows {}, a spec has one", to_string(stage.place),
                                  stage.name, previous->name));
  }
  tokens.fail(name, fmt::format("the {} must come before the {}: {} follows {}", to_string(stage.place),
                                to_string(previous->place), stage.name, previous->name));
}

// Which stages of documents of several vectors go with which others.
void require_company(const Tokens& tokens, const Stage* previous, const Stage& stage, const Token& name,
                     const Spec& spec) {
  if (spec.scan && stage.place > Place::encoding && stage.place < Place::maxsim)
    tokens.fail(name, fmt::format("scan compares vectors of documents, so maxsim is what follows it; got {}",
                                  stage.name));
  const bool alone = previous == nullptr || previous->place == Place::pooling;
  if (stage.place == Place::maxsim && !spec.muvera && !spec.head && !spec.scan && !alone)
    tokens.fail(
        name,
        fmt::format(
            "maxsim scores every document where nothing such as muvera, head or scan finds candidates, so "
            "no stage but pool may come before it; got {}",
            previous->name));
}

// At the end of a spec.
void require_maxsim(const Tokens& tokens, const Spec& spec) {
  if (spec.maxsim) return;
  if (spec.muvera)
    tokens.fail(tokens.peek(),
                "muvera finds candidates, which maxsim scores: expected it at the end, as in muvera | i8 | "
                "hnsw | maxsim(i8)");
  if (spec.head)
    tokens.fail(
        tokens.peek(),
        "head finds candidates, which maxsim scores: expected it at the end, as in head | i8 | hnsw | "
        "maxsim(i8)");
  if (spec.scan)
    tokens.fail(tokens.peek(),
                "scan finds candidates, which maxsim scores: expected it at the end, as in scan(i4) | "
                "maxsim(i8)");
  if (spec.pool)
    tokens.fail(tokens.peek(),
                "pool is of documents of several vectors: expected maxsim at the end, as in pool(2x) | "
                "maxsim(i8)");
}

}  // namespace

CodecOptions rerank_codec(const Spec& spec) {
  CodecOptions options;
  options.kind = spec.rerank ? spec.rerank->rows : CodecKind::f32;
  if (spec.rerank && spec.rerank->residual) return TwoLevelStore::second_codec(spec.codec, options.kind);
  if (is_integer(options.kind)) options.seed = spec.codec.seed;  // Other rows are stored without one.
  return options;
}

CodecOptions maxsim_codec(const Spec& spec) {
  CodecOptions options;
  options.kind = spec.maxsim ? spec.maxsim->rows : CodecKind::i8;
  if (is_integer(options.kind)) options.seed = spec.codec.seed;
  return options;
}

CodecOptions scan_codec(const Spec& spec) {
  CodecOptions options;
  options.kind = spec.scan ? spec.scan->rows : CodecKind::i4;
  if (is_integer(options.kind)) options.seed = spec.codec.seed;
  return options;
}

Spec encodings_spec(Spec spec) {
  spec.pool.reset();
  spec.muvera.reset();
  spec.head.reset();
  spec.maxsim.reset();
  return spec;
}

bool takes_effort(const Spec& spec) {
  if (spec.maxsim) return spec.muvera || spec.head || spec.scan;
  return std::holds_alternative<HnswOptions>(spec.index);
}

Spec with_seed(Spec spec, std::uint64_t seed) {
  spec.codec.seed = seed;
  if (spec.pool) spec.pool->seed = seed;
  if (spec.muvera) spec.muvera->seed = seed;
  if (spec.head) spec.head->seed = seed;
  if (auto* hnsw = std::get_if<HnswOptions>(&spec.index)) hnsw->seed = seed;
  return spec;
}

Spec parse_spec(std::string_view text) {
  if (text.size() > longest_spec) {
    throw SpecError(
        text.substr(0, 64), 0,
        fmt::format("the spec has {} characters, at most {} make sense", text.size(), longest_spec));
  }
  Tokens tokens(text);
  if (tokens.at(Token::Kind::end)) tokens.fail(0, "the spec is empty, expected stages such as i8 | hnsw");
  Spec spec;
  const Stage* previous = nullptr;
  for (;;) {
    if (tokens.at(Token::Kind::end)) tokens.fail(tokens.peek(), "a stage is missing after the last '|'");
    if (tokens.at(Token::Kind::bar)) tokens.fail(tokens.peek(), "a stage is missing before '|'");
    if (!tokens.at(Token::Kind::word))
      tokens.fail(tokens.peek(), "expected a stage, got " + text_of(tokens.peek()));
    Call call = parse_call(tokens);
    const Token level = take_second_level(call);
    const Stage& stage = find_stage(tokens, call.name);
    require_place(tokens, previous, stage, call.name);
    Arguments arguments(tokens, call);
    stage.parse(arguments, spec);
    if (level.kind == Token::Kind::word) parse_second_level(tokens, level, stage, call, spec);
    require_company(tokens, previous, stage, call.name, spec);
    previous = &stage;
    if (tokens.at(Token::Kind::end)) {
      require_maxsim(tokens, spec);
      return spec;
    }
    if (!tokens.take_if(Token::Kind::bar)) {
      const bool could_open = call.arguments.empty() && !tokens.at(Token::Kind::close);
      tokens.fail(tokens.peek(),
                  fmt::format("expected {} after {}, got {}", could_open ? "'|' or '('" : "'|'", stage.name,
                              text_of(tokens.peek())));
    }
  }
}

}  // namespace vicinal
