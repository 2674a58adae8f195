#include "vicinal/index/spec.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <span>
#include <vector>

namespace vicinal {
namespace {

// No spec anybody means is longer; the message of an error repeats the whole string.
constexpr std::size_t longest_spec = 4096;

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }
bool is_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' ||
         c == '-' || c == '+';
}
bool continues_utf8(char c) { return (static_cast<unsigned char>(c) & 0xC0U) == 0x80U; }

// The reason, the spec on one line, and a caret under the character at `position`.
// In quotes; control characters as numbers, so that a message is whole and shows on a terminal what there is.
std::string quoted(std::string_view character) {
  const auto first = static_cast<unsigned char>(character.front());
  if (first < 0x20 || first == 0x7F) return fmt::format("'\\x{:02x}'", first);
  return fmt::format("'{}'", character);
}

std::string describe(std::string_view spec, std::size_t position, const std::string& reason) {
  std::string line(spec);
  for (char& c : line) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) c = ' ';
  }
  const auto column = static_cast<std::size_t>(
      std::ranges::count_if(spec.substr(0, position), [](char c) { return !continues_utf8(c); }));
  return fmt::format("{}\n{}\n{}^", reason, line, std::string(column, ' '));
}

// The fewest insertions, removals and replacements that turn one name into the other, ignoring case.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = diagonal + (lower(a[i - 1]) == lower(b[j - 1]) ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
    }
  }
  return row[b.size()];
}

// "; did you mean 'hnsw'?" when one of the names is near, else nothing.
std::string suggestion(std::string_view got, std::span<const std::string_view> names) {
  constexpr std::size_t longest_name = 64;
  if (got.size() > longest_name || names.empty()) return {};
  const auto nearest =
      std::ranges::min_element(names, {}, [&](std::string_view name) { return edit_distance(got, name); });
  if (edit_distance(got, *nearest) > std::max<std::size_t>(1, nearest->size() / 2)) return {};
  return fmt::format("; did you mean '{}'?", *nearest);
}

struct Token {
  enum class Kind : std::uint8_t { word, bar, open, close, comma, equals, end };
  Kind kind = Kind::end;
  std::string_view text;
  std::size_t position = 0;
};

class Tokens {
 public:
  explicit Tokens(std::string_view spec) : spec_(spec) { advance(); }

  [[nodiscard]] const Token& peek() const { return token_; }
  [[nodiscard]] bool at(Token::Kind kind) const { return token_.kind == kind; }
  Token take() {
    const Token taken = token_;
    advance();
    return taken;
  }
  bool take_if(Token::Kind kind) {
    if (!at(kind)) return false;
    advance();
    return true;
  }
  [[noreturn]] void fail(std::size_t position, const std::string& reason) const {
    throw SpecError(spec_, position, reason);
  }
  [[noreturn]] void fail(const Token& token, const std::string& reason) const {
    fail(token.position, reason);
  }

 private:
  void advance() {
    while (next_ < spec_.size() && is_space(spec_[next_])) ++next_;
    token_ = {Token::Kind::end, {}, next_};
    if (next_ == spec_.size()) return;
    std::size_t end = next_ + 1;
    switch (spec_[next_]) {
      case '|': token_.kind = Token::Kind::bar; break;
      case '(': token_.kind = Token::Kind::open; break;
      case ')': token_.kind = Token::Kind::close; break;
      case ',': token_.kind = Token::Kind::comma; break;
      case '=': token_.kind = Token::Kind::equals; break;
      default:
        if (!is_word(spec_[next_])) {
          while (end < spec_.size() && continues_utf8(spec_[end])) ++end;
          fail(next_, fmt::format("unexpected character {}", quoted(spec_.substr(next_, end - next_))));
        }
        while (end < spec_.size() && is_word(spec_[end])) ++end;
        token_.kind = Token::Kind::word;
    }
    token_.text = spec_.substr(next_, end - next_);
    next_ = end;
  }

  std::string_view spec_;
  std::size_t next_ = 0;
  Token token_;
};

std::string text_of(const Token& token) {
  return token.kind == Token::Kind::end ? "the end" : fmt::format("'{}'", token.text);
}

