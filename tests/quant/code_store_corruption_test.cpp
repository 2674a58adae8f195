// Files whose checksums are right and whose content is not: every validation of CodeStore::load.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <initializer_list>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "vicinal/core/error.hpp"
#include "vicinal/quant/code_store.hpp"
#include "vicinal/quant/product_quantiser.hpp"
#include "../core/temporary_folder.hpp"
#include "sample_vectors.hpp"

namespace vicinal {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::ThrowsMessage;

// Places in the section "codec", as docs/format.md has them.
constexpr std::size_t size_at = 0;
constexpr std::size_t dim_at = 8;
constexpr std::size_t kind_at = 24;
constexpr std::size_t metric_at = 25;
constexpr std::size_t rotate_at = 26;
constexpr std::size_t centre_at = 27;
constexpr std::size_t exponent_at = 28;
constexpr std::size_t split_at = 30;
constexpr std::size_t layout_at = 31;
constexpr std::uint8_t norm_flag = 4;

constexpr std::size_t rows = 6;
constexpr std::size_t dim = 70;
constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float nan = std::numeric_limits<float>::quiet_NaN();

// The sections of a store, to be changed.
struct Sections {
  std::string codec;
  std::vector<std::uint8_t> codes;
  std::optional<std::vector<float>> factors;
  std::optional<std::vector<float>> mean;
};

class CodeStoreCorruption : public testing::Test {
 protected:
  static Sections sections_of(CodecKind kind, bool norm = false) {
    const SampleVectors vectors = clustered_vectors(rows, dim, 1);
    CodecOptions options{kind, true, true, 3};
    options.norm = norm;
    const Codec codec = Codec::train(options, norm ? Metric::ip : Metric::l2, vectors.view());
    const CodeStore store = CodeStore::build(codec, vectors.view(), {});
    Sections sections;
    sections.codec.assign(32, '\0');
    put<std::uint64_t>(sections, size_at, rows);
    put<std::uint64_t>(sections, dim_at, dim);
    put<std::uint64_t>(sections, 16, 3);
    put(sections, kind_at, static_cast<std::uint8_t>(kind));
    put<std::uint8_t>(sections, rotate_at, 1);
    put<std::uint8_t>(sections, centre_at, 1);
    put(sections, layout_at, static_cast<std::uint8_t>(codec.layout()));
    if (norm) {
      put<std::uint8_t>(sections, metric_at, 1);
      put<std::int16_t>(sections, exponent_at, static_cast<std::int16_t>(codec.exponent()));
      put<std::uint8_t>(sections, layout_at, norm_flag);
    }
    const auto* const codes = reinterpret_cast<const std::uint8_t*>(store.records());
    sections.codes.assign(codes, codes + rows * codec.stride());
    if (codec.factor_count() != 0)
      sections.factors.emplace(store.factors(), store.factors() + codec.factor_count() * rows);
    if (!codec.mean().empty()) sections.mean.emplace(codec.mean().begin(), codec.mean().end());
    return sections;
  }
  template <class T>
  static void put(Sections& sections, std::size_t place, T value) {
    std::memcpy(sections.codec.data() + place, &value, sizeof(T));
  }

  [[nodiscard]] CodeStore load(const Sections& sections, OpenMode mode) const {
    ContainerWriter writer;
    writer.add_owned("p/codec", sections.codec);
    writer.add<std::uint8_t>("p/codes", sections.codes);
    if (sections.factors) writer.add<float>("p/factors", *sections.factors);
    if (sections.mean) writer.add<float>("p/mean", *sections.mean);
    writer.write(folder_ / "codes.vcn");
    return CodeStore::load(Container::open(folder_ / "codes.vcn", mode), "p");
  }

  // That a store changed so is refused, with these words; unchanged it loads.
  void expect_refused(CodecKind kind, const std::function<void(Sections&)>& change,
                      const std::string& section, const std::string& reason, bool norm = false) const {
    Sections sections = sections_of(kind, norm);
    ASSERT_NO_THROW((void)load(sections, OpenMode::load));
    change(sections);
    for (const OpenMode mode : {OpenMode::load, OpenMode::map}) {
      EXPECT_THAT([&] { (void)load(sections, mode); },
                  ThrowsMessage<CorruptFile>(AllOf(HasSubstr("p/" + section), HasSubstr(reason))));
    }
  }

