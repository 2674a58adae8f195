// An Index as a `.vcn` file: docs/format.md.
#include <fmt/format.h>

#include <algorithm>
#include <new>
#include <utility>
#include <vector>

#include "vicinal/index/clustered.hpp"
#include "vicinal/index/deduplicated.hpp"
#include "vicinal/index/flat.hpp"
#include "vicinal/index/hnsw.hpp"
#include "vicinal/index/index.hpp"
#include "vicinal/index/metadata.hpp"
#include "vicinal/index/multi_vector.hpp"
#include "vicinal/index/query_mapped.hpp"
#include "vicinal/index/reranked.hpp"
#include "vicinal/index/tiered.hpp"
#include "vicinal/index/two_level.hpp"

namespace vicinal {
namespace {

constexpr const char* metadata_section = "index/meta";
constexpr const char* ids_section = "index/ids";
constexpr const char* hnsw_prefix = "hnsw";
constexpr const char* flat_prefix = "flat";
constexpr const char* rows_prefix = "rows";
constexpr const char* projection_prefix = "projection";
constexpr const char* dedup_prefix = "dedup";
constexpr const char* tiers_prefix = "tiers";
constexpr const char* clusters_prefix = "clusters";
constexpr const char* muvera_prefix = "muvera";
constexpr const char* tokens_prefix = "tokens";
constexpr const char* scan_prefix = "scan";
constexpr const char* head_prefix = "head";
constexpr const char* folded_section = "index/folded-log";

Spec spec_of(const IndexMetadata& metadata) {
  Spec spec;
  try {
    spec = parse_spec(metadata.spec);
  } catch (const SpecError& error) {
    const std::string_view what = error.what();
    throw CorruptFile(fmt::format("section {}: the spec does not parse: {}", metadata_section,
                                  what.substr(0, what.find('\n'))));
  }
  if (to_string(spec) != metadata.spec)
    throw CorruptFile(fmt::format("section {}: the spec is not canonical", metadata_section));
  return with_seed(std::move(spec), metadata.seed);
}

// A section that nothing reads was put there by something else than a save.
void require_known_sections(const Container& file, const Spec& spec, bool has_ids) {
  const auto starts_with = [](std::string_view name, std::string_view prefix) {
    return name.size() > prefix.size() && name.starts_with(prefix) && name[prefix.size()] == '/';
  };
  const bool scans = spec.maxsim && !spec.muvera && !spec.head;
  const char* const inner = std::holds_alternative<HnswOptions>(spec.index) ? hnsw_prefix
                            : spec.clusters > 1                             ? clusters_prefix
                            : spec.tiers.empty()                            ? flat_prefix
                                                                            : tiers_prefix;
  for (const SectionInfo& section : file.sections()) {
    const bool known = section.name == metadata_section || section.name == folded_section ||
                       (has_ids && section.name == ids_section) ||
                       (!scans && starts_with(section.name, inner)) ||
                       (spec.muvera && starts_with(section.name, muvera_prefix)) ||
                       (spec.head && starts_with(section.name, head_prefix)) ||
                       (spec.scan && starts_with(section.name, scan_prefix)) ||
                       (spec.maxsim && starts_with(section.name, tokens_prefix)) ||
                       (spec.rerank && starts_with(section.name, rows_prefix)) ||
                       (spec.projection.kind != ProjectionKind::none && spec.clusters == 1 &&
                        starts_with(section.name, projection_prefix)) ||
                       (spec.dedup != Deduplication::none && starts_with(section.name, dedup_prefix));
    if (!known)
      throw CorruptFile(
          fmt::format("section {} does not belong to an index of spec {}", section.name, to_string(spec)));
  }
}

// What a store of codes must hold.
struct ExpectedCodes {
  CodecOptions options;
  Metric metric;
  std::uint64_t dim;
  std::uint64_t size;
  bool may_have_side_value = false;
};

// Of codecs that are neither integers nor products kind and norm are all.
bool same_codec(const CodecOptions& stored, CodecOptions expected, std::uint64_t dim) {
  if (is_product(expected.kind)) expected.product = {expected.product.of(dim), 0};
  return is_integer(expected.kind) || is_product(expected.kind)
             ? stored == expected
             : stored.kind == expected.kind && stored.norm == expected.norm;
}

void require_codes(const CodeStore& codes, const ExpectedCodes& expected, std::string_view prefix) {
  CodecOptions stored = codes.codec().options();
  if (expected.may_have_side_value) stored.side_value = false;
  // Says nothing where there is no factor, and the first files of float8 had none, without a word of that in the spec.
  if (expected.options.norm || codes.codec().factor_count() == 0) stored.norm = expected.options.norm;
  const bool same = same_codec(stored, expected.options, expected.dim);
  if (!same || codes.codec().metric() != expected.metric || codes.dim() != expected.dim ||
      codes.size() != expected.size) {
    throw CorruptFile(
        fmt::format("sections {}/ hold {} {} vectors of dimension {} ({}), section {} says {} {} of {} ({})",
                    prefix, codes.size(), to_string(stored.kind), codes.dim(),
                    to_string(codes.codec().metric()), metadata_section, expected.size,
                    to_string(expected.options.kind), expected.dim, to_string(expected.metric)));
  }
}

// What the first files of float8 did not say in their spec.
void take_stored_norm(const CodeStore& codes, CodecOptions& codec) {
  if (is_float8(codec.kind) && codes.codec().metric() != Metric::l2)
    codec.norm = codes.codec().options().norm;
}

// Flat or graph.
AnyRetriever load_inner(const Container& file, Spec& spec, const ExpectedCodes& expected) {
  if (const auto* options = std::get_if<HnswOptions>(&spec.index)) {
    Hnsw hnsw = Hnsw::load(file, hnsw_prefix);
    require_codes(hnsw.codes(), expected, hnsw_prefix);
    take_stored_norm(hnsw.codes(), spec.codec);
    if (hnsw.options() != *options)
      throw CorruptFile("the graph was built with other options than the spec says");
    return hnsw;
  }
  if (!spec.tiers.empty()) {
    const std::vector<std::size_t> sizes = tier_sizes(spec.tiers, expected.size);
    Tiered tiered = Tiered::load(file, tiers_prefix, sizes);
    for (std::size_t t = 0; t < sizes.size(); ++t) {
      if (sizes[t] > 0)
        require_codes(tiered.codes(t), {tier_codec(spec, t), expected.metric, expected.dim, sizes[t]},
                      tiers_prefix);
    }
    return tiered;
  }
  CodeStore codes = CodeStore::load(file, flat_prefix);
  require_codes(codes, expected, flat_prefix);
  take_stored_norm(codes, spec.codec);
  return Flat(codes);
}

// What codes of projected vectors must hold.
ExpectedCodes expected_codes(const Projection& projection, const Spec& spec, std::uint64_t size) {
  return {spec.codec, projection.inner_metric(), projection.out_dim(), size, projection.has_side_value()};
}

void require_projection(const Projection& projection, const Spec& spec, const IndexMetadata& metadata,
                        std::string_view prefix) {
  if (projection.options() != spec.projection || projection.metric() != metadata.metric ||
      projection.in_dim() != metadata.dim) {
    throw CorruptFile(
        fmt::format("sections {}/ hold another projection than section {} says", prefix, metadata_section));
  }
}

AnyRetriever load_mapped(const Container& file, Spec& spec, const IndexMetadata& metadata) {
  Projection projection = Projection::load(file, projection_prefix);
  require_projection(projection, spec, metadata, projection_prefix);
  AnyRetriever inner = load_inner(file, spec, expected_codes(projection, spec, metadata.size));
  return QueryMapped(std::move(inner), std::move(projection));
}

AnyRetriever load_clustered(const Container& file, const Spec& spec, const IndexMetadata& metadata) {
  Clustered clustered = Clustered::load(file, clusters_prefix, spec.clusters);
  if (clustered.size() != metadata.size) {
    throw CorruptFile(fmt::format("sections {}/ hold {} rows, section {} says {}", clusters_prefix,
                                  clustered.size(), metadata_section, metadata.size));
  }
  for (std::size_t c = 0; c < clustered.clusters(); ++c) {
    const Projection& projection = clustered.projection(c);
    require_projection(projection, spec, metadata, clusters_prefix);
    require_codes(clustered.codes(c), expected_codes(projection, spec, clustered.rows(c).size()),
                  clusters_prefix);
  }
  return clustered;
}

AnyRetriever load_retriever(const Container& file, Spec& spec, const IndexMetadata& metadata) {
  AnyRetriever retriever =
      spec.clusters > 1 ? load_clustered(file, spec, metadata)
      : spec.projection.kind == ProjectionKind::none
          ? load_inner(file, spec, {spec.codec, metadata.metric, metadata.dim, metadata.size})
          : load_mapped(file, spec, metadata);
  if (!spec.rerank) return retriever;
  CodeStore rows = CodeStore::load(file, rows_prefix);
  const bool residual = spec.rerank->residual;
  const Metric metric = residual ? TwoLevelStore::second_metric(metadata.metric) : metadata.metric;
  require_codes(rows, {rerank_codec(spec), metric, metadata.dim, metadata.size}, rows_prefix);
  if (residual) return restore_two_level(std::move(retriever), std::move(rows), spec.rerank->depth);
  return Reranked(std::move(retriever), std::move(rows), spec.rerank->depth);
}

TokenStore load_tokens(const Container& file, const CodecOptions& codec, const IndexMetadata& metadata,
                       const char* prefix) {
  TokenStore documents = TokenStore::load(file, prefix);
  require_codes(documents.codes(), {codec, metadata.metric, metadata.dim, documents.tokens()}, prefix);
  if (documents.size() != metadata.size)
    throw CorruptFile(fmt::format("sections {}/ hold {} documents, section {} says {}", prefix,
                                  documents.size(), metadata_section, metadata.size));
  return documents;
}

DocumentEncoder load_encoder(const Container& file, Spec& spec, const IndexMetadata& metadata) {
  const bool scale_tokens = metadata.metric == Metric::cosine;
  if (spec.head) {
    TokenHeadOptions options = *spec.head;
    options.scale_tokens = scale_tokens;
    return TokenHead::load(file, head_prefix, options, metadata.dim);
  }
  FdeOptions options = *spec.muvera;
  options.scale_tokens = scale_tokens;
  FdeEncoder encoder = FdeEncoder::load(file, muvera_prefix, options, metadata.dim);
  // What the first files did not say in their spec.
  if (encoder.options().partition != options.partition_for(metadata.dim))
    spec.muvera->partition = encoder.options().partition;
  return encoder;
}

// Documents of several vectors; what lies in between is an index of their encodings.
AnyRetriever load_documents(const Container& file, Spec& spec, const IndexMetadata& metadata) {
  TokenStore documents = load_tokens(file, maxsim_codec(spec), metadata, tokens_prefix);
  if (spec.scan) {
    CoarseScan coarse{load_tokens(file, scan_codec(spec), metadata, scan_prefix), spec.scan->carve};
    return MultiVector(std::move(coarse), std::move(documents), spec.maxsim->depth);
  }
  if (!spec.muvera && !spec.head) return MultiVector(std::move(documents));
  DocumentEncoder encoder = load_encoder(file, spec, metadata);
  IndexMetadata of_encodings = metadata;
  of_encodings.metric = Metric::ip;
  of_encodings.dim = encoder.out_dim();
  AnyRetriever inner = load_retriever(file, spec, of_encodings);
  return MultiVector(std::move(encoder), std::move(inner), std::move(documents), spec.maxsim->depth);
}

Array<Id> load_ids(const Container& file, std::uint64_t size) {
  Array<Id> ids = file.array<Id>(ids_section, size);
  const std::span<const Id> values = std::as_const(ids).span();
  const bool ascending = std::ranges::adjacent_find(values, std::greater_equal<>()) == values.end();
  if (values.empty() || values.front() < 0 || !ascending) {
    throw CorruptFile(fmt::format("section {}: ids do not ascend from 0 or more", ids_section));
  }
  return ids;
}

}  // namespace

void Index::save(const std::filesystem::path& path) const { save(path, std::nullopt); }

void Index::save(const std::filesystem::path& path, const std::optional<LogIdentity>& folded) const {
  if (!retriever_.has_value())
    throw InvalidArgument("the index is empty: nothing was built or opened, so there is nothing to save");
  const IndexMetadata metadata{to_string(spec_), metric(), dim(), size(), seed_, !ids_.empty(), calibration_};
  ContainerWriter writer;
  writer.add_owned(metadata_section, encode_metadata(metadata));
  if (!ids_.empty()) writer.add(ids_section, ids_.span());
  if (folded) writer.add(folded_section, std::span<const std::uint8_t>(*folded));
  const auto* deduplicated = retriever_.get_if<Deduplicated>();
  if (deduplicated != nullptr) deduplicated->classes().save(writer, dedup_prefix);
  const auto* documents = retriever_.get_if<MultiVector>();
  if (documents != nullptr) documents->documents().save(writer, tokens_prefix);
  if (documents != nullptr && documents->coarse()) documents->coarse()->documents.save(writer, scan_prefix);
  if (documents != nullptr && documents->inner().has_value())
    documents->encoder().save(writer, spec_.head ? head_prefix : muvera_prefix);
  const AnyRetriever& distinct = documents != nullptr      ? documents->inner()
                                 : deduplicated == nullptr ? retriever_
                                                           : deduplicated->inner();
  const auto* reranked = distinct.get_if<Reranked>();
  const AnyRetriever& ranked = reranked == nullptr ? distinct : reranked->inner();
  const auto* mapped = ranked.get_if<QueryMapped>();
  const AnyRetriever& inner = mapped == nullptr ? ranked : mapped->inner();
  if (mapped != nullptr) mapped->projection().save(writer, projection_prefix);
  if (const auto* hnsw = inner.get_if<Hnsw>()) hnsw->save(writer, hnsw_prefix);
  if (const auto* flat = inner.get_if<Flat>()) flat->codes().save(writer, flat_prefix);
  if (const auto* tiered = inner.get_if<Tiered>()) tiered->save(writer, tiers_prefix);
  if (const auto* clustered = inner.get_if<Clustered>()) clustered->save(writer, clusters_prefix);
  if (reranked != nullptr) reranked->rows().save(writer, rows_prefix);
  writer.write(path);
}

std::optional<Index::LogIdentity> Index::folded_log(const Container& file) {
  if (!file.contains(folded_section)) return std::nullopt;
  LogIdentity identity{};
  const Array<std::uint8_t> bytes = file.array<std::uint8_t>(folded_section, identity.size());
  std::ranges::copy(bytes.span(), identity.begin());
  return identity;
}

Index Index::open(const std::filesystem::path& path, OpenMode mode) {
  return open(Container::open(path, mode));
}

Index Index::open(const Container& file) {
  const IndexMetadata metadata = decode_metadata(file.metadata(metadata_section));
  Index index;
  try {
    index.spec_ = spec_of(metadata);
    require_known_sections(file, index.spec_, metadata.has_ids);
    index.seed_ = metadata.seed;
    DuplicateClasses classes;
    if (index.spec_.dedup != Deduplication::none)
      classes = DuplicateClasses::load(file, dedup_prefix, metadata.size);
    IndexMetadata distinct = metadata;
    distinct.size -= classes.duplicates();
    index.retriever_ = index.spec_.maxsim ? load_documents(file, index.spec_, distinct)
                                          : load_retriever(file, index.spec_, distinct);
    if (classes.duplicates() > 0)
      index.retriever_ = Deduplicated(std::move(index.retriever_), std::move(classes));
  } catch (const InvalidArgument& error) {
    // What a constructor refuses as an argument was read from the file.
    throw CorruptFile(error.what());
  }
  if (metadata.has_ids) index.ids_ = load_ids(file, metadata.size);
  if (metadata.calibration && !takes_effort(index.spec_))
    throw CorruptFile("a flat index with a calibration");
  index.calibration_ = metadata.calibration;
  return index;
}

}  // namespace vicinal