// `key=value`, or a bare value: then the key is empty.
struct Argument {
  Token key;
  Token value;
};

// One stage as written: hnsw(m=32).
struct Call {
  Token name;
  std::vector<Argument> arguments;
};

Argument parse_argument(Tokens& tokens) {
  const auto word = [&](const char* expected) {
    if (!tokens.at(Token::Kind::word)) {
      tokens.fail(tokens.peek(), fmt::format("expected {}, got {}", expected, text_of(tokens.peek())));
    }
    return tokens.take();
  };
  Argument argument;
  argument.value = word("an argument");
  if (tokens.take_if(Token::Kind::equals)) {
    argument.key = argument.value;
    argument.value = word("a value");
  }
  return argument;
}

Call parse_call(Tokens& tokens) {
  Call call{tokens.take(), {}};
  if (!tokens.at(Token::Kind::open)) return call;
  const Token open = tokens.take();
  if (tokens.take_if(Token::Kind::close)) return call;
  for (;;) {
    call.arguments.push_back(parse_argument(tokens));
    if (tokens.take_if(Token::Kind::close)) return call;
    if (tokens.take_if(Token::Kind::comma)) continue;
    tokens.fail(tokens.peek(),
                fmt::format("expected ',' or the ')' that closes the '(' at character {}, got {}",
                            open.position + 1, text_of(tokens.peek())));
  }
}

// Reads the arguments of one stage: each key at most once, none unknown.
class Arguments {
 public:
  Arguments(const Tokens& tokens, const Call& call)
      : tokens_(tokens), call_(call), used_(call.arguments.size()) {}

  // The value given for one of the names of a key, nullptr when there is none.
  const Token* find(std::initializer_list<std::string_view> names) {
    const Token* found = nullptr;
    for (std::size_t i = 0; i < used_.size(); ++i) {
      const Argument& argument = call_.arguments[i];
      if (argument.key.text.empty() || std::ranges::find(names, argument.key.text) == names.end()) continue;
      if (found != nullptr) tokens_.fail(argument.key, fmt::format("{} is given twice", *names.begin()));
      found = &argument.value;
      used_[i] = true;
    }
    keys_.insert(keys_.end(), names.begin(), names.end());
    return found;
  }

  // The next bare value that `fits`, nullptr when there is none.
  template <class Fits>
  const Token* find_bare(Fits fits) {
    for (std::size_t i = 0; i < used_.size(); ++i) {
      const Argument& argument = call_.arguments[i];
      if (used_[i] || !argument.key.text.empty() || !fits(argument.value.text)) continue;
      used_[i] = true;
      return &argument.value;
    }
    return nullptr;
  }

  // Refuses what nothing has asked for. `bare` describes the values that may stand without a key.
  void require_all_used(std::string_view bare = {}) const {
    for (std::size_t i = 0; i < used_.size(); ++i) {
      if (!used_[i]) refuse(call_.arguments[i], bare);
    }
  }

  bool read_switch(std::string_view key, bool otherwise) {
    const Token* value = find({key});
    if (value == nullptr) return otherwise;
    if (value->text == "on") return true;
    if (value->text != "off")
      tokens_.fail(*value, fmt::format("{} is on or off, got '{}'", key, value->text));
    return false;
  }

  // A whole number of [least, most].
  std::size_t read_count(const Token& value, std::string_view key, std::size_t least,
                         std::size_t most) const {
    std::size_t number = 0;
    const char* const end = value.text.data() + value.text.size();
    const auto [stopped, error] = std::from_chars(value.text.data(), end, number);
    const bool whole = stopped == end && (error == std::errc() || error == std::errc::result_out_of_range);
    if (!whole) {
      tokens_.fail(value,
                   fmt::format("{} is a whole number of {} to {}, got '{}'", key, least, most, value.text));
    }
    if (error != std::errc() || number < least || number > most) {
      tokens_.fail(value, fmt::format("{} must be {} to {}, got {}", key, least, most, value.text));
    }
    return number;
  }

  [[noreturn]] void fail(const Token& token, const std::string& reason) const { tokens_.fail(token, reason); }
  [[noreturn]] void fail_at_name(const std::string& reason) const { tokens_.fail(call_.name, reason); }

