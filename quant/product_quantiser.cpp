#include "vicinal/quant/product_quantiser.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <utility>

#include "vicinal/core/error.hpp"
#include "vicinal/quant/codec_parts.hpp"
#include "vicinal/quant/kernels/product.hpp"

namespace vicinal {
namespace {

constexpr float largest_value = 0x1.0p54F;
constexpr std::size_t centroids_at_most = 256;

std::string name_of(const ProductShape& shape) {
  return std::string(shape.rotated ? "opq" : "pq") + "(" + std::to_string(shape.parts) +
         (shape.bits == 4 ? ", bits=4)" : ")");
}

constexpr float largest_entry = 65535.0F;

// What a table's values are multiplied with to become entries, when `range` becomes the largest.
float inverse_of(float range) {
  return range / largest_entry > std::numeric_limits<float>::min() ? largest_entry / range : 0.0F;
}

template <class T>
void resize(Array<T>& array, std::size_t size) {
  if (array.size() != size) array = Array<T>(size);
}

void require_values(std::span<const float> values, float most, const std::string& what) {
  const float largest = largest_magnitude(values);
  if (largest <= most) return;
  throw InvalidArgument(what + " hold " + std::to_string(largest) + ", at most " + std::to_string(most) +
                        " makes sense");
}

}  // namespace

ProductQuantiser::ProductQuantiser(const ProductShape& shape, Array<float> centroids, Array<float> directions)
    : shape_(shape), centroids_(std::move(centroids)), directions_(std::move(directions)) {
  const auto require_size = [](const char* what, std::size_t got, std::size_t wanted) {
    if (got == wanted) return;
    throw InvalidArgument(std::string(what) + " of a product quantiser have " + std::to_string(got) +
                          " values, expected " + std::to_string(wanted));
  };
  require_size("centroids", centroids_.size(), shape.dim * shape_.centroids());
  require_size("directions", directions_.size(), shape.rotated ? shape.dim * shape.dim : 0);
  require_values(std::as_const(centroids_).span(), largest_value, "centroids");
  require_values(std::as_const(directions_).span(), 1.0F, "directions");
  find_pair_weight();
}

void ProductQuantiser::find_pair_weight() {
  const std::size_t count = shape_.centroids();
  float largest = 0;
  float values[centroids_at_most];
  Array<float> point(shape_.dim);
  for (std::size_t part = 0; part < shape_.parts; ++part) {
    const std::size_t first = shape_.begin(part);
    const std::size_t dims = shape_.begin(part + 1) - first;
    const float* const columns = centroids_.data() + first * count;
    for (std::size_t c = 0; c < count; ++c) {
      for (std::size_t j = 0; j < dims; ++j) point[j] = columns[j * count + c];
      largest = std::max(largest, product_kernels().squares(point.data(), columns, dims, count, values).most);
    }
  }
  pair_weight_ = largest / largest_entry;
}

// `padded_vector` ends in zeros up to a multiple of 32 and is aligned, as the kernels want it.
void ProductQuantiser::rotate(const float* padded_vector, float* out) const {
  kernels().dot_f32(
      padded_vector, shape_.dim,
      {reinterpret_cast<const std::byte*>(directions_.data()), shape_.dim * sizeof(float), nullptr},
      shape_.dim, out);
}

void ProductQuantiser::encode(std::span<const float> vector, std::byte* record) const {
  Array<float> rotated;
  if (shape_.rotated) {
    const std::size_t room = padded(shape_.dim, 32);
    rotated = Array<float>(2 * room);
    std::copy(vector.begin(), vector.end(), rotated.data());
    rotate(rotated.data(), rotated.data() + room);
    vector = {rotated.data() + room, shape_.dim};
  }
  encode_rotated(vector, record);
}

// A direction at a time against all rows: the kernels' products do not mind which of the two is called the query.
void ProductQuantiser::rotate_rows(const float* rows, std::size_t stride, std::size_t count,
                                   float* out) const {
  Array<float> direction(padded(shape_.dim, 32));
  Array<float> found(count);
  const Records records{reinterpret_cast<const std::byte*>(rows), stride * sizeof(float), nullptr};
  for (std::size_t i = 0; i < shape_.dim; ++i) {
    std::copy_n(directions_.data() + i * shape_.dim, shape_.dim, direction.data());
    kernels().dot_f32(direction.data(), shape_.dim, records, count, found.data());
    for (std::size_t row = 0; row < count; ++row) out[row * shape_.dim + i] = found[row];
  }
}

void ProductQuantiser::encode_rotated(std::span<const float> vector, std::byte* record) const {
  require_byte_range(vector, name_of(shape_), "the vector");
  const std::size_t count = shape_.centroids();
  if (shape_.bits == 4) std::memset(record, 0, shape_.stride());
  for (std::size_t part = 0; part < shape_.parts; ++part) {
    const std::size_t first = shape_.begin(part);
    std::uint32_t code = 0;
    product_kernels().nearest_by_square(vector.data() + first, 0, 1, centroids_.data() + first * count,
                                        shape_.begin(part + 1) - first, count, nullptr, &code);
    if (shape_.bits == 8) {
      record[part] = static_cast<std::byte>(code);
    } else {
      record[part / 2] |= static_cast<std::byte>(code << (part % 2 * 4));
    }
  }
}

std::size_t ProductQuantiser::code_at(const std::byte* record, std::size_t part) const {
  if (shape_.bits == 8) return std::to_integer<std::size_t>(record[part]);
  return std::to_integer<std::size_t>(record[part / 2]) >> (part % 2 * 4) & 15U;
}

void ProductQuantiser::decode(const std::byte* record, std::span<float> out) const {
  const std::size_t count = shape_.centroids();
  Array<float> rotated(shape_.rotated ? shape_.dim : 0);
  float* const values = shape_.rotated ? rotated.data() : out.data();
  for (std::size_t part = 0; part < shape_.parts; ++part) {
    const std::size_t code = code_at(record, part);
    for (std::size_t j = shape_.begin(part); j < shape_.begin(part + 1); ++j)
      values[j] = centroids_[j * count + code];
  }
  if (!shape_.rotated) return;
  // The transpose is the inverse. Row by row, every element of the result summed in the order of the rows.
  std::fill(out.begin(), out.end(), 0.0F);
  for (std::size_t i = 0; i < shape_.dim; ++i) {
    const float* const direction = directions_.data() + i * shape_.dim;
    for (std::size_t j = 0; j < shape_.dim; ++j) out[j] += values[i] * direction[j];
  }
}

std::size_t ProductQuantiser::entry_bytes() const {
  return shape_.bits == 8 ? shape_.parts * 512 : product4_bytes(shape_.stride());
}

void ProductQuantiser::round_table(std::size_t part, const float* values, float least, float inverse,
                                   std::byte* entries) const {
  if (shape_.bits == 8) {
    product_kernels().round16(values, 256, least, inverse,
                              reinterpret_cast<std::uint16_t*>(entries) + 256 * part);
    return;
  }
  std::uint16_t table[16];
  product_kernels().round16(values, 16, least, inverse, table);
  set_product4_table(entries, part, table);
}

void ProductQuantiser::prepare(std::span<const float> vector, Metric metric, Tables& tables) const {
  const std::size_t count = shape_.centroids();
  const std::size_t room = padded(shape_.dim, 32);
  resize(tables.scratch, 2 * room + shape_.parts * (count + 1));
  resize(tables.entries, entry_bytes());
  // What lies beyond the values may be of another codec.
  float* const given = tables.scratch.data();
  if (metric == Metric::cosine) {
    normalise(vector, {given, shape_.dim});
  } else {
    std::copy(vector.begin(), vector.end(), given);
  }
  std::fill(given + shape_.dim, given + room, 0.0F);
  const float* values = given;
  if (shape_.rotated) {
    rotate(given, given + room);
    values = given + room;
  }
  require_byte_range({values, shape_.dim}, name_of(shape_), "the query");

  float* const table = given + 2 * room;
  float* const least = table + shape_.parts * count;
  const auto fill = metric == Metric::l2 ? product_kernels().squares : product_kernels().products;
  float range = 0;
  double constant = 0;
  for (std::size_t part = 0; part < shape_.parts; ++part) {
    const std::size_t first = shape_.begin(part);
    const TableRange found = fill(values + first, centroids_.data() + first * count,
                                  shape_.begin(part + 1) - first, count, table + part * count);
    least[part] = found.least;
    range = std::max(range, found.most - found.least);
    constant += static_cast<double>(found.least);
  }
  const float inverse = inverse_of(range);
  if (shape_.bits == 4) std::memset(tables.entries.data(), 0, tables.entries.size());
  for (std::size_t part = 0; part < shape_.parts; ++part)
    round_table(part, table + part * count, least[part], inverse, tables.entries.data());
  tables.weight = range / largest_entry;
  tables.constant = static_cast<float>(constant);
}

void ProductQuantiser::prepare_record(const std::byte* record, Tables& tables) const {
  const std::size_t count = shape_.centroids();
  resize(tables.scratch, 2 * padded(shape_.dim, 32) + shape_.parts * (count + 1));
  resize(tables.entries, entry_bytes());
  if (shape_.bits == 4) std::memset(tables.entries.data(), 0, tables.entries.size());
  const float inverse = pair_weight_ > std::numeric_limits<float>::min() ? 1.0F / pair_weight_ : 0.0F;
  float* const point = tables.scratch.data();
  float values[centroids_at_most];
  for (std::size_t part = 0; part < shape_.parts; ++part) {
    const std::size_t first = shape_.begin(part);
    const std::size_t dims = shape_.begin(part + 1) - first;
    const float* const columns = centroids_.data() + first * count;
    const std::size_t code = code_at(record, part);
    for (std::size_t j = 0; j < dims; ++j) point[j] = columns[j * count + code];
    product_kernels().squares(point, columns, dims, count, values);
    round_table(part, values, 0.0F, inverse, tables.entries.data());
  }
  tables.weight = pair_weight_;
  tables.constant = 0.0F;
}

void ProductQuantiser::score(const std::byte* entries, float weight, float constant, const std::byte* records,
                             const std::uint32_t* ids, std::size_t count, float* out) const noexcept {
  const auto kernel = shape_.bits == 8 ? product_kernels().product8 : product_kernels().product4;
  kernel(entries, shape_.stride(), {records, shape_.stride(), ids}, weight, constant, count, out);
}

}  // namespace vicinal
