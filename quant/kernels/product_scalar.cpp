// The loops of product.hpp in plain C++: the definition of their results, and the fallback for any machine.
#include <algorithm>

#include "vicinal/quant/codec_parts.hpp"
#include "vicinal/quant/kernels/dispatch.hpp"
#include "vicinal/quant/kernels/product.hpp"

namespace vicinal {
namespace {

constexpr std::size_t most_centroids = 256;

template <bool square>
void add_terms(const float* point, const float* columns, std::size_t dims, std::size_t centroids,
               float* values) {
  for (std::size_t j = 0; j < dims; ++j) {
    for (std::size_t c = 0; c < centroids; ++c) {
      const float x = columns[j * centroids + c];
      if constexpr (square) {
        const float difference = point[j] - x;
        values[c] += difference * difference;
      } else {
        values[c] += point[j] * x;
      }
    }
  }
}

template <bool square>
void nearest(const float* points, std::size_t stride, std::size_t count, const float* columns,
             std::size_t dims, std::size_t centroids, const float* start, std::uint32_t* ids) {
  float values[most_centroids];
  for (std::size_t i = 0; i < count; ++i) {
    std::fill_n(values, centroids, 0.0F);
    add_terms<square>(points + i * stride, columns, dims, centroids, values);
    for (std::size_t c = 0; !square && c < centroids; ++c) values[c] = start[c] - values[c];
    ids[i] = static_cast<std::uint32_t>(std::min_element(values, values + centroids) - values);
  }
}

template <bool square>
TableRange fill_table(const float* point, const float* columns, std::size_t dims, std::size_t centroids,
                      float* out) {
  std::fill_n(out, centroids, 0.0F);
  add_terms<square>(point, columns, dims, centroids, out);
  const auto [least, most] = std::minmax_element(out, out + centroids);
  return {*least, *most};
}

void round16(const float* values, std::size_t count, float least, float inverse, std::uint16_t* out) {
  for (std::size_t c = 0; c < count; ++c)
    out[c] = static_cast<std::uint16_t>(
        static_cast<std::int32_t>(round_to_integer((values[c] - least) * inverse)));
}

const std::uint8_t* record_of(const Records& records, std::size_t i) {
  const std::size_t record = records.ids == nullptr ? i : records.ids[i];
  return reinterpret_cast<const std::uint8_t*>(records.base + records.stride * record);
}

void product8(const std::byte* tables, std::size_t bytes, const Records& records, float weight,
              float constant, std::size_t count, float* out) {
  const auto* entries = reinterpret_cast<const std::uint16_t*>(tables);
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint8_t* record = record_of(records, i);
    std::int32_t sum = 0;
    for (std::size_t s = 0; s < bytes; ++s) sum += entries[256 * s + record[s]];
    out[i] = constant + weight * static_cast<float>(sum);
  }
}

void product4(const std::byte* tables, std::size_t bytes, const Records& records, float weight,
              float constant, std::size_t count, float* out) {
  const auto* entries = reinterpret_cast<const std::uint8_t*>(tables);
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint8_t* record = record_of(records, i);
    std::int32_t sum = 0;
    for (std::size_t b = 0; b < bytes; ++b) {
      const std::uint8_t* const low = entries + b / 8 * 512 + b % 8 * 16 + (record[b] & 15U);
      const std::uint8_t* const high = entries + b / 8 * 512 + 128 + b % 8 * 16 + (record[b] >> 4U);
      sum += low[0] + high[0] + 256 * (low[256] + high[256]);
    }
    out[i] = constant + weight * static_cast<float>(sum);
  }
}

const std::vector<ProductKernels>& all_product_kernels() {
  static const std::vector<ProductKernels> all = [] {
    std::vector<ProductKernels> found{scalar_product_kernels()};
    for (const ProductKernels& portable : portable_product_kernels()) found.push_back(portable);
    match_sets(found);
    for (ProductKernels& set : found) {
      if (set.name.starts_with("avx3")) use_product_vbmi(set);
    }
    return found;
  }();
  return all;
}

}  // namespace

ProductKernels scalar_product_kernels() {
  return {"scalar",          &nearest<false>, &nearest<true>, &fill_table<false>,
          &fill_table<true>, &round16,        &product8,      &product4};
}

const ProductKernels& product_kernels() {
  static const ProductKernels& chosen = chosen_set(all_product_kernels());
  return chosen;
}

std::span<const ProductKernels> available_product_kernels() { return all_product_kernels(); }

}  // namespace vicinal