  TemporaryFolder folder_;
};

TEST_F(CodeStoreCorruption, OfTheCodec) {
  const auto expect_codec_refused = [&](const std::function<void(Sections&)>& change,
                                        const std::string& reason) {
    expect_refused(CodecKind::i8, change, "codec", reason);
  };
  expect_codec_refused([](Sections& s) { s.codec.pop_back(); }, "wrong length");
  expect_codec_refused([](Sections& s) { s.codec.push_back('\0'); }, "wrong length");
  expect_codec_refused([](Sections& s) { s.codec.clear(); }, "wrong length");
  for (std::size_t place = exponent_at; place < split_at; ++place) {
    expect_codec_refused([place](Sections& s) { put<std::uint8_t>(s, place, 1); },
                         "the exponent is out of range");
  }
  for (const std::uint8_t layout : std::initializer_list<std::uint8_t>{4, 5, 8, 255}) {
    expect_codec_refused([layout](Sections& s) { put(s, layout_at, layout); }, "unknown layout");
  }
  for (const CodecKind kind : {CodecKind::f16, CodecKind::e4m3}) {
    expect_refused(
        kind, [](Sections& s) { put<std::uint8_t>(s, layout_at, 1); }, "codec", "unknown layout");
    expect_refused(
        kind, [](Sections& s) { put<std::uint8_t>(s, layout_at, 2); }, "codec",
        "a side value where there cannot be one");
  }
  expect_codec_refused(
      [](Sections& s) {
        put<std::uint8_t>(s, layout_at, 3);
        put<std::uint8_t>(s, metric_at, 2);
      },
      "a side value where there cannot be one");
  for (const std::uint8_t kind : std::initializer_list<std::uint8_t>{12, 255}) {
    expect_codec_refused([kind](Sections& s) { put(s, kind_at, kind); }, "unknown codec kind");
  }
  for (const std::uint8_t metric : std::initializer_list<std::uint8_t>{3, 255}) {
    expect_codec_refused([metric](Sections& s) { put(s, metric_at, metric); }, "unknown metric");
  }
  // The store is of l2, which has no queries to split.
  expect_codec_refused([](Sections& s) { put<std::uint8_t>(s, split_at, 1); },
                       "queries of this codec cannot be split");
  for (const std::size_t flag : {rotate_at, centre_at, split_at}) {
    expect_codec_refused([flag](Sections& s) { put<std::uint8_t>(s, flag, 2); }, "a flag is neither 0 nor 1");
  }
  constexpr std::uint64_t most = std::numeric_limits<std::uint64_t>::max();
  for (const std::uint64_t size : {std::uint64_t{1} << 40, most}) {
    expect_codec_refused([size](Sections& s) { put(s, size_at, size); }, "beyond what the file can hold");
    expect_codec_refused([size](Sections& s) { put(s, dim_at, size); }, "beyond what the file can hold");
  }
  expect_codec_refused([](Sections& s) { put<std::uint64_t>(s, dim_at, 0); },
                       "beyond what the file can hold");
  expect_codec_refused(
      [](Sections& s) {
        put<std::uint64_t>(s, dim_at, max_byte_dim + 1);
        s.codes.assign(2 * max_byte_dim, 128);
      },
      "too many dimensions for i8");
}

TEST_F(CodeStoreCorruption, OfTheMean) {
  for (const float value : {infinity, -infinity, nan}) {
    expect_refused(
        CodecKind::i8, [value](Sections& s) { s.mean->back() = value; }, "mean", "not finite");
  }
  expect_refused(
      CodecKind::i8, [](Sections& s) { s.mean->pop_back(); }, "mean", "expected 70 elements");
  expect_refused(
      CodecKind::i8, [](Sections& s) { s.mean.reset(); }, "mean", "missing");
}

TEST_F(CodeStoreCorruption, OfFloat8ThatKeepsLengths) {
  const auto expect_norm_refused = [&](const std::function<void(Sections&)>& change,
                                       const std::string& section, const std::string& reason) {
    expect_refused(CodecKind::e4m3, change, section, reason, true);
  };
  for (const float value : {0.0F, -1.0F, infinity, nan, std::nextafter(1024.0F, infinity)})
    expect_norm_refused([value](Sections& s) { s.factors->back() = value; }, "factors",
                        "no ratio of lengths");
  expect_norm_refused([](Sections& s) { s.factors->pop_back(); }, "factors", "expected 6 elements");
  expect_norm_refused([](Sections& s) { s.factors.reset(); }, "factors", "missing");
  for (const std::uint8_t flags : std::initializer_list<std::uint8_t>{1, 5, 0x84})
    expect_norm_refused([flags](Sections& s) { put(s, layout_at, flags); }, "codec", "unknown layout");
}

TEST_F(CodeStoreCorruption, OfTheCodesLength) {
  for (const CodecKind kind :
       {CodecKind::f32, CodecKind::f16, CodecKind::bf16, CodecKind::i8, CodecKind::e4m3}) {
    expect_refused(
        kind, [](Sections& s) { s.codes.pop_back(); }, "codes", "expected");
    expect_refused(
        kind, [](Sections& s) { s.codes.push_back(1); }, "codes", "expected");
    expect_refused(
        kind, [](Sections& s) { s.codes.clear(); }, "codes", "");
    // Fewer bytes than the file has, more than it holds at this stride.
    expect_refused(
        kind, [](Sections& s) { put<std::uint64_t>(s, size_at, 1000); },
        kind == CodecKind::e4m3 ? "codec" : "codes",
        kind == CodecKind::e4m3 ? "beyond what the file can hold" : "shorter than size x stride");
    expect_refused(
        kind, [](Sections& s) { put<std::uint64_t>(s, size_at, rows - 1); }, "codes", "expected");
  }
  expect_refused(
      CodecKind::f32, [](Sections& s) { put<std::uint64_t>(s, dim_at, dim + 1); }, "codes", "expected");
}

TEST_F(CodeStoreCorruption, OfFloatCodes) {
  for (const std::size_t at : {std::size_t{0}, rows * dim - 1}) {
    for (const float value : {infinity, -infinity, nan}) {
      expect_refused(
          CodecKind::f32, [at, value](Sections& s) { std::memcpy(s.codes.data() + 4 * at, &value, 4); },
          "codes", "not finite");
    }
    for (const std::uint16_t code : std::initializer_list<std::uint16_t>{0x7C00, 0xFC00, 0x7E00, 0x7FFF}) {
      expect_refused(
          CodecKind::f16, [at, code](Sections& s) { std::memcpy(s.codes.data() + 2 * at, &code, 2); },
          "codes", "not finite");
    }
    for (const std::uint16_t code : std::initializer_list<std::uint16_t>{0x7F80, 0xFF80, 0x7FC0, 0xFFFF}) {
      expect_refused(
          CodecKind::bf16, [at, code](Sections& s) { std::memcpy(s.codes.data() + 2 * at, &code, 2); },
          "codes", "not finite");
    }
    for (const auto& [kind, least] :
         {std::pair{CodecKind::e4m3, 0x7F}, {CodecKind::e5m2, 0x7C}, {CodecKind::e3m4, 0x70}}) {
      for (const int code : {least, 0x80 | least, 0xFF}) {
        expect_refused(
            kind, [at, code](Sections& s) { s.codes[at] = static_cast<std::uint8_t>(code); }, "codes",
            "not finite");
      }
    }
  }
}

TEST_F(CodeStoreCorruption, OfByteCodes) {
  expect_refused(
      CodecKind::i8, [](Sections& s) { s.codes[0] = 0; }, "codes", "a byte that is no code");
  expect_refused(
      CodecKind::i8, [](Sections& s) { s.codes.back() = 0; }, "codes", "a byte that is no code");
}

TEST_F(CodeStoreCorruption, OfTheFactors) {
  for (const float value : {infinity, nan, -1.0F}) {
    for (const std::size_t at : {std::size_t{0}, std::size_t{1}, 2 * rows - 1}) {
      expect_refused(
          CodecKind::i8, [at, value](Sections& s) { (*s.factors)[at] = value; }, "factors",
          "negative or not finite");
    }
  }
  expect_refused(
      CodecKind::i8, [](Sections& s) { s.factors->pop_back(); }, "factors", "expected 12 elements");
  expect_refused(
      CodecKind::i8, [](Sections& s) { s.factors.reset(); }, "factors", "missing");
}

// A store of product codes, section by section, each to be changed.
class ProductStoreCorruption : public testing::Test {
 protected:
  struct Parts {
    std::string codec = std::string(32, '\0');
    std::string product;
    std::optional<std::vector<float>> centroids;
    std::optional<std::vector<float>> directions;
    std::vector<std::uint8_t> codes;
  };
  static constexpr std::size_t size = 40, width = 9, parts = 4;

