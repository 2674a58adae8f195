#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace vicinal::tools {

/// Text as XML takes it; control characters, which have no place there, become blanks.
std::string escape_xml(std::string_view text);
/// Letters of a proportional font are about this wide; only to reserve room.
double text_width(std::string_view text, double size);
/// Lines of at most `columns` letters, broken at blanks, but never before the "|" of a spec string.
std::vector<std::string> wrap(std::string_view text, std::size_t columns);

}  // namespace vicinal::tools
