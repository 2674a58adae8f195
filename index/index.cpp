#include "vicinal/index/index.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <numeric>
#include <optional>
#include <utility>
#include <vector>

#include "vicinal/index/clustered.hpp"
#include "vicinal/index/coded_rows.hpp"
#include "vicinal/index/deduplicated.hpp"
#include "vicinal/index/flat.hpp"
#include "vicinal/index/hnsw.hpp"
#include "vicinal/index/multi_vector.hpp"
#include "vicinal/index/multi_vector_build.hpp"
#include "vicinal/index/query_mapped.hpp"
#include "vicinal/index/reranked.hpp"
#include "vicinal/index/search_without.hpp"
#include "vicinal/index/tiered.hpp"
#include "vicinal/index/two_level.hpp"

namespace vicinal {
namespace {

// Row numbers are 32-bit, and the last two mean something else in places.
constexpr std::size_t most_rows = std::numeric_limits<std::uint32_t>::max() - std::size_t{1};

void require_base(MatrixView<const float> base) {
  if (base.rows() == 0) throw InvalidArgument("base has no rows, expected at least 1");
  if (base.cols() == 0) throw InvalidArgument("base has rows of dimension 0, expected at least 1");
  if (base.rows() > most_rows) {
    throw InvalidArgument(fmt::format("base has {} rows, an index holds at most {}", base.rows(), most_rows));
  }
  require_finite(base, "base");
}

bool ascending(std::span<const Id> ids) {
  return std::ranges::adjacent_find(ids, std::greater_equal<>()) == ids.end();
}

// The rows in ascending order of id; empty when they are given in it. Throws unless there is one id a row, none negative and
// none twice.
std::vector<std::uint32_t> order_of(std::span<const Id> ids, std::size_t rows) {
  if (ids.empty()) return {};
  if (ids.size() != rows)
    throw InvalidArgument(fmt::format("{} ids for {} rows, expected one a row", ids.size(), rows));
  const auto negative = std::ranges::find_if(ids, [](Id id) { return id < 0; });
  if (negative != ids.end()) {
    throw InvalidArgument(fmt::format("id {} of row {} is negative", *negative, negative - ids.begin()));
  }
  if (ascending(ids)) return {};
  std::vector<std::uint32_t> order(rows);
  std::iota(order.begin(), order.end(), 0U);
  std::ranges::sort(order, {}, [&](std::uint32_t row) { return std::pair(ids[row], row); });
  for (std::size_t i = 1; i < rows; ++i) {
    if (ids[order[i - 1]] != ids[order[i]]) continue;
    throw InvalidArgument(fmt::format("id {} is given to rows {} and {}, expected unique ids", ids[order[i]],
                                      order[i - 1], order[i]));
  }
  return order;
}

// Flat or graph, over vectors of few or all dimensions.
AnyRetriever build_inner(const Spec& spec, const CodecOptions& options, Metric metric,
                         MatrixView<const float> base, std::span<const float> popularity,
                         const BuildControl& control) {
  if (!spec.tiers.empty()) return build_tiered(spec, metric, base, popularity, control);
  const Codec codec = Codec::train(options, metric, base, control);
  control.throw_if_stopped();
  if (const auto* hnsw = std::get_if<HnswOptions>(&spec.index))
    return Hnsw::build(codec, base, *hnsw, control);
  return Flat(CodeStore::build(codec, base, {}, control));
}

// The popularity of rows in another order, empty for the one they are in.
std::vector<float> reordered(std::span<const float> popularity, std::span<const std::uint32_t> order) {
  if (order.empty() || popularity.size() != order.size()) return {popularity.begin(), popularity.end()};
  std::vector<float> result(order.size());
  for (std::size_t row = 0; row < order.size(); ++row) result[row] = popularity[order[row]];
  return result;
}

// A class is as popular as its rows are together.
std::vector<float> popularity_of(const DuplicateClasses& classes, std::span<const float> of_rows) {
  std::vector<double> sums(classes.classes());
  for (std::uint32_t row = 0; row < of_rows.size(); ++row)
    sums[classes.class_of(row)] += static_cast<double>(of_rows[row]);
  std::vector<float> result(sums.size());
  std::ranges::transform(sums, result.begin(), [](double sum) {
    return static_cast<float>(std::min(sum, static_cast<double>(std::numeric_limits<float>::max())));
  });
  return result;
}

AnyRetriever build_retriever(const Spec& spec, Metric metric, MatrixView<const float> base,
                             MatrixView<const float> queries, std::span<const float> popularity,
                             const BuildControl& control) {
  AnyRetriever retriever;
  if (spec.clusters > 1) {
    retriever = build_clustered(spec, metric, base, control);
  } else {
    CodedRows coded = coded_rows(spec, metric, base, queries, control);
    retriever = build_inner(spec, coded.codec, coded.metric, coded.rows, popularity, control);
    if (coded.projection) retriever = QueryMapped(std::move(retriever), std::move(*coded.projection));
  }
  control.throw_if_stopped();
  if (!spec.rerank) return retriever;
  if (spec.rerank->residual) return build_two_level(std::move(retriever), spec, base, control);
  const Codec codec = Codec::train(rerank_codec(spec), metric, base, control);
  CodeStore store = CodeStore::build(codec, base, {}, control);
  return Reranked(std::move(retriever), std::move(store), spec.rerank->depth);
}

DuplicateClasses find_duplicates(const Spec& spec, Metric metric, MatrixView<const float> base,
                                 MatrixView<const float> queries, const BuildControl& control) {
  if (spec.dedup == Deduplication::rows) return equal_rows(base, control);
  return equal_codes(coded_rows(spec, metric, base, queries, control).encode(control), control);
}

std::optional<Calibration> calibrate_retriever(const AnyRetriever& retriever, MatrixView<const float> base,
                                               const IndexOptions& options, const BuildControl& control) {
  if (!has_graph(retriever)) return std::nullopt;
  const auto search = [&](const VectorBatch& queries, std::span<const std::uint32_t> absent,
                          NeighborsView out, std::size_t effort, const SearchControl& search_control) {
    if (absent.empty()) {
      retriever.search(queries, out, {effort, {}}, search_control);
    } else {
      search_without(retriever, queries, absent, out, {effort, {}}, search_control);
    }
  };
  return calibrate(base, retriever.metric(), options.calibration_queries, options.seed, search, control);
}

}  // namespace

Index Index::build(const VectorBatch& base, std::string_view spec, Metric metric, const IndexOptions& options,
                   const BuildControl& control) {
  Index index;
  index.spec_ = with_seed(parse_spec(spec), options.seed);
  index.seed_ = options.seed;
  if (index.spec_.maxsim) return build_documents(std::move(index), base, metric, options, control);
  if (base.multi_vector())
    throw InvalidArgument(
        fmt::format("base has offsets, so its items are of several vectors, for which {} has no maxsim "
                    "stage: expected one, as in maxsim(i8)",
                    to_string(index.spec_)));
  if (!options.calibration_offsets.empty())
    throw InvalidArgument("calibration queries have offsets, the base has none");
  MatrixView<const float> rows = base.rows;
  require_base(rows);
  if (!options.calibration_queries.empty())
    validate_batch(options.calibration_queries, rows.cols(), "calibration queries");
  const std::vector<std::uint32_t> order = order_of(options.ids, rows.rows());
  Array<float> copy;
  if (!order.empty()) {
    copy = copy_rows(rows, order, control);
    rows = {copy.data(), rows.rows(), rows.cols()};
  }
  if (!options.ids.empty()) {
    index.ids_ = Array<Id>(options.ids.size());
    for (std::size_t row = 0; row < options.ids.size(); ++row)
      index.ids_[row] = options.ids[order.empty() ? row : order[row]];
  }
  if (index.spec_.tiers.empty() && !options.popularity.empty())
    throw InvalidArgument("a popularity is given, the spec has no tiers that go by it");
  if (!index.spec_.tiers.empty()) require_popularity(options.popularity, rows.rows());
  std::vector<float> popularity = reordered(options.popularity, order);
  DuplicateClasses classes;
  if (index.spec_.dedup != Deduplication::none) {
    classes = find_duplicates(index.spec_, metric, rows, options.calibration_queries, control);
    control.throw_if_stopped();
    if (classes.duplicates() > 0) {
      copy = distinct_rows(rows, classes);
      rows = {copy.data(), classes.classes(), rows.cols()};
      popularity = popularity_of(classes, popularity);
    }
  }
  index.retriever_ =
      build_retriever(index.spec_, metric, rows, options.calibration_queries, popularity, control);
  if (options.calibrate) index.calibration_ = calibrate_retriever(index.retriever_, rows, options, control);
  if (classes.duplicates() > 0)
    index.retriever_ = Deduplicated(std::move(index.retriever_), std::move(classes));
  return index;
}

// Documents of several vectors, kept in ascending order of id.
Index Index::build_documents(Index index, const VectorBatch& documents, Metric metric,
                             const IndexOptions& options, const BuildControl& control) {
  const Spec& spec = index.spec_;
  if (!documents.multi_vector())
    throw InvalidArgument(fmt::format(
        "base has no offsets, expected some: {} is of documents of several vectors", to_string(spec)));
  if (documents.size() == 0) throw InvalidArgument("base has no documents, expected at least 1");
  if (documents.size() > most_rows)
    throw InvalidArgument(
        fmt::format("base has {} documents, an index holds at most {}", documents.size(), most_rows));
  if (documents.dim() == 0) throw InvalidArgument("base has rows of dimension 0, expected at least 1");
  validate_batch(documents, documents.dim(), "base");
  const VectorBatch queries(options.calibration_queries, options.calibration_offsets);
  if (queries.size() > 0) validate_batch(queries, documents.dim(), "calibration queries");
  const std::vector<std::uint32_t> order = order_of(options.ids, documents.size());
  VectorBatch ordered = documents;
  std::vector<float> rows;
  std::vector<std::uint64_t> offsets{0};
  if (!order.empty()) {
    rows.reserve(checked_product(documents.rows.rows(), documents.dim(), "base"));
    for (const std::uint32_t document : order) {
      const MatrixView<const float> vectors = documents.item(document);
      for (std::size_t v = 0; v < vectors.rows(); ++v)
        rows.insert(rows.end(), vectors[v].begin(), vectors[v].end());
      offsets.push_back(offsets.back() + vectors.rows());
    }
    ordered = {{rows.data(), documents.rows.rows(), documents.dim()}, offsets};
  }
  index.ids_ = Array<Id>(options.ids.size());
  for (std::size_t i = 0; i < options.ids.size(); ++i)
    index.ids_[i] = options.ids[order.empty() ? i : order[i]];
  if (spec.tiers.empty() && !options.popularity.empty())
    throw InvalidArgument("a popularity is given, the spec has no tiers that go by it");
  if (!spec.tiers.empty()) require_popularity(options.popularity, documents.size());
  const std::vector<float> popularity = reordered(options.popularity, order);
  const Spec of_encodings = encodings_spec(spec);
  const auto build_encodings = [&](MatrixView<const float> encodings) {
    return build_retriever(of_encodings, Metric::ip, encodings, {}, popularity, control);
  };
  MultiVector retriever = build_multi_vector(spec, metric, ordered, build_encodings, control);
  if (options.calibrate)
    index.calibration_ = calibrate_multi_vector(retriever, ordered, queries, options.seed, control);
  index.retriever_ = std::move(retriever);
  return index;
}

Index Index::of_parts(const Spec& spec, std::uint64_t seed, AnyRetriever retriever, std::span<const Id> ids,
                      bool calibrate, const BuildControl& control) {
  Index index;
  index.spec_ = with_seed(spec, seed);
  index.seed_ = seed;
  index.retriever_ = std::move(retriever);
  const bool row_numbers = ids.empty() || (ids.front() == 0 && ids.back() == static_cast<Id>(ids.size()) - 1);
  if (const auto* documents = index.retriever_.get_if<MultiVector>(); documents != nullptr && calibrate) {
    index.calibration_ = calibrate_multi_vector(*documents, {}, {}, seed, control);
  } else if (calibrate) {
    Array<float> rows(checked_product(index.size(), index.dim(), "vectors"));
    const MatrixView<float> vectors(rows.data(), index.size(), index.dim());
    std::vector<Id> numbers(index.size());
    std::iota(numbers.begin(), numbers.end(), Id{0});
    index.reconstruct(numbers, vectors);
    index.calibration_ = calibrate_retriever(index.retriever_, vectors, {.seed = seed}, control);
  }
  if (!row_numbers) {
    index.ids_ = Array<Id>(ids.size());
    std::ranges::copy(ids, index.ids_.data());
  }
  return index;
}

std::size_t Index::duplicates() const {
  const auto* deduplicated = retriever_.get_if<Deduplicated>();
  return deduplicated == nullptr ? 0 : deduplicated->classes().duplicates();
}

std::vector<std::uint32_t> Index::rows_of_ids(std::span<const Id> ids) const {
  std::vector<std::uint32_t> rows;
  rows.reserve(ids.size());
  const std::span<const Id> known = ids_.span();
  for (const Id id : ids) {
    auto row = static_cast<std::uint64_t>(id);
    bool found = id >= 0 && row < size();
    if (!known.empty()) {
      const auto place = std::ranges::lower_bound(known, id);
      found = place != known.end() && *place == id;
      row = static_cast<std::uint64_t>(place - known.begin());
    }
    if (!found) throw InvalidArgument(fmt::format("id {} is not in the index", id));
    rows.push_back(static_cast<std::uint32_t>(row));
  }
  return rows;
}

void Index::reconstruct(std::span<const Id> ids, MatrixView<float> out) const {
  if (out.rows() != ids.size() || (out.rows() != 0 && out.cols() != dim())) {
    throw InvalidArgument(fmt::format("the vectors of {} ids of dimension {} do not fit into {} x {}",
                                      ids.size(), dim(), out.rows(), out.cols()));
  }
  if (spec_.maxsim)
    throw Unsupported(
        "documents of several vectors are given back one by one: MultiVector::documents().decode()");
  std::vector<std::uint32_t> rows = rows_of_ids(ids);
  const auto* deduplicated = retriever_.get_if<Deduplicated>();
  if (deduplicated != nullptr) {
    for (std::uint32_t& row : rows) row = deduplicated->classes().class_of(row);
  }
  const AnyRetriever& distinct = deduplicated == nullptr ? retriever_ : deduplicated->inner();
  const auto* mapped = distinct.get_if<QueryMapped>();
  const AnyRetriever& holder = mapped == nullptr ? distinct : mapped->inner();
  if (const auto* reranked = holder.get_if<Reranked>()) {
    for (std::size_t i = 0; i < rows.size(); ++i) reranked->decode(rows[i], out[i]);
    return;
  }
  if (const auto* clustered = holder.get_if<Clustered>()) {
    for (std::size_t i = 0; i < rows.size(); ++i) clustered->decode(rows[i], out[i]);
    return;
  }
  // Of the dimensions that are coded: a side value is no part of the vector.
  std::vector<float> projected(mapped == nullptr ? 0 : mapped->projection().out_dim());
  const auto map_back = [&](std::size_t i) {
    if (mapped != nullptr) mapped->projection().reconstruct(projected, out[i]);
  };
  if (const auto* tiered = holder.get_if<Tiered>()) {
    for (std::size_t i = 0; i < rows.size(); ++i) {
      tiered->decode(rows[i], mapped == nullptr ? out[i] : std::span<float>(projected));
      map_back(i);
    }
    return;
  }
  const CodeStore* codes = nullptr;
  if (const auto* flat = holder.get_if<Flat>()) {
    codes = &flat->codes();
  } else if (const auto* hnsw = holder.get_if<Hnsw>()) {
    codes = &hnsw->codes();
    const Array<std::uint32_t> slot_of_row = slots_of_rows(hnsw->row_of_slot());
    for (std::uint32_t& row : rows) row = slot_of_row[row];
  }
  if (codes == nullptr) throw Unsupported("this retriever does not give its vectors back");
  for (std::size_t i = 0; i < rows.size(); ++i) {
    codes->decode(rows[i], mapped == nullptr ? out[i] : std::span<float>(projected));
    map_back(i);
  }
}

Index Index::with_ids(std::span<const Id> ids) const {
  if (!order_of(ids, size()).empty()) throw InvalidArgument("the new ids do not ascend");
  Index renamed = *this;
  renamed.ids_ = Array<Id>(ids.size());
  std::ranges::copy(ids, renamed.ids_.data());
  return renamed;
}

}  // namespace vicinal
