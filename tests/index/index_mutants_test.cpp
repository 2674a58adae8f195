// Index files that are not what they seem: thousands of altered copies of small ones, most of them with their checksums made
// right again. Each is refused with an error of the library, or opens as an index whose searches stay within their bounds.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <new>
#include <set>
#include <string>

#include "vicinal/index/index.hpp"
#include "../core/temporary_folder.hpp"
#include "counted_memory.hpp"
#include "file_signer.hpp"
#include "sample_data.hpp"

namespace vicinal {
namespace {

// VICINAL_MUTANTS=<number> makes more of them, or fewer.
std::uint64_t mutants_to_make() {
  const char* wanted = std::getenv("VICINAL_MUTANTS");
  return wanted == nullptr ? 10'000 : std::strtoull(wanted, nullptr, 10);
}
constexpr std::uint64_t mutants_per_child = 500;
constexpr unsigned seconds_per_child = 60;
constexpr std::size_t spare_address_space = std::size_t{32} << 20;
constexpr std::size_t spare_memory = std::size_t{16} << 10;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool sanitized = true;
#else
constexpr bool sanitized = false;
#endif

struct Original {
  std::string spec;
  Metric metric;
  std::size_t rows;
  std::size_t dim;
  bool ids;
  std::vector<char> bytes;
};

// In memory that parent and child share.
struct Report {
  std::uint64_t current;
  std::uint64_t refused;
  std::uint64_t accepted;
  char failure[400];
};

class Failure : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

std::vector<Original> make_originals(const TemporaryFolder& folder) {
  std::vector<Original> originals{
      {"flat", Metric::l2, 40, 6, false, {}},
      {"i8 | flat | rerank(f16, 2x)", Metric::cosine, 30, 5, true, {}},
      {"f16 | hnsw(m=4, efc=10)", Metric::ip, 60, 4, false, {}},
      {"i8 | hnsw(m=4, efc=20) | rerank(f32, 3x)", Metric::l2, 150, 12, true, {}},
      {"i8(rotate=off, centre=off) | hnsw(m=5, efc=20)", Metric::cosine, 33, 9, true, {}},
      {"bf16 | hnsw(m=4, efc=10) | rerank(bf16, 2x)", Metric::l2, 1, 3, false, {}},
      {"pca(4) | i8 | hnsw(m=4, efc=20) | rerank(f16, 3x)", Metric::l2, 50, 7, false, {}},
      {"qpca(3) | f32 | flat", Metric::cosine, 30, 6, true, {}},
      {"truncate(2) | f16 | flat", Metric::ip, 20, 5, false, {}},
      {"pq(d/2, bits=4) | hnsw(m=4, efc=20)", Metric::ip, 60, 7, false, {}},
      {"opq(3) | flat | rerank(f16, 3x)", Metric::cosine, 20, 6, true, {}},
      {"b1 | hnsw(m=4, efc=20) | rerank(+i8, 5x)", Metric::l2, 60, 9, false, {}},
      {"i4 | flat | rerank(+i4, 3x)", Metric::ip, 40, 11, true, {}},
      {"dedup | f16 | hnsw(m=4, efc=20)", Metric::ip, 50, 5, true, {}},
      {"dedup(codes) | b1 | flat | rerank(f16, 10x)", Metric::l2, 40, 4, false, {}},
      {"tiers(f16=0.1, i8=0.3, b1) | flat", Metric::cosine, 40, 6, true, {}},
      {"pca(3, clusters=4) | i4 | flat", Metric::ip, 40, 6, false, {}},
      {"pca(2, clusters=3) | f16 | flat | rerank(f32, 3x)", Metric::l2, 20, 5, true, {}},
      {"i4 | flat | rerank(i8, 3x)", Metric::cosine, 30, 6, false, {}},
      {"f16 | hnsw(m=8, efc=20, layout=fused)", Metric::l2, 40, 5, true, {}},
      {"pca(4) | i8 | hnsw(m=8, efc=20, alpha=1.5, layout=fused)", Metric::ip, 30, 6, false, {}},
      {"maxsim(i8)", Metric::ip, 60, 6, true, {}},
      {"scan(i4) | maxsim(i8, 3x)", Metric::ip, 60, 6, true, {}},
      {"head(dim=16, samples=30) | f32 | flat | maxsim(i8, 4x)", Metric::ip, 60, 6, false, {}},
      {"muvera(reps=3, bits=2, dim=2) | i8 | hnsw(m=4, efc=20) | maxsim(f16, 4x)",
       Metric::cosine,
       80,
       5,
       false,
       {}},
  };
  for (Original& original : originals) {
    Rows base = make_rows(original.rows, original.dim, 71);
    if (original.spec.starts_with("dedup")) {
      // Every third row is the one a third of the way back.
      for (std::size_t row = 0; row < original.rows; row += 3)
        std::copy_n(base[row / 3].begin(), original.dim,
                    base.values.begin() + static_cast<std::ptrdiff_t>(row * original.dim));
    }
    std::vector<Id> ids;
    for (std::size_t i = 0; original.ids && i < original.rows; ++i)
      ids.push_back(static_cast<Id>(1000 + 3 * i));
    IndexOptions options;
    options.ids = ids;
    const std::vector<float> popularity(original.spec.starts_with("tiers") ? original.rows : 0, 1.0F);
    options.popularity = popularity;
    options.calibration_queries = original.spec.starts_with("qpca") ? base.view() : MatrixView<const float>();
    // Documents of none to four vectors.
    std::vector<std::uint64_t> offsets;
    if (original.spec.find("maxsim") != std::string::npos) {
      for (std::uint64_t row = 0, next = 0; row < original.rows;
           row = std::min<std::uint64_t>(row + next++ % 5, original.rows))
        offsets.push_back(row);
      offsets.push_back(original.rows);
      ids.resize(std::min(ids.size(), offsets.size() - 1));
      options.ids = ids;
    }
    Index::build({base.view(), offsets}, original.spec, original.metric, options)
        .save(folder / "original.vcn");
    original.bytes = read_bytes(folder / "original.vcn");
  }
  return originals;
}

// Alters a file in one of several ways; a function of the stream. Most changes fall into one section, so that small sections
// get their share.
class Mutation {
 public:
  Mutation(const std::vector<char>& original, RandomStream& random) : bytes_(original), random_(random) {
    const auto sections = FileSigner::sections(original);
    if (random_.next_below(8) == 0) {
      begin_ = 0;
      length_ = bytes_.size();
    } else if (random_.next_below(8) == 0) {
      begin_ = 128;  // the directory
      length_ = 96 * sections.size();
    } else {
      std::tie(begin_, length_) = sections[random_.next_below(sections.size())];
      if (length_ == 0) std::tie(begin_, length_) = std::pair<std::size_t, std::size_t>{0, bytes_.size()};
    }
  }

