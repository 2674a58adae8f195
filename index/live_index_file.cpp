// A LiveIndex and its two files: docs/format.md.
#include <utility>

#include "vicinal/core/error.hpp"
#include "vicinal/index/live_index_state.hpp"

namespace vicinal {
namespace {

constexpr AppendLog::Identity no_file{};

std::filesystem::path log_of(const std::filesystem::path& path) {
  std::filesystem::path log = path;
  log += ".log";
  return log;
}

}  // namespace

LiveIndex LiveIndex::create(const std::filesystem::path& path, std::size_t dim, std::string_view spec,
                            Metric metric, std::uint64_t seed) {
  LiveIndex index = create(dim, spec, metric, seed);
  for (const std::filesystem::path& file : {path, log_of(path)}) {
    if (std::filesystem::exists(file))
      throw IoError("cannot create " + file.string() + ": it exists already (open goes on from it)");
  }
  State& state = *index.state_;
  state.path = path;
  state.log = AppendLog::create(log_of(path), no_file);
  state.log.append(RecordParts(CreateRecord{dim, seed, metric, to_string(state.spec)}).parts());
  return index;
}

LiveIndex LiveIndex::open(const std::filesystem::path& path, const BuildControl& control) {
  LiveIndex index;
  index.state_ = std::make_shared<State>();
  State& state = *index.state_;
  state.path = path;
  const std::filesystem::path log = log_of(path);
  bool has_log = std::filesystem::exists(log);
  if (std::filesystem::exists(path) || !has_log) {
    const Container file = Container::open(path, OpenMode::load);
    state.take(Index::open(file));
    if (has_log) {
      const AppendLog::Identity belongs_to = AppendLog::identity_of(log);
      // A log that was folded into the file, just before it could be replaced.
      const bool folded = Index::folded_log(file) == belongs_to;
      if (belongs_to != file.uuid() && !folded) {
        throw CorruptFile(log.string() + ": the log belongs to another file than " + path.string() +
                          "; its changes would be lost, move it away to open without them");
      }
      has_log = !folded;
    }
    if (!has_log) {
      state.log = AppendLog::create(log, file.uuid());
      return index;
    }
  }
  const auto visit = [&](std::span<const std::byte> record) {
    try {
      auto parsed = parse_record(record, state.dim);
      if (const auto* created = std::get_if<CreateRecord>(&parsed)) {
        if (state.dim != 0) throw CorruptFile("a log begins twice");
        state.begin(*created);
        return;
      }
      const auto& change = std::get<LiveChange>(parsed);
      if (change.offsets.empty() != (state.documents == nullptr))
        throw CorruptFile("a record of the log is of items of another kind than the index has");
      state.change(change, control, false);
    } catch (const InvalidArgument& error) {
      throw CorruptFile(log.string() + ": " + error.what());
    } catch (const CorruptFile& error) {
      throw CorruptFile(log.string() + ": " + error.what());
    }
  };
  state.log = AppendLog::open(log, visit);
  if (state.dim == 0) {
    throw CorruptFile(log.string() + ": the log holds nothing and there is no " + path.string() +
                      " that it belongs to");
  }
  return index;
}

void LiveIndex::State::require_writable() const {
  if (closed) throw InvalidArgument("the index of " + path.string() + " is closed, expected an open one");
  if (broken) throw IoError("an earlier change of " + path.string() + " failed half way; open it again");
}

void LiveIndex::close() {
  const std::lock_guard lock(state_->changing);
  if (state_->path.empty()) return;
  state_->log = AppendLog();
  state_->closed = true;
}

void LiveIndex::compact(bool calibrate, const BuildControl& control) {
  State& state = *state_;
  const std::lock_guard lock(state.changing);
  if (state.path.empty())
    throw InvalidArgument("the index has no file, expected one that was opened or created at a path");
  state.require_writable();
  const Index frozen = state.freeze(calibrate, {}, control);
  const std::filesystem::path log = log_of(state.path);
  frozen.save(state.path, AppendLog::identity_of(log));
  // From here on the old log is history: what were appended to it would be lost.
  state.broken = true;
  state.log = AppendLog::create(log, Container::open(state.path, OpenMode::map).uuid());
  state.broken = false;
  if (state.documents != nullptr) state.documents->compact(control);
  const std::lock_guard measured(state.calibration_mutex);
  state.calibration = frozen.calibration();
}

}  // namespace vicinal
