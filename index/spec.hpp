#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "vicinal/core/error.hpp"
#include "vicinal/encode/fde.hpp"
#include "vicinal/encode/token_head.hpp"
#include "vicinal/encode/token_pooling.hpp"
#include "vicinal/index/flat.hpp"
#include "vicinal/index/hnsw.hpp"
#include "vicinal/quant/codec.hpp"
#include "vicinal/quant/projection.hpp"

namespace vicinal {

/// A spec string that does not parse. what() holds three lines: the reason, the string and a caret under the character.
class SpecError : public InvalidArgument {
 public:
  SpecError(std::string_view spec, std::size_t position, const std::string& reason);
  [[nodiscard]] std::size_t position() const { return position_; }  ///< 0-based byte in the spec

 private:
  std::size_t position_;
};

/// Scoring the candidates again on more precise rows.
struct RerankOptions {
  CodecKind rows = CodecKind::f16;
  double depth = 3.0;  ///< candidates taken from the inner index, as a multiple of k
  bool residual =
      false;  ///< the rows are the codes of the index plus what those lack, coded as `rows` (TwoLevelStore)

  friend bool operator==(const RerankOptions&, const RerankOptions&) = default;
};

/// Documents of several vectors, scored exactly.
struct MaxSimOptions {
  CodecKind rows = CodecKind::i8;
  double depth =
      10.0;  ///< candidates found before, as a multiple of k; behind scan 5 by default; alone there are none

  friend bool operator==(const MaxSimOptions&, const MaxSimOptions&) = default;
};

/// Documents of several vectors, all compared by a shorter query with coarser vectors.
struct ScanOptions {
  CodecKind rows = CodecKind::i4;
  double carve = 0.7;  ///< carve_query()'s tau, of 0 to 1; 0: the query as it is

  friend bool operator==(const ScanOptions&, const ScanOptions&) = default;
};

/// One tier of rows, of which the most popular are in the first.
struct TierOptions {
  CodecKind kind = CodecKind::f32;
  double share = 0;  ///< of all rows; 0 for the last tier, which has the rest

