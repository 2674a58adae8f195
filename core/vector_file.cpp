#include "vicinal/core/vector_file.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <limits>
#include <span>
#include <vector>

#include "vicinal/core/atomic_file.hpp"
#include "vicinal/core/error.hpp"
#include "vicinal/core/input_file.hpp"
#include "vicinal/core/npy_format.hpp"

namespace vicinal {
namespace {

static_assert(std::endian::native == std::endian::little,
              "the formats are little-endian and are read without conversion");

constexpr std::uint64_t most_columns =
    std::numeric_limits<std::int32_t>::max();  // of the formats with a 32-bit dimension
constexpr std::size_t chunk_bytes = std::size_t{1} << 20;
constexpr const char* vector_extensions = ".npy, .fvecs, .bvecs, .fbin, .u8bin or .i8bin";
constexpr const char* id_extensions = ".npy, .ivecs or .ibin";

enum class Element : std::uint8_t { f32, f16, u8, i8, i32, i64, u64 };
struct ElementNames {
  Element element;
  const char* name;
  const char* descr;  // NumPy's
  std::size_t bytes;
};
constexpr std::array<ElementNames, 7> element_names = {{{Element::f32, "f32", "<f4", 4},
                                                        {Element::f16, "f16", "<f2", 2},
                                                        {Element::u8, "u8", "|u1", 1},
                                                        {Element::i8, "i8", "|i1", 1},
                                                        {Element::i32, "i32", "<i4", 4},
                                                        {Element::i64, "i64", "<i8", 8},
                                                        {Element::u64, "u64", "<u8", 8}}};
const ElementNames& names_of(Element element) { return element_names[static_cast<std::size_t>(element)]; }

enum class Family : std::uint8_t { npy, vecs, bin };
struct Format {
  const char* extension;
  Family family;
  Element element;  // of the formats that say it in their name
};
constexpr std::array<Format, 8> formats = {{{".npy", Family::npy, Element::f32},
                                            {".fvecs", Family::vecs, Element::f32},
                                            {".bvecs", Family::vecs, Element::u8},
                                            {".ivecs", Family::vecs, Element::i32},
                                            {".fbin", Family::bin, Element::f32},
                                            {".u8bin", Family::bin, Element::u8},
                                            {".i8bin", Family::bin, Element::i8},
                                            {".ibin", Family::bin, Element::i32}}};

// The format of a path, when `accepts` holds for it.
template <class Accepts>
const Format& format_of(const std::filesystem::path& path, const char* what, const char* extensions,
                        Accepts accepts) {
  std::string extension = path.extension().string();
  for (char& c : extension) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  for (const Format& format : formats) {
    if (extension == format.extension && accepts(format)) return format;
  }
  throw InvalidArgument(path.string() + ": the extension is '" + extension + "', " + what + " files end in " +
                        extensions);
}

// Where the elements of a matrix lie in a file: row i begins at offset + i * (prefix + cols * element size), and its
// elements follow `prefix` bytes that repeat the dimension.
struct Layout {
  Element element{};
  std::size_t rows = 0;
  std::size_t cols = 0;
  std::size_t offset = 0;
  std::size_t prefix = 0;

