#include "vicinal/core/error.hpp"

#include <cerrno>
#include <system_error>

namespace vicinal {

void throw_io_error(const std::string& what, const std::string& path) {
  const int reason = errno;  // Building the message may change errno.
  throw IoError(what + " " + path + ": " + std::generic_category().message(reason));
}

}  // namespace vicinal
