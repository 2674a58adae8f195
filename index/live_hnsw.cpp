#include "vicinal/index/live_hnsw.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

#include "vicinal/core/change_ids.hpp"
#include "vicinal/core/error.hpp"
#include "vicinal/core/vector_batch.hpp"
#include "vicinal/index/live_builder.hpp"
#include "vicinal/index/live_state.hpp"

namespace vicinal {
namespace {

constexpr std::size_t rows_per_task = 64;

// The records of rows before they have slots.
struct Encoded {
  Array<std::byte> records;
  Array<float> factors;

  Encoded(const Codec& codec, MatrixView<const float> rows, const BuildControl& control)
      : records(checked_product(rows.rows(), codec.stride(), "codes")),
        factors(checked_product(rows.rows(), codec.factor_count(), "factors")) {
    control.executor.for_each((rows.rows() + rows_per_task - 1) / rows_per_task, [&](std::size_t task,
                                                                                     std::size_t) {
      const std::size_t begin = task * rows_per_task, end = std::min(rows.rows(), begin + rows_per_task);
      codec.encode_rows(rows, {}, begin, end, records.data() + begin * codec.stride(),
                        codec.factor_count() == 0 ? nullptr : factors.data() + begin * codec.factor_count());
    });
  }
  void copy_to(std::size_t row, const Codec& codec, std::byte* record, float* its_factors) const {
    std::memcpy(record, records.data() + row * codec.stride(), codec.stride());
    if (codec.factor_count() == 0) return;
    std::memcpy(its_factors, factors.data() + row * codec.factor_count(),
                codec.factor_count() * sizeof(float));
  }
};

float squared_norm(std::span<const float> vector) {
  double sum = 0;
  for (const float v : vector) sum += static_cast<double>(v) * static_cast<double>(v);
  return static_cast<float>(sum);
}

void require_rerank(const Codec& codec, const LiveRerank& rerank) {
  if (!(rerank.depth >= 1))
    throw InvalidArgument(fmt::format("the depth of a rerank is {}, expected 1 or more", rerank.depth));
  if (rerank.codec.input_dim() != codec.input_dim() || rerank.codec.metric() != codec.metric()) {
    throw InvalidArgument(fmt::format("rerank rows of dimension {} ({}) for a graph of dimension {} ({})",
                                      rerank.codec.input_dim(), to_string(rerank.codec.metric()),
                                      codec.input_dim(), to_string(codec.metric())));
  }
}

}  // namespace

void LiveHnsw::Params::validate() const {
  Hnsw::Params{.ef = ef}.validate();
  if (depth != 0 && !(depth >= 1))
    throw InvalidArgument(fmt::format("the depth is {}, expected 0 or at least 1", depth));
}

LiveHnsw::LiveHnsw(const Codec& codec, const HnswOptions& options, std::optional<LiveRerank> rerank) {
  options.validate();
  if (rerank) require_rerank(codec, *rerank);
  state_ = std::make_shared<LiveState>(codec, options, std::move(rerank), 0);
}

std::size_t LiveHnsw::size() const {
  return state_ == nullptr ? 0 : state_->live.load(std::memory_order_relaxed);
}
std::size_t LiveHnsw::dim() const { return state_ == nullptr ? 0 : state_->codec.input_dim(); }
Metric LiveHnsw::metric() const { return state_ == nullptr ? Metric::l2 : state_->codec.metric(); }
std::size_t LiveHnsw::memory_bytes() const { return state_ == nullptr ? 0 : state_->memory_bytes(); }
const HnswOptions& LiveHnsw::options() const { return state_->options; }
const Codec& LiveHnsw::codec() const { return state_->codec; }
std::size_t LiveHnsw::retired() const { return state_->retired.load(std::memory_order_relaxed); }

bool LiveHnsw::contains(Id id) const {
  const std::shared_lock lock(state_->names_mutex);
  return state_->slot_of.find(id) != state_->slot_of.end();
}

std::vector<Id> LiveHnsw::ids() const {
  std::vector<Id> result;
  {
    const std::shared_lock lock(state_->names_mutex);
    result.reserve(state_->slot_of.size());
    for (const auto& [id, slot] : state_->slot_of) result.push_back(id);
  }
  std::ranges::sort(result);
  return result;
}

void LiveHnsw::reconstruct(std::span<const Id> ids, MatrixView<float> out) const {
  if (out.rows() != ids.size() || (out.rows() != 0 && out.cols() != dim())) {
    throw InvalidArgument(fmt::format("the vectors of {} ids of dimension {} do not fit into {} x {}",
                                      ids.size(), dim(), out.rows(), out.cols()));
  }
  const LiveState& state = *state_;
  const Epochs::Pin pin = state.epochs.pin();
  std::vector<std::uint32_t> slots;
  {
    const std::shared_lock lock(state.names_mutex);
    for (const Id id : ids) {
      const auto found = state.slot_of.find(id);
      if (found == state.slot_of.end()) throw InvalidArgument(fmt::format("id {} is not in the index", id));
      slots.push_back(found->second);
    }
  }
  for (std::size_t i = 0; i < slots.size(); ++i) {
    const std::uint32_t slot = slots[i];
    if (state.rerank) {
      state.rerank->codec.decode(state.rerank_records.row(slot),
                                 state.rerank_factors.empty() ? nullptr : state.rerank_factors.row(slot),
                                 out[i]);
    } else {
      state.codec.decode(state.records.row(slot), state.factors.empty() ? nullptr : state.factors.row(slot),
                         out[i]);
    }
  }
}

std::size_t LiveHnsw::apply(const LiveChange& change, const BuildControl& control,
                            const std::function<void()>& before) {
  LiveState& state = *state_;
  const std::size_t count = change.rows.rows();
  if (!change.offsets.empty())
    throw InvalidArgument(
        "rows have offsets, so they are items of several vectors; expected one vector an item");
  if (change.ids.size() != count)
    throw InvalidArgument(fmt::format("{} ids for {} rows, expected one a row", change.ids.size(), count));
  if (count != 0) validate_batch(change.rows, dim(), "rows");
  require_change_ids(change.ids, change.removed);
  const Encoded encoded(state.codec, change.rows, control);
  std::optional<Encoded> precise;
  if (state.rerank) precise.emplace(state.rerank->codec, change.rows, control);
  control.throw_if_stopped();

  const std::lock_guard writing(state.writer);
  state.reclaim();
  // Only the writer changes the names, so it may read them without the lock.
  std::vector<std::uint32_t> gone;
  for (const Id id : change.ids) {
    const auto found = state.slot_of.find(id);
    if (found == state.slot_of.end()) continue;
    if (change.must_be_new)
      throw InvalidArgument(fmt::format("id {} is in the index already (upsert replaces)", id));
    gone.push_back(found->second);
  }
  const std::size_t replaced = gone.size();
  for (const Id id : change.removed) {
    const auto found = state.slot_of.find(id);
    if (found != state.slot_of.end()) gone.push_back(found->second);
  }
  std::sort(gone.begin() + static_cast<std::ptrdiff_t>(replaced), gone.end());
  gone.erase(std::unique(gone.begin() + static_cast<std::ptrdiff_t>(replaced), gone.end()), gone.end());
  if (count == 0 && gone.empty()) return 0;

  // What may fail comes before the first change, but for running out of memory while linking.
  state.newly_retired.reserve(state.newly_retired.size() + gone.size() + count);
  {
    const std::unique_lock names(state.names_mutex);
    state.slot_of.reserve(state.slot_of.size() + count);
  }
  LiveBuilder builder(state, control);
  std::vector<std::uint32_t> fresh;
  state.require_room(count);
  if (before) before();
  state.reserve_slots(count, fresh);
  for (std::size_t row = 0; row < count; ++row) {
    const std::uint32_t slot = fresh[row];
    encoded.copy_to(row, state.codec, state.records.row(slot),
                    state.factors.empty() ? nullptr : state.factors.row(slot));
    if (precise) {
      precise->copy_to(row, state.rerank->codec, state.rerank_records.row(slot),
                       state.rerank_factors.empty() ? nullptr : state.rerank_factors.row(slot));
    }
    state.ids[slot] = change.ids[row];
    state.write_space(slot);
    if (!state.norms.empty()) state.norms[slot] = squared_norm(change.rows[row]);
  }
  state.update_lift(fresh);

  const std::uint64_t next = state.version.load(std::memory_order_relaxed) + 1;
  const LiveEntry entry = state.load_entry();
  // Not to be linked to any more; searches see them until the version is the next.
  for (const std::uint32_t slot : gone) Lifetime::set(state.lifetimes[slot].died, next);
  const std::size_t left = state.live.load(std::memory_order_relaxed) - gone.size();
  if (left == 0) state.store_entry({});
  try {
    builder.link(fresh);
  } catch (...) {
    for (const std::uint32_t slot : gone) Lifetime::set(state.lifetimes[slot].died, Lifetime::never);
    for (const std::uint32_t slot : fresh) Lifetime::set(state.lifetimes[slot].died, 0);
    state.newly_retired.insert(state.newly_retired.end(), fresh.begin(), fresh.end());
    state.retired.fetch_add(fresh.size(), std::memory_order_relaxed);
    state.store_entry(entry);
    throw;
  }
  for (const std::uint32_t slot : fresh) Lifetime::set(state.lifetimes[slot].born, next);
  {
    const std::unique_lock names(state.names_mutex);
    for (const Id id : change.removed) state.slot_of.erase(id);
    for (std::size_t row = 0; row < count; ++row) state.slot_of[change.ids[row]] = fresh[row];
    state.live.store(left + count, std::memory_order_relaxed);
    state.version.store(next, std::memory_order_release);
  }
  state.newly_retired.insert(state.newly_retired.end(), gone.begin(), gone.end());
  state.retired.fetch_add(gone.size(), std::memory_order_relaxed);
  try {
    builder.look_after(count + gone.size());
  } catch (
      const std::
          bad_alloc&) {  // NOLINT(bugprone-empty-catch): the change is made, and the next one tries again
  }
  return gone.size() - replaced;
}

bool LiveHnsw::consolidate(std::size_t nodes, const BuildControl& control) {
  const std::lock_guard writing(state_->writer);
  state_->reclaim();
  const bool done = LiveBuilder(*state_, control).consolidate(nodes);
  state_->reclaim();
  return done;
}

}  // namespace vicinal