  [[nodiscard]] std::size_t row_bytes() const { return prefix + cols * names_of(element).bytes; }
};

std::string shape_text(std::uint64_t rows, std::uint64_t cols) {
  return std::to_string(rows) + " x " + std::to_string(cols);
}

// Everything that is derived from the sizes later, products and allocations, is safe after this.
void require_exact_length(const InputFile& file, const Layout& layout) {
  const ElementNames& element = names_of(layout.element);
  if (layout.cols > most_columns || (layout.cols == 0 && layout.rows != 0)) {
    throw InvalidArgument(file.path() + ": holds " + std::to_string(layout.rows) + " rows of " +
                          std::to_string(layout.cols) + " columns, expected 1 to " +
                          std::to_string(most_columns) + " columns");
  }
  std::size_t expected = 0;
  const bool overflows = __builtin_mul_overflow(layout.rows, layout.row_bytes(), &expected) ||
                         __builtin_add_overflow(expected, layout.offset, &expected);
  if (overflows || expected != file.size()) {
    throw InvalidArgument(
        file.path() + ": " + shape_text(layout.rows, layout.cols) + " values of type " + element.name +
        " need a file of " + (overflows ? std::string("more than 2^64") : std::to_string(expected)) +
        " bytes, this one has " + std::to_string(file.size()) +
        (overflows || expected > file.size() ? " (truncated?)" : " (something follows the values)"));
  }
}

std::string descr_list(std::span<const Element> accepted) {
  std::string list;
  for (std::size_t i = 0; i < accepted.size(); ++i) {
    if (i != 0) list += i + 1 == accepted.size() ? " or " : ", ";
    list += names_of(accepted[i]).name;
  }
  return list;
}

Element element_of_descr(const std::string& descr, std::span<const Element> accepted,
                         const std::string& path) {
  // Bytes have no order, and NumPy writes them with '|'.
  const std::string normal = descr.size() == 3 && descr[2] == '1' ? "|" + descr.substr(1) : descr;
  for (const Element element : accepted) {
    if (normal == names_of(element).descr) return element;
  }
  const bool big_endian = !normal.empty() && normal[0] == '>';
  throw InvalidArgument(path + ": the array has dtype '" + descr + "'" + (big_endian ? " (big-endian)" : "") +
                        ", use " + descr_list(accepted) + (big_endian ? ", little-endian" : ""));
}

Layout npy_layout(const InputFile& file, std::span<const Element> accepted, bool one_dimension_allowed) {
  const NpyHeader header = read_npy_header(file);
  Layout layout;
  layout.element = element_of_descr(header.descr, accepted, file.path());
  const bool one_column = header.shape.size() == 1 && one_dimension_allowed;
  if (header.shape.size() != 2 && !one_column) {
    throw InvalidArgument(file.path() + ": the array has shape " + to_string(header.shape) +
                          ", expected (rows, columns)");
  }
  layout.rows = header.shape[0];
  layout.cols = one_column ? 1 : header.shape[1];
  layout.offset = header.data_offset;
  return layout;
}

Layout vecs_layout(const InputFile& file, Element element) {
  Layout layout{element, 0, 0, 0, sizeof(std::int32_t)};
  if (file.size() == 0) return layout;
  if (file.size() < sizeof(std::int32_t)) {
    throw InvalidArgument(file.path() + ": truncated: " + std::to_string(file.size()) +
                          " bytes, expected at least 4");
  }
  std::int32_t dim = 0;
  file.read(0, std::as_writable_bytes(std::span(&dim, 1)));
  if (dim <= 0) {
    throw InvalidArgument(file.path() + ": row 0 has dimension " + std::to_string(dim) +
                          ", expected at least 1");
  }
  layout.cols = static_cast<std::size_t>(dim);
  if (file.size() % layout.row_bytes() != 0) {
    throw InvalidArgument(file.path() + ": rows of dimension " + std::to_string(dim) + " take " +
                          std::to_string(layout.row_bytes()) + " bytes each, the file's " +
                          std::to_string(file.size()) +
                          " are not a multiple (truncated, or rows of different length)");
  }
  layout.rows = file.size() / layout.row_bytes();
  return layout;
}

Layout bin_layout(const InputFile& file, Element element) {
  std::array<std::uint32_t, 2> header{};
  if (file.size() < sizeof(header)) {
    throw InvalidArgument(file.path() + ": truncated: " + std::to_string(file.size()) +
                          " bytes, expected at least 8");
  }
  file.read(0, std::as_writable_bytes(std::span(header)));
  return {element, header[0], header[1], sizeof(header), 0};
}

Layout read_layout(const InputFile& file, const Format& format, std::span<const Element> accepted,
                   bool one_dimension_allowed) {
  Layout layout;
  switch (format.family) {
    case Family::npy: layout = npy_layout(file, accepted, one_dimension_allowed); break;
    case Family::vecs: layout = vecs_layout(file, format.element); break;
    case Family::bin: layout = bin_layout(file, format.element); break;
  }
  require_exact_length(file, layout);
  return layout;
}

// Reads every element as a Source and stores convert(element), a mebibyte at a time.
template <class Source, class Target, class Convert>
void read_elements(const InputFile& file, const Layout& layout, Target* out, Convert convert) {
  if (layout.rows == 0) return;
  const std::size_t row_bytes = layout.row_bytes();
  const std::size_t rows_at_once = std::min(std::max<std::size_t>(chunk_bytes / row_bytes, 1), layout.rows);
  std::vector<std::byte> chunk(rows_at_once * row_bytes);
  for (std::size_t row = 0; row < layout.rows; ++row) {
    const std::size_t in_chunk = row % rows_at_once;
    if (in_chunk == 0) {
      const std::size_t rows = std::min(rows_at_once, layout.rows - row);
      file.read(layout.offset + row * row_bytes, std::span(chunk).first(rows * row_bytes));
    }
    const std::byte* source = chunk.data() + in_chunk * row_bytes;
    if (layout.prefix != 0) {
      std::int32_t dim = 0;
      std::memcpy(&dim, source, sizeof(dim));
      if (static_cast<std::int64_t>(dim) != static_cast<std::int64_t>(layout.cols)) {
        throw InvalidArgument(file.path() + ": row " + std::to_string(row) + " has dimension " +
                              std::to_string(dim) + ", row 0 has " + std::to_string(layout.cols));
      }
      source += layout.prefix;
    }
    Target* const target = out + row * layout.cols;
    for (std::size_t i = 0; i < layout.cols; ++i) {
      Source value{};
      std::memcpy(&value, source + i * sizeof(Source), sizeof(Source));
      target[i] = convert(value);
    }
  }
  file.require_unchanged();
}

// IEEE 754 binary16 to binary32; every value has an exact counterpart, NaNs keep their payload.
float float_from_half(std::uint16_t half) {
  const std::uint32_t sign = (half & 0x8000U) << 16;
  const std::uint32_t exponent = (half >> 10) & 0x1FU;
  const std::uint32_t fraction = half & 0x3FFU;
  if (exponent == 0) {  // Zero or subnormal: fraction x 2^-24.
    return std::bit_cast<float>(sign |
                                std::bit_cast<std::uint32_t>(static_cast<float>(fraction) * 0x1.0p-24F));
  }
  const std::uint32_t wide_exponent = exponent == 0x1F ? 0xFFU : exponent + (127 - 15);
  return std::bit_cast<float>(sign | wide_exponent << 23 | fraction << 13);
}

Array<float> read_floats(const InputFile& file, const Layout& layout) {
  const std::size_t count = checked_product(layout.rows, layout.cols, "vectors");
  // What a NumPy file of f32 holds is what we need in memory, so a large base need not be held twice.
  if (layout.element == Element::f32 && layout.prefix == 0 && layout.offset % 64 == 0 && count != 0) {
    std::shared_ptr<std::byte> pages = file.map();
    auto* const values = reinterpret_cast<float*>(pages.get() + layout.offset);
    return {std::move(pages), values, count};
  }
  Array<float> values(count);
  switch (layout.element) {
    case Element::f32:
      read_elements<float>(file, layout, values.data(), [](float value) { return value; });
      break;
    case Element::f16: read_elements<std::uint16_t>(file, layout, values.data(), float_from_half); break;
    case Element::u8:
      read_elements<std::uint8_t>(file, layout, values.data(),
                                  [](std::uint8_t value) { return static_cast<float>(value); });
      break;
    default:
      read_elements<std::int8_t>(file, layout, values.data(),
                                 [](std::int8_t value) { return static_cast<float>(value); });
      break;
  }
  return values;
}

// `column`: one column, which NumPy's arrays may have as their only dimension.
FloatMatrix read_matrix(const std::filesystem::path& path, bool column) {
  constexpr std::array accepted = {Element::f32, Element::f16, Element::u8, Element::i8};
  const Format& format =
      format_of(path, "vector", vector_extensions, [](const Format& f) { return f.element != Element::i32; });
  const InputFile file(path);
  const Layout layout = read_layout(file, format, accepted, column);
  if (column && layout.cols != 1) {
    throw InvalidArgument(file.path() + ": the array is " + shape_text(layout.rows, layout.cols) +
                          ", expected one column");
  }
  return {read_floats(file, layout), layout.rows, layout.cols, names_of(layout.element).name};
}

Array<Id> read_id_values(const InputFile& file, const Layout& layout) {
  Array<Id> values(checked_product(layout.rows, layout.cols, "ids"));
  switch (layout.element) {
    case Element::i32:
      read_elements<std::int32_t>(file, layout, values.data(), [](std::int32_t id) { return Id{id}; });
      break;
    case Element::i64:
      read_elements<std::int64_t>(file, layout, values.data(), [](std::int64_t id) { return Id{id}; });
      break;
    default:
      read_elements<std::uint64_t>(file, layout, values.data(), [&file](std::uint64_t id) {
        if (id > static_cast<std::uint64_t>(std::numeric_limits<Id>::max())) {
          throw InvalidArgument(file.path() + ": id " + std::to_string(id) +
                                " is too large, expected less than 2^63");
        }
        return static_cast<Id>(id);
      });
      break;
  }
  return values;
}

template <class T>
std::span<const std::byte> bytes_of(const T& value) {
  return std::as_bytes(std::span(&value, 1));
}

// Writes the header and the rows; `descr` is NumPy's name for Target, which the values are converted to.
template <class Target, class Source>
void write_matrix(const std::filesystem::path& path, Family family, const char* descr,
                  MatrixView<const Source> rows) {
  if (rows.cols() > most_columns || (rows.cols() == 0 && rows.rows() != 0)) {
    throw InvalidArgument("cannot write " + path.string() + ": rows of " + std::to_string(rows.cols()) +
                          " columns, expected 1 to " + std::to_string(most_columns));
  }
  if (family == Family::bin && rows.rows() > std::numeric_limits<std::uint32_t>::max()) {
    throw InvalidArgument("cannot write " + path.string() + ": " + std::to_string(rows.rows()) +
                          " rows, the format has at most 2^32 - 1");
  }
  AtomicFile file(path);
  const auto cols = static_cast<std::uint32_t>(rows.cols());
  if (family == Family::npy) {
    const std::string header = make_npy_header(descr, rows.rows(), rows.cols());
    file.write(std::as_bytes(std::span(header)));
  }
  if (family == Family::bin) file.write(bytes_of(std::array{static_cast<std::uint32_t>(rows.rows()), cols}));
  std::vector<Target> converted(rows.cols());
  for (std::size_t i = 0; i < rows.rows(); ++i) {
    if (family == Family::vecs) file.write(bytes_of(cols));
    std::transform(rows[i].begin(), rows[i].end(), converted.begin(),
                   [](Source value) { return static_cast<Target>(value); });
    file.write(std::as_bytes(std::span(converted)));
  }
  file.commit();
}

}  // namespace

FloatMatrix read_vectors(const std::filesystem::path& path) { return read_matrix(path, false); }

FloatMatrix read_column(const std::filesystem::path& path) { return read_matrix(path, true); }

IdMatrix read_ids(const std::filesystem::path& path) {
  constexpr std::array accepted = {Element::i32, Element::i64, Element::u64};
  const Format& format = format_of(path, "id", id_extensions, [](const Format& f) {
    return f.family == Family::npy || f.element == Element::i32;
  });
  const InputFile file(path);
  const Layout layout = read_layout(file, format, accepted, /*one_dimension_allowed=*/true);
  return {read_id_values(file, layout), layout.rows, layout.cols};
}

void write_vectors(const std::filesystem::path& path, MatrixView<const float> rows) {
  const Format& format = format_of(path, "written vector", ".npy, .fvecs or .fbin",
                                   [](const Format& f) { return f.element == Element::f32; });
  write_matrix<float>(path, format.family, names_of(Element::f32).descr, rows);
}

void write_ids(const std::filesystem::path& path, MatrixView<const Id> rows) {
  const Format& format = format_of(path, "id", id_extensions, [](const Format& f) {
    return f.family == Family::npy || f.element == Element::i32;
  });
  if (format.family == Family::npy)
    return write_matrix<Id>(path, format.family, names_of(Element::i64).descr, rows);
  for (std::size_t i = 0; i < rows.rows(); ++i) {
    for (const Id id : rows[i]) {
      if (id >= std::numeric_limits<std::int32_t>::min() && id <= std::numeric_limits<std::int32_t>::max())
        continue;
      throw InvalidArgument("cannot write " + path.string() + ": id " + std::to_string(id) + " in row " +
                            std::to_string(i) + " does not fit in 32 bits (use .npy)");
    }
  }
  write_matrix<std::int32_t>(path, format.family, names_of(Element::i32).descr, rows);
}

}  // namespace vicinal
