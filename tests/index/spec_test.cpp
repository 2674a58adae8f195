#include "vicinal/index/spec.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <string>

namespace vicinal {
namespace {

using ::testing::HasSubstr;

std::string reason_of(const std::string& spec) {
  try {
    (void)parse_spec(spec);
  } catch (const SpecError& error) {
    const std::string what = error.what();
    return what.substr(0, what.find('\n'));
  }
  return "no error";
}

std::size_t position_of(const std::string& spec) {
  try {
    (void)parse_spec(spec);
  } catch (const SpecError& error) {
    return error.position();
  }
  return std::string::npos;
}

const HnswOptions& hnsw_of(const Spec& spec) { return std::get<HnswOptions>(spec.index); }

TEST(Spec, ParsesAFullPipeline) {
  const Spec spec = parse_spec("i8 | hnsw(m=16, efc=100) | rerank(f32, 2.5x)");
  EXPECT_EQ(spec.codec.kind, CodecKind::i8);
  EXPECT_TRUE(spec.codec.rotate);
  EXPECT_TRUE(spec.codec.centre);
  EXPECT_EQ(hnsw_of(spec).m, 16U);
  EXPECT_EQ(hnsw_of(spec).ef_construction, 100U);
  ASSERT_TRUE(spec.rerank.has_value());
  EXPECT_EQ(spec.rerank->rows, CodecKind::f32);
  EXPECT_EQ(spec.rerank->depth, 2.5);
}

TEST(Spec, LeavesOutWhatHasADefault) {
  EXPECT_EQ(parse_spec("hnsw"), parse_spec("f32 | hnsw(m=32, efc=200)"));
  EXPECT_EQ(parse_spec("hnsw()"), parse_spec("hnsw"));
  EXPECT_EQ(parse_spec("bf16"), parse_spec("bf16 | flat"));
  EXPECT_EQ(parse_spec("e4m3"), parse_spec("e4m3 | flat"));
  EXPECT_EQ(parse_spec("flat | rerank"), parse_spec("f32 | flat | rerank(f16, 3x)"));
}

TEST(Spec, IgnoresSpaceAndKeyOrder) {
  EXPECT_EQ(parse_spec("  i8(rotate=off)|hnsw( efc = 100 ,m=8 )\n|\trerank(4x)"),
            parse_spec("i8(rotate=off) | hnsw(m=8, efc=100) | rerank(f16, 4x)"));
  EXPECT_EQ(parse_spec("hnsw(ef_construction=77)"), parse_spec("hnsw(efc=77)"));
}

TEST(Spec, TakesTheDepthInEveryForm) {
  for (const char* form : {"rerank(f16, 3x)", "rerank(3x, f16)", "rerank(f16, depth=3)", "rerank(depth=3x)",
                           "rerank(depth=3.0)"}) {
    EXPECT_EQ(parse_spec(std::string("hnsw | ") + form), parse_spec("hnsw | rerank(f16, 3x)")) << form;
  }
}

TEST(Spec, PrintsTheCanonicalString) {
  EXPECT_EQ(to_string(parse_spec("i8|hnsw|rerank")), "i8 | hnsw(m=32, efc=200) | rerank(f16, 3x)");
  EXPECT_EQ(to_string(parse_spec("flat")), "f32 | flat");
  EXPECT_EQ(to_string(parse_spec("tiers(f16=.05,i8=0.20,i4)")), "tiers(f16=0.05, i8=0.2, i4) | flat");
  EXPECT_EQ(to_string(parse_spec("dedup")), "dedup | f32 | flat");
  EXPECT_EQ(to_string(parse_spec("dedup(codes)|pca(8)|i8")), "dedup(codes) | pca(8) | i8 | flat");
  EXPECT_EQ(to_string(parse_spec("i8(centre=off,rotate=off)")), "i8(rotate=off, centre=off) | flat");
  EXPECT_EQ(to_string(parse_spec("e4m3(norm=on)")), "e4m3 | flat");
  EXPECT_EQ(to_string(parse_spec("e3m4(norm=off)|hnsw")), "e3m4(norm=off) | hnsw(m=32, efc=200)");
  EXPECT_EQ(to_string(parse_spec("flat | rerank(1000x)")), "f32 | flat | rerank(f16, 1000x)");
  EXPECT_EQ(to_string(parse_spec("hnsw(layout=fused)")), "f32 | hnsw(m=16, efc=200, layout=fused)");
  EXPECT_EQ(to_string(parse_spec("hnsw(layout=plain,alpha=1.0)")), "f32 | hnsw(m=32, efc=200)");
  EXPECT_EQ(to_string(parse_spec("hnsw(alpha=1.25)")), "f32 | hnsw(m=32, efc=200, alpha=1.25)");
  EXPECT_EQ(to_string(parse_spec("hnsw(alpha=1,layout=fused)")),
            "f32 | hnsw(m=16, efc=200, alpha=1, layout=fused)");
  EXPECT_EQ(to_string(parse_spec("pca(192)|i8|hnsw")), "pca(192) | i8 | hnsw(m=32, efc=200)");
  EXPECT_EQ(to_string(parse_spec("truncate(dim=64)")), "truncate(64) | f32 | flat");
  EXPECT_EQ(to_string(parse_spec("pca(whiten=on, dim=8)")), "pca(8, whiten=on) | f32 | flat");
  EXPECT_EQ(to_string(parse_spec("pca(8, whiten=off)|f16")), "pca(8) | f16 | flat");
  EXPECT_EQ(to_string(parse_spec("pca(clusters=16, dim=96)|i4")), "pca(96, clusters=16) | i4 | flat");
  EXPECT_EQ(to_string(parse_spec("pca(96, clusters=1)|i4|hnsw")), "pca(96) | i4 | hnsw(m=32, efc=200)");
  EXPECT_EQ(to_string(parse_spec("dedup|pca(8, clusters=256)|rerank")),
            "dedup | pca(8, clusters=256) | f32 | flat | rerank(f16, 3x)");
  EXPECT_EQ(to_string(parse_spec("qpca(65536)|flat")), "qpca(65536) | f32 | flat");
  EXPECT_EQ(to_string(parse_spec("pq(96)")), "pq(96) | flat");
  EXPECT_EQ(to_string(parse_spec("pq(d/4)|hnsw")), "pq(d/4) | hnsw(m=32, efc=200)");
  EXPECT_EQ(to_string(parse_spec("opq(bits=8, m=96)")), "opq(96) | flat");
  EXPECT_EQ(to_string(parse_spec("pca(64)|opq(d/2, bits=4)|flat")), "pca(64) | opq(d/2, bits=4) | flat");
}

TEST(Spec, WritesLevelsOut) {
  EXPECT_EQ(to_string(parse_spec("i4+i4|flat")), "i4 | flat | rerank(+i4, 3x)");
  EXPECT_EQ(to_string(parse_spec("b1+i8|hnsw")), "b1 | hnsw(m=32, efc=200) | rerank(+i8, 10x)");
  EXPECT_EQ(to_string(parse_spec("i4+i8")), "i4 | flat | rerank(+i8, 3x)");
  EXPECT_EQ(parse_spec("b1+i8 | hnsw"), parse_spec("b1 | hnsw | rerank(10x, +i8)"));
  EXPECT_NE(parse_spec("i4 | rerank(+i8)"), parse_spec("i4 | rerank(i8)"));
}

TEST(Spec, LooksAtMoreCandidatesOfOneBit) {
  EXPECT_EQ(parse_spec("b1 | flat | rerank").rerank->depth, 10);
  EXPECT_EQ(parse_spec("b1 | flat | rerank(+i4)").rerank->depth, 10);
  EXPECT_EQ(parse_spec("b1 | flat | rerank(f32, 3x)").rerank->depth, 3);
  EXPECT_EQ(parse_spec("b2 | flat | rerank").rerank->depth, 3);
}

RC_GTEST_PROP(Spec, RoundTrips, ()) {
  Spec spec;
  spec.dedup = *rc::gen::element(Deduplication::none, Deduplication::rows, Deduplication::codes);
  if (*rc::gen::arbitrary<bool>()) {
    spec.projection.kind =
        *rc::gen::element(ProjectionKind::truncate, ProjectionKind::pca, ProjectionKind::query_pca);
    spec.projection.dim = *rc::gen::inRange<std::size_t>(1, 65'537);
    spec.projection.whiten = spec.projection.kind == ProjectionKind::pca && *rc::gen::arbitrary<bool>();
  }
  if (spec.projection.kind == ProjectionKind::pca && !spec.projection.whiten &&
      spec.dedup != Deduplication::codes && *rc::gen::arbitrary<bool>())
    spec.clusters = *rc::gen::inRange<std::size_t>(1, 257);
  spec.codec.kind = *rc::gen::element(CodecKind::f32, CodecKind::f16, CodecKind::bf16, CodecKind::i8,
                                      CodecKind::i4, CodecKind::b1, CodecKind::b2, CodecKind::e4m3,
                                      CodecKind::e5m2, CodecKind::e3m4, CodecKind::pq8, CodecKind::pq4);
  if (is_product(spec.codec.kind)) {
    spec.codec.rotate = *rc::gen::arbitrary<bool>();
    spec.codec.centre = false;
    const bool divided = *rc::gen::arbitrary<bool>();
    const auto number = *rc::gen::inRange<std::size_t>(1, divided ? 65'537 : 32'769);
    (divided ? spec.codec.product.divisor : spec.codec.product.parts) = number;
  }
  if (is_float8(spec.codec.kind)) spec.codec.norm = *rc::gen::arbitrary<bool>();
  if (is_integer(spec.codec.kind)) {
    spec.codec.rotate = *rc::gen::arbitrary<bool>();
    spec.codec.centre = *rc::gen::arbitrary<bool>();
  }
  if (spec.codec == CodecOptions{} && spec.clusters == 1 && spec.dedup != Deduplication::codes &&
      *rc::gen::arbitrary<bool>()) {
    for (const CodecKind kind : {CodecKind::f16, CodecKind::i8})
      spec.tiers.push_back({kind, 0.1 + 0.3 * (*rc::gen::inRange(1, 1'000'000)) / 1e6});
    spec.tiers.push_back({CodecKind::b1, 0});
  }
  if (spec.tiers.empty() && spec.clusters == 1 && *rc::gen::arbitrary<bool>()) {
    HnswOptions hnsw;
    hnsw.m = *rc::gen::inRange<std::size_t>(4, 129);
    hnsw.ef_construction = *rc::gen::inRange<std::size_t>(hnsw.m, 4097);
    if (*rc::gen::arbitrary<bool>()) {
      hnsw.layout = GraphLayout::fused;
      hnsw.m = *rc::gen::inRange<std::size_t>(1, 17) * 8;
      hnsw.ef_construction = *rc::gen::inRange<std::size_t>(hnsw.m, 4097);
    }
    hnsw.alpha = static_cast<float>(*rc::gen::inRange<int>(100, 201)) / 100;
    spec.index = hnsw;
  }
  if (*rc::gen::arbitrary<bool>()) {
    RerankOptions rerank;
    rerank.residual = is_integer(spec.codec.kind) && spec.projection.kind == ProjectionKind::none &&
                      *rc::gen::arbitrary<bool>();
    rerank.rows = rerank.residual
                      ? *rc::gen::element(CodecKind::i8, CodecKind::i4)
                      : *rc::gen::element(CodecKind::f32, CodecKind::f16, CodecKind::bf16, CodecKind::i8,
                                          CodecKind::i4, CodecKind::e4m3, CodecKind::e5m2, CodecKind::e3m4);
    // Any double of the range, not only those of a short decimal.
    rerank.depth = 1.0 + 999.0 * (static_cast<double>(*rc::gen::arbitrary<std::uint32_t>()) / 4294967295.0);
    spec.rerank = rerank;
  }
  RC_ASSERT(parse_spec(to_string(spec)) == spec);
}

// Whatever the characters, the answer is a spec or a SpecError that points into the string.
RC_GTEST_PROP(Spec, NeverFailsOtherwise, ()) {
  const auto pieces = *rc::gen::container<std::vector<std::string>>(rc::gen::element<std::string>(
      "pca", "dim", "whiten", "clusters", "i8", "f16", "hnsw", "flat", "rerank", "(", ")", ",", "=", "|", " ",
      "m", "efc", "3x", "on", "dedup", "codes", "tiers", "0.5", "32", "pq", "opq", "d/4", "d/", "/", "bits",
      "4", "+i8", "b1+i4", "\xC3\xA9", "\x01", "x"));
  std::string text;
  for (const std::string& piece : pieces) text += piece;
  try {
    const Spec spec = parse_spec(text);
    RC_ASSERT(parse_spec(to_string(spec)) == spec);
  } catch (const SpecError& error) {
    RC_ASSERT(error.position() <= text.size());
  }
}

TEST(SpecError, ShowsTheReasonTheSpecAndACaret) {
  try {
    (void)parse_spec("i8 | hnws | rerank");
    FAIL();
  } catch (const SpecError& error) {
    EXPECT_STREQ(error.what(),
                 "unknown stage 'hnws', expected one of dedup, pool, muvera, head, scan, truncate, pca, "
                 "qpca, f32, f16, bf16, i8, i4, "
                 "b1, b2, e4m3, "
                 "e5m2, e3m4, pq, opq, tiers, flat, "
                 "hnsw, rerank, maxsim; did you mean 'hnsw'?\n"
                 "i8 | hnws | rerank\n"
                 "     ^");
    EXPECT_EQ(error.position(), 5U);
  }
}

TEST(SpecError, IsAnInvalidArgument) { EXPECT_THROW((void)parse_spec(""), InvalidArgument); }

TEST(SpecError, PutsTheCaretUnderTheCharacterNotTheByte) {
  try {
    (void)parse_spec("hnsw(m=3\xC3\xA9)");
    FAIL();
  } catch (const SpecError& error) {
    EXPECT_THAT(error.what(), HasSubstr("unexpected character '\xC3\xA9'"));
    EXPECT_THAT(error.what(), HasSubstr("\n        ^"));
  }
  try {
    (void)parse_spec("i8\t|\nhnws");
    FAIL();
  } catch (const SpecError& error) {
    EXPECT_THAT(error.what(), HasSubstr("\ni8 | hnws\n     ^"));
  }
}

struct Wrong {
  const char* spec;
  std::size_t position;
  const char* reason;
};

class WrongSpec : public ::testing::TestWithParam<Wrong> {};

TEST_P(WrongSpec, SaysWhatAndWhere) {
  const Wrong& wrong = GetParam();
  EXPECT_THAT(reason_of(wrong.spec), HasSubstr(wrong.reason));
  EXPECT_EQ(position_of(wrong.spec), wrong.position) << wrong.spec;
}

INSTANTIATE_TEST_SUITE_P(
    All, WrongSpec,
    ::testing::Values(
        Wrong{"", 0, "the spec is empty"}, Wrong{"   ", 0, "the spec is empty"},
        Wrong{"i8 |", 4, "a stage is missing after the last '|'"},
        Wrong{"| hnsw", 0, "a stage is missing before '|'"},
        Wrong{"i8 || hnsw", 4, "a stage is missing before '|'"},
        Wrong{"(m=3)", 0, "expected a stage, got '('"}, Wrong{"int8", 0, "unknown stage 'int8'"},
        Wrong{"fp16", 0, "did you mean 'f16'?"}, Wrong{"HNSW", 0, "did you mean 'hnsw'?"},
        Wrong{"curator(fanout=4)", 0, "unknown stage 'curator'"},
        Wrong{"hnsw | i8", 7, "the codec must come before the index"},
        Wrong{"rerank | hnsw", 9, "the index must come before the rerank stage"},
        Wrong{"flat | hnsw", 7, "a second index"}, Wrong{"i8 | f16 | hnsw", 5, "a second codec"},
        Wrong{"hnsw(m=16", 9, "the ')' that closes the '(' at character 5"},
        Wrong{"hnsw(m=16 | flat", 10, "got '|'"},
        Wrong{"hnsw m=16", 5, "expected '|' or '(' after hnsw, got 'm'"},
        Wrong{"hnsw)", 4, "expected '|' after hnsw, got ')'"},
        Wrong{"hnsw(m=3)", 7, "m must be 4 to 128, got 3"},
        Wrong{"hnsw(m=129)", 7, "m must be 4 to 128, got 129"},
        Wrong{"hnsw(m=99999999999999999999999)", 7, "m must be 4 to 128, got 99999999999999999999999"},
        Wrong{"hnsw(m=-5)", 7, "m is a whole number of 4 to 128, got '-5'"},
        Wrong{"hnsw(layout=fast)", 12, "layout is plain or fused, got 'fast'"},
        Wrong{"hnsw(m=12, layout=fused)", 7, "m must be a multiple of 8 for layout=fused, got 12"},
        Wrong{"hnsw(alpha=0.9)", 11, "alpha must be a number from 1 to 2 such as 1.2, got '0.9'"},
        Wrong{"hnsw(alpha=nan)", 11, "alpha must be a number"}, Wrong{"hnsw(alpha=2.1)", 11, "from 1 to 2"},
        Wrong{"hnsw(m=16.5)", 7, "m is a whole number"}, Wrong{"hnsw(m=)", 7, "expected a value, got ')'"},
        Wrong{"hnsw(m)", 5, "'m' lacks its key"}, Wrong{"hnsw(m=16,)", 10, "expected an argument, got ')'"},
        Wrong{"hnsw(=16)", 5, "expected an argument, got '='"},
        Wrong{"hnsw(m=16, m=32)", 11, "m is given twice"},
        Wrong{"hnsw(efc=100, ef_construction=100)", 14, "efc is given twice"},
        Wrong{"hnsw(efx=100)", 5,
              "hnsw has no key 'efx', it has m, efc, ef_construction, alpha, layout; did you mean 'efc'?"},
        Wrong{"hnsw(efc=5000)", 9, "efc must be 1 to 4096, got 5000"},
        Wrong{"hnsw(efc=10)", 9, "efc must be at least m, which is 32, got 10"},
        Wrong{"flat(m=3)", 5, "flat takes no arguments"},
        Wrong{"f16(rotate=on)", 4, "f16 takes no arguments"},
        Wrong{"i8(rotate=yes)", 10, "rotate is on or off, got 'yes'"},
        Wrong{"hnsw | rerank(b1)", 14, "one of f32, f16, bf16, i8, i4, e4m3, e5m2, e3m4, +i8 and +i4"},
        Wrong{"hnsw | rerank(f16, f32)", 14, "one of f32, f16, bf16, i8, i4, e4m3, e5m2, e3m4, +i8 and +i4"},
        Wrong{"hnsw | rerank(0.5x)", 14, "the depth must be 1x to 1000x, got '0.5x'"},
        Wrong{"hnsw | rerank(1001x)", 14, "the depth must be 1x to 1000x"},
        Wrong{"hnsw | rerank(depth=nan)", 20, "the depth is a multiple of k such as 3x"},
        Wrong{"hnsw | rerank(depth=2x, 3x)", 24, "depth is given twice"},
        Wrong{"i8 | pca(8)", 5, "the projection must come before the codec"},
        Wrong{"pca(8) | truncate(4)", 9, "a second projection"},
        Wrong{"pca | flat", 0, "pca lacks the dimensions to keep, as in pca(192)"},
        Wrong{"qpca()", 0, "qpca lacks the dimensions to keep, as in qpca(192)"},
        Wrong{"pca(0)", 4, "dim must be 1 to 65536, got 0"},
        Wrong{"pca(65537)", 4, "dim must be 1 to 65536, got 65537"},
        Wrong{"pca(1.5)", 4, "dim is a whole number of 1 to 65536, got '1.5'"},
        Wrong{"pca(dim=x)", 8, "dim is a whole number of 1 to 65536, got 'x'"},
        Wrong{"pca(8, dim=9)", 4, "dim is given twice"},
        Wrong{"pca(8, 9)", 7, "pca takes the dimensions to keep"},
        Wrong{"pca(all)", 4, "pca takes the dimensions to keep, such as 192, got 'all'"},
        Wrong{"pca(8, whiten=1)", 14, "whiten is on or off, got '1'"},
        Wrong{"pca(8, clusters=0)", 16, "clusters must be 1 to 256, got 0"},
        Wrong{"pca(8, clusters=257)", 16, "clusters must be 1 to 256, got 257"},
        Wrong{"pca(8, clusters=x)", 16, "clusters is a whole number of 1 to 256, got 'x'"},
        Wrong{"pca(clusters=8)", 0, "pca lacks the dimensions to keep"},
        Wrong{"pca(8, clusters=4, whiten=on)", 16, "expected whiten=off or one cluster"},
        Wrong{"qpca(8, clusters=4)", 8, "qpca has no key 'clusters', it has dim"},
        Wrong{"truncate(8, clusters=4)", 12, "truncate has no key 'clusters', it has dim"},
        Wrong{"pca(8, clusters=4) | i4 | hnsw", 26, "pca with 4 clusters is searched by flat, got hnsw"},
        Wrong{"pca(8, clusters=4) | tiers(f16=0.1, i4)", 21, "one codec for all rows, got tiers"},
        Wrong{"dedup(codes) | pca(8, clusters=4)", 15, "dedup(codes) has none to compare: take dedup"},
        Wrong{"pca(8, clusters=4) | i8 | flat | rerank(+i8)", 40,
              "pca keeps 8: take rerank(i8) without the +"},
        Wrong{"truncate(8, whiten=on)", 12, "truncate has no key 'whiten', it has dim"},
        Wrong{"pq", 0, "pq lacks the number of sub-spaces, as in pq(96) or pq(d/4)"},
        Wrong{"opq(bits=4)", 0, "opq lacks the number of sub-spaces, as in opq(96) or opq(d/4)"},
        Wrong{"pq(0)", 3, "m must be 1 to 32768, got 0"}, Wrong{"pq(32769)", 3, "m must be 1 to 32768"},
        Wrong{"pq(9x)", 3, "m is a whole number of 1 to 32768, got '9x'"},
        Wrong{"pq(m=x)", 5, "m is a whole number of 1 to 32768, got 'x'"},
        Wrong{"pq(d/0)", 5, "the divisor must be 1 to 65536, got 0"},
        Wrong{"pq(d/)", 5, "the divisor is a whole number of 1 to 65536, got ''"},
        Wrong{"pq(d/4.5)", 5, "the divisor is a whole number of 1 to 65536, got '4.5'"},
        Wrong{"pq(m=d/0)", 7, "the divisor must be 1 to 65536"},
        Wrong{"pq(d / 4)", 5, "unexpected character '/'"}, Wrong{"pq(96, m=96)", 3, "m is given twice"},
        Wrong{"pq(96, 4)", 7, "pq takes the number of sub-spaces, such as 96 or d/4, got '4'"},
        Wrong{"pq(half)", 3, "pq takes the number of sub-spaces, such as 96 or d/4, got 'half'"},
        Wrong{"pq(96, bits=5)", 12, "bits is 8 or 4, got '5'"},
        Wrong{"pq(96, rotate=on)", 7, "pq has no key 'rotate', it has m, bits"},
        Wrong{"hnsw | rerank(pq)", 14, "rerank takes the rows' format, one of f32"},
        Wrong{"i8/hnsw", 2, "unexpected character '/'"},
        Wrong{"flat | rerank(+i8)", 14,
              "a residual level needs codes of i8, i4, b2 or b1 to add to, got f32"},
        Wrong{"f16 | hnsw | rerank(+i4, 3x)", 20, "to add to, got f16"},
        Wrong{"f16+i8 | flat", 4, "to add to, got f16"},
        Wrong{"i8 | flat | rerank(+f16)", 19, "rerank takes the rows' format"},
        Wrong{"i8 | flat | rerank(i8, +i4)", 23, "rerank takes the rows' format"},
        Wrong{"pca(8) | i8 | flat | rerank(+i8)", 28, "pca keeps 8: take rerank(i8) without the +"},
        Wrong{"pca(8) | i4+i8 | flat", 12, "a residual level adds to codes of all dimensions"},
        Wrong{"i4+b1 | flat", 3, "a second level of codes, i8 or i4, as in i4+i8; got i4+b1"},
        Wrong{"i4+ | flat", 3, "got i4+"}, Wrong{"i4+i4+i4 | flat", 3, "got i4+i4+i4"},
        Wrong{"+i4 | flat", 0, "unknown stage '+i4'"}, Wrong{"hnsw+i8", 5, "got hnsw+i8"},
        Wrong{"i4+i8(rotate=off) | flat", 13, "i4+i8 takes no arguments: write i4(...) and rerank(+i8)"},
        Wrong{"i4+i8 | flat | rerank", 15, "a second rerank stage: i4+i8 means i4 with rerank(+i8)"},
        Wrong{"i8 | dedup", 5, "the dedup stage must come before the codec"},
        Wrong{"dedup(rows) | flat", 6, "dedup takes nothing, or codes, got 'rows'"},
        Wrong{"dedup | dedup | flat", 8, "a second dedup stage"},
        Wrong{"tiers(f16=0.5, i8) | hnsw", 21, "tiers are searched by flat"},
        Wrong{"tiers | flat", 0, "tiers lacks its tiers, as in tiers(f16=0.05, i8=0.2, i4)"},
        Wrong{"tiers(i8) | flat", 0, "tiers lacks its tiers"},
        Wrong{"tiers(i8, i4) | flat", 6, "'i8' lacks its share, as in i8=0.1"},
        Wrong{"tiers(i8=0.1, i4=0.9)", 17, "the last tier takes the rest, it has no share, got i4=0.9"},
        Wrong{"tiers(i8=1.5, i4)", 9,
              "the share of a tier is a number between 0 and 1 such as 0.05, got '1.5'"},
        Wrong{"tiers(i8=0, i4)", 9, "got '0'"}, Wrong{"tiers(i8=x, i4)", 9, "got 'x'"},
        Wrong{"tiers(i8=0.5, f16=0.5, i4)", 18, "add up to 1, expected less than 1"},
        Wrong{"tiers(i8=0.1, i8)", 14, "i8 has two tiers"},
        Wrong{"tiers(pq=0.1, i8)", 6, "a tier is of f32, f16,"},
        Wrong{"i8 | tiers(f16=0.1, i4)", 5, "a second codec"},
        Wrong{"dedup(codes) | tiers(f16=0.1, i4)", 15, "dedup(codes) has no codes to compare"},
        Wrong{"tiers(f16=0.1, i4) | rerank(+i8)", 28, "a residual level adds to one codec, got tiers"},
        Wrong{"hnsw; flat", 4, "unexpected character ';'"}));

TEST(SpecError, ShortensAnAbsurdSpec) {
  EXPECT_THAT(reason_of(std::string(5000, ' ') + "hnsw"), HasSubstr("has 5004 characters"));
}

}  // namespace
}  // namespace vicinal
