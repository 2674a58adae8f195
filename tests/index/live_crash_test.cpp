// A process that ends at any of its writes: what is opened afterwards.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <map>
#include <numeric>
#include <vector>

#include "vicinal/index/live_index.hpp"
#include "vicinal/index/multi_vector.hpp"
#include "../core/temporary_folder.hpp"
#include "sample_data.hpp"

namespace {
// Calls until the end; none when negative.
long calls_left = -1;
constexpr int killed = 77;

bool is_last_call() { return calls_left >= 0 && calls_left-- == 0; }
}  // namespace

// The linker leads the library's calls here (--wrap). Half of what was to be written is, since a write can be cut short.
extern "C" {
ssize_t __real_write(int descriptor, const void* bytes, size_t count);
ssize_t __real_pwrite(int descriptor, const void* bytes, size_t count, off_t offset);
int __real_fsync(int descriptor);
int __real_fdatasync(int descriptor);
int __real_rename(const char* from, const char* to);
int __real_ftruncate(int descriptor, off_t length);

ssize_t __wrap_write(int descriptor, const void* bytes, size_t count) {
  if (is_last_call()) {
    (void)!__real_write(descriptor, bytes, count / 2);
    _exit(killed);
  }
  return __real_write(descriptor, bytes, count);
}
ssize_t __wrap_pwrite(int descriptor, const void* bytes, size_t count, off_t offset) {
  if (is_last_call()) {
    (void)!__real_pwrite(descriptor, bytes, count / 2, offset);
    _exit(killed);
  }
  return __real_pwrite(descriptor, bytes, count, offset);
}
int __wrap_fsync(int descriptor) {
  if (is_last_call()) _exit(killed);
  return __real_fsync(descriptor);
}
int __wrap_fdatasync(int descriptor) {
  if (is_last_call()) _exit(killed);
  return __real_fdatasync(descriptor);
}
int __wrap_rename(const char* from, const char* to) {
  if (is_last_call()) _exit(killed);
  return __real_rename(from, to);
}
int __wrap_ftruncate(int descriptor, off_t length) {
  if (is_last_call()) _exit(killed);
  return __real_ftruncate(descriptor, length);
}
}

namespace vicinal {
namespace {

constexpr std::size_t dim = 6;

// An index of single vectors, or of documents of several.
struct Variety {
  const char* spec;
  Metric metric;
  bool several;