  std::vector<char> apply() {
    switch (random_.next_below(8)) {
      case 0: flip_bits(); break;
      case 1: set_bytes(); break;
      case 2: zero_span(); break;
      case 3: copy_span(); break;
      case 4: bytes_.resize(random_.next_below(bytes_.size())); break;
      case 5:
        bytes_.resize(bytes_.size() + 64 * (1 + random_.next_below(4)), static_cast<char>(random_.next()));
        break;
      default: set_word(); break;
    }
    return std::move(bytes_);
  }

 private:
  std::size_t place(std::size_t width = 1) {
    return begin_ + (length_ <= width ? 0 : random_.next_below(length_ - width + 1));
  }
  void flip_bits() {
    for (std::uint64_t i = 0, count = 1 + random_.next_below(4); i < count; ++i) {
      char& byte = bytes_[place()];
      byte = static_cast<char>(byte ^ (1 << random_.next_below(8)));
    }
  }
  void set_bytes() {
    constexpr std::array<unsigned char, 8> values{0x00, 0x01, 0x02, 0x7F, 0x80, 0xFE, 0xFF, 0x7C};
    for (std::uint64_t i = 0, count = 1 + random_.next_below(4); i < count; ++i) {
      bytes_[place()] = static_cast<char>(values[random_.next_below(values.size())]);
    }
  }
  void zero_span() {
    const std::size_t at = place();
    const std::size_t end = std::min(at + 1 + random_.next_below(64), begin_ + length_);
    std::fill(bytes_.begin() + static_cast<std::ptrdiff_t>(at),
              bytes_.begin() + static_cast<std::ptrdiff_t>(end), '\0');
  }
  void copy_span() {
    const std::size_t count = std::min<std::size_t>(1 + random_.next_below(32), length_);
    const std::size_t from = place(count);
    const std::size_t to = place(count);
    std::memmove(bytes_.data() + to, bytes_.data() + from, count);
  }
  // A number that counts, offsets, ids and floats are apt to be wrong at.
  void set_word() {
    constexpr std::array<std::uint64_t, 16> values{0,
                                                   1,
                                                   2,
                                                   3,
                                                   5,
                                                   29,
                                                   30,
                                                   31,
                                                   63,
                                                   64,
                                                   0x7F80'0000,
                                                   0x7FC0'0000,
                                                   0x7FFF'FFFF,
                                                   0xFFFF'FFFF,
                                                   0x7FFF'FFFF'FFFF'FFFF,
                                                   ~std::uint64_t{0}};
    const std::uint64_t value = values[random_.next_below(values.size())] + random_.next_below(2);
    const std::size_t width = random_.next_below(2) == 0 ? 4 : 8;
    if (length_ < width) return flip_bits();
    std::memcpy(bytes_.data() + begin_ + random_.next_below(length_ / width) * width, &value, width);
  }

