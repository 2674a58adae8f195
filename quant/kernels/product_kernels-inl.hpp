// The loops of product.hpp, written once and compiled for every instruction set (included by product_portable.cpp through
// foreach_target).
#if defined(VICINAL_QUANT_PRODUCT_KERNELS_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef VICINAL_QUANT_PRODUCT_KERNELS_INL
#undef VICINAL_QUANT_PRODUCT_KERNELS_INL
#else
#define VICINAL_QUANT_PRODUCT_KERNELS_INL
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cstring>
#include <limits>

#include "vicinal/core/prefetch.hpp"
#include "vicinal/quant/kernels/product.hpp"

// Without a vector unit the plain loops of product_scalar.cpp serve.
#if HWY_TARGET != HWY_SCALAR
HWY_BEFORE_NAMESPACE();
namespace vicinal::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using CentroidTag = hn::CappedTag<float, 16>;
using CentroidVector = hn::Vec<CentroidTag>;
using CentroidIdTag = hn::RebindToSigned<CentroidTag>;
inline constexpr std::size_t centroid_lanes = hn::MaxLanes(CentroidTag());

// The terms of two registers of centroids and `many` points, so that a load of centroids serves them all.
template <bool square, std::size_t many>
HWY_INLINE void add_terms(const float* points, std::size_t stride, const float* columns, std::size_t dims,
                          std::size_t centroids, CentroidVector (&sums)[many][2]) {
  const CentroidTag d;
  for (std::size_t p = 0; p < many; ++p) sums[p][0] = sums[p][1] = hn::Zero(d);
  for (std::size_t j = 0; j < dims; ++j) {
    const auto x0 = hn::LoadU(d, columns + j * centroids);
    const auto x1 = hn::LoadU(d, columns + j * centroids + centroid_lanes);
    for (std::size_t p = 0; p < many; ++p) {
      const auto value = hn::Set(d, points[p * stride + j]);
      const auto y0 = square ? hn::Sub(value, x0) : value;
      const auto y1 = square ? hn::Sub(value, x1) : value;
      sums[p][0] = hn::Add(sums[p][0], hn::Mul(y0, square ? y0 : x0));
      sums[p][1] = hn::Add(sums[p][1], hn::Mul(y1, square ? y1 : x1));
    }
  }
}

// Two registers hold 16 centroids, or 32: then the second half of 16 is not there, and 4-bit quantisers take this.
template <bool square, std::size_t many>
void nearest_few(const float* points, std::size_t stride, const float* columns, std::size_t dims,
                 std::size_t centroids, const float* start, std::uint32_t* ids) {
  const CentroidTag d;
  const CentroidIdTag di;
  CentroidVector best[many];
  hn::Vec<CentroidIdTag> best_id[many];
  for (std::size_t p = 0; p < many; ++p) {
    best[p] = hn::Set(d, std::numeric_limits<float>::infinity());
    best_id[p] = hn::Zero(di);
  }
  const auto consider = [&](std::size_t p, std::size_t first, CentroidVector sum) HWY_ATTR {
    const auto value = square ? sum : hn::Sub(hn::LoadU(d, start + first), sum);
    const auto nearer = hn::Lt(value, best[p]);
    best[p] = hn::IfThenElse(nearer, value, best[p]);
    best_id[p] = hn::IfThenElse(hn::RebindMask(di, nearer), hn::Iota(di, static_cast<std::int32_t>(first)),
                                best_id[p]);
  };
  CentroidVector sums[many][2];
  if (centroids >= 2 * centroid_lanes) {
    for (std::size_t first = 0; first < centroids; first += 2 * centroid_lanes) {
      add_terms<square, many>(points, stride, columns + first, dims, centroids, sums);
      for (std::size_t p = 0; p < many; ++p) {
        consider(p, first, sums[p][0]);
        consider(p, first + centroid_lanes, sums[p][1]);
      }
    }
  } else {
    for (std::size_t p = 0; p < many; ++p) {
      auto sum = hn::Zero(d);
      for (std::size_t j = 0; j < dims; ++j) {
        const auto x = hn::LoadU(d, columns + j * centroids);
        const auto value = hn::Set(d, points[p * stride + j]);
        const auto y = square ? hn::Sub(value, x) : value;
        sum = hn::Add(sum, hn::Mul(y, square ? y : x));
      }
      consider(p, 0, sum);
    }
  }
  HWY_ALIGN float values[centroid_lanes];
  HWY_ALIGN std::int32_t found[centroid_lanes];
  for (std::size_t p = 0; p < many; ++p) {
    hn::Store(best[p], d, values);
    hn::Store(best_id[p], di, found);
    std::size_t least = 0;
    for (std::size_t lane = 1; lane < centroid_lanes; ++lane) {
      if (values[lane] < values[least] || (values[lane] == values[least] && found[lane] < found[least]))
        least = lane;
    }
    ids[p] = static_cast<std::uint32_t>(found[least]);
  }
}