 private:
  [[noreturn]] void refuse(const Argument& argument, std::string_view bare) const {
    const std::string_view stage = call_.name.text;
    if (keys_.empty()) {
      tokens_.fail(argument.key.text.empty() ? argument.value : argument.key,
                   fmt::format("{} takes no arguments", stage));
    }
    const std::string known = fmt::format("{}", fmt::join(keys_, ", "));
    if (argument.key.text.empty()) {
      if (!bare.empty())
        tokens_.fail(argument.value, fmt::format("{} takes {}, got '{}'", stage, bare, argument.value.text));
      tokens_.fail(argument.value,
                   fmt::format("'{}' lacks its key, as in {}={}; {} has {}", argument.value.text,
                               keys_.front(), argument.value.text, stage, known));
    }
    tokens_.fail(argument.key, fmt::format("{} has no key '{}', it has {}{}", stage, argument.key.text, known,
                                           suggestion(argument.key.text, keys_)));
  }

  const Tokens& tokens_;
  const Call& call_;
  std::vector<bool> used_;
  std::vector<std::string_view> keys_;
};

bool is_number(std::string_view text) { return text.front() >= '0' && text.front() <= '9'; }

template <ProjectionKind kind>
void parse_projection(Arguments& arguments, Spec& spec) {
  constexpr std::size_t most = 65'536;
  const Token* keyed = arguments.find({"dim"});
  const Token* bare = arguments.find_bare(is_number);
  if (keyed != nullptr && bare != nullptr) arguments.fail(*bare, "dim is given twice");
  spec.projection.kind = kind;
  if (kind == ProjectionKind::pca) spec.projection.whiten = arguments.read_switch("whiten", false);
  arguments.require_all_used("the dimensions to keep, such as 192");
  const Token* dim = keyed != nullptr ? keyed : bare;
  if (dim == nullptr) {
    arguments.fail_at_name(fmt::format("{0} lacks the dimensions to keep, as in {0}(192)", to_string(kind)));
  }
  spec.projection.dim = arguments.read_count(*dim, "dim", 1, most);
}

template <CodecKind kind>
void parse_float_codec(Arguments& arguments, Spec& spec) {
  spec.codec.kind = kind;
  arguments.require_all_used();
}

template <CodecKind kind>
void parse_integer_codec(Arguments& arguments, Spec& spec) {
  spec.codec.kind = kind;
  spec.codec.rotate = arguments.read_switch("rotate", spec.codec.rotate);
  spec.codec.centre = arguments.read_switch("centre", spec.codec.centre);
  arguments.require_all_used();
}

void parse_flat(Arguments& arguments, Spec& spec) {
  spec.index = FlatOptions{};
  arguments.require_all_used();
}

void parse_hnsw(Arguments& arguments, Spec& spec) {
  HnswOptions options;
  const Token* m = arguments.find({"m"});
  const Token* efc = arguments.find({"efc", "ef_construction"});
  arguments.require_all_used();
  if (m != nullptr) options.m = arguments.read_count(*m, "m", 4, 128);
  if (efc != nullptr) {
    options.ef_construction = arguments.read_count(*efc, "efc", 1, 4096);
    if (options.ef_construction < options.m) {
      arguments.fail(*efc, fmt::format("efc must be at least m, which is {}, got {}", options.m,
                                       options.ef_construction));
    }
  }
  spec.index = options;
}

bool is_depth(std::string_view text) {
  return text.front() >= '0' && text.front() <= '9' && text.back() == 'x';
}

double read_depth(const Arguments& arguments, const Token& value) {
  constexpr double most = 1000;
  std::string_view text = value.text;
  if (text.back() == 'x') text.remove_suffix(1);
  double depth = 0;
  const auto [stopped, error] =
      std::from_chars(text.data(), text.data() + text.size(), depth, std::chars_format::fixed);
  const bool number =
      !text.empty() && text.front() >= '0' && text.front() <= '9' && stopped == text.data() + text.size();
  if (!number)
    arguments.fail(value, fmt::format("the depth is a multiple of k such as 3x, got '{}'", value.text));
  if (error != std::errc() || !(depth >= 1 && depth <= most)) {
    arguments.fail(value, fmt::format("the depth must be 1x to {}x, got '{}'", most, value.text));
  }
  return depth;
}

