#include "vicinal/core/npy_format.hpp"

#include <array>
#include <optional>
#include <span>
#include <string_view>

#include "vicinal/core/error.hpp"

namespace vicinal {
namespace {

constexpr std::string_view magic = "\x93NUMPY";
constexpr std::size_t most_header_bytes = 65536;
constexpr std::size_t most_dimensions = 32;  // what NumPy itself allows

// Reads the one Python literal that NumPy writes: a dictionary of descr, fortran_order and shape.
class HeaderParser {
 public:
  HeaderParser(std::string_view text, const std::string& path) : text_(text), path_(path) {}

  NpyHeader parse() {
    expect('{');
    while (!accept('}')) {
      const std::string key = string();
      expect(':');
      value_of(key);
      if (accept('}')) break;
      expect(',');
    }
    skip_space();
    if (place_ != text_.size()) fail("nothing more");
    if (!descr_ || !fortran_order_ || !shape_) {
      throw InvalidArgument(path_ + ": the NumPy header lacks one of 'descr', 'fortran_order' and 'shape'");
    }
    if (*fortran_order_) {
      throw InvalidArgument(
          path_ + ": the array is in Fortran order, expected C order (save numpy.ascontiguousarray(a))");
    }
    return {*descr_, *shape_, 0};
  }

 private:
  void value_of(const std::string& key) {
    if (key == "descr" && !descr_) {
      skip_space();
      if (place_ < text_.size() && text_[place_] == '[') {
        throw InvalidArgument(path_ +
                              ": the array has a structured dtype, expected a plain one such as '<f4'");
      }
      descr_ = string();
    } else if (key == "fortran_order" && !fortran_order_) {
      fortran_order_ = boolean();
    } else if (key == "shape" && !shape_) {
      shape_ = tuple();
    } else {
      throw InvalidArgument(path_ + ": the NumPy header has an unknown or repeated key '" + key + "'");
    }
  }

  std::string string() {
    skip_space();
    if (place_ == text_.size() || (text_[place_] != '\'' && text_[place_] != '"')) fail("a string");
    const char quote = text_[place_++];
    const std::size_t end = text_.find(quote, place_);
    // No name or type code is longer, and messages repeat them.
    if (end == std::string_view::npos || end - place_ > 64) fail("a string of at most 64 characters");
    const std::string_view content = text_.substr(place_, end - place_);
    for (const char c : content) {
      if (c < ' ' || c > '~' || c == '\\') fail("a string of plain characters");
    }
    place_ = end + 1;
    return std::string(content);
  }

  bool boolean() {
    skip_space();
    for (const std::string_view word : {std::string_view("True"), std::string_view("False")}) {
      if (text_.substr(place_, word.size()) != word) continue;
      place_ += word.size();
      return word == "True";
    }
    fail("True or False");
  }

  std::uint64_t number() {
    skip_space();
    const std::size_t first = place_;
    std::uint64_t value = 0;
    for (; place_ < text_.size() && text_[place_] >= '0' && text_[place_] <= '9'; ++place_) {
      const auto digit = static_cast<std::uint64_t>(text_[place_] - '0');
      if (__builtin_mul_overflow(value, std::uint64_t{10}, &value) ||
          __builtin_add_overflow(value, digit, &value)) {
        fail("a size below 2^64");
      }
    }
    if (place_ == first) fail("a size");
    if (place_ < text_.size() && text_[place_] == 'L') ++place_;  // Python 2 wrote long integers so.
    return value;
  }

  std::vector<std::uint64_t> tuple() {
    std::vector<std::uint64_t> sizes;
    expect('(');
    while (!accept(')')) {
      if (sizes.size() == most_dimensions) fail("at most 32 dimensions");
      sizes.push_back(number());
      if (accept(')')) break;
      expect(',');
    }
    return sizes;
  }

  void skip_space() {
    while (place_ < text_.size() && (text_[place_] == ' ' || text_[place_] == '\n' || text_[place_] == '\t'))
      ++place_;
  }
  bool accept(char c) {
    skip_space();
    if (place_ == text_.size() || text_[place_] != c) return false;
    ++place_;
    return true;
  }
  void expect(char c) {
    if (!accept(c)) fail(std::string("'") + c + "'");
  }
  [[noreturn]] void fail(const std::string& expected) const {
    throw InvalidArgument(path_ + ": the NumPy header is malformed at byte " + std::to_string(place_) +
                          " of its " + std::to_string(text_.size()) + ": expected " + expected);
  }

  std::string_view text_;
  const std::string& path_;
  std::size_t place_ = 0;
  std::optional<std::string> descr_;
  std::optional<bool> fortran_order_;
  std::optional<std::vector<std::uint64_t>> shape_;
};

}  // namespace

NpyHeader read_npy_header(const InputFile& file) {
  // Magic, version, and the header's length: two bytes in version 1, four afterwards.
  std::array<std::byte, 12> start{};
  const auto byte = [&](std::size_t i) { return std::to_integer<std::uint32_t>(start[i]); };
  if (file.size() >= 10) file.read(0, std::span(start).first(10));
  for (std::size_t i = 0; i < magic.size(); ++i) {
    if (byte(i) == static_cast<unsigned char>(magic[i])) continue;
    throw InvalidArgument(file.path() + ": not a NumPy file (it does not begin with \\x93NUMPY)");
  }
  const std::uint32_t version = byte(6);
  if (version < 1 || version > 3 || byte(7) != 0) {
    throw InvalidArgument(file.path() + ": NumPy format version " + std::to_string(version) + "." +
                          std::to_string(byte(7)) + ", expected 1.0, 2.0 or 3.0");
  }
  const std::size_t prefix = version == 1 ? 10 : 12;
  if (file.size() < prefix) throw InvalidArgument(file.path() + ": truncated within its NumPy header");
  if (version > 1) file.read(10, std::span(start).last(2));
  const std::size_t length =
      version == 1 ? byte(8) | byte(9) << 8 : byte(8) | byte(9) << 8 | byte(10) << 16 | byte(11) << 24;
  if (length > file.size() - prefix) {
    throw InvalidArgument(file.path() + ": truncated: the NumPy header takes " + std::to_string(length) +
                          " bytes, " + std::to_string(file.size() - prefix) + " follow");
  }
  if (length > most_header_bytes) {
    throw InvalidArgument(file.path() + ": the NumPy header takes " + std::to_string(length) +
                          " bytes, expected at most " + std::to_string(most_header_bytes));
  }
  std::string text(length, '\0');
  file.read(prefix, std::as_writable_bytes(std::span(text)));
  NpyHeader header = HeaderParser(text, file.path()).parse();
  header.data_offset = prefix + length;
  return header;
}

std::string make_npy_header(const std::string& descr, std::uint64_t rows, std::uint64_t cols) {
  std::string text =
      "{'descr': '" + descr + "', 'fortran_order': False, 'shape': " + to_string({rows, cols}) + ", }";
  const std::size_t prefix = magic.size() + 4;
  while ((prefix + text.size() + 1) % 64 != 0) text += ' ';
  text += '\n';
  std::string header(magic);
  header += '\x01';
  header += '\x00';
  header += static_cast<char>(text.size() & 0xFF);
  header += static_cast<char>(text.size() >> 8);
  return header + text;
}

std::string to_string(const std::vector<std::uint64_t>& shape) {
  std::string text = "(";
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (i != 0) text += ", ";
    text += std::to_string(shape[i]);
  }
  return text + (shape.size() == 1 ? ",)" : ")");
}

}  // namespace vicinal