template <bool square>
void nearest(const float* points, std::size_t stride, std::size_t count, const float* columns,
             std::size_t dims, std::size_t centroids, const float* start, std::uint32_t* ids) {
  std::size_t i = 0;
  for (; i + 4 <= count; i += 4)
    nearest_few<square, 4>(points + i * stride, stride, columns, dims, centroids, start, ids + i);
  for (; i < count; ++i)
    nearest_few<square, 1>(points + i * stride, stride, columns, dims, centroids, start, ids + i);
}

template <bool square>
TableRange fill_table(const float* point, const float* columns, std::size_t dims, std::size_t centroids,
                      float* out) {
  const CentroidTag d;
  auto least = hn::Set(d, std::numeric_limits<float>::infinity());
  auto most = hn::Neg(least);
  for (std::size_t first = 0; first < centroids; first += centroid_lanes) {
    auto sum = hn::Zero(d);
    for (std::size_t j = 0; j < dims; ++j) {
      const auto x = hn::LoadU(d, columns + j * centroids + first);
      const auto value = hn::Set(d, point[j]);
      const auto y = square ? hn::Sub(value, x) : value;
      sum = hn::Add(sum, hn::Mul(y, square ? y : x));
    }
    hn::StoreU(sum, d, out + first);
    least = hn::Min(least, sum);
    most = hn::Max(most, sum);
  }
  return {hn::GetLane(hn::MinOfLanes(d, least)), hn::GetLane(hn::MaxOfLanes(d, most))};
}

HWY_INLINE hn::Vec<CentroidIdTag> rounded(const float* values, float least, float inverse) {
  const CentroidTag d;
  return hn::NearestInt(hn::Mul(hn::Sub(hn::LoadU(d, values), hn::Set(d, least)), hn::Set(d, inverse)));
}

inline void round16(const float* values, std::size_t count, float least, float inverse, std::uint16_t* out) {
  const hn::Rebind<std::uint16_t, CentroidTag> d16;
  for (std::size_t c = 0; c < count; c += centroid_lanes)
    hn::StoreU(hn::DemoteTo(d16, rounded(values + c, least, inverse)), d16, out + c);
}

inline const std::byte* record_at(const Records& records, std::size_t i) {
  return records.base + records.stride * (records.ids == nullptr ? i : records.ids[i]);
}

inline std::uint64_t load_eight(const std::byte* from) {
  std::uint64_t eight = 0;
  std::memcpy(&eight, from, sizeof(eight));
  return eight;
}

// Looking up 16-bit entries is bound by loads: four records side by side keep them coming.
inline void product8(const std::byte* tables, std::size_t bytes, const Records& records, float weight,
                     float constant, std::size_t count, float* out) {
  const auto* entries = reinterpret_cast<const std::uint16_t*>(tables);
  for (std::size_t i = 0; i < count; i += 4) {
    const std::byte* record[4];
    for (std::size_t m = 0; m < 4; ++m) record[m] = record_at(records, std::min(i + m, count - 1));
    if (records.ids != nullptr) {
      for (std::size_t next = i + 4; next < std::min(i + 8, count); ++next)
        prefetch(record_at(records, next), bytes);
    } else {
      prefetch_ahead(record[0], 4 * records.stride);
    }
    std::int32_t sums[4] = {};
    std::size_t s = 0;
    for (; s + 8 <= bytes; s += 8) {
      std::uint64_t codes[4];
      for (std::size_t m = 0; m < 4; ++m) codes[m] = load_eight(record[m] + s);
      for (std::size_t b = 0; b < 8; ++b) {
        const std::uint16_t* const table = entries + 256 * (s + b);
        for (std::size_t m = 0; m < 4; ++m) sums[m] += table[codes[m] >> (8 * b) & 0xFF];
      }
    }
    for (; s < bytes; ++s) {
      for (std::size_t m = 0; m < 4; ++m)
        sums[m] += entries[256 * s + std::to_integer<std::size_t>(record[m][s])];
    }
    for (std::size_t m = 0; m < std::min<std::size_t>(4, count - i); ++m)
      out[i + m] = constant + weight * static_cast<float>(sums[m]);
  }
}