  static Parts parts_of(CodecKind kind) {
    const SampleVectors vectors = clustered_vectors(size, width, 1);
    const Codec codec = Codec::train({kind, true, false, 3, false, {parts, 0}}, Metric::ip, vectors.view());
    const CodeStore store = CodeStore::build(codec, vectors.view(), {});
    Parts saved;
    put<std::uint64_t>(saved.codec, size_at, size);
    put<std::uint64_t>(saved.codec, dim_at, width);
    put<std::uint64_t>(saved.codec, 16, 3);
    put(saved.codec, kind_at, static_cast<std::uint8_t>(kind));
    put<std::uint8_t>(saved.codec, metric_at, 1);
    put<std::uint8_t>(saved.codec, rotate_at, 1);
    saved.product.assign(8, '\0');
    put<std::uint64_t>(saved.product, 0, parts);
    const auto* const codes = reinterpret_cast<const std::uint8_t*>(store.records());
    saved.codes.assign(codes, codes + size * codec.stride());
    const ProductQuantiser& product = *codec.product();
    saved.centroids.emplace(product.centroids().begin(), product.centroids().end());
    saved.directions.emplace(product.directions().begin(), product.directions().end());
    return saved;
  }
  template <class T>
  static void put(std::string& bytes, std::size_t place, T value) {
    std::memcpy(bytes.data() + place, &value, sizeof(T));
  }
  [[nodiscard]] CodeStore load(const Parts& saved, OpenMode mode) const {
    ContainerWriter writer;
    writer.add_owned("p/codec", saved.codec);
    writer.add<std::uint8_t>("p/codes", saved.codes);
    writer.add_owned("p/product", saved.product);
    if (saved.centroids) writer.add<float>("p/centroids", *saved.centroids);
    if (saved.directions) writer.add<float>("p/directions", *saved.directions);
    writer.write(folder_ / "codes.vcn");
    return CodeStore::load(Container::open(folder_ / "codes.vcn", mode), "p");
  }
  void expect_refused(const std::function<void(Parts&)>& change, const std::string& reason) const {
    for (const CodecKind kind : {CodecKind::pq8, CodecKind::pq4}) {
      Parts saved = parts_of(kind);
      ASSERT_NO_THROW((void)load(saved, OpenMode::load));
      change(saved);
      for (const OpenMode mode : {OpenMode::load, OpenMode::map})
        EXPECT_THAT([&] { (void)load(saved, mode); }, ThrowsMessage<CorruptFile>(HasSubstr(reason)));
    }
  }

