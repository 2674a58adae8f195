#include "vicinal/index/spec_tokens.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "vicinal/index/spec.hpp"

namespace vicinal {
namespace {

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }
bool is_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' ||
         c == '-' || c == '+';
}
// The beginning of d/4, in words that stand for a number of dimensions.
bool is_divided(std::string_view text) { return text == "d/"; }
bool continues_utf8(char c) { return (static_cast<unsigned char>(c) & 0xC0U) == 0x80U; }

// In quotes; control characters as numbers, so that a message is whole and shows on a terminal what there is.
std::string quoted(std::string_view character) {
  const auto first = static_cast<unsigned char>(character.front());
  if (first < 0x20 || first == 0x7F) return fmt::format("'\\x{:02x}'", first);
  return fmt::format("'{}'", character);
}

// The reason, the spec on one line, and a caret under the character at `position`.
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

}  // namespace

std::string suggestion(std::string_view got, std::span<const std::string_view> names) {
  constexpr std::size_t longest_name = 64;
  if (got.size() > longest_name || names.empty()) return {};
  const auto nearest =
      std::ranges::min_element(names, {}, [&](std::string_view name) { return edit_distance(got, name); });
  if (edit_distance(got, *nearest) > std::max<std::size_t>(1, nearest->size() / 2)) return {};
  return fmt::format("; did you mean '{}'?", *nearest);
}

SpecError::SpecError(std::string_view spec, std::size_t position, const std::string& reason)
    : InvalidArgument(describe(spec, position, reason)), position_(position) {}

void Tokens::fail(std::size_t position, const std::string& reason) const {
  throw SpecError(spec_, position, reason);
}

void Tokens::advance() {
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
      while (end < spec_.size() && (is_word(spec_[end]) || is_divided(spec_.substr(next_, end + 1 - next_))))
        ++end;
      token_.kind = Token::Kind::word;
  }
  token_.text = spec_.substr(next_, end - next_);
  next_ = end;
}

std::string text_of(const Token& token) {
  return token.kind == Token::Kind::end ? "the end" : fmt::format("'{}'", token.text);
}

namespace {

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

}  // namespace

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

const Token* Arguments::find(std::initializer_list<std::string_view> names) {
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

void Arguments::require_all_used(std::string_view bare) const {
  for (std::size_t i = 0; i < used_.size(); ++i) {
    if (!used_[i]) refuse(call_.arguments[i], bare);
  }
}

bool Arguments::read_switch(std::string_view key, bool otherwise) {
  const Token* value = find({key});
  if (value == nullptr) return otherwise;
  if (value->text == "on") return true;
  if (value->text != "off") tokens_.fail(*value, fmt::format("{} is on or off, got '{}'", key, value->text));
  return false;
}

std::size_t Arguments::read_count(const Token& value, std::string_view key, std::size_t least,
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

void Arguments::refuse(const Argument& argument, std::string_view bare) const {
  const std::string_view stage = call_.name.text;
  if (keys_.empty()) {
    const Token& got = argument.key.text.empty() ? argument.value : argument.key;
    if (bare.empty()) tokens_.fail(got, fmt::format("{} takes no arguments", stage));
    tokens_.fail(got, fmt::format("{} takes {}, got '{}'", stage, bare, got.text));
  }
  const std::string known = fmt::format("{}", fmt::join(keys_, ", "));
  if (argument.key.text.empty()) {
    if (!bare.empty())
      tokens_.fail(argument.value, fmt::format("{} takes {}, got '{}'", stage, bare, argument.value.text));
    tokens_.fail(argument.value,
                 fmt::format("'{}' lacks its key, as in {}={}; {} has {}", argument.value.text, keys_.front(),
                             argument.value.text, stage, known));
  }
  tokens_.fail(argument.key, fmt::format("{} has no key '{}', it has {}{}", stage, argument.key.text, known,
                                         suggestion(argument.key.text, keys_)));
}

bool is_depth(std::string_view text) {
  return text.front() >= '0' && text.front() <= '9' && text.back() == 'x';
}

double Arguments::read_multiple(const Token& value, std::string_view what, std::string_view of) const {
  constexpr double most = 1000;
  std::string_view text = value.text;
  if (text.back() == 'x') text.remove_suffix(1);
  double depth = 0;
  const auto [stopped, error] =
      std::from_chars(text.data(), text.data() + text.size(), depth, std::chars_format::fixed);
  const bool number =
      !text.empty() && text.front() >= '0' && text.front() <= '9' && stopped == text.data() + text.size();
  if (!number)
    fail(value, fmt::format("the {} is a multiple of {} such as 3x, got '{}'", what, of, value.text));
  if (error != std::errc() || !(depth >= 1 && depth <= most)) {
    fail(value, fmt::format("the {} must be 1x to {}x, got '{}'", what, most, value.text));
  }
  return depth;
}

}  // namespace vicinal
