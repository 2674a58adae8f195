#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "vicinal/core/metric.hpp"
#include "vicinal/quant/code_store.hpp"
#include "vicinal/quant/codec.hpp"

namespace vicinal {

/// A codec and a metric.
struct CodecCase {
  CodecOptions options;
  Metric metric;

  [[nodiscard]] std::string name() const {
    std::string text(to_string(options.kind));
    if (is_integer(options.kind))
      text += std::string(options.centre ? "_centred" : "") + (options.rotate ? "_rotated" : "");
    if (is_product(options.kind)) text += options.rotate ? "_opq" : "";
    if (is_float8(options.kind)) text += options.norm ? "" : "_plain";
    return text + "_" + std::string(to_string(metric));
  }
};

inline std::vector<CodecCase> codec_cases() {
  std::vector<CodecCase> cases;
  for (const Metric metric : {Metric::l2, Metric::ip, Metric::cosine}) {
    for (const CodecKind kind :
         {CodecKind::f32, CodecKind::f16, CodecKind::bf16, CodecKind::e4m3, CodecKind::e5m2, CodecKind::e3m4})
      cases.push_back({{kind, true, true, 0}, metric});
    if (metric != Metric::l2) {
      for (const CodecKind kind : {CodecKind::e4m3, CodecKind::e5m2, CodecKind::e3m4})
        cases.push_back({{kind, true, true, 0, false, {}, false}, metric});
    }
    for (const bool rotate : {false, true}) {
      for (const bool centre : {false, true}) {
        cases.push_back({{CodecKind::i8, rotate, centre, 7}, metric});
        cases.push_back({{CodecKind::i4, rotate, centre, 7}, metric});
      }
    }
  }
  return cases;
}

/// Product codecs: a sub-space for every three dimensions.
inline std::vector<CodecCase> product_cases() {
  std::vector<CodecCase> cases;
  for (const Metric metric : {Metric::l2, Metric::ip, Metric::cosine}) {
    for (const CodecKind kind : {CodecKind::pq8, CodecKind::pq4}) {
      for (const bool rotated : {false, true})
        cases.push_back({{kind, rotated, false, 7, false, {0, 3}}, metric});
    }
  }
  return cases;
}

/// One encoded vector.
struct EncodedVector {
  EncodedVector(const Codec& codec, std::span<const float> vector) : record(codec.stride()), factors(2) {
    std::vector<float> scratch(codec.dim());
    codec.encode(vector, record.data(), factors.data(), scratch);
  }
  [[nodiscard]] std::vector<float> decoded(const Codec& codec) const {
    std::vector<float> vector(codec.dim());
    codec.decode(record.data(), factors.data(), vector);
    return vector;
  }

  std::vector<std::byte> record;
  std::vector<float> factors;
};

/// The factors that prepare_record() wants: for integers the offset is that of l2, whatever the metric.
inline std::vector<float> l2_factors(const Codec& codec, const EncodedVector& encoded) {
  if (!codec.has_factors()) return {0.0F, 0.0F};
  return {encoded.factors[0], codec.residual_norm(encoded.record.data(), encoded.factors[0])};
}

inline float score_one(const Codec& codec, const PreparedQuery& query, const EncodedVector& encoded,
                       std::span<const float> factors) {
  float distance = 0;
  codec.score(query, encoded.record.data(), factors.data(), nullptr, 1, &distance);
  return distance;
}

inline float score_one(const Codec& codec, const PreparedQuery& query, const EncodedVector& encoded) {
  return score_one(codec, query, encoded, encoded.factors);
}

}  // namespace vicinal