  friend std::ostream& operator<<(std::ostream& out, const Variety& variety) { return out << variety.spec; }
};

struct Step {
  enum class Kind { upsert, remove, compact } kind;
  Id first;
  std::size_t count;
};
using Kind = Step::Kind;
const std::vector<Step> steps{{Kind::upsert, 0, 20}, {Kind::upsert, 10, 20}, {Kind::remove, 5, 10},
                              {Kind::compact, 0, 0}, {Kind::upsert, 25, 30}, {Kind::remove, 0, 3},
                              {Kind::compact, 0, 0}, {Kind::compact, 0, 0},  {Kind::upsert, 3, 4},
                              {Kind::remove, 40, 20}};

// What step `step` puts under an id: a vector, or up to three, or none.
std::vector<float> vectors_of(const Variety& variety, std::size_t step, Id id) {
  const std::size_t count = variety.several ? static_cast<std::size_t>(id + 1) % 4 : 1;
  const Rows rows = make_rows(4, dim, 100 + step, static_cast<std::uint64_t>(id));
  return {rows.values.begin(), rows.values.begin() + static_cast<std::ptrdiff_t>(count * dim)};
}

using Content = std::map<Id, std::vector<float>>;

Content content_after(const Variety& variety, std::size_t done) {
  Content content;
  for (std::size_t step = 0; step < done; ++step) {
    for (Id id = steps[step].first; id < steps[step].first + static_cast<Id>(steps[step].count); ++id) {
      if (steps[step].kind == Kind::upsert) content[id] = vectors_of(variety, step, id);
      if (steps[step].kind == Kind::remove) content.erase(id);
    }
  }
  return content;
}

Content content_of(const LiveIndex& index) {
  const std::vector<Id> ids = index.ids();
  if (index.spec().maxsim) {
    Content content;
    if (ids.empty()) return content;
    const Index frozen = index.freeze(false);
    const TokenStore& documents = frozen.retriever().get_if<MultiVector>()->documents();
    for (std::size_t i = 0; i < ids.size(); ++i) {
      std::vector<float>& vectors = content[ids[i]];
      vectors.resize(documents.tokens(i) * dim);
      documents.decode(i, {vectors.data(), documents.tokens(i), dim});
    }
    return content;
  }
  std::vector<float> rows(ids.size() * dim);
  index.reconstruct(ids, {rows.data(), ids.size(), dim});
  Content content;
  for (std::size_t i = 0; i < ids.size(); ++i)
    content[ids[i]].assign(rows.begin() + static_cast<std::ptrdiff_t>(i * dim),
                           rows.begin() + static_cast<std::ptrdiff_t>((i + 1) * dim));
  return content;
}

void upsert(LiveIndex& index, const Variety& variety, std::size_t step, std::span<const Id> ids) {
  std::vector<float> rows;
  std::vector<std::uint64_t> offsets{0};
  for (const Id id : ids) {
    const std::vector<float> vectors = vectors_of(variety, step, id);
    rows.insert(rows.end(), vectors.begin(), vectors.end());
    offsets.push_back(rows.size() / dim);
  }
  const MatrixView<const float> all(rows.data(), offsets.back(), dim);
  index.upsert(variety.several ? VectorBatch(all, offsets) : VectorBatch(all), ids);
}

void run_step(LiveIndex& index, const Variety& variety, std::size_t step) {
  std::vector<Id> ids(steps[step].count);
  std::iota(ids.begin(), ids.end(), steps[step].first);
  switch (steps[step].kind) {
    case Kind::compact: index.compact(false); break;
    case Kind::remove: index.remove(ids); break;
    case Kind::upsert: upsert(index, variety, step, ids); break;
  }
}

class LiveIndexCrash : public testing::TestWithParam<Variety> {};

TEST_P(LiveIndexCrash, WhateverCallItEndsAtEveryAcknowledgedChangeIsThere) {
  const Variety variety = GetParam();
  // Shared with the child: -1 until the index is there, then how many steps were made.
  void* const page = ::mmap(nullptr, sizeof(long), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(page, MAP_FAILED);
  auto* const done = static_cast<volatile long*>(page);
  long call = 0;
  for (bool finished = false; !finished; ++call) {
    const TemporaryFolder folder;
    const std::filesystem::path path = folder / "index.vcn";
    *done = -1;
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      calls_left = call;
      LiveIndex index = LiveIndex::create(path, dim, variety.spec, variety.metric);
      *done = 0;
      for (std::size_t step = 0; step < steps.size(); ++step) {
        run_step(index, variety, step);
        *done = static_cast<long>(step) + 1;
      }
      _exit(0);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFEXITED(status)) << call;
    ASSERT_TRUE(WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == killed) << call;
    finished = WEXITSTATUS(status) == 0;
    if (*done < 0) continue;  // it ended before create() returned: there is nothing that must be
    const auto made = static_cast<std::size_t>(*done);
    LiveIndex index = LiveIndex::open(path);
    const Content found = content_of(index);
    EXPECT_TRUE(found == content_after(variety, made) ||
                (made < steps.size() && found == content_after(variety, made + 1)))
        << "call " << call << ", " << made << " steps made";
    // And it goes on from there.
    const std::vector<Id> id{1000};
    upsert(index, variety, 99, id);
    Content expected = found;
    expected[1000] = vectors_of(variety, 99, 1000);
    index = LiveIndex();
    EXPECT_TRUE(content_of(LiveIndex::open(path)) == expected) << call;
  }
  EXPECT_GT(call, 40);
  ::munmap(page, sizeof(long));
}

INSTANTIATE_TEST_SUITE_P(
    Varieties, LiveIndexCrash,
    testing::Values(Variety{"f32 | hnsw(m=4, efc=20)", Metric::l2, false},
                    Variety{"muvera(reps=2, bits=1, dim=3) | f32 | hnsw(m=4, efc=20) | maxsim(f32)",
                            Metric::ip, true},
                    Variety{"maxsim(f32)", Metric::ip, true}));

}  // namespace
}  // namespace vicinal
