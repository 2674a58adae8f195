#include "vicinal/index/hnsw.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "vicinal/core/error.hpp"
#include "vicinal/index/graph_builder.hpp"
#include "vicinal/index/hnsw_state.hpp"
#include "vicinal/index/insertion_order.hpp"

namespace vicinal {
namespace {

// Slots are 31 bits wide in the candidate pool.
constexpr std::size_t most_rows = (std::size_t{1} << 31) - 1;

void require_range(const char* name, std::size_t got, std::size_t least, std::size_t most) {
  if (got >= least && got <= most) return;
  throw InvalidArgument(std::string(name) + " is " + std::to_string(got) + ", expected " +
                        std::to_string(least) + " to " + std::to_string(most));
}

// For inner product: sqrt(largest squared norm - own), which makes all records of one length. Empty when they all but are.
std::vector<float> equalising_coordinate(const CodeStore& codes, const BuildControl& control) {
  if (codes.codec().metric() != Metric::ip) return {};
  constexpr std::size_t slots_per_task = 1024;
  std::vector<double> norms(codes.size());
  control.executor.for_each((codes.size() + slots_per_task - 1) / slots_per_task,
                            [&](std::size_t task, std::size_t) {
                              std::vector<float> vector(codes.dim());
                              const std::size_t end = std::min(codes.size(), (task + 1) * slots_per_task);
                              for (std::size_t slot = task * slots_per_task; slot < end; ++slot) {
                                codes.decode(slot, vector);
                                double sum = 0;
                                for (const float v : vector)
                                  sum += static_cast<double>(v) * static_cast<double>(v);
                                norms[slot] = sum;
                              }
                            });
  const auto [least, most] = std::minmax_element(norms.begin(), norms.end());
  constexpr double tolerance = 0.05;  // quantised unit vectors stay within it
  if (*most - *least <= tolerance * *most) return {};
  std::vector<float> extra(codes.size());
  for (std::size_t slot = 0; slot < codes.size(); ++slot)
    extra[slot] = static_cast<float>(std::sqrt(*most - norms[slot]));
  return extra;
}

// Two estimates from single bits are too far off to choose links by, and so are the few values that a product quantiser's
// sub-spaces have: their graphs are built on bytes, which are then dropped.
bool too_coarse_to_link(CodecKind kind) { return is_rabitq(kind) || is_product(kind); }

Codec builder_of_coarse(const Codec& codec, MatrixView<const float> documents, const BuildControl& control) {
  CodecOptions options = codec.options();
  options.kind = CodecKind::i8;
  if (is_rabitq(codec.kind())) return Codec::restore(options, codec.metric(), codec.dim(), codec.mean());
  options = {.kind = CodecKind::i8, .seed = options.seed};
  return Codec::train(options, codec.metric(), documents, control);
}

constexpr const char* fused_prefix = "/fused";

// m, efc and seed; where they are not the first ones' only values, layout and the bits of alpha as well.
std::string to_bytes(const HnswOptions& options) {
  std::vector<std::uint64_t> values{options.m, options.ef_construction, options.seed};
  if (options.layout != GraphLayout::plain || options.alpha != HnswOptions().alpha) {
    values.push_back(static_cast<std::uint64_t>(options.layout));
    values.push_back(std::bit_cast<std::uint32_t>(options.alpha));
  }
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(std::uint64_t)};
}

HnswOptions from_bytes(std::string_view bytes) {
  std::uint64_t values[5] = {0, 0, 0, 0, std::bit_cast<std::uint32_t>(HnswOptions().alpha)};
  if (bytes.size() != 3 * sizeof(values[0]) && bytes.size() != sizeof(values))
    throw InvalidArgument("wrong length");
  std::memcpy(values, bytes.data(), bytes.size());
  if (values[3] > static_cast<std::uint64_t>(GraphLayout::fused) || values[4] > 0xFFFF'FFFFU)
    throw InvalidArgument("layout or alpha is none that is known");
  return {.m = values[0],
          .ef_construction = values[1],
          .seed = values[2],
          .layout = static_cast<GraphLayout>(values[3]),
          .alpha = std::bit_cast<float>(static_cast<std::uint32_t>(values[4]))};
}

}  // namespace

void HnswOptions::validate() const {
  require_range("m", m, 4, 128);
  require_range("efc", ef_construction, m, 4096);
  if (!(alpha >= 1.0F && alpha <= 2.0F))
    throw InvalidArgument("alpha is " + std::to_string(alpha) + ", expected 1 to 2");
  if (layout == GraphLayout::fused && 2 * m % block_records != 0)
    throw InvalidArgument("m is " + std::to_string(m) + ", the fused layout wants a multiple of 8");
}

void Hnsw::Params::validate() const { require_range("ef", ef, 1, std::size_t{1} << 24); }

Hnsw Hnsw::build(const Codec& codec, MatrixView<const float> documents, const HnswOptions& options,
                 const BuildControl& control) {
  options.validate();
  if (documents.empty()) throw InvalidArgument("a graph needs at least one row, got none");
  if (documents.rows() > most_rows) {
    throw InvalidArgument("a graph holds at most " + std::to_string(most_rows) + " rows, got " +
                          std::to_string(documents.rows()));
  }
  const std::vector<std::uint32_t> order = insertion_order(documents, options.seed, control);
  control.report("encoding", 0, documents.rows());
  CodeStore own = CodeStore::build(codec, documents, order, control);
  Array<std::uint32_t> row_of_slot(order.size());
  std::copy(order.begin(), order.end(), row_of_slot.data());
  const bool too_coarse = too_coarse_to_link(codec.kind());
  const CodeStore finer =
      too_coarse ? CodeStore::build(builder_of_coarse(codec, documents, control), documents, order, control)
                 : CodeStore();
  const CodeStore& codes = too_coarse ? finer : own;
  Graph graph = build_graph(codes, equalising_coordinate(codes, control), options, control);
  return of_parts(options, std::move(own), std::move(graph), std::move(row_of_slot), control);
}

Hnsw Hnsw::of_parts(const HnswOptions& options, CodeStore codes, Graph graph,
                    Array<std::uint32_t> row_of_slot, const BuildControl& control) {
  auto state = std::make_shared<State>();
  state->options = options;
  state->codes = std::move(codes);
  state->graph = std::move(graph);
  state->row_of_slot = std::move(row_of_slot);
  if (options.layout == GraphLayout::fused) {
    state->rows = FusedRows::build(state->codes, state->graph.level(0), control);
    state->graph = state->graph.with_base(state->rows.level());
  }
  Hnsw index;
  index.state_ = std::move(state);
  return index;
}

std::size_t Hnsw::size() const { return state_->codes.size(); }
std::size_t Hnsw::dim() const { return state_->codes.codec().input_dim(); }
Metric Hnsw::metric() const { return state_->codes.codec().metric(); }
const HnswOptions& Hnsw::options() const { return state_->options; }
const CodeStore& Hnsw::codes() const { return state_->codes; }
const Graph& Hnsw::graph() const { return state_->graph; }
std::span<const std::uint32_t> Hnsw::row_of_slot() const { return state_->row_of_slot.span(); }
std::size_t Hnsw::memory_bytes() const {
  return state_->codes.memory_bytes() + state_->graph.memory_bytes() + state_->rows.memory_bytes() +
         state_->row_of_slot.bytes();
}

void Hnsw::save(ContainerWriter& writer, const std::string& prefix) const {
  writer.add_owned(prefix + "/options", to_bytes(state_->options));
  state_->codes.save(writer, prefix);
  state_->graph.save(writer, prefix);
  if (!state_->rows.empty()) state_->rows.save(writer, prefix + fused_prefix);
  writer.add(prefix + "/rows", state_->row_of_slot.span());
}

Hnsw Hnsw::load(const Container& file, const std::string& prefix) {
  const auto refuse = [&](const std::string& section, const std::string& reason) -> CorruptFile {
    return CorruptFile("section " + prefix + section + ": " + reason);
  };
  auto state = std::make_shared<State>();
  try {
    state->options = from_bytes(file.metadata(prefix + "/options"));
    state->options.validate();
  } catch (const InvalidArgument& error) {
    throw refuse("/options", error.what());
  }
  state->codes = CodeStore::load(file, prefix);
  const std::size_t size = state->codes.size();
  if (size == 0 || size > most_rows)
    throw refuse("/codec", "size is not in 1 to " + std::to_string(most_rows));
  if (state->options.layout == GraphLayout::fused) {
    state->rows = FusedRows::load(file, prefix + fused_prefix, state->codes, 2 * state->options.m);
    const Graph::Level base = state->rows.level();
    state->graph = Graph::load(file, prefix, size, &base);
  } else {
    state->graph = Graph::load(file, prefix, size);
  }
  for (std::size_t l = 0; l < state->graph.levels(); ++l) {
    if (state->graph.level(l).degree != (l == 0 ? 2 : 1) * state->options.m)
      throw refuse("/levels", "degree does not follow from m");
  }
  state->row_of_slot = file.array<std::uint32_t>(prefix + "/rows", size);
  std::vector<bool> seen(size, false);
  for (const std::uint32_t row : state->row_of_slot.span()) {
    if (row >= size || seen[row]) throw refuse("/rows", "is no permutation");
    seen[row] = true;
  }
  Hnsw index;
  index.state_ = std::move(state);
  return index;
}

}  // namespace vicinal