void parse_rerank(Arguments& arguments, Spec& spec) {
  constexpr std::array kinds{CodecKind::f32,  CodecKind::f16,  CodecKind::bf16,
                             CodecKind::e4m3, CodecKind::e5m2, CodecKind::e3m4};
  RerankOptions options;
  const Token* keyed = arguments.find({"depth"});
  const Token* bare = arguments.find_bare(is_depth);
  if (keyed != nullptr && bare != nullptr) arguments.fail(*bare, "depth is given twice");
  if (const Token* depth = keyed != nullptr ? keyed : bare; depth != nullptr)
    options.depth = read_depth(arguments, *depth);
  for (const CodecKind kind : kinds) {
    if (arguments.find_bare([&](std::string_view text) { return text == to_string(kind); }) != nullptr) {
      options.rows = kind;
      break;
    }
  }
  arguments.require_all_used(
      "the rows' format, one of f32, f16, bf16, e4m3, e5m2 and e3m4, and a depth such as 3x");
  spec.rerank = options;
}

// In the order they must come.
enum class Place : std::uint8_t { projection, codec, index, rerank };

std::string_view to_string(Place place) {
  switch (place) {
    case Place::projection: return "projection";
    case Place::codec: return "codec";
    case Place::index: return "index";
    case Place::rerank: return "rerank stage";
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
    Stage{"truncate", Place::projection, parse_projection<ProjectionKind::truncate>},
    Stage{"pca", Place::projection, parse_projection<ProjectionKind::pca>},
    Stage{"qpca", Place::projection, parse_projection<ProjectionKind::query_pca>},
    Stage{"f32", Place::codec, parse_float_codec<CodecKind::f32>},
    Stage{"f16", Place::codec, parse_float_codec<CodecKind::f16>},
    Stage{"bf16", Place::codec, parse_float_codec<CodecKind::bf16>},
    Stage{"i8", Place::codec, parse_integer_codec<CodecKind::i8>},
    Stage{"i4", Place::codec, parse_integer_codec<CodecKind::i4>},
    Stage{"b1", Place::codec, parse_integer_codec<CodecKind::b1>},
    Stage{"e4m3", Place::codec, parse_float_codec<CodecKind::e4m3>},
    Stage{"e5m2", Place::codec, parse_float_codec<CodecKind::e5m2>},
    Stage{"e3m4", Place::codec, parse_float_codec<CodecKind::e3m4>},
    Stage{"flat", Place::index, parse_flat},
    Stage{"hnsw", Place::index, parse_hnsw},
    Stage{"rerank", Place::rerank, parse_rerank},
};

const Stage& find_stage(const Tokens& tokens, const Token& name) {
  const auto found = std::ranges::find(stages, name.text, &Stage::name);
  if (found != stages.end()) return *found;
  std::array<std::string_view, stages.size()> names;
  std::ranges::transform(stages, names.begin(), &Stage::name);
  tokens.fail(name, fmt::format("unknown stage '{}', expected one of {}{}", name.text, fmt::join(names, ", "),
                                suggestion(name.text, names)));
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

}  // namespace

SpecError::SpecError(std::string_view spec, std::size_t position, const std::string& reason)
    : InvalidArgument(describe(spec, position, reason)), position_(position) {}

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
    const Call call = parse_call(tokens);
    const Stage& stage = find_stage(tokens, call.name);
    require_place(tokens, previous, stage, call.name);
    Arguments arguments(tokens, call);
    stage.parse(arguments, spec);
    previous = &stage;
    if (tokens.at(Token::Kind::end)) return spec;
    if (!tokens.take_if(Token::Kind::bar)) {
      const bool could_open = call.arguments.empty() && !tokens.at(Token::Kind::close);
      tokens.fail(tokens.peek(),
                  fmt::format("expected {} after {}, got {}", could_open ? "'|' or '('" : "'|'", stage.name,
                              text_of(tokens.peek())));
    }
  }
}

}  // namespace vicinal