  std::vector<char> bytes_;
  RandomStream& random_;
  std::size_t begin_ = 0;
  std::size_t length_ = 0;
};

void require(bool condition, const std::string& what) {
  if (!condition) throw Failure(what);
}

// Five searches of different kinds; the answers may be wrong, as the vectors are, but not out of bounds.
void search_it(const Index& index, RandomStream& random) {
  require(index.size() >= 1 && index.size() < 10'000 && index.dim() >= 1 && index.dim() < 100'000,
          "an absurd size or dimension");
  const std::set<Id> ids(index.ids().begin(), index.ids().end());
  std::vector<float> query(index.dim());
  for (int search = 0; search < 5; ++search) {
    for (float& v : query) v = static_cast<float>(4 * random.next_unit() - 2);
    const std::size_t k = search == 3 ? index.size() + 3 : 5;
    SearchControl control;
    if (search == 2) control.filter = Filter::predicate([](Id id) { return id % 2 == 0; });
    IndexSearchOptions options;
    if (search == 1) options.effort = 500;
    if (search == 4 && index.calibration()) options.target_recall = 0.9;
    Neighbors found(1, k);
    try {
      found = index.search(MatrixView<const float>(query.data(), 1, query.size()), k, options, control);
    } catch (const InvalidArgument&) {
      continue;  // Less the mean of the file, the query is beyond what i8 holds: an honest answer.
    }
    require(found.counts()[0] <= k, "more results than k");
    for (std::size_t i = 0; i < k; ++i) {
      const Id id = found.ids()[0][i];
      const float distance = found.distances()[0][i];
      if (i >= found.counts()[0]) {
        require(id == no_id && distance == no_distance, "padding is not padding");
        continue;
      }
      require(ids.empty() ? id >= 0 && id < static_cast<Id>(index.size()) : ids.contains(id),
              "an id that is not in the index");
      require(control.filter(id), "an id that does not pass the filter");
      require(!std::isnan(distance) && (i == 0 || found.distances()[0][i - 1] <= distance),
              "distances do not ascend");
    }
  }
}

// One mutant, a function of its number. Throws Failure, or dies, when something is wrong.
void try_mutant(std::uint64_t number, const std::vector<Original>& originals,
                const std::filesystem::path& path, Report& report) {
  RandomStream random(4711, number);
  const Original& original = originals[random.next_below(originals.size())];
  std::vector<char> bytes = Mutation(original.bytes, random).apply();
  const bool is_signed = random.next_below(4) != 0;
  if (is_signed) FileSigner::sign(bytes);
  const OpenMode mode = random.next_below(3) == 0 ? OpenMode::map : OpenMode::load;
  write_bytes(path, bytes);

  const std::size_t allowed = 4 * bytes.size() + spare_memory;
  const std::size_t before = counted_memory::in_use();
  counted_memory::reset_peak();
  try {
    const Index index = Index::open(path, mode);
    const std::size_t taken = counted_memory::peak() - before;
    require(taken <= allowed,
            "opening took " + std::to_string(taken) + " bytes for a file of " + std::to_string(bytes.size()));
    require(is_signed || mode == OpenMode::map || bytes == original.bytes, "an altered file was accepted");
    ++report.accepted;
    search_it(index, random);
  } catch (const CorruptFile&) {
    ++report.refused;
  } catch (const Unsupported&) {
    ++report.refused;
  } catch (const Failure&) {
    throw;
  } catch (const std::exception& error) {
    throw Failure(std::string("an error of another kind: ") + error.what());
  }
  const std::size_t taken = counted_memory::peak() - before;
  require(taken <= 2 * allowed + (std::size_t{1} << 20),
          "searching took " + std::to_string(taken) + " bytes");
}

void limit_address_space() {
  if (sanitized) return;  // Sanitizers reserve terabytes.
  std::ifstream status("/proc/self/statm");
  std::size_t pages = 0;
  status >> pages;
  const rlim_t bytes = pages * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)) + spare_address_space;
  const rlimit limit{bytes, bytes};
  ::setrlimit(RLIMIT_AS, &limit);
}