  TemporaryFolder folder_;
};

TEST_F(ProductStoreCorruption, IsRefused) {
  expect_refused([](Parts& p) { put<std::uint8_t>(p.codec, centre_at, 1); }, "a product codec with a mean");
  expect_refused([](Parts& p) { put<std::uint8_t>(p.codec, exponent_at, 1); },
                 "the exponent is out of range");
  expect_refused([](Parts& p) { put<std::uint8_t>(p.codec, split_at, 1); }, "cannot be split");
  expect_refused([](Parts& p) { p.product.pop_back(); }, "p/product: wrong length");
  expect_refused([](Parts& p) { put<std::uint64_t>(p.product, 0, 0); }, "has no sub-spaces");
  expect_refused([](Parts& p) { put<std::uint64_t>(p.product, 0, width + 1); }, "has 10 sub-spaces");
  expect_refused([](Parts& p) { put<std::uint64_t>(p.product, 0, ~std::uint64_t{0}); }, "sub-spaces");
  expect_refused([](Parts& p) { put<std::uint64_t>(p.product, 0, width); }, "p/codes");
  expect_refused([](Parts& p) { put<std::uint64_t>(p.codec, dim_at, width + 1); }, "p/centroids");
  expect_refused([](Parts& p) { put<std::uint64_t>(p.codec, dim_at, 9000); }, "p/");
  expect_refused([](Parts& p) { p.centroids->pop_back(); }, "p/centroids");
  expect_refused([](Parts& p) { p.centroids.reset(); }, "p/centroids is missing");
  expect_refused([](Parts& p) { p.directions->push_back(0.0F); }, "p/directions");
  expect_refused([](Parts& p) { p.directions.reset(); }, "p/directions is missing");
  expect_refused([](Parts& p) { p.codes.pop_back(); }, "p/codes");
  for (const float value : {infinity, -infinity, nan, 0x1.0p55F}) {
    expect_refused([value](Parts& p) { p.centroids->back() = value; }, "centroids hold");
    expect_refused([value](Parts& p) { p.directions->front() = value; }, "directions hold");
  }
  expect_refused([](Parts& p) { p.directions->back() = 1.001F; }, "directions hold");
}

TEST_F(CodeStoreCorruption, OfASectionsType) {
  const Sections sections = sections_of(CodecKind::i8);
  ContainerWriter writer;
  writer.add_owned("p/codec", sections.codec);
  writer.add("p/codes", ElementType::i8, std::as_bytes(std::span(sections.codes)));
  writer.add<float>("p/factors", *sections.factors);
  writer.add<float>("p/mean", *sections.mean);
  writer.write(folder_ / "codes.vcn");
  EXPECT_THAT([&] { (void)CodeStore::load(Container::open(folder_ / "codes.vcn", OpenMode::load), "p"); },
              ThrowsMessage<CorruptFile>(HasSubstr("p/codes holds i8, expected u8")));
  EXPECT_THAT([&] { (void)CodeStore::load(Container::open(folder_ / "codes.vcn", OpenMode::load), "q"); },
              ThrowsMessage<CorruptFile>(HasSubstr("q/codec is missing")));
}

}  // namespace
}  // namespace vicinal
