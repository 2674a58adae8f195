#pragma once

#include <stdexcept>
#include <string>

namespace vicinal {

/// A caller's mistake: a wrong dimension, k = 0, a malformed spec string, a non-finite value. The message says what was got
/// and what was expected. Nothing was changed.
class InvalidArgument : public std::invalid_argument {
 public:
  using std::invalid_argument::invalid_argument;
};

/// A file whose bytes are not what its format demands: truncated, altered, or made by something else.
class CorruptFile : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The operating system refused a read or a write; the message names the path and the system's reason.
class IoError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// A well-formed request that this build or this index cannot serve, e.g. a file that needs a newer version.
class Unsupported : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

/// IoError built from `errno`: "<what> <path>: <strerror>".
[[noreturn]] void throw_io_error(const std::string& what, const std::string& path);

}  // namespace vicinal