[[noreturn]] void run_child(std::uint64_t first, std::uint64_t last, const std::vector<Original>& originals,
                            const std::filesystem::path& path, Report& report) {
  ::alarm(seconds_per_child);
  limit_address_space();
  for (report.current = first; report.current < last; ++report.current) {
    try {
      try_mutant(report.current, originals, path, report);
    } catch (const std::exception& error) {
      std::strncpy(report.failure, error.what(), sizeof(report.failure) - 1);
      ::_exit(1);
    }
  }
  ::_exit(0);
}

TEST(IndexMutants, AreRefusedOrHarmless) {
  const TemporaryFolder folder;
  const std::vector<Original> originals = make_originals(folder);
  auto* const report = static_cast<Report*>(
      ::mmap(nullptr, sizeof(Report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  ASSERT_NE(report, MAP_FAILED);

  // VICINAL_MUTANT=<number> repeats one in this process, for a debugger.
  if (const char* only = std::getenv("VICINAL_MUTANT"); only != nullptr) {
    try_mutant(std::strtoull(only, nullptr, 10), originals, folder / "mutant.vcn", *report);
    return;
  }
  const std::uint64_t mutants = mutants_to_make();
  int failures = 0;
  for (std::uint64_t first = 0; first < mutants && failures < 10;) {
    const std::uint64_t last = std::min(first + mutants_per_child, mutants);
    report->failure[0] = '\0';
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) run_child(first, last, originals, folder / "mutant.vcn", *report);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
      first = last;
      continue;
    }
    ++failures;
    const std::string how = !WIFSIGNALED(status) ? std::string(report->failure)
                            : WTERMSIG(status) == SIGALRM
                                ? "took too long"
                                : std::string("died of signal ") + std::to_string(WTERMSIG(status));
    ADD_FAILURE() << "mutant " << report->current << " " << how << " (VICINAL_MUTANT=" << report->current
                  << " repeats it)";
    first = report->current + 1;
  }
  // Both ways out are taken often, or the mutants would show little.
  EXPECT_GT(report->accepted, mutants / 20);
  EXPECT_GT(report->refused, mutants / 4);
  std::printf("%llu refused, %llu accepted\n", static_cast<unsigned long long>(report->refused),
              static_cast<unsigned long long>(report->accepted));
  ::munmap(report, sizeof(Report));
}

// The signer signs as the writer does: otherwise every mutant would be refused for its checksums.
TEST(IndexMutants, TheSignerAgreesWithTheWriter) {
  const TemporaryFolder folder;
  for (const Original& original : make_originals(folder)) {
    std::vector<char> bytes = original.bytes;
    FileSigner::sign(bytes);
    EXPECT_EQ(bytes, original.bytes);
    for (std::size_t at = 40; at < 128; ++at) bytes[at] = at < 56 || at >= 120 ? '\x5A' : bytes[at];
    FileSigner::sign(bytes);
    EXPECT_EQ(bytes, original.bytes);
  }
}

}  // namespace
}  // namespace vicinal
