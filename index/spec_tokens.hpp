#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

// What a spec string is made of, before it means anything: words and marks, stages with arguments, and errors that point at them.
namespace vicinal {

/// "; did you mean 'hnsw'?" when one of the names is near, else nothing.
std::string suggestion(std::string_view got, std::span<const std::string_view> names);

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
  [[noreturn]] void fail(std::size_t position, const std::string& reason) const;  ///< Throws SpecError.
  [[noreturn]] void fail(const Token& token, const std::string& reason) const {
    fail(token.position, reason);
  }

 private:
  void advance();

  std::string_view spec_;
  std::size_t next_ = 0;
  Token token_;
};

/// The token in quotes, or "the end".
std::string text_of(const Token& token);

/// `key=value`, or a bare value: then the key is empty.
struct Argument {
  Token key;
  Token value;
};

/// One stage as written: hnsw(m=32).
struct Call {
  Token name;
  std::vector<Argument> arguments;
};

/// The next stage: `tokens` stands at its name.
Call parse_call(Tokens& tokens);

/// Whether a bare value is a depth, such as 3x.
bool is_depth(std::string_view text);

/// Reads the arguments of one stage: each key at most once, none unknown.
class Arguments {
 public:
  Arguments(const Tokens& tokens, const Call& call)
      : tokens_(tokens), call_(call), used_(call.arguments.size()) {}

  /// The value given for one of the names of a key, nullptr when there is none.
  const Token* find(std::initializer_list<std::string_view> names);

  /// The next bare value that `fits`, nullptr when there is none.
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

  /// Every argument, in order.
  std::span<const Argument> take_all() {
    used_.assign(used_.size(), true);
    return call_.arguments;
  }

  /// Refuses what nothing has asked for. `bare` describes the values that may stand without a key.
  void require_all_used(std::string_view bare = {}) const;

  bool read_switch(std::string_view key, bool otherwise);

  /// A whole number of [least, most].
  [[nodiscard]] std::size_t read_count(const Token& value, std::string_view key, std::size_t least,
                                       std::size_t most) const;

  /// 1 to 1000: a number with or without an x behind it. `what` it is called, and is a multiple of.
  [[nodiscard]] double read_multiple(const Token& value, std::string_view what, std::string_view of) const;
  [[nodiscard]] double read_depth(const Token& value) const { return read_multiple(value, "depth", "k"); }

  [[noreturn]] void fail(const Token& token, const std::string& reason) const { tokens_.fail(token, reason); }
  [[nodiscard]] const Tokens& tokens() const { return tokens_; }
  [[noreturn]] void fail_at_name(const std::string& reason) const { tokens_.fail(call_.name, reason); }

 private:
  [[noreturn]] void refuse(const Argument& argument, std::string_view bare) const;

  const Tokens& tokens_;
  const Call& call_;
  std::vector<bool> used_;
  std::vector<std::string_view> keys_;
};

}  // namespace vicinal