using ByteTag = hn::FixedTag<std::uint8_t, 16>;
using ByteVector = hn::Vec<ByteTag>;
using SumTag = hn::Repartition<std::uint16_t, ByteTag>;
using SumRegister = hn::Vec<SumTag>;

// Eight registers, of eight bytes each of two records, become eight with one byte of all sixteen. A stage turns the number of
// (register, place) by one bit.
HWY_INLINE void transpose(ByteVector (&v)[8]) {
  const ByteTag d;
  for (int stage = 0; stage < 4; ++stage) {
    ByteVector next[8];
    for (std::size_t i = 0; i < 4; ++i) {
      next[2 * i] = hn::InterleaveLower(d, v[i], v[i + 4]);
      next[2 * i + 1] = hn::InterleaveUpper(d, v[i], v[i + 4]);
    }
    for (std::size_t i = 0; i < 8; ++i) v[i] = next[i];
  }
}

// Sums of bytes of sixteen records in 16 bits, up to 257 of them.
struct ByteSums {
  SumRegister both;  // of bytes 2 k, and 256 times those of bytes 2 k + 1
  SumRegister odd;

  HWY_INLINE void add(ByteVector found) {
    const auto words = hn::BitCast(SumTag(), found);
    both = hn::Add(both, words);
    odd = hn::Add(odd, hn::ShiftRight<8>(words));
  }
  HWY_INLINE void add_to(std::int32_t (&sums)[16], std::int32_t factor) const {
    HWY_ALIGN std::uint16_t part[8];
    hn::Store(hn::Sub(both, hn::ShiftLeft<8>(odd)), SumTag(), part);
    for (std::size_t k = 0; k < 8; ++k) sums[2 * k] += factor * part[k];
    hn::Store(odd, SumTag(), part);
    for (std::size_t k = 0; k < 8; ++k) sums[2 * k + 1] += factor * part[k];
  }
};

// Sixteen records at one time: their codes of one sub-space fill a register, and a shuffle looks all of them up, once in the low
// bytes of the entries and once in the high ones.
inline void product4(const std::byte* tables, std::size_t bytes, const Records& records, float weight,
                     float constant, std::size_t count, float* out) {
  const ByteTag d;
  const auto* entries = reinterpret_cast<const std::uint8_t*>(tables);
  for (std::size_t i = 0; i < count; i += 16) {
    const std::byte* record[16];
    for (std::size_t m = 0; m < 16; ++m) record[m] = record_at(records, std::min(i + m, count - 1));
    if (records.ids != nullptr) {
      for (std::size_t next = i + 16; next < std::min(i + 32, count); ++next)
        prefetch(record_at(records, next), bytes);
    } else {
      prefetch_ahead(record[0], 16 * records.stride);
    }
    std::int32_t sums[16] = {};
    for (std::size_t begin = 0; begin < bytes;) {
      const std::size_t end = std::min(bytes, begin + 128);
      ByteSums low_bytes{hn::Zero(SumTag()), hn::Zero(SumTag())};
      ByteSums high_bytes = low_bytes;
      for (; begin < end; begin += 8) {
        HWY_ALIGN std::uint64_t loaded[16];
        for (std::size_t m = 0; m < 16; ++m) {
          loaded[m] = 0;
          std::memcpy(loaded + m, record[m] + begin, std::min<std::size_t>(8, bytes - begin));
        }
        ByteVector v[8];
        for (std::size_t m = 0; m < 8; ++m)
          v[m] = hn::Load(d, reinterpret_cast<const std::uint8_t*>(loaded + 2 * m));
        transpose(v);
        for (std::size_t b = 0; b < 8; ++b) {
          const std::uint8_t* const table = entries + 64 * begin + 16 * b;
          const auto low = hn::And(v[b], hn::Set(d, 15));
          const auto high = hn::ShiftRight<4>(v[b]);
          low_bytes.add(hn::TableLookupBytes(hn::Load(d, table), low));
          low_bytes.add(hn::TableLookupBytes(hn::Load(d, table + 128), high));
          high_bytes.add(hn::TableLookupBytes(hn::Load(d, table + 256), low));
          high_bytes.add(hn::TableLookupBytes(hn::Load(d, table + 384), high));
        }
      }
      low_bytes.add_to(sums, 1);
      high_bytes.add_to(sums, 256);
    }
    for (std::size_t m = 0; m < std::min<std::size_t>(16, count - i); ++m)
      out[i + m] = constant + weight * static_cast<float>(sums[m]);
  }
}

}  // namespace vicinal::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // HWY_SCALAR

#endif  // per target
