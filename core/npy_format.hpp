#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "vicinal/core/input_file.hpp"

namespace vicinal {

/// The header of a NumPy file, versions 1.0 to 3.0 (NEP 1 and numpy.lib.format). Not installed.
struct NpyHeader {
  std::string descr;  ///< as written: "<f4", "|u1", ...
  std::vector<std::uint64_t>
      shape;                      ///< sizes, none negative; their product times the element size may overflow
  std::uint64_t data_offset = 0;  ///< bytes from the file's start
};

/// Reads and checks the header; the data's length is not yet compared with the shape. Throws InvalidArgument naming the path:
/// not a NumPy file, a version above 3, a header that does not end within the file or is not the dictionary NumPy writes,
/// Fortran order.
NpyHeader read_npy_header(const InputFile& file);

/// A version 1.0 header for C order, padded so that the data begins at a multiple of 64.
std::string make_npy_header(const std::string& descr, std::uint64_t rows, std::uint64_t cols);

/// "(3, 4)", as Python writes a tuple.
std::string to_string(const std::vector<std::uint64_t>& shape);

}  // namespace vicinal