  friend bool operator==(const TierOptions&, const TierOptions&) = default;
};

/// Whether vectors that are the same are kept once. Of equal codes is what equal_codes() says, with the codec of the spec.
enum class Deduplication : std::uint8_t { none, rows, codes };

/// What a spec string says: dedup | projection | codec | index | rerank, or of documents of several vectors
/// pool | muvera | ... | maxsim, pool | head | ... | maxsim or pool | scan | maxsim.
///
///   i8 | hnsw(m=32, efc=200) | rerank(f16, 3x)      codes are traversed, candidates rescored on f16 rows
///   f16 | flat        i8(rotate=off) | hnsw         flat        hnsw
///   pca(192) | i8 | hnsw | rerank(f16)              codes and graph of 192 dimensions, rescored on rows of all
///
///   b1 | hnsw | rerank(+i8, 10x)                    rescored on codes plus the coded residual; b1+i8 | hnsw says the same
///
///   muvera(reps=40, bits=3, dim=8) | i8 | hnsw | maxsim(i8, 10x)    documents of several vectors, found by one each, rescored exactly
///   head(dim=1024) | i8 | hnsw | maxsim(i8, 10x)    the same by encodings that are learned from the documents
///   scan(i4, carve=0.7) | maxsim(i8, 5x)            the same without a graph: all documents are compared roughly, the best rescored
///   maxsim(i8)                                      every document is scored
///   pool(2x) | maxsim(i8)                           of half as many vectors a document
///
/// dedup   none (default) | dedup: of equal vectors one is kept, with the list of their ids | dedup(codes): of equal codes
/// projection  none (default) | truncate(<dim>) | pca(<dim>, whiten=on|off, clusters=1..256) | qpca(<dim>), <dim> also written
///         dim=<dim>: Projection. With several clusters rows are grouped by k-means, each group has a projection and codes of its own:
///         Clustered; with flat only, not whitened
/// codec   f32 (default) | f16 | bf16 | i8(rotate=on|off, centre=on|off) | i4, b2 and b1(the same)
///         | e4m3(norm=on|off) | e5m2 and e3m4(the same)
///         | pq(<m>, bits=8|4) | opq(the same), <m> sub-spaces as a number or as d/<divisor> of the dimensions coded, rounded up,
///         also written m=<m>
///         tiers(<codec>=<share>, ..., <codec>): several codecs without options in place of one, for rows by their popularity; the shares are
///         of all rows, the last tier has the rest. Tiered; with flat only
/// index   flat (default) | hnsw(m=4..128, efc=m..4096, alpha=1..2, layout=plain|fused), efc is also written ef_construction; m is 32 and
///         alpha 1 unless said, with layout=fused 16, in eights, and 1.2
///         <codec>+<level>, such as i4+i4, is the codec with rerank(+<level>)
/// rerank  rerank(f32|f16|bf16|i8|i4|e4m3|e5m2|e3m4|+i8|+i4, <depth>x), depth 1 to 1000, also written depth=<depth>; by default f16 and
///         3x, over b1 10x. With a + the rows hold what the codes of i8, i4, b2 or b1 lack; not behind a projection
///
/// pool    none (default) | pool(ward|kmeans, <factor>x, clusters=1.., protect=0.., renormalise=on|off): pool_tokens() of every document, by
///         ward and in half unless said; of clusters and a factor one is given
/// scan    none (default) | scan(<format>, carve=0..1|off), by default i4 and 0.7; formats as of maxsim. In place of muvera and what follows it
/// muvera  none (default) | muvera(reps=1..1024, bits=0..12, dim=1.., projection=sketch|dense|identity, shared=on|off, bucket=unit|mean,
///         empty=zero|nearest, partition=planes|cross, centre=on|off, final=..): FdeEncoder; partition=cross
///         up to 4 bits unless said. muvera(paper) begins with what its authors
///         chose. The stages between muvera and maxsim are about encodings; not behind dedup
/// head    none (default) | head(dim=16..16384, samples=1..65536, ridge=1e-6..1e6): TokenHead, learned from the documents, in place of
///         muvera
/// maxsim  none (default) | maxsim(f32|f16|bf16|i8|i4|b2|b1|e4m3|e5m2|e3m4, <depth>x), by default i8 and 10x, also written depth=<depth>:
///         how the documents' vectors are stored and how many are scored (behind scan 5x). Without muvera or scan it scores all, and has no
///         depth
///
/// Names are lower-case, space between words is free, stages come in this order and each at most once. A spec says nothing of
/// seeds: those of a parsed one are the defaults, and to_string() leaves them out.
struct Spec {
  Deduplication dedup = Deduplication::none;
  ProjectionOptions projection;
  std::size_t clusters = 1;  ///< of rows, with a projection each; above 1 for pca alone
  CodecOptions codec;
  std::vector<TierOptions> tiers = {};  ///< in place of the codec, which is f32 then; at least two, or none
  std::variant<FlatOptions, HnswOptions> index;
  std::optional<RerankOptions> rerank;
  std::optional<PoolingOptions> pool =
      {};  ///< only with maxsim, as are the next three, of which at most one is given
  std::optional<FdeOptions> muvera = {};
  std::optional<TokenHeadOptions> head = {};
  std::optional<ScanOptions> scan = {};
  std::optional<MaxSimOptions> maxsim =
      {};  ///< documents of several vectors; without muvera and head all of the above but pool and scan is as by default

  friend bool operator==(const Spec&, const Spec&) = default;
};

/// What the rerank rows are coded with; of residual rows, the second level.
CodecOptions rerank_codec(const Spec& spec);

/// What the vectors of documents are coded with, for a spec with maxsim; and what those of its scan are.
CodecOptions maxsim_codec(const Spec& spec);
CodecOptions scan_codec(const Spec& spec);

/// What the stages between muvera or head and maxsim say, which is of encodings by inner product.
Spec encodings_spec(Spec spec);

/// Whether a search looks at some candidates, more or fewer, so that an effort and a calibration mean something; else it compares with everything.
[[nodiscard]] bool takes_effort(const Spec& spec);

/// With the seed in the codec's options and the graph's, of which a spec string says nothing.
Spec with_seed(Spec spec, std::uint64_t seed);

/// Throws SpecError.
Spec parse_spec(std::string_view text);
/// The canonical string, e.g. "i8 | hnsw(m=32, efc=200) | rerank(f16, 3x)": parse_spec(to_string(s)) == s but for seeds, and for
/// options of integers that another codec does not have.
std::string to_string(const Spec& spec);
/// Several lines of plain words: every stage, every parameter and its value, bytes a vector for `dim` dimensions.
std::string explain(const Spec& spec, std::size_t dim);

}  // namespace vicinal
