#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

/// Builds files of vectors by hand, independently of the code under test.
class FileBytes {
 public:
  template <class T>
  FileBytes& put(T value) {
    const std::size_t end = bytes_.size();
    bytes_.resize(end + sizeof(T));
    std::memcpy(bytes_.data() + end, &value, sizeof(T));
    return *this;
  }
  template <class T>
  FileBytes& put_all(const std::vector<T>& values) {
    for (const T value : values) put(value);
    return *this;
  }
  FileBytes& text(const std::string& text) {
    bytes_.insert(bytes_.end(), text.begin(), text.end());
    return *this;
  }
  /// A NumPy file's start; the header dictionary is padded to a multiple of `alignment` (16: NumPy before 1.14).
  FileBytes& npy(const std::string& dictionary, int major = 1, std::size_t alignment = 64) {
    const std::size_t prefix = major == 1 ? 10 : 12;
    std::string header = dictionary;
    while ((prefix + header.size() + 1) % alignment != 0) header += ' ';
    header += '\n';
    text("\x93NUMPY").put(static_cast<std::uint8_t>(major)).put(std::uint8_t{0});
    if (major == 1) {
      put(static_cast<std::uint16_t>(header.size()));
    } else {
      put(static_cast<std::uint32_t>(header.size()));
    }
    return text(header);
  }
  [[nodiscard]] const std::vector<char>& bytes() const { return bytes_; }

 private:
  std::vector<char> bytes_;
};

inline std::string npy_dictionary(const std::string& descr, const std::string& shape) {
  return "{'descr': '" + descr + "', 'fortran_order': False, 'shape': " + shape + ", }";
}
