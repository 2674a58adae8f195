#include "vicinal/index/spec_multi_vector.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <string_view>
#include <utility>

namespace vicinal {
namespace {

std::size_t read_or(Arguments& arguments, std::string_view key, std::size_t otherwise, std::size_t least,
                    std::size_t most) {
  const Token* value = arguments.find({key});
  return value == nullptr ? otherwise : arguments.read_count(*value, key, least, most);
}

// One of two or three words.
template <class Value, std::size_t n>
Value read_word(Arguments& arguments, std::string_view key, Value otherwise,
                const std::array<std::pair<std::string_view, Value>, n>& words) {
  const Token* value = arguments.find({key});
  if (value == nullptr) return otherwise;
  for (const auto& [word, meaning] : words) {
    if (value->text == word) return meaning;
  }
  std::array<std::string_view, n> names;
  std::ranges::transform(words, names.begin(), [](const auto& word) { return word.first; });
  arguments.fail(*value, fmt::format("{} is one of {}, got '{}'", key, fmt::join(names, ", "), value->text));
}

// How vectors of documents are stored.
CodecKind read_format(Arguments& arguments, CodecKind otherwise) {
  constexpr std::array kinds{CodecKind::f32,  CodecKind::f16, CodecKind::bf16, CodecKind::i8,
                             CodecKind::i4,   CodecKind::b2,  CodecKind::b1,   CodecKind::e4m3,
                             CodecKind::e5m2, CodecKind::e3m4};
  for (const CodecKind kind : kinds) {
    if (arguments.find_bare([kind](std::string_view text) { return text == to_string(kind); }) != nullptr)
      return kind;
  }
  return otherwise;
}

// A decimal number without an exponent.
std::optional<double> number_of(std::string_view text) {
  double value = 0;
  const char* const end = text.data() + text.size();
  const auto [stopped, error] = std::from_chars(text.data(), end, value, std::chars_format::fixed);
  if (stopped != end || error != std::errc()) return std::nullopt;
  return value;
}

void refuse_dedup(const Arguments& arguments, const Spec& spec, std::string_view stage) {
  if (spec.dedup == Deduplication::none) return;
  arguments.fail_at_name(
      fmt::format("dedup compares single vectors, {} takes documents of several: leave dedup out", stage));
}

}  // namespace

void parse_muvera(Arguments& arguments, Spec& spec) {
  constexpr std::size_t most_dim = 65'536;
  constexpr std::size_t most_reps = 1024;
  constexpr std::size_t most_bits = 12;
  refuse_dedup(arguments, spec, "muvera");
  const bool paper = arguments.find_bare([](std::string_view text) { return text == "paper"; }) != nullptr;
  FdeOptions options = paper ? FdeOptions::paper(20, 5, 16) : FdeOptions();
  options.reps = read_or(arguments, "reps", options.reps, 1, most_reps);
  options.bits = read_or(arguments, "bits", options.bits, 0, most_bits);
  options.projection =
      read_word(arguments, "projection", options.projection,
                std::array{std::pair(std::string_view("sketch"), FdeProjection::sketch),
                           std::pair(std::string_view("dense"), FdeProjection::dense),
                           std::pair(std::string_view("identity"), FdeProjection::identity)});
  const Token* dim = arguments.find({"dim"});
  if (dim != nullptr && options.projection == FdeProjection::identity)
    arguments.fail(*dim, "projection=identity keeps all dimensions, so dim says nothing");
  // Says nothing then, and a spec is what its canonical string says.
  if (options.projection == FdeProjection::identity) options.dim = FdeOptions().dim;
  if (dim != nullptr) options.dim = arguments.read_count(*dim, "dim", 1, most_dim);
  options.bucket = read_word(arguments, "bucket", options.bucket,
                             std::array{std::pair(std::string_view("unit"), FdeBucket::unit),
                                        std::pair(std::string_view("mean"), FdeBucket::mean)});
  options.empty = read_word(arguments, "empty", options.empty,
                            std::array{std::pair(std::string_view("zero"), FdeEmpty::zero),
                                       std::pair(std::string_view("nearest"), FdeEmpty::nearest)});
  options.partition = read_word(
      arguments, "partition", options.partition,
      std::array{std::pair(std::string_view("planes"), std::optional(FdePartition::planes)),
                 std::pair(std::string_view("cross"), std::optional(FdePartition::cross_polytope))});
  if (options.partition == FdePartition::cross_polytope && options.empty == FdeEmpty::nearest)
    arguments.fail_at_name("a cross-polytope's empty buckets stay empty: leave empty=nearest out");
  if (paper && options.empty == FdeEmpty::zero && !options.partition)
    options.partition = FdePartition::planes;
  options.per_bucket = !arguments.read_switch("shared", !options.per_bucket);
  options.centre = arguments.read_switch("centre", options.centre);
  options.final_dim = read_or(arguments, "final", 0, 1, FdeEncoder::most_table);
  arguments.require_all_used("paper, for what MUVERA's authors chose");
  spec.muvera = options;
}

void parse_pool(Arguments& arguments, Spec& spec) {
  constexpr std::size_t most = 65'536;
  refuse_dedup(arguments, spec, "pool");
  PoolingOptions options;
  options.factor = 2;
  const bool kmeans = arguments.find_bare([](std::string_view text) { return text == "kmeans"; }) != nullptr;
  if (!kmeans) arguments.find_bare([](std::string_view text) { return text == "ward"; });
  options.method = kmeans ? PoolingMethod::kmeans : PoolingMethod::ward;
  const Token* clusters = arguments.find({"clusters"});
  const Token* factor = arguments.find({"factor"});
  if (factor == nullptr) factor = arguments.find_bare(is_depth);
  if (clusters != nullptr && factor != nullptr)
    arguments.fail(*factor, "clusters says how many vectors are left, so a factor says nothing");
  if (factor != nullptr) options.factor = arguments.read_multiple(*factor, "factor", "the vectors left");
  if (clusters != nullptr) {
    options.clusters = arguments.read_count(*clusters, "clusters", 1, most);
    options.factor = PoolingOptions().factor;  // a spec is what its canonical string says
  }
  options.protect = read_or(arguments, "protect", 0, 0, most);
  options.renormalise = arguments.read_switch("renormalise", options.renormalise);
  arguments.require_all_used("ward or kmeans, and how many times fewer vectors are left, such as 2x");
  spec.pool = options;
}

void parse_head(Arguments& arguments, Spec& spec) {
  refuse_dedup(arguments, spec, "head");
  TokenHeadOptions options;
  options.dim = read_or(arguments, "dim", options.dim, TokenHead::least_dim, TokenHead::most_dim);
  options.samples = read_or(arguments, "samples", options.samples, 1, TokenHead::most_samples);
  if (const Token* ridge = arguments.find({"ridge"}); ridge != nullptr) {
    constexpr double most = 1e6;
    const std::optional<double> value = number_of(ridge->text);
    if (!value || !(*value >= 1 / most && *value <= most))
      arguments.fail(*ridge, fmt::format("ridge is a number from 0.000001 to 1000000 such as 0.01, got '{}'",
                                         ridge->text));
    options.ridge = *value;
  }
  arguments.require_all_used();
  spec.head = options;
}

void parse_scan(Arguments& arguments, Spec& spec) {
  refuse_dedup(arguments, spec, "scan");
  ScanOptions options;
  if (const Token* carve = arguments.find({"carve"}); carve != nullptr) {
    const std::optional<double> value = number_of(carve->text);
    options.carve = value.value_or(0);
    if (carve->text != "off" && !(options.carve > 0 && options.carve <= 1)) {
      arguments.fail(*carve, fmt::format("carve is a cosine above 0, up to 1, such as 0.7, or off; got '{}'",
                                         carve->text));
    }
  }
  options.rows = read_format(arguments, options.rows);
  arguments.require_all_used(
      "the format of the vectors compared, one of f32, f16, bf16, i8, i4, b2, b1, e4m3, e5m2 and e3m4");
  spec.scan = options;
}

void parse_maxsim(Arguments& arguments, Spec& spec) {
  MaxSimOptions options;
  if (spec.scan) options.depth = 5;
  const Token* keyed = arguments.find({"depth"});
  const Token* bare = arguments.find_bare(is_depth);
  if (keyed != nullptr && bare != nullptr) arguments.fail(*bare, "depth is given twice");
  const Token* depth = keyed != nullptr ? keyed : bare;
  if (depth != nullptr && !spec.muvera && !spec.head && !spec.scan)
    arguments.fail(*depth, "maxsim alone scores every document, so it takes no depth");
  if (depth != nullptr) options.depth = arguments.read_depth(*depth);
  options.rows = read_format(arguments, options.rows);
  arguments.require_all_used(
      "the format of the documents' vectors, one of f32, f16, bf16, i8, i4, b2, b1, e4m3, e5m2 and e3m4, and "
      "a depth such as 10x");
  spec.maxsim = options;
}

}  // namespace vicinal
